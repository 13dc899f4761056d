/* A look at each shard, once a second: one O(1) call that serves promotion, epochs and the dead. */
#include "scheduler.h"

#include <base/log.h>
#include <stdlib.h>

static void on_depth(void *arg, struct err err, const struct queue_depth *depth) {
    struct shard_watch *w = arg;
    w->looking = false;
    if (err.code == ERR_REDIS_NOFUNC || err.code == ERR_REDIS_NOGROUP) {
        epoch_repair(w, err.code);
        return;
    }
    if (err_is_set(err)) {
        return; /* Redis is away: heartbeat.c has said so */
    }
    w->depth = *depth;
    w->looked = loop_now(w->scheduler->rt->loop);
    w->entered = 0;
    if (depth->next_due.ms != 0) {
        promote_arm(w, depth->next_due.ms - loop_wall(w->scheduler->rt->loop).ms);
    }
    epoch_check(w);
    dead_check(w);
}

void watch_look(struct shard_watch *w) {
    if (!w->looking) {
        w->looking = true;
        queue_depth(&w->scheduler->rt->redis, w->shard, on_depth, w);
    }
}

static void on_promote_timer(void *arg) { promote_now(arg); }

static struct err watch_new(struct scheduler *s, const struct queue_info *q, const struct shard *shard) {
    struct shard_watch *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return err_make(ERR_NOMEM, "shard watch");
    }
    w->scheduler = s;
    w->queue = q;
    w->shard = shard;
    struct err e = timer_new(s->rt->loop, on_promote_timer, w, &w->promote_timer);
    if (err_is_set(e)) {
        free(w);
        return e;
    }
    s->watches[s->watches_n++] = w;
    return OK;
}

void watch_sync(struct scheduler *s) {
    size_t at = 0;
    for (size_t i = 0; i < queue_table_count(s->rt->queues); i++) {
        const struct queue_info *q = queue_table_at(s->rt->queues, i);
        for (unsigned k = 0; k < q->shards_n; k++, at++) {
            /* Queues are only ever appended, and shards are fixed: the first watches are those of before. */
            if (at == s->watches_n && err_is_set(watch_new(s, q, q->shards[k]))) {
                return; /* the next second tries again */
            }
        }
    }
}

void watch_free(struct shard_watch *w) {
    timer_free(w->promote_timer);
    presence_clear(&w->presence);
    free(w);
}
