/* What became of a queue in the last minutes, in memory: rates, and one point every 5 s. Pure arithmetic over what the sampler reads. */
#ifndef API_TREND_H
#define API_TREND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TREND_POINTS = 120, TREND_STEP_S = 5 };

struct trend_point {
    float age_s, backlog, in_per_s, out_per_s; /* age_s NaN: nothing is known of that time */
};

struct trend {
    double in_per_s, out_per_s, dead_per_s; /* averages that follow in some seconds */
    int64_t in, out;                        /* since the last point */
    double seconds;
    struct trend_point points[TREND_POINTS]; /* a ring */
    size_t n;                                /* points that were ever made */
};

/* What came, ended and died within so many seconds. */
void trend_add(struct trend *t, double seconds, int64_t in, int64_t out, int64_t dead);
void trend_mark(struct trend *t, double age_s, double backlog); /* every TREND_STEP_S */
/* The last of them, the oldest first; n at most TREND_POINTS. */
const struct trend_point *trend_at(const struct trend *t, size_t i);
size_t trend_count(const struct trend *t);

#endif
