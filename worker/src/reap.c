/* A dead child's pending entries are enumerated in Redis, under its consumer's name, shard by shard and batch by batch. Nothing is
 * handed back while its process lives, so nothing runs twice by this. When Redis is away it goes on where it was. */
#include "supervisor.h"

#include <base/fault.h>
#include <base/log.h>

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
    LOG(INFO, "worker.reaped", LF_C("queue", c->queue->name), LF_C("consumer", c->table->consumer),
        LF_INT("handed_back", c->handed_back), LF_INT("left_to_lease", c->left));
    struct supervisor *s = c->supervisor;
    child_bury(c);
    if (s->leaving && TAILQ_EMPTY(&s->alive) && TAILQ_EMPTY(&s->dead)) {
        loop_stop(s->rt->loop);
    }
}

static void on_handed_back(void *arg, struct err err, const struct stream_id *lost, size_t n) {
    struct child *c = arg;
    (void)lost;
    (void)n;
    c->reaping = false;
    if (err_is_set(err)) {
        c->cursor = (struct stream_id){0, 0}; /* from the start: what went back is no longer among the pending */
    } else {
        FAILPOINT(HANDBACK_AFTER);
        reap_shard(c);
    }
}

static void on_pending(void *arg, struct err err, const struct stream_id *ids, size_t n) {
    struct child *c = arg;
    struct stream_id back[LIMIT_BATCH];
    size_t back_n = 0;
    c->reaping = false;
    if (err_is_set(err)) {
        return; /* the poll comes again */
    }
    for (size_t i = 0; i < n; i++) {
        if (was_started(c, ids[i])) {
            c->left++;
        } else {
            back[back_n++] = ids[i];
        }
        c->cursor = ids[i];
    }
    if (n == 0) {
        c->shard++;
        c->cursor = (struct stream_id){0, 0};
        reap_shard(c);
    } else if (back_n == 0) {
        reap_shard(c);
    } else {
        FAILPOINT(HANDBACK_BEFORE);
        c->reaping = true;
        c->handed_back += back_n;
        queue_hand_back(&c->supervisor->rt->redis, c->queue->shards[c->shard], str_c(c->table->consumer), back, back_n,
                        on_handed_back, c);
    }
}

static void reap_shard(struct child *c) {
    if (c->table->consumer[0] == '\0' || c->shard >= c->queue->shards_n) {
        finished(c);
        return;
    }
    c->reaping = true;
    queue_pending(&c->supervisor->rt->redis, c->queue->shards[c->shard], str_c(c->table->consumer), c->cursor, on_pending, c);
}

void reap(struct supervisor *s) {
    struct child *c, *next;
    for (c = TAILQ_FIRST(&s->dead); c != NULL; c = next) {
        next = TAILQ_NEXT(c, link);
        if (!c->reaping) {
            reap_shard(c);
        }
    }
}
