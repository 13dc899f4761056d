/* Bringing entries in: the blocking read, the sweep of stale and handed-back entries, and what each entry turns out to be. */
#include "failure.h"
#include "process.h"

#include <base/fault.h>
#include <base/log.h>
#include <base/metrics.h>
#include <stdlib.h>

static size_t look_ahead(const struct process *p) {
    size_t slots = process_slots(p);
    if (p->service_ms > SLOW_JOB_MS) {
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
    struct str errors = failure_add(&h->arena, STR_NONE, err, loop_wall(h->process->rt->loop).ms);
    h->state = HELD_ENDING;
    h->next = NEXT_BURY;
    h->label = "dead";
    h->reason = arena_printf(&h->arena, "{\"attempts\":0,\"fingerprint\":\"undecodable\",\"errors\":%.*s}", STR_ARG(errors));
    LOG(ERROR, "job.undecodable", LF_C("queue", h->process->queue->name), LF_ERR(err));
    settle_add(h);
}

/* Decides what a claimed entry is. True: it may run. */
static bool admit(struct held *h) {
    struct err e = envelope_decode(h->header, &h->attempt.job);
    if (err_is_set(e)) {
        bury_undecodable(h, e);
        return false;
    }
    const struct envelope *job = &h->attempt.job;
    h->attempt.type = registry_type(h->process->rt->registry, job->type, &h->module);
    if (h->attempt.type == NULL) {
        finish_bury(h, err_make(ERR_UNKNOWN_TYPE, "no worker of this version knows type %.*s", STR_ARG(job->type)));
        return false;
    }
    if (job->schema_version != h->attempt.type->version) {
        h->state = HELD_ENDING;
        h->next = NEXT_PARK;
        h->label = "parked";
        settle_add(h);
        return false;
    }
    h->attempt.env = runtime_module(h->process->rt, h->module);
    series_observe(metric_series(M_JOB_QUEUE_WAIT, h->process->queue->name, h->attempt.type->name, NULL),
                   (double)(loop_wall(h->process->rt->loop).ms - job->ready.ms) / 1000);
    return true;
}

/* Entries of the stream class whose cancel requests are being looked up. */
struct checking {
    struct process *process;
    size_t n;
    struct held *held[LIMIT_BATCH];
};

static void put_waiting(struct held *h) {
    struct process *p = h->process;
    TAILQ_INSERT_TAIL(&p->waiting, h, link);
}

static void on_cancels(void *arg, struct err err, const bool *wanted, size_t n) {
    struct checking *c = arg;
    struct process *p = c->process;
    for (size_t i = 0; i < c->n; i++) {
        struct held *h = c->held[i];
        if (!err_is_set(err) && i < n && wanted[i]) {
            h->attempt.cancel_requested = true;
        }
        put_waiting(h);
    }
    free(c);
    process_wake(p);
}

static void check_cancels(struct process *p, const struct shard *s, struct held **held, size_t n) {
    struct uuid jobs[LIMIT_BATCH];
    struct checking *c = malloc(sizeof *c);
    if (c == NULL) { /* as if none was wanted: a request is a wish, and the renewal asks again */
        for (size_t i = 0; i < n; i++) {
            put_waiting(held[i]);
        }
        return;
    }
    *c = (struct checking){.process = p, .n = n};
    for (size_t i = 0; i < n; i++) {
        c->held[i] = held[i];
        jobs[i] = held[i]->attempt.job.id;
    }
    queue_cancels(&p->rt->redis, s, jobs, n, on_cancels, c);
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

/* swept: somebody held the entry before us, and may have listed its job as running. */
static void take(struct process *p, const struct claimed *entries, size_t n, bool swept) {
    struct held *check[LIMIT_BATCH];
    size_t check_n = 0;
    for (size_t i = 0; i < n; i++) {
        struct held *h = swept && take_back(p, &entries[i]) ? NULL : held_take(p, &entries[i]);
        if (h == NULL) {
            continue; /* ours already; or no memory: it stays pending under our name and comes back by its lease */
        }
        h->listed = swept;
        if (!admit(h)) {
            continue;
        }
        h->state = HELD_WAITING;
        p->waiting_n++;
        if (h->attempt.type->class == CLASS_STREAM && check_n < LIMIT_BATCH) {
            if (check_n > 0 && check[0]->shard != h->shard) {
                check_cancels(p, check[0]->shard, check, check_n);
                check_n = 0;
            }
            check[check_n++] = h;
        } else {
            put_waiting(h);
        }
    }
    if (check_n > 0) {
        check_cancels(p, check[0]->shard, check, check_n);
    }
}

static void on_claimed(void *arg, struct err err, const struct claimed *entries, size_t n) {
    struct process *p = arg;
    p->claiming = false;
    if (!err_is_set(err) && n > 0) {
        FAILPOINT(CLAIM_AFTER);
        take(p, entries, n, false);
    }
    if (err.code == ERR_CLOSED) {
        return;
    }
    /* A failed read is tried again by the beat or when the connection is up: never in a circle. */
    if (!err_is_set(err)) {
        process_wake(p);
    }
}

void claim_more(struct process *p) {
    size_t n = claim_room(p);
    if (p->claiming || n == 0 || p->draining || p->quiet || p->queue->paused || !redis_is_up(p->reader_connection)) {
        return;
    }
    p->claiming = true;
    size_t per_shard = n > p->queue->shards_n ? n / p->queue->shards_n : 1; /* COUNT is per stream */
    queue_claim(&p->reader, (const struct shard *const *)p->queue->shards, p->queue->shards_n, str_c(p->consumer), per_shard,
                p->rt->conf->worker_block_ms, on_claimed, p);
}

void claim_cancel_read(struct process *p) {
    redis_close(p->reader_connection); /* what it may still be handed is given back by the supervisor after our end */
    p->reader_connection = NULL;
}

struct sweeping {
    struct process *process;
    size_t asked;
};

static void on_swept(void *arg, struct err err, const struct claimed *entries, size_t n, int64_t orphans) {
    struct sweeping *s = arg;
    struct process *p = s->process;
    p->asked_n -= s->asked;
    free(s);
    if (err_is_set(err)) {
        return; /* the next second's sweep */
    }
    if (orphans > 0) {
        series_add(metric_series(M_ORPHANS, p->queue->name, NULL, NULL), (double)orphans);
    }
    if (n > 0) {
        FAILPOINT(SWEEP_AFTER);
        p->sweep_again = true; /* it was not the last of them, perhaps */
        take(p, entries, n, true);
        process_wake(p);
    }
}

void claim_sweep(struct process *p, int64_t lease_ms) {
    for (unsigned i = 0; i < p->queue->shards_n; i++) {
        size_t n = claim_room(p);
        if (n == 0 || p->draining || p->quiet || p->queue->paused) {
            return;
        }
        p->sweep_again = false;
        struct sweeping *s = malloc(sizeof *s);
        if (s == NULL) {
            return; /* the next beat */
        }
        *s = (struct sweeping){p, n};
        p->asked_n += n;
        queue_sweep(&p->rt->redis, p->queue->shards[i], str_c(p->consumer), n, lease_ms, on_swept, s);
    }
}
