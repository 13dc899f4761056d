/* The dead of the stream class on their way to Postgres. A value is: u16 length and reason, u16 length and header, payload. */
#include <queues/envelope.h>
#include <queues/upkeep.h>

#include "call.h"

#include <stdlib.h>

struct peek_call {
    queue_dead_cb *cb;
    void *arg;
};

/* A length and as many bytes, cut off at the front. */
static bool cut_part(struct str *rest, struct str *out) {
    if (rest->n < 2) {
        return false;
    }
    const uint8_t *p = (const uint8_t *)rest->p;
    size_t n = (size_t)(p[0] | p[1] << 8);
    if (rest->n - 2 < n) {
        return false;
    }
    *out = str_of(rest->p + 2, n);
    *rest = str_of(rest->p + 2 + n, rest->n - 2 - n);
    return true;
}

/* A value that is not ours is all payload: it leaves Redis like the others, and a person may look at it. */
static void split(struct str value, struct queue_dead_entry *out) {
    struct str rest = value;
    if (!cut_part(&rest, &out->reason) || !cut_part(&rest, &out->header)) {
        out->reason = STR("");
        out->header = STR("");
        rest = value;
    }
    out->payload = rest;
    out->id.generation = envelope_generation(out->header);
}

static bool read_dead(const struct reply *r, struct queue_dead_entry *out, size_t *out_n) {
    if (r == NULL || r->type != REPLY_ARRAY || r->elements % 2 != 0 || r->elements > 2 * LIMIT_BATCH) {
        return false;
    }
    for (size_t i = 0; i < r->elements; i += 2) {
        struct queue_dead_entry *e = &out[i / 2];
        struct str value;
        if (!reply_read_uuid(r->element[i], &e->id.job) || !reply_read_str(r->element[i + 1], &value)) {
            return false;
        }
        split(value, e);
    }
    *out_n = r->elements / 2;
    return true;
}

static void on_peek(void *context, struct err err, const struct reply *r) {
    struct peek_call *call = context;
    struct queue_dead_entry entries[LIMIT_BATCH];
    size_t n = 0;
    if (!err_is_set(err) && !read_dead(r, entries, &n)) {
        err = reply_unexpected("HRANDFIELD");
    }
    call->cb(call->arg, err, entries, n);
    free(call);
}

void queue_dead_peek(const struct broker *b, const struct shard *s, queue_dead_cb *cb, void *arg) {
    struct err why;
    struct peek_call *call = call_context(1, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, NULL, 0);
        return;
    }
    *call = (struct peek_call){cb, arg};
    struct call c;
    call_begin(&c, STR("HRANDFIELD"));
    call_add(&c, s->key[KEY_DEAD]);
    call_add_int(&c, LIMIT_BATCH);
    call_add(&c, STR("WITHVALUES"));
    call_send(&c, b, 0, on_peek, call);
}

void queue_dead_drop(const struct broker *b, const struct shard *s, const struct queue_dead_id *ids, size_t n, queue_count_cb *cb,
                     void *arg) {
    struct call c;
    call_function(&c, FN_DROP, s);
    for (size_t i = 0; i < n; i++) {
        call_add_uuid(&c, &ids[i].job);
        call_add_int(&c, ids[i].generation);
    }
    call_send_count(&c, b, n, cb, arg);
}
