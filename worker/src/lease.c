/* Keeping what is held: one renewal call per shard and batch, every third of the lease, for everything — running, waiting, on its way
 * out — while the loop beats. A running job is renewed only within its own timeout and the grace after it, at whose end run_watch gives
 * its handler up: one that never ends must not hold its entry for ever. */
#include "process.h"

#include <base/fault.h>
#include <base/log.h>
#include <stdlib.h>

enum { LISTED_AFTER_MS = 1000 };

struct renewal {
    struct process *process;
    size_t n;
    struct held *held[LIMIT_BATCH];
    struct stream_id ids[LIMIT_BATCH]; /* an entry may have been released and used anew meanwhile */
};

static struct held *find(const struct renewal *r, struct stream_id id) {
    for (size_t i = 0; i < r->n; i++) {
        if (stream_id_eq(r->ids[i], id)) {
            return r->held[i]->state != HELD_FREE && stream_id_eq(r->held[i]->id, id) ? r->held[i] : NULL;
        }
    }
    return NULL;
}

static void lose(struct held *h) {
    h->lost = true;
    LOG(WARN, "lease.lost", LF_UUID("job", &h->attempt.job.id), LF_C("queue", h->process->queue->name));
    /* A running handler goes on: its effect is gated, and its end finds out. */
}

static void on_renewed(void *arg, struct err err, const struct stream_id *lost, size_t lost_n, const struct stream_id *cancel,
                       size_t cancel_n) {
    struct renewal *r = arg;
    for (size_t i = 0; !err_is_set(err) && i < lost_n; i++) {
        struct held *h = find(r, lost[i]);
        if (h != NULL) {
            lose(h);
        }
    }
    for (size_t i = 0; !err_is_set(err) && i < cancel_n; i++) {
        struct held *h = find(r, cancel[i]);
        if (h != NULL) {
            h->attempt.cancel_requested = true;
        }
    }
    struct process *p = r->process;
    free(r);
    run_watch(p);
}

static bool wants_renewal(const struct held *h, struct mono now) {
    if (h->state == HELD_FREE || h->lost) {
        return false;
    }
    return h->state != HELD_RUNNING || !run_is_overdue(h, now);
}

static void send(struct process *p, struct renewal *r, struct queue_held *held) {
    FAILPOINT(RENEW_BEFORE);
    queue_renew(&p->rt->redis, r->held[0]->shard, str_c(p->consumer), held, r->n, on_renewed, r);
}

static void renew_shard(struct process *p, const struct shard *shard) {
    struct mono now = loop_now(p->rt->loop);
    struct queue_held held[LIMIT_BATCH];
    struct renewal *r = NULL;
    for (size_t i = 0; i < HELD_MAX && p->held[i].process != NULL; i++) {
        struct held *h = &p->held[i];
        if (h->shard != shard || !wants_renewal(h, now)) {
            continue;
        }
        if (r == NULL) {
            r = malloc(sizeof *r);
            if (r == NULL) {
                return; /* the next renewal comes before the lease ends */
            }
            *r = (struct renewal){.process = p};
        }
        bool is_long = h->state == HELD_RUNNING && process_ms(p, h->started) >= LISTED_AFTER_MS;
        h->listed |= is_long;
        r->held[r->n] = h;
        r->ids[r->n] = h->id;
        held[r->n++] = (struct queue_held){.id = h->id, .job = h->attempt.job.id, .started = {is_long ? h->started_at.ms : 0}};
        if (r->n == LIMIT_BATCH) {
            send(p, r, held);
            r = NULL;
        }
    }
    if (r != NULL) {
        send(p, r, held);
    }
}

void lease_renew(struct process *p) {
    if (FAULT_SWITCH(NO_RENEWAL)) {
        return;
    }
    for (unsigned i = 0; i < p->queue->shards_n; i++) {
        renew_shard(p, p->queue->shards[i]);
    }
}

void lease_hand_back(struct process *p, const struct shard *shard, const struct stream_id *ids, size_t n, queue_lost_cb *cb,
                     void *arg) {
    if (p->lone) {
        queue_suspect(&p->rt->redis, shard, str_c(p->consumer), STR(""), ids, n, cb, arg);
    } else {
        queue_hand_back(&p->rt->redis, shard, str_c(p->consumer), false, ids, n, cb, arg);
    }
}

void lease_hand_back_waiting(struct process *p) {
    while (!TAILQ_EMPTY(&p->waiting)) {
        struct held *h = TAILQ_FIRST(&p->waiting);
        TAILQ_REMOVE(&p->waiting, h, link);
        p->waiting_n--;
        h->state = HELD_ENDING;
        h->next = NEXT_HAND_BACK;
        settle_add(h);
    }
}
