/* Service level objectives (ops/slo.def), and what is counted for them. Each process counts in its metrics and adds what has come since to
 * platform.slo_day, so that a count outlives its process, and Redis; one that is killed takes its last seconds with it. */
#ifndef JOBS_SLO_H
#define JOBS_SLO_H

#include <base/err.h>
#include <stddef.h>
#include <stdint.h>

struct runtime;
struct slo_keep;

enum slo_kind { SLO_START, SLO_COMPLETION, SLO_AVAILABILITY, SLO_LATENCY, SLO_KINDS };

struct slo {
    const char *name; /* "payments-start" */
    enum slo_kind kind;
    const char *of;  /* the queue, or the class of requests */
    double within_s; /* start and latency: good is what took no longer; 0: it does not matter */
    double target;   /* of good among all; a ratio */
};

enum {
#define START(queue, within, target) SLO_##queue##_START,
#define COMPLETION(queue, target) SLO_##queue##_COMPLETION,
#define AVAILABILITY(class, target) SLO_##class##_AVAILABILITY,
#define LATENCY(class, within, target) SLO_##class##_LATENCY,
#define BURN_FLOOR(events)
#include <slo.def>
#undef BURN_FLOOR
#undef START
#undef COMPLETION
#undef AVAILABILITY
#undef LATENCY
    SLOS
};
extern const struct slo slos[SLOS];
const char *slo_kind_name(enum slo_kind k);

struct slo_count {
    int64_t good, total;
};
/* By this process, since it began. */
struct slo_count slo_counted(const struct slo *o);
/* What is left of the errors that the target allows: 1 all, 0 none, below 0 more than all. NAN: nothing was counted. */
double slo_budget_left(const struct slo *o, struct slo_count n);

/* ---- slo_keep.c ---- */

MUST struct err slo_keep_new(struct runtime *rt, struct slo_keep **out);
void slo_keep_start(struct slo_keep *k);
/* Before the process ends in peace: done runs once what was counted is kept, or cannot be within a second; perhaps before this returns. */
void slo_keep_last(struct slo_keep *k, void (*done)(void *arg), void *arg);
void slo_keep_free(struct slo_keep *k); /* NULL is fine; the runtime's pool is shut */

#endif
