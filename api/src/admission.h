/* Admission by measured pressure (Little's law): whether a queue takes more, for how long not, and when a new job would start. Pure
 * arithmetic; the sampler brings the figures. */
#ifndef API_ADMISSION_H
#define API_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

enum shed { SHED_NOTHING, SHED_DRAIN_TIME, SHED_DEPTH, SHED_OPEN, SHED_MAX };
const char *shed_name(enum shed s); /* "none", "drain_time", "depth", "open" */

/* What is known of a queue at a moment. */
struct pressure {
    int64_t waiting; /* ready to run, and what came since the reading */
    int64_t depth;   /* waiting, running, delayed, parked in Redis */
    int64_t open;    /* that, and journal rows that Redis has not seen */
    double rate;     /* jobs per second that the workers can end */
    bool paused;     /* then only depth and open count */
};
struct pressure_limits {
    int64_t max_depth, max_open;
    int64_t max_drain_s; /* 0: none */
};

double admission_drain_s(const struct pressure *p);

/* before: what it was until now. Drain time ends below 0.6 of its limit only, so that the door does not flap. */
enum shed admission_judge(const struct pressure *p, const struct pressure_limits *limits, enum shed before);

/* Until the cause is expected to be gone, spread by random01 so that clients do not come back together; 1 to 300. */
int64_t admission_retry_after_s(const struct pressure *p, const struct pressure_limits *limits, enum shed why, double random01);

/* The capacity of a queue's workers, from what they ended. While jobs wait all the time, what they end is what they can; when
 * nothing waits it only shows that they can do at least that. */
struct capacity {
    double per_s;
};
void capacity_start(struct capacity *c, int64_t slots); /* before anything was seen: one process, a second each */
void capacity_add(struct capacity *c, int64_t ended, double seconds, bool busy);

#endif
