/* The quarantine process: one suspect at a time, taken from quarantine, run alone, and no suspect any more when that came to an end. */
#include "process.h"

#include <base/log.h>
#include <base/metrics.h>
#include <stdlib.h>

enum { IDLE_BEATS = 3 };

static bool holds_nothing(const struct process *p) {
    return p->running_n == 0 && p->waiting_n == 0 && p->outgoing_n == 0 && p->finishing_n == 0 && !p->outbox_running;
}

static void on_lone(void *arg, struct err err, const struct claimed *entry, int64_t crashes, struct str why) {
    struct process *p = arg;
    p->lone_asked = false;
    if (err_is_set(err)) {
        p->lone_left = 0; /* the next beat; the entry comes again, if it was given to us */
        return;
    }
    if (entry == NULL) {
        p->lone_left--;
        p->lone_shard = (p->lone_shard + 1) % p->queue->shards_n;
        process_wake(p);
        return;
    }
    p->lone_idle = 0;
    p->lone_left = p->queue->shards_n; /* where there was one there may be more */
    claim_take_lone(p, entry, crashes, why);
    process_wake(p);
}

void lone_more(struct process *p) {
    if (p->lone_asked || p->lone_left == 0 || !holds_nothing(p) || claim_room(p) == 0 || p->draining || p->quiet ||
        p->queue->paused || !redis_is_up(p->rt->redis_connection)) {
        return;
    }
    p->lone_asked = true;
    queue_lone(&p->rt->redis, p->queue->shards[p->lone_shard], str_c(p->consumer), on_lone, p);
}

void lone_beat(struct process *p) {
    p->lone_left = p->queue->shards_n;
    if (holds_nothing(p) && p->lone_idle++ == IDLE_BEATS) {
        drain_begin(p);
    }
    process_wake(p);
}

static void ignore(void *arg, struct err err, int64_t count) {
    (void)arg;
    (void)err; /* its settling fails likewise, and this is sent again with it */
    (void)count;
}

/* What survives its verdict keeps its count, and comes again to a process like any other. */
static bool may_have_a_count(const struct process *p, const struct held *h) {
    bool survives = h->attempt.type != NULL && h->attempt.type->no_cancel;
    bool verdict_failed = h->crashes >= LONE_CRASHES && h->next == NEXT_RETRY;
    return (p->lone || survives) && !verdict_failed;
}

void lone_clear(struct process *p, const struct shard *shard, struct held *const *held, size_t n) {
    struct uuid jobs[LIMIT_BATCH];
    size_t jobs_n = 0;
    for (size_t i = 0; i < n; i++) {
        if (may_have_a_count(p, held[i])) {
            jobs[jobs_n++] = held[i]->attempt.job.id;
        }
    }
    if (jobs_n > 0) {
        queue_clear(&p->rt->redis, shard, jobs, jobs_n, ignore, NULL);
    }
}
