/* Job types as a worker process meets them: who handles each, and its series, looked up by their labels once and not for each job. */
#ifndef WORKER_KIND_H
#define WORKER_KIND_H

#include <jobs/runtime.h>
#include <queues/upkeep.h>

struct series;

/* How an attempt ended: attempts_total's outcome. */
enum attempt_label {
    LABEL_DONE,
    LABEL_DEAD,
    LABEL_CANCELLED,
    LABEL_EXPIRED,
    LABEL_ABSORBED,
    LABEL_RETRY,
    LABEL_RELEASED,
    LABEL_SNOOZED,
    LABEL_LOST,
    LABEL_MAX
};
const char *attempt_label_name(enum attempt_label l);
enum attempt_label attempt_label_of(enum job_outcome o);

struct kind {
    struct str name;
    const struct job_type *type;   /* NULL: of no type that this version knows */
    struct module_env *env;        /* of its module */
    struct dependency *dependency; /* its type's; NULL: none */
    const char *queue;
    /* throttle.c */
    uint32_t running;      /* attempts of it */
    int64_t service_us;    /* of an attempt that was not refused, a moving average */
    int64_t later_us;      /* when the last one that found no room comes again */
    struct schema *schema; /* of the payload; NULL: not needed so far */
    struct series *queue_wait, *duration, *attempts[LABEL_MAX], *finished[OUTCOME_MAX]; /* NULL: not needed so far */
};

struct kinds; /* of one queue's process */
MUST struct err kinds_new(struct runtime *rt, const char *queue, struct kinds **out);
void kinds_free(struct kinds *k);
void kinds_show_zeros(
    struct kinds *k); /* of dead jobs: an alert cannot see the first time of a series that was not there before */
/* What every type of this queue needs: while that is away nothing need be read. NULL: there is no such server. */
struct dependency *kinds_dependency(const struct kinds *k);
struct kind *kinds_find(struct kinds *k, struct str type); /* never NULL: "unknown" */

/* What this process can run, from the first-th type on: at most LIMIT_BATCH; how many. */
size_t kinds_known(const struct kinds *k, size_t first, struct queue_kind out[LIMIT_BATCH]);

MUST struct err kind_schema(struct kind *k, const struct schema **out); /* of the payload, compiled when it is first asked for */
/* ERR_INVALID: the payload does not satisfy the type's schema. For jobs that no API has checked. */
MUST struct err kind_check(struct kind *k, struct str payload);

void kind_waited(struct kind *k, int64_t ms, const struct trace *t, struct wall now);
void kind_ran(struct kind *k, int64_t us, const struct trace *t, struct wall now);
void kind_attempt(struct kind *k, enum attempt_label l);
void kind_parked(const struct kind *k);
void kind_finished(struct kind *k, enum job_outcome o);

#endif
