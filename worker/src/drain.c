/* Leaving: no more claims, what waits is handed back, what runs may end until the deadline and is handed back then. Nothing is charged. */
#include "process.h"

#include <base/log.h>

enum { LAST_WORDS_MS = 1000 };

static void leave(struct process *p) {
    p->done = true;
    loop_stop(p->rt->loop);
}

static void on_last_words(void *arg) { leave(arg); }

void drain_check(struct process *p) {
    bool empty = p->running_n == 0 && p->waiting_n == 0 && p->outgoing_n == 0 && p->finishing_n == 0 && !p->outbox_running;
    if (p->draining && empty && !p->done && !p->leaving) {
        p->leaving = true;
        runtime_last_words(p->rt, on_last_words, p);
    }
}

static void on_handed_back(void *arg, struct err err, const struct stream_id *lost, size_t n) {
    (void)arg;
    (void)err; /* what did not go back comes back by its lease */
    (void)lost;
    (void)n;
}

static void hand_back_running(struct process *p, const struct shard *shard) {
    struct stream_id ids[LIMIT_BATCH];
    size_t n = 0;
    struct held *h;
    TAILQ_FOREACH(h, &p->running, link) {
        if (h->shard == shard) {
            ids[n++] = h->id;
        }
        if (n == LIMIT_BATCH || (n > 0 && TAILQ_NEXT(h, link) == NULL)) {
            lease_hand_back(p, shard, ids, n, on_handed_back, NULL);
            n = 0;
        }
    }
}

static void on_deadline(void *arg) {
    struct process *p = arg;
    if (p->last_words || p->running_n == 0) {
        leave(p);
        return;
    }
    LOG(WARN, "drain.deadline", LF_C("queue", p->queue->name), LF_INT("running", p->running_n));
    p->last_words = true;
    for (unsigned s = 0; s < p->queue->shards_n; s++) {
        hand_back_running(p, p->queue->shards[s]);
    }
    timer_start(p->drain_timer, LAST_WORDS_MS);
}

void drain_end(struct process *p) { leave(p); }

void drain_begin(struct process *p) {
    if (p->draining) {
        return; /* a terminal's or a service manager's signal and the supervisor's: one request */
    }
    p->draining = true;
    LOG(INFO, "drain.begin", LF_C("queue", p->queue->name), LF_INT("running", p->running_n), LF_INT("waiting", p->waiting_n));
    claim_cancel_read(p);
    lease_hand_back_waiting(p);
    if (err_is_set(timer_new(p->rt->loop, on_deadline, p, &p->drain_timer))) {
        leave(p);
        return;
    }
    timer_start(p->drain_timer, p->rt->conf->worker_drain_ms);
    drain_check(p);
}
