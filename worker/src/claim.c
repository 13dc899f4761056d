/* Bringing entries in: the blocking read, the sweep of stale and handed-back entries, and what each entry turns out to be. */
#include "failure.h"
#include "process.h"
#include "record.h"

#include <base/fault.h>
#include <base/log.h>
#include <base/metrics.h>
#include <queues/upkeep.h>
#include <stdlib.h>

enum { UNKNOWN_TYPE_GRACE_MS = 10000, UNKNOWN_TYPE_AGAIN_MS = 1000 };

static size_t look_ahead(const struct process *p) {
    size_t slots = process_slots(p);
    if (p->lone || p->service_ms > SLOW_JOB_MS) {
        return 0; /* a slow job must not wait behind a slow job while another worker is free */
    }
    return slots < LOOK_AHEAD_MAX ? slots : LOOK_AHEAD_MAX;
}

_Static_assert(HELD_MAX / 2 + LOOK_AHEAD_MAX + SETTLING_ROOM <= HELD_MAX, "there is an entry for whatever is brought in");

size_t claim_room(const struct process *p) {
    size_t held = p->running_n + p->waiting_n + p->asked_n;
    size_t wanted = process_slots(p) + look_ahead(p);
    size_t in_use = held + p->outgoing_n + p->finishing_n;
    size_t most = wanted + SETTLING_ROOM;
    if (held >= wanted || in_use >= most) {
        return 0;
    }
    size_t n = wanted - held < most - in_use ? wanted - held : most - in_use;
    return n < LIMIT_BATCH ? n : LIMIT_BATCH;
}

static void bury_undecodable(struct held *h, struct err err) {
    struct str errors = failure_add(&h->arena, STR_NONE, err, loop_wall(h->process->rt->loop).ms, NULL);
    h->state = HELD_ENDING;
    h->next = NEXT_BURY;
    h->kind = kinds_find(h->process->kinds, STR(""));
    h->reason = arena_printf(
        &h->arena, "{\"attempts\":0,\"release\":\"" PENSTOCK_VERSION "\",\"fingerprint\":\"undecodable\",\"errors\":%.*s}",
        STR_ARG(errors));
    LOG(ERROR, "job.undecodable", LF_C("queue", h->process->queue->name), LF_ERR(err));
    settle_add(h);
}

/* Its type may have been declared just now: whoever was told so takes the place of those who were not, or will be told in a moment. */
static void meet_unknown(struct held *h, struct wall now) {
    const struct envelope *job = &h->attempt.job;
    if (now.ms - id_ms(job->id) >= UNKNOWN_TYPE_GRACE_MS) {
        finish_bury(h, err_make(ERR_UNKNOWN_TYPE, "no worker of this version knows type %.*s", STR_ARG(job->type)));
        return;
    }
    h->state = HELD_ENDING;
    h->next = NEXT_RETRY;
    h->delay_ms = UNKNOWN_TYPE_AGAIN_MS;
    settle_add(h);
}

/* Made by a later version than ours: for a worker that knows it. */
static void park(struct held *h) {
    kind_parked(h->kind);
    h->state = HELD_ENDING;
    h->next = NEXT_PARK;
    settle_add(h);
}

/* Decides what a claimed entry is. True: it may run. */
static bool admit(struct held *h, struct wall now) {
    if (envelope_is_newer(h->header, &h->attempt.job)) {
        h->kind = kinds_find(h->process->kinds, h->attempt.job.type);
        park(h);
        return false;
    }
    struct err e = envelope_decode(h->header, &h->attempt.job);
    if (err_is_set(e)) {
        bury_undecodable(h, e);
        return false;
    }
    const struct envelope *job = &h->attempt.job;
    h->kind = kinds_find(h->process->kinds, job->type);
    h->attempt.type = h->kind->type;
    if (h->attempt.type == NULL) {
        meet_unknown(h, now);
        return false;
    }
    if (job->schema_version > h->attempt.type->version) { /* an older one runs if its payload fits the schema of now (run.c) */
        park(h);
        return false;
    }
    h->attempt.env = h->kind->env;
    if (h->crashes >= LONE_CRASHES) {
        finish_crashed(h);
        return false;
    }
    return true;
}

/* Entries of the stream class whose cancel requests are being looked up. When Redis does not say, they run: a request is a wish, and the
 * renewal asks again. */
struct checking {
    struct process *process;
    size_t n;
    struct held *held[LIMIT_BATCH];
};

static void on_cancels(void *arg, struct err err, const bool *wanted, size_t n) {
    struct checking *c = arg;
    struct process *p = c->process;
    for (size_t i = 0; i < c->n; i++) {
        struct held *h = c->held[i];
        if (!err_is_set(err) && i < n && wanted[i]) {
            h->attempt.cancel_requested = true;
        }
        TAILQ_INSERT_TAIL(&p->waiting, h, link);
    }
    free(c);
    process_wake(p);
}

/* Of what is unchecked, the first one's shard, up to a batch. False: no memory. */
static bool check_batch(struct process *p) {
    const struct shard *shard = TAILQ_FIRST(&p->unchecked)->shard;
    struct uuid jobs[LIMIT_BATCH];
    struct checking *c = malloc(sizeof *c);
    if (c == NULL) {
        return false;
    }
    *c = (struct checking){.process = p};
    struct held *h;
    while (c->n < LIMIT_BATCH && (h = TAILQ_FIRST(&p->unchecked)) != NULL && h->shard == shard) {
        TAILQ_REMOVE(&p->unchecked, h, link);
        jobs[c->n] = h->attempt.job.id;
        c->held[c->n++] = h;
    }
    queue_cancels(&p->rt->redis, shard, jobs, c->n, on_cancels, c);
    return true;
}

static void check_cancels(struct process *p) {
    while (!TAILQ_EMPTY(&p->unchecked) && check_batch(p)) {
    }
    TAILQ_CONCAT(&p->waiting, &p->unchecked, link);
}

/* A process that stood still for longer than its lease may sweep what it still holds itself: it is ours again, and runs once. */
static bool take_back(struct process *p, const struct claimed *c) {
    for (size_t i = 0; i < p->used_n; i++) {
        struct held *h = &p->held[i];
        if (h->state != HELD_FREE && h->shard == c->shard && stream_id_eq(h->id, c->id)) {
            h->lost = false;
            return true;
        }
    }
    return false;
}

static void line_up(struct held *h) {
    struct process *p = h->process;
    process_enter(p, h);
    bool may_run = admit(h, loop_wall(p->rt->loop));
    process_enter(p, NULL);
    if (!may_run) {
        return;
    }
    h->state = HELD_WAITING;
    p->waiting_n++;
    if (attempt_is_stream(&h->attempt)) {
        TAILQ_INSERT_TAIL(&p->unchecked, h, link);
    } else {
        TAILQ_INSERT_TAIL(&p->waiting, h, link);
    }
}

/* n: no more than was asked for, a batch. */
static void take_new(struct process *p, const struct claimed *entries, size_t n) {
    struct held *taken[LIMIT_BATCH];
    size_t taken_n = 0;
    for (size_t i = 0; i < n; i++) {
        struct held *h = held_take(p, &entries[i]);
        if (h != NULL) { /* else no memory: it stays pending under our name and comes back by its lease */
            line_up(h);
            taken[taken_n++] = h;
        }
    }
    record_receive(p, taken, taken_n, p->asked);
}

/* Somebody held these before us, and may have listed their jobs as running. */
static void take_swept(struct process *p, const struct claimed *entries, size_t n, bool reclaimed, struct mono asked) {
    struct held *taken[LIMIT_BATCH];
    size_t taken_n = 0;
    for (size_t i = 0; i < n; i++) {
        struct held *h = take_back(p, &entries[i]) ? NULL : held_take(p, &entries[i]);
        if (h != NULL) {
            h->listed = true;
            h->reclaimed = reclaimed;
            p->reclaimed_n += reclaimed;
            line_up(h);
            taken[taken_n++] = h;
        }
    }
    record_receive(p, taken, taken_n, asked);
    check_cancels(p);
}

void claim_take_lone(struct process *p, const struct claimed *c, int64_t crashes, struct str why) {
    struct held *h = held_take(p, c);
    if (h != NULL) {
        h->listed = true;
        h->crashes = crashes;
        (void)str_copy_c(str_of(why.p, why.n < sizeof h->crash ? why.n : sizeof h->crash - 1), h->crash, sizeof h->crash);
        line_up(h);
        check_cancels(p);
    }
}

static void reader_answered(struct process *p) {
    if (--p->claiming > 0) {
        return;
    }
    if (p->cancels_any) {
        check_cancels(p);
    } else {
        TAILQ_CONCAT(&p->waiting, &p->unchecked, link);
    }
    if (!p->claim_failed) { /* else by the beat, or when the connection is up: never in a circle */
        process_wake(p);
    }
}

static void on_claimed(void *arg, struct err err, const struct claimed *entries, size_t n) {
    struct process *p = arg;
    p->claim_failed = err_is_set(err);
    if (!p->claim_failed && n > 0) {
        FAILPOINT(CLAIM_AFTER);
        take_new(p, entries, n);
    }
    reader_answered(p);
}

static void on_cancels_any(void *arg, struct err err, int64_t count) {
    struct process *p = arg;
    p->cancels_any = !err_is_set(err) && count > 0;
    reader_answered(p);
}

/* The question about cancel requests travels behind the read: asked when the entries are ours, and answered together with them. */
void claim_more(struct process *p) {
    size_t n = claim_room(p);
    if (p->claiming > 0 || n == 0 || p->draining || p->quiet || p->queue->paused || !redis_is_up(p->reader_connection)) {
        return;
    }
    const struct shard *const *shards = (const struct shard *const *)p->queue->shards;
    size_t per_shard = n > p->queue->shards_n ? n / p->queue->shards_n : 1; /* COUNT is per stream */
    p->claiming = 2;
    p->asked = loop_now(p->rt->loop);
    queue_claim(&p->reader, shards, p->queue->shards_n, str_c(p->consumer), per_shard, p->rt->conf->worker_block_ms, on_claimed,
                p);
    queue_cancels_any(&p->reader, shards, p->queue->shards_n, on_cancels_any, p);
}

void claim_cancel_read(struct process *p) {
    redis_close(p->reader_connection); /* what it may still be handed is given back by the supervisor after our end */
    p->reader_connection = NULL;
}

struct sweeping {
    struct process *process;
    size_t asked;
    struct mono began;
    bool reclaims;
};

static bool may_sweep(const struct process *p) { return claim_room(p) > 0 && !p->draining && !p->quiet && !p->queue->paused; }

static void on_swept(void *arg, struct err err, const struct claimed *entries, size_t n, int64_t orphans) {
    struct sweeping *s = arg;
    struct process *p = s->process;
    bool reclaims = s->reclaims;
    struct mono began = s->began;
    p->asked_n -= s->asked;
    free(s);
    process_wake(p); /* the room that was kept for the sweep is free: whoever found none may read now */
    if (reclaims) {
        p->reclaiming = false;
    }
    if (err_is_set(err)) {
        return; /* the next second's sweep */
    }
    if (orphans > 0) {
        series_add(metric_series(M_ORPHANS, p->queue->name, NULL, NULL), (double)orphans);
    }
    if (n > 0) {
        FAILPOINT(SWEEP_AFTER);
        p->sweep_again |= !reclaims; /* it was not the last of them, perhaps */
        take_swept(p, entries, n, reclaims, began);
    }
    if (reclaims && n == 0 && p->reclaim_left == 0 && p->reclaimed_n == 0) {
        p->reclaim_window = 1; /* that was all: the next silence may have another cause */
    }
    p->reclaim_again |= reclaims && (n > 0 || p->reclaim_left > 0);
}

/* False: not now. */
static bool sweep(struct process *p, const struct shard *shard, size_t count, int64_t lease_ms) {
    struct sweeping *s = may_sweep(p) ? malloc(sizeof *s) : NULL;
    if (s == NULL) {
        return false; /* the next beat */
    }
    *s = (struct sweeping){p, count, loop_now(p->rt->loop), lease_ms > 0};
    p->asked_n += count;
    queue_sweep(&p->rt->redis, shard, str_c(p->consumer), count, lease_ms, on_swept, s);
    return true;
}

/* Each shard gets its part of the room, from another one on each time: with less room than shards all have their turn, too. */
void claim_sweep(struct process *p, size_t keep) {
    unsigned shards_n = p->queue->shards_n;
    size_t room = claim_room(p) > keep ? claim_room(p) - keep : 0;
    size_t part = room > shards_n ? room / shards_n : 1;
    p->sweep_again = false;
    for (unsigned i = 0; i < shards_n && i * part < room; i++) {
        if (!sweep(p, p->queue->shards[p->sweep_from++ % shards_n], part, 0)) {
            return;
        }
    }
}

bool claim_may_reclaim(const struct process *p) { return !p->reclaiming && p->reclaimed_n < p->reclaim_window; }

/* What a silent process held may be what silenced it: at first one such entry, shard after shard, so that it takes one process along and
 * is soon known; one more for each that ran and did no harm. Where there is room for few this brings what was handed back, too. */
void claim_reclaim(struct process *p) {
    size_t room = claim_room(p), most = p->reclaim_window - p->reclaimed_n;
    if (!claim_may_reclaim(p)) {
        return;
    }
    p->reclaim_left = p->reclaim_again && p->reclaim_left > 0 ? p->reclaim_left - 1 : p->queue->shards_n - 1;
    p->reclaim_again = false;
    p->reclaim_shard = (p->reclaim_shard + 1) % p->queue->shards_n;
    p->reclaiming = true; /* the answer may come at once */
    if (!sweep(p, p->queue->shards[p->reclaim_shard], room < most ? room : most, p->rt->conf->worker_lease_ms)) {
        p->reclaiming = false;
    }
}

void claim_reclaimed_left(struct process *p, const struct held *h) {
    bool harmless = h->slot->started != 0 && h->next != NEXT_SUSPECT;
    p->reclaimed_n--;
    p->reclaim_window = !harmless ? 1 : p->reclaim_window < LIMIT_BATCH ? p->reclaim_window + 1 : LIMIT_BATCH;
    p->reclaim_again = true;
    p->reclaim_left = p->queue->shards_n;
}
