#include "sim_wire.h"

#include <base/crypto.h>
#include <base/json.h>
#include <jobs/dependency.h>

static void add_member(struct buf *b, const char *name, struct str value) {
    buf_addf(b, ",\"%s\":", name);
    json_add_string(b, value);
}

struct err sim_request(const struct provider_call *c, struct str secret, struct buf *body, char signature[SIM_SIGNATURE_BYTES]) {
    char reference[UUID_TEXT_BYTES];
    uint8_t mac[SHA256_BYTES];
    uuid_text(c->reference, reference);
    buf_addf(body, "{\"reference\":\"%s\",\"amount\":%lld,\"not_after\":%lld", reference, (long long)c->amount,
             (long long)c->not_after.ms);
    add_member(body, "currency", str_c(c->currency));
    if (c->kind == OP_AUTHORIZE) {
        add_member(body, "token", c->token);
    } else {
        add_member(body, "parent", c->parent);
    }
    buf_add_char(body, '}');
    TRY(buf_status(body));
    const struct str part = buf_str(body);
    TRY(hmac_sha256(secret, &part, 1, mac));
    hex_encode(mac, sizeof mac, signature);
    return OK;
}

static void unknown(struct provider_answer *out, const char *why, int status) {
    *out = (struct provider_answer){.outcome = PROVIDER_UNKNOWN,
                                    .err = err_make(ERR_BAD_REPLY, "the provider answered %d: %s", status, why)};
}

static bool read_booking(const json_t *o, struct provider_answer *out) {
    return !err_is_set(json_get_str(o, "provider_ref", &out->provider_ref)) &&
           !err_is_set(json_get_i64(o, "amount", &out->amount)) && !err_is_set(json_get_str(o, "currency", &out->currency)) &&
           out->provider_ref.n > 0;
}

/* Statuses that say that the request was turned away at the door. */
static bool is_refusal(int status) {
    static const int statuses[] = {400, 401, 403, 404, 405, 408, 411, 413, 415, 422, 429};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (status == statuses[i]) {
            return true;
        }
    }
    return false;
}

void sim_read_call(enum op_kind kind, int status, struct str body, json_t **out_body, struct provider_answer *out) {
    struct provider_answer a = {.kind = kind, .count = 1};
    json_t *o = NULL;
    bool parsed = !err_is_set(json_read(body, &o));
    *out_body = o;
    struct str outcome = parsed ? json_opt_str(o, "outcome", STR("")) : STR("");
    a.code = parsed ? json_opt_str(o, "code", STR("")) : STR("");
    if (status == 200 && str_is(outcome, "ok") && read_booking(o, &a)) {
        a.outcome = PROVIDER_OK;
    } else if ((status == 402 || status == 409) && str_is(outcome, "declined")) {
        a.outcome = PROVIDER_DECLINED;
    } else if (status == 410 && str_is(outcome, "too_late")) {
        a.outcome = PROVIDER_TOO_LATE;
    } else if (is_refusal(status)) {
        a.outcome = PROVIDER_REFUSED;
        if (call_has_failed(call_verdict_of_status(status))) {
            a.err = err_make(ERR_TRANSIENT, "the provider answered %d", status);
        }
    } else {
        unknown(&a, "not a word of the payment", status);
    }
    *out = a;
}

void sim_read_lookup(int status, struct str body, json_t **out_body, struct provider_answer *out) {
    struct provider_answer a = {.outcome = PROVIDER_NOT_FOUND};
    json_t *o = NULL;
    *out_body = NULL;
    if (status != 200 || err_is_set(json_read(body, &o))) {
        unknown(out, "no answer to a lookup", status);
        return;
    }
    *out_body = o;
    const json_t *found = json_object_get(o, "found"), *entries = json_object_get(o, "entries"),
                 *first = json_array_get(entries, 0);
    if (json_is_true(found)) {
        a.outcome = PROVIDER_OK;
        a.count = (int)json_array_size(entries);
        if (!op_kind_parse(json_opt_str(first, "op", STR("")), &a.kind) || !read_booking(first, &a)) {
            unknown(&a, "a lookup without its entry", status);
        }
    } else if (!json_is_false(found)) {
        unknown(&a, "a lookup that says nothing", status);
    }
    *out = a;
}

void sim_read_error(struct err e, struct provider_answer *out) {
    bool never_left = e.code == ERR_NET_NOT_SENT || e.code == ERR_NET_ADDRESS || e.code == ERR_INVALID || e.code == ERR_BUSY;
    *out = (struct provider_answer){.outcome = never_left ? PROVIDER_NOT_SENT : PROVIDER_UNKNOWN, .err = e};
}
