#include <queues/enqueue.h>

#include "call.h"

#include <stdlib.h>

struct add_call {
    queue_add_cb *cb;
    void *arg;
};

static void on_add(void *context, struct err err, const struct reply *r) {
    struct add_call *call = context;
    int64_t epoch = 0;
    struct str nonce;
    if (!err_is_set(err) && (!reply_read_str(r, &nonce) || (nonce.n > 0 && !str_to_i64(nonce, &epoch)))) {
        err = reply_unexpected("pen_add");
    }
    call->cb(call->arg, err, epoch);
    free(call);
}

static void add_home(struct call *c, const struct queue_item *item) {
    call_add_int(c, item->due.ms);
    call_add(c, item->header);
    call_add(c, item->payload);
}

void queue_add(const struct broker *b, const struct shard *s, const struct queue_item *items, size_t n, queue_add_cb *cb,
               void *arg) {
    struct err why;
    struct add_call *call = call_context(n, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, 0);
        return;
    }
    *call = (struct add_call){cb, arg};
    struct call c;
    call_function(&c, FN_ADD, s);
    for (size_t i = 0; i < n; i++) {
        add_home(&c, &items[i]);
    }
    call_send(&c, b, 0, on_add, call);
}

struct enter_call {
    queue_enter_cb *cb;
    void *arg;
    size_t n;
};

static bool read_verdict(const struct reply *verdict, const struct reply *id, struct queue_entered *out) {
    int64_t v;
    struct queue_entered entered = {.verdict = QUEUE_FULL};
    if (!reply_read_int(verdict, &v) || v < QUEUE_FULL || v > QUEUE_MISMATCH) {
        return false;
    }
    if (v != QUEUE_FULL && !reply_read_uuid(id, &entered.id)) {
        return false;
    }
    entered.verdict = (enum queue_verdict)v;
    *out = entered;
    return true;
}

static bool read_verdicts(const struct reply *r, size_t n, struct queue_entered *out) {
    if (reply_len(r) != 2 * n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!read_verdict(r->element[2 * i], r->element[2 * i + 1], &out[i])) {
            return false;
        }
    }
    return true;
}

static void on_enter(void *context, struct err err, const struct reply *r) {
    struct enter_call *call = context;
    struct queue_entered verdicts[LIMIT_BATCH];
    if (!err_is_set(err) && !read_verdicts(r, call->n, verdicts)) {
        err = reply_unexpected("pen_enqueue");
    }
    bool good = !err_is_set(err);
    call->cb(call->arg, err, good ? verdicts : NULL, good ? call->n : 0);
    free(call);
}

void queue_enter(const struct broker *b, const struct shard *s, int64_t depth_limit, const struct queue_item *items, size_t n,
                 queue_enter_cb *cb, void *arg) {
    struct err why;
    struct enter_call *call = call_context(n, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why, NULL, 0);
        return;
    }
    *call = (struct enter_call){cb, arg, n};
    struct call c;
    call_function(&c, FN_ENQUEUE, s);
    call_add_int(&c, depth_limit);
    for (size_t i = 0; i < n; i++) {
        call_add(&c, items[i].key_hash);
        call_add(&c, items[i].body_hash);
        add_home(&c, &items[i]);
    }
    call_send(&c, b, 0, on_enter, call);
}
