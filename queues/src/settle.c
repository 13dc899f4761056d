#include <queues/settle.h>

#include "call.h"

#include <stdlib.h>

struct settle_call {
    queue_done_cb *cb;
    void *arg;
};

static void on_settle(void *context, struct err err, const struct reply *r) {
    struct settle_call *call = context;
    int64_t done;
    if (!err_is_set(err) && !reply_read_int(r, &done)) {
        err = reply_unexpected("pen_settle");
    }
    call->cb(call->arg, err);
    free(call);
}

/* How many ended how, and how many may stand among the running; then the ids in that order, the jobs, the outcomes. */
static void add_settled(struct call *c, const struct queue_settled *entries, size_t n) {
    int64_t by_how[SETTLE_HOW_MAX] = {0}, running = 0;
    for (size_t i = 0; i < n; i++) {
        by_how[entries[i].how]++;
        running += entries[i].in_running;
    }
    for (int how = 0; how < SETTLE_HOW_MAX; how++) {
        call_add_int(c, by_how[how]);
    }
    call_add_int(c, running);
    for (int how = 0; how < SETTLE_HOW_MAX; how++) {
        for (size_t i = 0; i < n; i++) {
            if ((int)entries[i].how == how) {
                call_add_id(c, entries[i].id);
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (entries[i].in_running) {
            call_add_uuid(c, &entries[i].job);
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (entries[i].outcome.n > 0) {
            call_add_uuid(c, &entries[i].job);
            call_add(c, entries[i].outcome);
        }
    }
}

void queue_settle(const struct broker *b, const struct shard *s, const struct queue_settled *entries, size_t n, queue_done_cb *cb,
                  void *arg) {
    struct err why;
    struct settle_call *call = call_context(n, sizeof *call, &why);
    if (call == NULL) {
        cb(arg, why);
        return;
    }
    *call = (struct settle_call){cb, arg};
    struct call c;
    call_function(&c, FN_SETTLE, s);
    add_settled(&c, entries, n);
    call_send(&c, b, 0, on_settle, call);
}

void queue_retry(const struct broker *b, const struct shard *s, struct str consumer, const struct queue_retried *entries,
                 size_t n, queue_lost_cb *cb, void *arg) {
    struct call c;
    call_function(&c, FN_RETRY, s);
    call_add(&c, consumer);
    for (size_t i = 0; i < n; i++) {
        call_add_id(&c, entries[i].id);
        call_add_int(&c, entries[i].delay_ms);
        call_add(&c, entries[i].header);
    }
    call_send_lost(&c, b, n, cb, arg);
}

void queue_bury(const struct broker *b, const struct shard *s, struct str consumer, const struct queue_dead *entries, size_t n,
                queue_lost_cb *cb, void *arg) {
    struct call c;
    call_function(&c, FN_DEAD, s);
    call_add(&c, consumer);
    for (size_t i = 0; i < n; i++) {
        call_add_id(&c, entries[i].id);
        call_add(&c, entries[i].reason);
    }
    call_send_lost(&c, b, n, cb, arg);
}

void queue_park(const struct broker *b, const struct shard *s, struct str consumer, const struct stream_id *ids, size_t n,
                queue_lost_cb *cb, void *arg) {
    struct call c;
    call_function(&c, FN_PARK, s);
    call_add(&c, consumer);
    for (size_t i = 0; i < n; i++) {
        call_add_id(&c, ids[i]);
    }
    call_send_lost(&c, b, n, cb, arg);
}
