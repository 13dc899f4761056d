#include "order.h"

#include <base/json.h>
#include <string.h>

#define E(from, to) {#from, #to},
const struct edge order_edges[] = {
#include "order_edges.def"
};
#undef E
const size_t order_edges_n = sizeof order_edges / sizeof order_edges[0];

bool order_edge_exists(struct str from, const char *to) {
    for (size_t i = 0; i < order_edges_n; i++) {
        if (str_is(from, order_edges[i].from) && strcmp(order_edges[i].to, to) == 0) {
            return true;
        }
    }
    return false;
}

struct err order_total(const struct order_line *lines, size_t n, int64_t *out) {
    int64_t total = 0, line;
    for (size_t i = 0; i < n; i++) {
        if (__builtin_mul_overflow(lines[i].qty, lines[i].unit_minor, &line) || __builtin_add_overflow(total, line, &total) ||
            total > ORDER_MONEY_MAX) {
            return err_make(ERR_TOO_LARGE, "the total passes %lld", (long long)ORDER_MONEY_MAX);
        }
    }
    *out = total;
    return OK;
}

static struct err read_line(const json_t *o, struct order_line *out) {
    struct order_line l;
    TRY(json_get_str(o, "sku", &l.sku));
    TRY(json_get_str(o, "title", &l.title));
    TRY(json_get_i64(o, "qty", &l.qty));
    TRY(json_get_i64(o, "unit_minor", &l.unit_minor));
    *out = l;
    return OK;
}

struct err order_read(const json_t *payload, struct order_request *out) {
    const json_t *lines = json_object_get(payload, "lines"), *payment = json_object_get(payload, "payment");
    TRY(json_get_str(payload, "customer_id", &out->customer_id));
    TRY(json_get_str(payload, "currency", &out->currency));
    TRY(json_get_str(payment, "token", &out->token));
    out->capture = json_opt_bool(payment, "capture", false);
    out->lines_n = json_array_size(lines);
    if (out->lines_n == 0 || out->lines_n > ORDER_LINES_MAX || out->currency.n != 3) {
        return err_make(ERR_INVALID, "an order has 1 to %d lines and a currency of three letters", ORDER_LINES_MAX);
    }
    for (size_t i = 0; i < out->lines_n; i++) {
        TRY(read_line(json_array_get(lines, i), &out->lines[i]));
    }
    return order_total(out->lines, out->lines_n, &out->total);
}

static bool is_being_placed(struct str status) {
    return str_is(status, "placed") || str_is(status, "reserving") || str_is(status, "authorizing");
}

enum place_act order_place_next(const struct order_row *o) {
    if (o->closed) {
        return PLACE_TAKE_OVER;
    }
    if (!o->exists) {
        if (o->cancel_requested) {
            return PLACE_CANCEL_UNPLACED;
        }
        return o->late ? PLACE_EXPIRE : PLACE_INSERT;
    }
    if (str_is(o->status, "canceling")) {
        return PLACE_RELEASE;
    }
    if (!is_being_placed(o->status)) {
        return PLACE_ENDED;
    }
    if (o->cancel_requested) {
        return PLACE_TO_CANCELING;
    }
    if (str_is(o->status, "authorizing")) {
        return PLACE_AUTHORIZE;
    }
    return o->late ? PLACE_EXPIRE : PLACE_TO_AUTHORIZING;
}

enum cancel_act order_cancel_next(const struct order_row *o, int64_t if_version) {
    if (o->closed) {
        return CANCEL_TAKE_OVER;
    }
    if (o->late && !o->own) {
        return CANCEL_EXPIRE;
    }
    if (!o->exists) {
        return CANCEL_NOT_FOUND;
    }
    if (!o->own && if_version != 0 && if_version != o->version) {
        return CANCEL_STALE;
    }
    if (str_is(o->status, "canceled")) {
        return o->own ? CANCEL_DONE : CANCEL_ILLEGAL;
    }
    if (str_is(o->status, "canceling")) {
        return CANCEL_RELEASE;
    }
    if (is_being_placed(o->status) && !o->place_is_over) {
        return CANCEL_REQUEST;
    }
    return order_edge_exists(o->status, "canceling") ? CANCEL_TO_CANCELING : CANCEL_ILLEGAL;
}
