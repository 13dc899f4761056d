/* Entries that are held: renewing them, giving them back, asking which they are and whether they are still wanted. */
#include <queues/quarantine.h>

#include "call.h"

#include <stdlib.h>

struct renew_call {
    queue_renew_cb *cb;
    void *arg;
};

static void on_renew(void *context, struct err err, const struct reply *r) {
    struct renew_call *call = context;
    struct stream_id lost[LIMIT_BATCH], cancel[LIMIT_BATCH];
    size_t lost_n = 0, cancel_n = 0;
    if (!err_is_set(err) &&
        (!reply_read_ids(reply_at(r, 0), lost, &lost_n) || !reply_read_ids(reply_at(r, 1), cancel, &cancel_n))) {
        err = reply_unexpected("pen_renew");
        lost_n = 0;
    }
    call->cb(call->arg, err, lost, lost_n, cancel, cancel_n);
    free(call);
}

void queue_renew(const struct broker *b, const struct shard *s, struct str consumer, const struct queue_held *held, size_t n,
                 queue_renew_cb *cb, void *arg) {
    struct err why;
    struct renew_call *call = call_context(n, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, NULL, 0, NULL, 0);
        return;
    }
    *call = (struct renew_call){cb, arg};
    struct call c;
    call_function(&c, FN_RENEW, s);
    call_add(&c, consumer);
    for (size_t i = 0; i < n; i++) {
        call_add_id(&c, held[i].id);
        call_add_uuid(&c, &held[i].job);
        call_add_int(&c, held[i].started.ms);
    }
    call_send(&c, b, 0, on_renew, call);
}

void queue_hand_back(const struct broker *b, const struct shard *s, struct str consumer, bool died, const struct stream_id *ids,
                     size_t n, queue_lost_cb *cb, void *arg) {
    struct call c;
    call_function(&c, FN_HAND_BACK, s);
    call_add(&c, str_c(s->queue));
    call_add(&c, consumer);
    call_add_int(&c, died);
    for (size_t i = 0; i < n; i++) {
        call_add_id(&c, ids[i]);
    }
    call_send_lost(&c, b, n, cb, arg);
}

void queue_suspect(const struct broker *b, const struct shard *s, struct str consumer, struct str why,
                   const struct stream_id *ids, size_t n, queue_lost_cb *cb, void *arg) {
    struct call c;
    call_function(&c, FN_SUSPECT, s);
    call_add(&c, consumer);
    call_add(&c, why);
    for (size_t i = 0; i < n; i++) {
        call_add_id(&c, ids[i]);
    }
    call_send_lost(&c, b, n, cb, arg);
}

void queue_clear(const struct broker *b, const struct shard *s, const struct uuid *jobs, size_t n, queue_count_cb *cb,
                 void *arg) {
    struct call c;
    call_begin(&c, STR("HDEL"));
    call_add(&c, s->key[KEY_CRASHES]);
    for (size_t i = 0; i < n; i++) {
        call_add_uuid(&c, &jobs[i]);
    }
    call_send_count(&c, b, n, cb, arg);
}

struct pending_call {
    queue_pending_cb *cb;
    void *arg;
    struct queue_pending pending[LIMIT_BATCH];
    size_t n;
};

/* Rows of id, consumer, idle ms, deliveries. */
static bool read_pending(const struct reply *r, struct pending_call *call) {
    if (r == NULL || r->type != REPLY_ARRAY || r->elements > LIMIT_BATCH) {
        return false;
    }
    for (; call->n < r->elements; call->n++) {
        const struct reply *row = r->element[call->n];
        struct queue_pending *p = &call->pending[call->n];
        if (!reply_read_id(reply_at(row, 0), &p->id) || !reply_read_int(reply_at(row, 3), &p->deliveries)) {
            return false;
        }
    }
    return true;
}

static void on_pending(void *context, struct err err, const struct reply *r) {
    struct pending_call *call = context;
    if (!err_is_set(err) && !read_pending(r, call)) {
        err = reply_unexpected("XPENDING");
    }
    call->cb(call->arg, err, call->pending, err_is_set(err) ? 0 : call->n);
    free(call);
}

void queue_pending(const struct broker *b, const struct shard *s, struct str consumer, struct stream_id after,
                   queue_pending_cb *cb, void *arg) {
    struct err why;
    struct pending_call *call = call_context(1, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, NULL, 0);
        return;
    }
    call->cb = cb;
    call->arg = arg;
    char from[1 + STREAM_ID_BYTES] = "("; /* not including it */
    struct str id = stream_id_text(after, from + 1);
    memmove(from + 1, id.p, id.n);
    struct call c;
    call_begin(&c, STR("XPENDING"));
    call_add(&c, s->key[KEY_STREAM]);
    call_add(&c, STR(GROUP));
    call_add(&c, str_of(from, 1 + id.n));
    call_add(&c, STR("+"));
    call_add_int(&c, LIMIT_BATCH);
    call_add(&c, consumer);
    call_send(&c, b, 0, on_pending, call);
}

struct cancels_call {
    queue_cancels_cb *cb;
    void *arg;
    size_t n;
    bool wanted[LIMIT_BATCH];
};

/* An empty list: none. */
static bool read_cancels(const struct reply *r, size_t n, bool *out) {
    if (r == NULL || r->type != REPLY_ARRAY || (r->elements != 0 && r->elements != n)) {
        return false;
    }
    for (size_t i = 0; i < r->elements; i++) {
        int64_t wanted;
        if (!reply_read_int(r->element[i], &wanted)) {
            return false;
        }
        out[i] = wanted != 0;
    }
    return true;
}

static void on_cancels(void *context, struct err err, const struct reply *r) {
    struct cancels_call *call = context;
    if (!err_is_set(err) && !read_cancels(r, call->n, call->wanted)) {
        err = reply_unexpected("pen_cancels");
    }
    call->cb(call->arg, err, call->wanted, err_is_set(err) ? 0 : call->n);
    free(call);
}

void queue_cancels(const struct broker *b, const struct shard *s, const struct uuid *jobs, size_t n, queue_cancels_cb *cb,
                   void *arg) {
    struct err why;
    struct cancels_call *call = call_context(n, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, NULL, 0);
        return;
    }
    call->cb = cb;
    call->arg = arg;
    call->n = n;
    struct call c;
    call_function(&c, FN_CANCELS, s);
    for (size_t i = 0; i < n; i++) {
        call_add_uuid(&c, &jobs[i]);
    }
    call_send(&c, b, 0, on_cancels, call);
}
