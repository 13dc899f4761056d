/* Journal jobs: the outcome is in the module's effect row; here it goes into the job's own row, many per statement, and only then
 * is the entry settled in Redis. */
#include "failure.h"
#include "process.h"
#include "record.h"

#include <base/fault.h>
#include <base/log.h>
#include <base/metrics.h>
#include <stdlib.h>

enum { AGAIN_MS = 1000 };

struct finishing {
    struct process *process;
    struct mono began;
    size_t n;
    struct held *held[LIMIT_BATCH];
};

void finish_add(struct held *h) {
    struct process *p = h->process;
    STAILQ_INSERT_TAIL(&p->finishing, h, out);
    p->finishing_n++;
    process_wake(p);
}

static void ignore(void *arg, struct err err, const struct reply *reply) {
    (void)arg;
    (void)err; /* waiters read again every second */
    (void)reply;
}

static void publish(struct process *p, const struct finishing *f) {
    char ids[LIMIT_BATCH * 16];
    for (size_t i = 0; i < f->n; i++) {
        memcpy(ids + 16 * i, f->held[i]->attempt.job.id.b, 16);
    }
    const struct str argv[] = {STR("PUBLISH"), STR(CHANNEL_DONE), str_of(ids, 16 * f->n)};
    broker_call(&p->rt->redis, 3, argv, ignore, NULL);
}

static void finished(struct held *h) {
    if (h->attempt.type != NULL && !h->absorbed) {
        kind_finished(h->kind, h->outcome);
    }
    if (h->wrote_follow_ups) {
        process_wants_outbox(h);
    }
    settle_add(h);
}

/* The effect stands; a later run finds it and finishes the row. */
static void come_again(struct held *h) {
    h->next = NEXT_RETRY;
    h->delay_ms = AGAIN_MS;
    settle_add(h);
}

static void on_finished(void *arg, struct err err) {
    struct finishing *f = arg;
    struct process *p = f->process;
    p->finishing_n -= f->n;
    record_finish(f->held, f->n, f->began, err);
    if (err_is_set(err) && err_class(err.code) == ERR_CLASS_PERMANENT) {
        LOG(ERROR, "finish.refused", LF_C("queue", p->queue->name), LF_INT("jobs", f->n), LF_ERR(err));
    }
    if (!err_is_set(err)) {
        FAILPOINT(FINISH_AFTER);
        publish(p, f);
    }
    for (size_t i = 0; i < f->n; i++) {
        if (err_is_set(err)) {
            come_again(f->held[i]);
        } else {
            finished(f->held[i]);
        }
    }
    free(f);
    process_wake(p);
}

static struct journal_end end_of(const struct held *h) {
    return (struct journal_end){
        .id = h->attempt.job.id,
        .generation = h->attempt.job.generation,
        .outcome = h->outcome,
        .status = h->status,
        .result = h->result,
        .attempts = h->died_after,
        .errors = h->died_errors,
        .fingerprint = h->fingerprint,
    };
}

void finish_flush(struct process *p) {
    while (!STAILQ_EMPTY(&p->finishing)) {
        struct journal_end ends[LIMIT_BATCH];
        struct finishing *f = malloc(sizeof *f);
        if (f == NULL) {
            return; /* the beat flushes again */
        }
        *f = (struct finishing){.process = p, .began = loop_now(p->rt->loop)};
        while (f->n < LIMIT_BATCH && !STAILQ_EMPTY(&p->finishing)) {
            struct held *h = STAILQ_FIRST(&p->finishing);
            STAILQ_REMOVE_HEAD(&p->finishing, out);
            ends[f->n] = end_of(h);
            f->held[f->n++] = h;
        }
        journal_finish(&p->rt->journal, ends, f->n, on_finished, f);
    }
}

static void on_closed(void *arg, struct err err, const struct effect_row *row) {
    struct held *h = arg;
    h->process->finishing_n--;
    if (err_is_set(err)) {
        come_again(h);
        return;
    }
    FAILPOINT(DEAD_AFTER_ROW);
    if (!row->fresh && row->outcome != OUTCOME_DEAD) {
        metric_inc(M_STALE_REFUSED, h->process->queue->name, NULL, NULL);
    }
    h->outcome = row->outcome; /* somebody may have been first, with another outcome */
    h->status = row->status;
    h->result = arena_str(&h->arena, row->result);
    if (h->result.p == NULL) { /* no memory: an empty answer would be kept for good */
        come_again(h);
        return;
    }
    finish_add(h);
}

static void on_left(void *arg, struct err err) {
    struct held *h = arg;
    if (err_is_set(err)) {
        h->process->finishing_n--;
        come_again(h);
        return;
    }
    effect_close(h->attempt.env, h->attempt.job.root, h->attempt.job.generation, OUTCOME_DEAD, h->status, h->result, on_closed,
                 h);
}

void finish_bury(struct held *h, struct err err) {
    bool journal = !id_job_place(h->attempt.job.id).stream_class;
    h->state = HELD_ENDING;
    h->outcome = OUTCOME_DEAD;
    h->status = 500;
    h->how = SETTLE_JOURNAL;
    h->next = journal ? NEXT_SETTLE : NEXT_BURY;
    h->label = LABEL_DEAD;
    h->fingerprint = failure_group(&h->arena, h->attempt.job.type, err);
    h->died_after = h->attempt.job.attempt + 1;
    h->died_errors = failure_add(&h->arena, h->attempt.job.errors, err, loop_wall(h->process->rt->loop).ms, record_id(h));
    h->result = arena_printf(&h->arena, "{\"title\":\"Job is dead\",\"status\":500,\"code\":\"job_dead\",\"error\":\"%s\"}",
                             err_name(err.code));
    if (!journal) {
        struct str errors = h->died_errors;
        h->reason = arena_printf(
            &h->arena, "{\"attempts\":%u,\"release\":\"" PENSTOCK_VERSION "\",\"fingerprint\":\"%.*s\",\"errors\":%.*s}",
            h->died_after, STR_ARG(h->fingerprint), errors.n > 0 ? (int)errors.n : 2, errors.n > 0 ? errors.p : "[]");
        kind_finished(h->kind, OUTCOME_DEAD);
        settle_add(h);
    } else if (h->attempt.env == NULL) {
        finish_add(h); /* of a type that no module has: there is no effect table to ask */
    } else {
        h->process->finishing_n++; /* a process that leaves waits for it */
        if (h->attempt.type->leave != NULL) {
            h->attempt.type->leave(h->attempt.env, h->attempt.job.root, on_left, h);
        } else {
            on_left(h, OK);
        }
    }
}

/* Who must come to an end (jobs/type.h) is never dead by a verdict: nobody else gives that money back or finds out about it. It comes
 * again, seldom; its lone runs stay counted, so that each time costs one process. */
void finish_crashed(struct held *h) {
    const struct job_type *type = h->attempt.type;
    struct err err = err_make(ERR_CRASHED, "%s in %lld lone runs", h->crash, (long long)h->crashes);
    if (!type->no_cancel) {
        finish_bury(h, err);
        return;
    }
    LOG(ERROR, "job.crashes", LF_UUID("job", &h->attempt.job.id), LF_C("type", type->name), LF_ERR(err));
    h->state = HELD_ENDING;
    h->next = NEXT_RETRY;
    h->delay_ms = type->retry.cap_ms;
    settle_add(h);
}
