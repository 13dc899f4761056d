/* What the dashboard needs of the workers' metrics, summed over the processes that are alive: they come with the heartbeats. */
#ifndef API_FIGURES_H
#define API_FIGURES_H

#include <base/limits.h>
#include <base/str.h>
#include <jansson.h>

struct queue_table;

enum { FIGURES_BUCKETS = 18, FIGURES_DEPENDENCIES = 32, FIGURES_WHY_BYTES = 128 };

/* Of a histogram: how many were at most so many seconds; the last bound is infinite. */
struct spread {
    double below[FIGURES_BUCKETS];
    double bound[FIGURES_BUCKETS];
    unsigned n; /* bounds known */
};

struct queue_figures {
    double attempts, retries, dead;
    struct spread wait, run;
};

enum { CIRCUIT_SHOWN_CLOSED, CIRCUIT_SHOWN_HALF_OPEN, CIRCUIT_SHOWN_OPEN };
struct dependency_figures {
    char name[LIMIT_NAME_BYTES + 1];
    int circuit;                 /* the worst of any process */
    char why[FIGURES_WHY_BYTES]; /* what the last failed call to it came to, where its circuit is not closed; else "" */
    double window;               /* of all together */
};

struct figures {
    struct queue_figures queues[LIMIT_QUEUES]; /* by the queue's place in the table */
    struct dependency_figures dependencies[FIGURES_DEPENDENCIES];
    unsigned dependencies_n;
};

/* One process's (metrics_snapshot). Lines that are not as expected are passed over. */
void figures_add(struct figures *f, const struct queue_table *t, struct str snapshot);
/* Why it calls some servers no more: circuit_why of its heartbeat, or NULL. After its metrics. */
void figures_add_why(struct figures *f, const json_t *why);

/* The p-th part of what was observed took at most so many seconds, by interpolation within its bucket; -1: nothing was observed. */
double spread_quantile(const struct spread *s, double p);

#endif
