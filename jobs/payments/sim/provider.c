/* Requests to the provider: who signed them, what they say. */
#include <base/crypto.h>

#include "order.h"

static bool is_signed(const struct sim *s, const struct http_request *req) {
    uint8_t want[SHA256_BYTES];
    uint8_t got[SHA256_BYTES];
    return hex_decode(http_request_header(req, "penstock-signature"), got, sizeof got) &&
           !err_is_set(hmac_sha256(s->secret, &req->body, 1, want)) && crypto_equal(want, got, sizeof want);
}

static bool is_currency(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 'A' || s.p[i] > 'Z') {
            return false;
        }
    }
    return s.n == BOOK_CURRENCY_BYTES - 1;
}

static struct err spec_read(const json_t *o, enum book_op op, struct order_spec *out) {
    struct order_spec spec = {.entry.op = op};
    struct str reference;
    struct str currency;
    struct str parent = STR_NONE;
    TRY(json_get_str(o, "reference", &reference));
    TRY(json_get_i64(o, "amount", &spec.entry.amount));
    TRY(json_get_str(o, "currency", &currency));
    TRY(json_get_i64(o, "not_after", &spec.not_after_ms));
    TRY(op == BOOK_AUTHORIZE ? json_get_str(o, "token", &spec.token) : json_get_str(o, "parent", &parent));
    if (reference.n == 0 || memchr(reference.p, '\0', reference.n) != NULL ||
        !str_copy_c(reference, spec.entry.reference, sizeof spec.entry.reference)) {
        return err_make(ERR_INVALID, "reference: 1 to %d bytes", LIMIT_KEY_BYTES);
    }
    if (spec.entry.amount <= 0 || !is_currency(currency)) {
        return err_make(ERR_INVALID, "amount must be positive, currency three capital letters");
    }
    (void)str_copy_c(currency, spec.entry.currency, sizeof spec.entry.currency);
    spec.entry.parent = book_parse_ref(parent);
    *out = spec;
    return OK;
}

static void refuse(struct sim *s, struct http_request *req, int status, const char *detail) {
    struct buf body;
    s->count[COUNT_INVALID]++;
    buf_init(&body, LIMIT_HTTP_BODY_BYTES);
    buf_add_c(&body, "{\"outcome\":\"invalid\",\"detail\":");
    json_add_string(&body, str_c(detail));
    buf_add_char(&body, '}');
    sim_answer_buf(req, status, &body);
}

void provider_call(struct sim *s, struct http_request *req, enum book_op op) {
    struct order_spec spec;
    json_t *o = NULL;
    if (!is_signed(s, req)) {
        refuse(s, req, 401, "Penstock-Signature must be the hex HMAC-SHA256 of the body");
        return;
    }
    struct err e = json_read(req->body, &o);
    if (!err_is_set(e)) {
        e = spec_read(o, op, &spec);
    }
    if (err_is_set(e)) {
        refuse(s, req, 400, e.detail);
    } else {
        order_take(s, req, &spec);
    }
    json_decref(o);
}

void provider_lookup(struct sim *s, struct http_request *req) {
    struct str reference = http_query(req, "reference");
    const struct book_entry *e = NULL;
    struct buf body;
    s->count[COUNT_LOOKUPS]++;
    if (reference.n == 0) {
        refuse(s, req, 400, "reference is missing");
        return;
    }
    buf_init(&body, LIMIT_HTTP_BODY_BYTES);
    while ((e = book_next(s->book, reference, e)) != NULL) {
        buf_add_c(&body, body.n == 0 ? "{\"found\":true,\"entries\":[" : ",");
        book_entry_write(e, &body);
    }
    buf_add_c(&body, body.n == 0 ? "{\"found\":false}" : "]}");
    sim_answer_buf(req, 200, &body);
}
