/* A dead child's pending entries are enumerated in Redis, under its consumer's name, shard by shard and batch by batch. Nothing is moved
 * while its process lives, so nothing runs twice by this. When Redis is away it goes on where it was. */
#include "supervisor.h"

#include <base/fault.h>
#include <base/log.h>
#include <base/metrics.h>

/* How many crashes an entry may have been in, this one included, before it is to run alone. Beside the one on whose behalf the
 * process ran it is no suspect; but somebody may have spoiled that one's memory, and an end there must be. */
enum { CRASHES_MOST = 1, CRASHES_MOST_BESIDE = 8 };

static void reap_shard(struct child *c);

static const struct slot_entry *entry_of(const struct child *c, struct stream_id id) {
    for (size_t i = 0; i < SLOT_TABLE_ENTRIES; i++) {
        const struct slot_entry *e = &c->table->entries[i];
        if (stream_id_eq(e->id, id) && e->shard == c->shard) {
            return e;
        }
    }
    return NULL; /* handed to a reader that never read it */
}

enum fate reap_fate(const struct child *c, const struct queue_pending *p) {
    const struct slot_entry *e = entry_of(c, p->id);
    bool one_is_known = c->table->owner != 0 && !c->killed;
    bool is_it = one_is_known && e != NULL && e == c->table->entries + c->table->owner - 1;
    if (c->crash[0] == '\0' || e == NULL || (!e->started && !is_it) || (c->quarantine && c->killed)) {
        return FATE_BACK;
    }
    if (c->quarantine || is_it) {
        return FATE_ALONE;
    }
    return p->deliveries > (one_is_known ? CRASHES_MOST_BESIDE : CRASHES_MOST) ? FATE_ALONE : FATE_AGAIN;
}

static void finished(struct child *c) {
    LOG(INFO, "worker.reaped", LF_C("queue", c->queue->name), LF_C("consumer", c->table->consumer), LF_C("crash", c->crash),
        LF_INT("back", c->moved[FATE_BACK]), LF_INT("again", c->moved[FATE_AGAIN]), LF_INT("alone", c->moved[FATE_ALONE]));
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

struct fated {
    struct stream_id ids[LIMIT_BATCH];
    size_t n;
};

/* In quarantine nothing goes back to where it would run beside others. */
static void move(struct child *c, enum fate fate, const struct fated *f) {
    const struct broker *b = &c->supervisor->rt->redis;
    const struct shard *shard = c->queue->shards[c->shard];
    struct str consumer = str_c(c->table->consumer);
    c->moved[fate] += f->n;
    if (fate == FATE_ALONE) {
        series_add(metric_series(M_QUARANTINED, c->queue->name, NULL, NULL), (double)f->n);
        queue_suspect(b, shard, consumer, str_c(c->crash), f->ids, f->n, on_moved, c);
    } else if (c->quarantine) {
        queue_suspect(b, shard, consumer, STR(""), f->ids, f->n, on_moved, c);
    } else {
        queue_hand_back(b, shard, consumer, fate == FATE_AGAIN, f->ids, f->n, on_moved, c);
    }
}

static void move_all(struct child *c, const struct fated fated[FATE_MAX]) {
    FAILPOINT(HANDBACK_BEFORE);
    c->reap_failed = false;
    c->reaping = (fated[FATE_BACK].n > 0) + (fated[FATE_AGAIN].n > 0) + (fated[FATE_ALONE].n > 0);
    for (int fate = 0; fate < FATE_MAX; fate++) {
        if (fated[fate].n > 0) {
            move(c, (enum fate)fate, &fated[fate]);
        }
    }
}

static void on_pending(void *arg, struct err err, const struct queue_pending *pending, size_t n) {
    struct child *c = arg;
    struct fated fated[FATE_MAX] = {0};
    c->reaping = 0;
    if (err_is_set(err)) {
        return; /* the poll comes again */
    }
    for (size_t i = 0; i < n; i++) {
        struct fated *f = &fated[reap_fate(c, &pending[i])];
        f->ids[f->n++] = pending[i].id;
        c->cursor = pending[i].id;
    }
    if (n == 0) {
        c->shard++;
        c->cursor = (struct stream_id){0, 0};
        reap_shard(c);
    } else {
        move_all(c, fated);
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
