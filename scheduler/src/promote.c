/* Delayed jobs: a timer to the next due time, moved forward when a new head is announced, and a look once a second in case the
 * announcement was lost. When many are due at once they are moved at a steady rate, so that Redis has time for everybody else. */
#include "scheduler.h"

#include <base/fault.h>
#include <base/log.h>

enum { PROMOTE_BATCH = 50, PROMOTE_EVERY_MS = 10 }; /* a shard's cap: 5,000 a second */

static void on_promoted(void *arg, struct err err, int64_t moved, struct wall next_due, struct wall redis_now) {
    struct shard_watch *w = arg;
    w->promoting = false;
    if (err_is_set(err)) {
        return; /* the look of the next second arms it again */
    }
    if (moved > 0) {
        FAILPOINT(PROMOTE_AFTER);
    }
    if (moved == PROMOTE_BATCH) {
        promote_arm(w, PROMOTE_EVERY_MS);
    } else if (next_due.ms != 0) {
        promote_arm(w, next_due.ms - redis_now.ms);
    }
}

void promote_now(struct shard_watch *w) {
    w->promote_at_us = 0;
    if (!w->promoting) {
        w->promoting = true;
        queue_promote(&w->scheduler->rt->redis, w->shard, PROMOTE_BATCH, on_promoted, w);
    }
}

void promote_arm(struct shard_watch *w, int64_t in_ms) {
    int64_t at = loop_now(w->scheduler->rt->loop).us + (in_ms > 0 ? in_ms : 0) * 1000;
    if (w->promote_at_us != 0 && w->promote_at_us <= at) {
        return;
    }
    w->promote_at_us = at;
    timer_start(w->promote_timer, in_ms > 0 ? in_ms : 0);
}
