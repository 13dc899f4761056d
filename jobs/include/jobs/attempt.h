/* One attempt of one job, as its handler sees it. A handler is an asynchronous state machine on the loop: it starts calls, and
 * in their callbacks goes on. It ends by exactly one of the attempt_* endings; after it the attempt must not be touched.
 *
 * The rule of exactly once: the terminal effect row in the module's schema, (root, step ''), is the arbiter. A handler ends
 * a journal job by a statement that inserts that row together with the business rows (attempt_commit). Calls to the
 * outside happen before it, behind a gate row committed first. */
#ifndef JOBS_ATTEMPT_H
#define JOBS_ATTEMPT_H

#include <base/arena.h>
#include <base/span.h>
#include <jobs/dependency.h>
#include <jobs/type.h>
#include <queues/envelope.h>

struct attempt_end {
    enum { END_FINISHED, END_FAILED, END_LATER, END_SNOOZED } kind;
    enum job_outcome outcome; /* FINISHED */
    int status;               /* FINISHED: HTTP status of the answer to a waiting request */
    struct str result;        /* FINISHED: JSON text, in the attempt's arena */
    bool absorbed;            /* FINISHED: the terminal row was there before */
    bool stale;               /* FINISHED: it holds another outcome, or a newer generation */
    bool follow_ups;          /* FINISHED, LATER: rows were written to job_outbox */
    struct err err;           /* FAILED, LATER: why */
    int64_t delay_ms;         /* LATER, SNOOZED; FAILED: what the other side asked for, 0 none */
};

struct attempt {
    const struct job_type *type;
    struct envelope job; /* names borrowed from header */
    struct str payload;  /* bytes, as accepted; in the arena */
    struct arena *arena;
    struct module_env *env;        /* of the type's module */
    struct mono give_up;           /* the timeout, or the deadline if that is earlier; by the clock that does not jump */
    bool hurried;                  /* the producer's deadline leaves it less than its type's time */
    bool cancel_requested;         /* stream class: look at it between steps */
    void *state;                   /* the handler's */
    struct span_scope scope;       /* the worker's: what is done in this attempt; closed while spans are off */
    struct dependency_place place; /* at the server that it calls; left by attempt_end */
    /* Set by the handler when it can stop early: called on cancellation, and when the attempt's time is up (timed_out). It must then
     * come to an ending soon. */
    void (*on_stop)(struct attempt *a, bool timed_out);
    void (*on_end)(struct attempt *a, const struct attempt_end *end); /* the worker's (or a test's) */
};

/* By its id, for good: the class of its type may have become another one since the job was made (types.conf). */
bool attempt_is_stream(const struct attempt *a);

/* What it does is part of this: its own span, or what the job came with. For rows that lead to other jobs and events. */
const struct trace *attempt_trace(const struct attempt *a);

/* What a call that ended without an answer says of its server. Of one that was cut short by the producer's deadline: nothing. */
enum call_verdict attempt_call_verdict(const struct attempt *a, enum err_code code);

/* Takes the attempt a place at a server that it will call (its type's is taken before start); NULL: of none. False: there is none now,
 * and the attempt has ended: delayed, nothing charged; failed when the server has been away for a day. */
bool attempt_enter(struct attempt *a, struct dependency *d);
/* Before the call: an attempt that repeats one (earlier ones were charged) needs leave of the server's retry budget. False: not now, but in
 * *out_wait_ms. */
bool attempt_may_call(const struct attempt *a, int64_t *out_wait_ms);

/* The effect is committed and says this. result is copied into the arena. */
void attempt_finish(struct attempt *a, enum job_outcome outcome, int status, struct str result);
void attempt_end(struct attempt *a, const struct attempt_end *end);
void attempt_fail(struct attempt *a, struct err err);
/* Again in delay_ms, nothing charged: an outcome outside is not known yet, or somebody else is at it. */
void attempt_later(struct attempt *a, int64_t delay_ms, struct err why);
/* Snooze: the handler has looked, and wants to be asked again in delay_ms; nothing is charged. LIMIT_SNOOZE_DAYS after the root was made it is
 * asked for the last time: a snooze then is refused, and the job dead. After a Redis that lost its data it may be asked early. */
void attempt_snooze(struct attempt *a, int64_t delay_ms);
int64_t attempt_ms_left(const struct attempt *a); /* until give_up; never negative */
/* What a call to the outside may take: less than that, so that there is time to keep what came of it. */
int64_t attempt_call_ms(const struct attempt *a);
/* The job's deadline has passed. For flows, which the worker does not expire: a step that begins the job ends it instead, by its
 * effect (OUTCOME_EXPIRED); what has begun goes on. */
bool attempt_is_late(const struct attempt *a);

/* Commits the terminal effect and ends the attempt by what stands then. stmt begins with EFFECT_GATE(schema) and ends with
 * EFFECT_ANSWER(schema) (jobs/module_sql.h): its first EFFECT_PARAMS parameters are filled in here, the others are values. A row that
 * is there already is taken over, whoever wrote it. result is what this attempt would have it be. */
struct attempt_effect {
    const struct pg_stmt *stmt;
    const struct pg_value *values; /* parameters EFFECT_PARAMS + 1 …; copied */
    size_t values_n;
    enum job_outcome outcome;
    int status;
    struct str result;
    int64_t order;   /* batches sort by it: something of the aggregate's id */
    bool follow_ups; /* the statement writes to job_outbox */
};
void attempt_commit(struct attempt *a, const struct attempt_effect *e);
/* The same without business rows. */
void attempt_close(struct attempt *a, enum job_outcome outcome, int status, struct str result);

/* Closes a job from outside an attempt (worker: dead; API: cancelled): inserts the terminal row, or reads the one that stands. */
struct effect_row {
    bool fresh; /* this call wrote it */
    enum job_outcome outcome;
    uint32_t generation;
    int status;
    struct str result; /* borrowed for the callback */
};
typedef void effect_cb(void *arg, struct err err, const struct effect_row *row);
void effect_close(struct module_env *env, struct uuid root, uint32_t generation, enum job_outcome outcome, int status,
                  struct str result, effect_cb *cb, void *arg);
/* Notes a step of a flow that others must see ("cancel_request"); row->fresh false: it was there. Not where the job of this
 * generation has its terminal effect: that is the row then, and its status is not 0. */
void effect_step(struct module_env *env, struct uuid root, uint32_t generation, struct str step, effect_cb *cb, void *arg);

/* The payload as an object; attempt_fail with ERR_INVALID and false when it is none. Freed with json_decref by the caller. */
bool attempt_parse(struct attempt *a, json_t **out);

#endif
