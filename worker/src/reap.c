/* A dead child's pending entries are enumerated in Redis, under its consumer's name, shard by shard and batch by batch. What it had
 * started when it crashed goes to quarantine, any of it may be why; the rest goes back. Nothing is moved while its process lives, so
 * nothing runs twice by this. When Redis is away it goes on where it was. */
#include "supervisor.h"

#include <base/fault.h>
#include <base/log.h>
#include <base/metrics.h>

static void reap_shard(struct child *c);

static bool was_started(const struct child *c, struct stream_id id) {
    for (size_t i = 0; i < SLOT_TABLE_ENTRIES; i++) {
        const struct slot_entry *e = &c->table->entries[i];
        if (stream_id_eq(e->id, id) && e->shard == c->shard) {
            return e->started != 0;
        }
    }
    return false; /* handed to a reader that never read it */
}

static void finished(struct child *c) {
    LOG(INFO, "worker.reaped", LF_C("queue", c->queue->name), LF_C("consumer", c->table->consumer), LF_C("crash", c->crash),
        LF_INT("handed_back", c->handed_back), LF_INT("suspects", c->suspects));
    struct supervisor *s = c->supervisor;
    child_bury(c);
    if (s->leaving && TAILQ_EMPTY(&s->alive) && TAILQ_EMPTY(&s->dead)) {
        loop_stop(s->rt->loop);
    }
}

static void on_moved(void *arg, struct err err, const struct stream_id *lost, size_t n) {
    struct child *c = arg;
    (void)lost;
    (void)n;
    c->reap_failed |= err_is_set(err);
    if (--c->reaping > 0) {
        return;
    }
    if (c->reap_failed) {
        c->cursor = (struct stream_id){0, 0}; /* from the start: what was moved is no longer among the pending */
    } else {
        FAILPOINT(HANDBACK_AFTER);
        reap_shard(c);
    }
}

/* In quarantine nothing goes back to where it would run beside others. */
static void move(struct child *c, const struct stream_id *back, size_t back_n, const struct stream_id *suspects,
                 size_t suspects_n) {
    const struct broker *b = &c->supervisor->rt->redis;
    const struct shard *shard = c->queue->shards[c->shard];
    struct str consumer = str_c(c->table->consumer);
    FAILPOINT(HANDBACK_BEFORE);
    c->reap_failed = false;
    c->reaping = (back_n > 0) + (suspects_n > 0);
    c->handed_back += back_n;
    c->suspects += suspects_n;
    if (suspects_n > 0) {
        series_add(metric_series(M_QUARANTINED, c->queue->name, NULL, NULL), (double)suspects_n);
        queue_suspect(b, shard, consumer, str_c(c->crash), suspects, suspects_n, on_moved, c);
    }
    if (back_n > 0 && c->quarantine) {
        queue_suspect(b, shard, consumer, STR(""), back, back_n, on_moved, c);
    } else if (back_n > 0) {
        queue_hand_back(b, shard, consumer, back, back_n, on_moved, c);
    }
}

static void on_pending(void *arg, struct err err, const struct stream_id *ids, size_t n) {
    struct child *c = arg;
    struct stream_id back[LIMIT_BATCH], suspects[LIMIT_BATCH];
    size_t back_n = 0, suspects_n = 0;
    c->reaping = 0;
    if (err_is_set(err)) {
        return; /* the poll comes again */
    }
    for (size_t i = 0; i < n; i++) {
        if (c->crash[0] != '\0' && was_started(c, ids[i])) {
            suspects[suspects_n++] = ids[i];
        } else {
            back[back_n++] = ids[i];
        }
        c->cursor = ids[i];
    }
    if (n == 0) {
        c->shard++;
        c->cursor = (struct stream_id){0, 0};
        reap_shard(c);
    } else {
        move(c, back, back_n, suspects, suspects_n);
    }
}

static void reap_shard(struct child *c) {
    if (c->table->consumer[0] == '\0' || c->shard >= c->queue->shards_n) {
        finished(c);
        return;
    }
    c->reaping = 1;
    queue_pending(&c->supervisor->rt->redis, c->queue->shards[c->shard], str_c(c->table->consumer), c->cursor, on_pending, c);
}

void reap(struct supervisor *s) {
    struct child *c, *next;
    for (c = TAILQ_FIRST(&s->dead); c != NULL; c = next) {
        next = TAILQ_NEXT(c, link);
        if (c->reaping == 0) {
            reap_shard(c);
        }
    }
}
