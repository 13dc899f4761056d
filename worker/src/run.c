/* Starting attempts, watching their time, and turning their endings into what is to be written. */
#include "failure.h"
#include "mask.h"
#include "process.h"
#include "record.h"
#include "throttle.h"

#include <base/crypto.h>
#include <base/fault.h>
#include <base/log.h>
#include <base/metrics.h>

enum { AVERAGE_WEIGHT = 16 };

static struct held *held_of(struct attempt *a) { return (struct held *)((char *)a - offsetof(struct held, attempt)); }

static double random01(void) {
    uint32_t r;
    crypto_random(&r, sizeof r);
    return (double)r / 4294967296.0;
}

static void log_attempt(const struct held *h, const struct attempt_end *end, uint32_t attempt, int64_t ms) {
    const struct envelope *job = &h->attempt.job;
    bool has_error = end->kind == END_FAILED || end->kind == END_LATER;
    enum log_level level = h->next == NEXT_BURY || h->outcome == OUTCOME_DEAD ? LOG_LEVEL_WARN : LOG_LEVEL_INFO;
    const struct log_field fields[] = {
        LF_UUID("job", &job->id),
        LF_UUID("root", &job->root),
        LF_STR("tenant", job->tenant),
        LF_STR("type", job->type),
        LF_C("queue", h->process->queue->name),
        LF_INT("attempt", attempt),
        LF_C("outcome", attempt_label_name(h->label)),
        LF_INT("ms", ms),
        LF_TRACE(attempt_trace(&h->attempt)),
        LF_C("error", has_error ? err_name(end->err.code) : ""),
        LF_C("detail", has_error ? end->err.detail : ""),
    };
    log_write(level, "job.attempt", fields, sizeof fields / sizeof fields[0] - (has_error ? 0 : 2));
}

static void end_finished(struct held *h, const struct attempt_end *end) {
    static const enum settle_how hows[OUTCOME_MAX] = {
        [OUTCOME_DONE] = SETTLE_DONE,
        [OUTCOME_DEAD] = SETTLE_DONE,
        [OUTCOME_CANCELLED] = SETTLE_CANCELLED,
        [OUTCOME_EXPIRED] = SETTLE_EXPIRED,
    };
    h->outcome = end->outcome;
    h->status = end->status;
    h->result = end->result;
    h->label = end->absorbed ? LABEL_ABSORBED : attempt_label_of(end->outcome);
    if (end->absorbed) {
        metric_inc(M_DUPLICATES_ABSORBED, h->process->queue->name, NULL, NULL);
    }
    if (end->stale) {
        metric_inc(M_STALE_REFUSED, h->process->queue->name, NULL, NULL);
    }
    h->absorbed = end->absorbed;
    h->next = NEXT_SETTLE;
    if (end->outcome == OUTCOME_DEAD) { /* an earlier run wrote the row and died before it could tell the rest */
        h->died_after = h->attempt.job.attempt + 1;
        h->died_errors = h->attempt.job.errors;
        h->fingerprint = failure_group(&h->arena, h->attempt.job.type, err_make(ERR_REFUSED, "dead since an earlier run"));
    }
    if (!attempt_is_stream(&h->attempt)) {
        h->how = SETTLE_JOURNAL;
        finish_add(h);
        return;
    }
    h->how = hows[end->outcome];
    kind_finished(h->kind, end->outcome);
    settle_add(h);
}

static bool can_expire(const struct attempt *a) { return a->job.deadline.ms != 0 && !a->type->flow; }

/* What would come again only to expire does so at its deadline. */
static int64_t until_deadline(const struct held *h, int64_t delay_ms) {
    int64_t left = h->attempt.job.deadline.ms - loop_wall(h->process->rt->loop).ms;
    int64_t most = can_expire(&h->attempt) && left < delay_ms ? left : delay_ms;
    return most > 0 ? most : 0;
}

static void end_again(struct held *h, int64_t delay_ms, enum attempt_label label, struct err err) {
    bool charge = label == LABEL_RETRY;
    h->next = NEXT_RETRY;
    h->delay_ms = until_deadline(h, delay_ms);
    h->label = label;
    if (h->wrote_follow_ups) {
        process_wants_outbox(h);
    }
    if (charge) {
        h->attempt.job.attempt++;
        h->attempt.job.errors =
            failure_add(&h->arena, h->attempt.job.errors, err, loop_wall(h->process->rt->loop).ms, record_id(h));
    }
    settle_add(h);
}

/* This process has no more memory. Whether that is the job's doing or its neighbours', a lone run tells. */
static void end_out_of_memory(struct held *h) {
    metric_inc(M_QUARANTINED, h->process->queue->name, NULL, NULL);
    h->next = NEXT_SUSPECT;
    h->label = LABEL_RELEASED;
    settle_add(h);
}

static void end_failed(struct held *h, struct err err, int64_t after_ms) {
    int64_t delay_ms = 0;
    if (err.code == ERR_NOMEM) {
        end_out_of_memory(h);
        return;
    }
    switch (retry_decide(&h->attempt.type->retry, err.code, h->attempt.job.attempt, after_ms, random01(), &delay_ms)) {
    case RETRY_RELEASE:
        end_again(h, delay_ms, LABEL_RELEASED, err);
        return;
    case RETRY_CHARGE:
    case RETRY_SOON:
        end_again(h, delay_ms, LABEL_RETRY, err);
        return;
    case RETRY_DEAD:
    default:
        finish_bury(h, err);
        return;
    }
}

static void end_by_kind(struct held *h, const struct attempt_end *end) {
    switch (end->kind) {
    case END_FINISHED:
        end_finished(h, end);
        break;
    case END_LATER:
        end_again(h, end->delay_ms, LABEL_RELEASED, end->err);
        break;
    case END_SNOOZED:
        end_again(h, end->delay_ms, LABEL_SNOOZED, OK);
        break;
    case END_FAILED:
    default:
        end_failed(h, end->err, end->delay_ms);
        break;
    }
}

static void ended(struct held *h, const struct attempt_end *end) {
    struct process *p = h->process;
    int64_t us = loop_now(p->rt->loop).us - h->started.us;
    uint32_t attempt = h->attempt.job.attempt + 1;
    TAILQ_REMOVE(&p->running, h, link);
    p->running_n--;
    h->state = HELD_ENDING;
    h->wrote_follow_ups = end->follow_ups;
    p->service_ms += ((double)us / 1000 - p->service_ms) / AVERAGE_WEIGHT;
    kind_ran(h->kind, us, &h->attempt.job.trace, loop_wall(p->rt->loop));
    p->table->busy = (uint32_t)p->running_n;
    p->table->attempts++;
    p->table->ran_us += (uint64_t)us;
    if (p->done) {
        h->label = LABEL_RELEASED; /* cut short by the process's own end, which has handed the entry back */
    } else {
        end_by_kind(h, end);
    }
    kind_attempt(h->kind, h->label);
    record_attempt(h, end, attempt, us);
    throttle_left(h, end, us);
    log_attempt(h, end, attempt, us / 1000);
    process_wake(p);
}

static void on_end(struct attempt *a, const struct attempt_end *end) {
    struct held *h = held_of(a);
    if (!h->abandoned) {
        struct attempt_end said = *end;
        said.err = err_is_set(end->err) ? mask_err(&h->arena, h->kind, a->payload, end->err) : end->err;
        ended(h, &said);
        return;
    }
    h->abandoned = false; /* too late: its effect, if it made one, is there for the next run to find */
    if (h->state == HELD_FREE) {
        held_release(h);
    }
}

/* A handler that does not end is a bug. Its job has had its time like one that said so, if it may be dead at all; what the handler still
 * holds goes with this process, which makes room for a new one. */
static void abandon(struct held *h) {
    const struct job_type *type = h->attempt.type;
    struct attempt_end end = {.kind = type->no_cancel ? END_LATER : END_FAILED,
                              .delay_ms = type->no_cancel ? type->retry.cap_ms : 0,
                              .err = err_make(ERR_TIMEOUT, "the handler did not end when its time was up")};
    LOG(ERROR, "attempt.overdue", LF_UUID("job", &h->attempt.job.id), LF_C("type", type->name));
    h->abandoned = true;
    ended(h, &end);
    drain_begin(h->process);
}

/* Past its deadline before it started: not run. A flow decides itself, since it may have begun. */
static void expire(struct held *h) {
    const struct str result = STR("{\"title\":\"Expired\",\"status\":410,\"code\":\"expired\"}");
    if (attempt_is_stream(&h->attempt)) {
        attempt_finish(&h->attempt, OUTCOME_EXPIRED, 410, result);
    } else {
        attempt_close(&h->attempt, OUTCOME_EXPIRED, 410, result);
    }
}

/* Up to its deadline. A flow may have begun before, and goes on behind it: then it has all its time. */
static int64_t time_for(const struct attempt *a, struct wall now) {
    int64_t left = a->job.deadline.ms - now.ms;
    return a->job.deadline.ms != 0 && left > 0 && left < a->type->timeout_ms ? left : a->type->timeout_ms;
}

/* What was checked against another version's schema is as good as unchecked. */
static void begin(struct held *h) {
    struct attempt *a = &h->attempt;
    struct process *p = h->process;
    bool checked = !a->job.unchecked && a->job.schema_version == a->type->version;
    process_enter(p, h);
    struct err e = checked ? OK : kind_check(h->kind, a->payload);
    if (err_is_set(e)) {
        attempt_fail(a, e);
    } else if (throttle_enter(h) && attempt_enter(a, h->kind->dependency)) {
        struct wall now = loop_wall(p->rt->loop); /* one that finds no room has not begun */
        kind_waited(h->kind, now.ms - (int64_t)h->id.ms, &a->job.trace, now);
        a->type->start(a);
    }
    process_enter(p, NULL);
}

static void start(struct held *h) {
    struct process *p = h->process;
    struct attempt *a = &h->attempt;
    struct wall now = loop_wall(p->rt->loop);
    h->state = HELD_RUNNING;
    h->slot->started = 1;
    h->started = loop_now(p->rt->loop);
    h->started_at = now;
    record_begin(h);
    a->arena = &h->arena;
    a->on_end = on_end;
    int64_t ms = time_for(a, now);
    a->give_up.us = h->started.us + 1000 * ms;
    a->hurried = ms < a->type->timeout_ms;
    TAILQ_INSERT_TAIL(&p->running, h, link);
    p->running_n++;
    h->kind->running++;
    p->table->busy = (uint32_t)p->running_n;
    FAILPOINT(HANDLE_BEFORE);
    if (can_expire(a) && a->job.deadline.ms <= now.ms) {
        expire(h);
    } else if (a->cancel_requested) {
        attempt_finish(a, OUTCOME_CANCELLED, 409, STR("{\"title\":\"Cancelled\",\"status\":409,\"code\":\"cancelled\"}"));
    } else {
        begin(h);
    }
}

void run_waiting(struct process *p) {
    while (!p->draining && p->running_n < process_slots(p) && !TAILQ_EMPTY(&p->waiting)) {
        struct held *h = TAILQ_FIRST(&p->waiting);
        TAILQ_REMOVE(&p->waiting, h, link);
        p->waiting_n--;
        if (h->lost) {
            held_release(h); /* somebody else's now */
        } else {
            start(h);
        }
    }
}

/* By its type's time, not by a deadline that cut it short: a flow begins near that one, and goes on behind it. */
bool run_is_overdue(const struct held *h, struct mono now) {
    return mono_ms_since(now, h->started) >= h->attempt.type->timeout_ms + h->process->rt->conf->worker_lease_ms / 2;
}

void run_watch(struct process *p) {
    struct mono now = loop_now(p->rt->loop);
    struct held *h, *next;
    double overrun = 0;
    for (h = TAILQ_FIRST(&p->running); h != NULL; h = next) {
        next = TAILQ_NEXT(h, link);
        double over = (double)mono_ms_since(now, h->started) / (double)h->attempt.type->timeout_ms;
        overrun = over > overrun ? over : overrun;
        bool timed_out = mono_ms_since(now, h->attempt.give_up) >= 0;
        if (!h->stopping && (timed_out || h->attempt.cancel_requested) && h->attempt.on_stop != NULL) {
            h->stopping = true;
            process_enter(p, h);
            h->attempt.on_stop(&h->attempt, timed_out);
            process_enter(p, NULL);
        } else if (run_is_overdue(h, now)) {
            abandon(h);
        }
    }
    series_set(metric_series(M_JOB_OVERRUN, p->queue->name, NULL, NULL), overrun);
}
