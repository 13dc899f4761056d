/* Epochs (PROTOCOL.md, "Epochs"): each shard's :e names the Redis run that has been checked against the journal, and a nonce. When it
 * is missing or names another run, Redis has lost something or everything. The pass:
 *   1. :e = "rebuilding <nonce>", by compare-and-set; counters start anew
 *   2. BGREWRITEAOF, once per run: a torn MULTI at the AOF's end would swallow what comes after it at the next restart
 *   3. entries acknowledged but not deleted are put anew
 *   4. the shard's ids are read once; open journal jobs that carry another epoch and are not among them are placed again
 *   5. :e = "ready <run id> <nonce>", by compare-and-set; if the nonce has gone, from the start
 * Jobs placed meanwhile carry the new nonce already, so the pass does not meet them. */
#include "scheduler.h"

#include <base/crypto.h>
#include <base/fault.h>
#include <base/log.h>
#include <base/metrics.h>
#include <stdio.h>

static void end_pass(struct shard_watch *w, struct err err) {
    w->healing = false;
    presence_clear(&w->presence);
    if (err_is_set(err)) {
        LOG(WARN, "epoch.pass_stopped", LF_C("queue", w->queue->name), LF_INT("shard", w->shard->number), LF_ERR(err));
        return; /* the look of the next second starts over */
    }
    LOG(INFO, "epoch.ready", LF_C("queue", w->queue->name), LF_INT("shard", w->shard->number), LF_INT("placed", w->healed),
        LF_INT("mended", w->mended), LF_INT("ms", mono_ms_since(loop_now(w->scheduler->rt->loop), w->heal_began)));
}

static void on_ready_set(void *arg, struct err err, int64_t count) {
    struct shard_watch *w = arg;
    if (!err_is_set(err) && count == 0) {
        err = err_make(ERR_CONFLICT, "the epoch changed during its pass");
    }
    end_pass(w, err);
}

/* Redis restarted, or another scheduler leads: what the pass has read says nothing about it. */
static bool is_stale(const struct shard_watch *w) {
    return strcmp(w->run_id, w->scheduler->run_id) != 0 || !scheduler_leads(w->scheduler);
}

static void set_ready(struct shard_watch *w) {
    char from[EPOCH_BYTES], to[EPOCH_BYTES];
    (void)snprintf(from, sizeof from, "rebuilding %lld", (long long)w->nonce);
    (void)snprintf(to, sizeof to, "ready %s %lld", w->run_id, (long long)w->nonce);
    FAILPOINT(EPOCH_BEFORE_READY);
    queue_epoch_set(&w->scheduler->rt->redis, w->shard, str_c(from), str_c(to), on_ready_set, w);
}

static bool is_present(void *arg, struct uuid id) {
    struct shard_watch *w = arg;
    return presence_has(&w->presence, id);
}

static void on_page(void *arg, struct err err, struct uuid last, size_t placed, bool more) {
    struct shard_watch *w = arg;
    w->healed += (int64_t)placed;
    if (!err_is_set(err) && is_stale(w)) {
        err = err_make(ERR_CONFLICT, "Redis or the leader changed during the pass");
    }
    if (err_is_set(err)) {
        end_pass(w, err);
    } else if (more) {
        const struct journal_heal next = {
            .queue = w->queue->name, .shard = w->shard->number, .nonce = w->nonce, .after = last, .present = is_present};
        journal_heal(&w->scheduler->rt->journal, &next, on_page, w);
    } else {
        set_ready(w);
    }
}

static void on_collected(void *arg, struct err err) {
    struct shard_watch *w = arg;
    if (err_is_set(err)) {
        end_pass(w, err);
        return;
    }
    on_page(w, OK, (struct uuid){{0}}, 0, true);
}

static void on_mended(void *arg, struct err err, int64_t mended, struct str next) {
    struct shard_watch *w = arg;
    w->mended += mended;
    if (err_is_set(err)) {
        end_pass(w, err);
        return;
    }
    if (next.n > 0) {
        queue_mend(&w->scheduler->rt->redis, w->shard, next, on_mended, w);
        return;
    }
    if (w->mended > 0) {
        series_add(metric_series(M_ORPHANS, w->queue->name, NULL, NULL), (double)w->mended);
    }
    presence_collect(w->scheduler, w->shard, &w->presence, on_collected, w);
}

static void on_rewrite(void *arg, struct err err, const struct reply *reply) {
    struct scheduler *s = arg;
    (void)reply;
    if (err_is_set(err) && strstr(err.detail, "in progress") == NULL && strstr(err.detail, "scheduled") == NULL) {
        LOG(WARN, "redis.rewrite_refused", LF_ERR(err));
        s->rewritten_for[0] = '\0'; /* the next pass asks again */
    }
}

static void rewrite_aof_once(struct scheduler *s) {
    if (strcmp(s->rewritten_for, s->run_id) != 0) {
        (void)snprintf(s->rewritten_for, sizeof s->rewritten_for, "%s", s->run_id);
        const struct str argv[] = {STR("BGREWRITEAOF")};
        broker_call(&s->rt->redis, 1, argv, on_rewrite, s);
    }
}

static void on_rebuilding(void *arg, struct err err, int64_t count) {
    struct shard_watch *w = arg;
    if (!err_is_set(err) && count == 0) {
        err = err_make(ERR_CONFLICT, "another scheduler began the pass");
    }
    if (err_is_set(err)) {
        end_pass(w, err);
        return;
    }
    FAILPOINT(EPOCH_AFTER_REBUILDING);
    if (w->lost) {
        series_add(metric_series(M_STREAM_LOST_EPOCHS, w->queue->name, NULL, NULL), 1);
    }
    rewrite_aof_once(w->scheduler);
    queue_mend(&w->scheduler->rt->redis, w->shard, STR_NONE, on_mended, w);
}

static void on_group(void *arg, struct err err, int64_t count) {
    struct shard_watch *w = arg;
    (void)count;
    if (err_is_set(err)) {
        end_pass(w, err);
        return;
    }
    char to[EPOCH_BYTES];
    (void)snprintf(to, sizeof to, "rebuilding %lld", (long long)w->nonce);
    queue_epoch_set(&w->scheduler->rt->redis, w->shard, str_c(w->depth.epoch), str_c(to), on_rebuilding, w);
}

static int64_t new_nonce(void) {
    int64_t nonce;
    crypto_random(&nonce, sizeof nonce);
    return (nonce & INT64_C(0x0FFFFFFFFFFFFFFF)) | 1; /* positive, never 0 */
}

static bool epoch_is_current(const struct shard_watch *w) {
    char prefix[EPOCH_BYTES];
    int n = snprintf(prefix, sizeof prefix, "ready %s ", w->scheduler->run_id);
    return strncmp(w->depth.epoch, prefix, (size_t)n) == 0;
}

/* A shard without an epoch may be a new one: it is lost when we have seen it ready, or when there is something in it. */
static bool is_lost(const struct shard_watch *w) {
    const struct queue_depth *d = &w->depth;
    return !epoch_is_current(w) && (w->seen_ready || d->epoch[0] != '\0' || d->waiting + d->running + d->delayed > 0);
}

void epoch_check(struct shard_watch *w) {
    struct scheduler *s = w->scheduler;
    w->seen_ready |= epoch_is_current(w);
    if (w->healing || w->auditing || s->run_id[0] == '\0' || !scheduler_leads(s) || (epoch_is_current(w) && !w->heal_wanted)) {
        return;
    }
    w->lost = is_lost(w);
    w->healing = true;
    w->heal_wanted = false;
    (void)snprintf(w->run_id, sizeof w->run_id, "%s", s->run_id);
    w->nonce = new_nonce();
    w->healed = w->mended = 0;
    w->heal_began = loop_now(s->rt->loop);
    LOG(WARN, "epoch.begin", LF_C("queue", w->queue->name), LF_INT("shard", w->shard->number), LF_C("was", w->depth.epoch));
    queue_group_create(&s->rt->redis, w->shard, on_group, w);
}

static void on_repaired(void *arg, struct err err, int64_t count) {
    struct shard_watch *w = arg;
    (void)count;
    w->looking = false;
    if (err_is_set(err)) {
        LOG(WARN, "epoch.repair_failed", LF_C("queue", w->queue->name), LF_ERR(err));
        return;
    }
    watch_look(w);
}

void epoch_repair(struct shard_watch *w, enum err_code code) {
    w->looking = true; /* one at a time */
    if (code == ERR_REDIS_NOFUNC) {
        queue_functions_load(&w->scheduler->rt->redis, on_repaired, w);
    } else {
        queue_group_create(&w->scheduler->rt->redis, w->shard, on_repaired, w);
    }
}

static void on_info(void *arg, struct err err, const struct reply *reply) {
    struct scheduler *s = arg;
    s->asking_run_id = false;
    struct str text = err_is_set(err) ? STR_NONE : reply_str(reply), line;
    while (str_cut(&text, '\n', &line)) {
        if (str_starts(line, STR("run_id:"))) {
            line = str_of(line.p + 7, line.n - 7);
            line.n -= line.n > 0 && line.p[line.n - 1] == '\r';
            (void)str_copy_c(line, s->run_id, sizeof s->run_id);
        }
    }
}

void epoch_ask_run_id(struct scheduler *s) {
    const struct str argv[] = {STR("INFO"), STR("server")};
    if (s->asking_run_id) {
        return;
    }
    s->asking_run_id = true;
    broker_call(&s->rt->redis, 2, argv, on_info, s);
}
