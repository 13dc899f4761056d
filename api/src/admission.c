#include "admission.h"

#include <math.h>

#define HYSTERESIS 0.6
enum { RETRY_AFTER_MAX_S = 300, TAU_S = 10 };
static const double RATE_MIN = 0.01; /* keeps drain times finite when nothing ends at all */

static const char *const names[SHED_MAX] = {
    [SHED_NOTHING] = "none",
    [SHED_DRAIN_TIME] = "drain_time",
    [SHED_DEPTH] = "depth",
    [SHED_OPEN] = "open",
};

const char *shed_name(enum shed s) { return names[s]; }

double admission_drain_s(const struct pressure *p) { return (double)p->waiting / fmax(p->rate, RATE_MIN); }

enum shed admission_judge(const struct pressure *p, const struct pressure_limits *limits, enum shed before) {
    if (p->open >= limits->max_open) {
        return SHED_OPEN;
    }
    if (p->depth >= limits->max_depth) {
        return SHED_DEPTH;
    }
    if (p->paused || limits->max_drain_s == 0) {
        return SHED_NOTHING;
    }
    double limit = (double)limits->max_drain_s * (before == SHED_DRAIN_TIME ? HYSTERESIS : 1);
    return admission_drain_s(p) > limit ? SHED_DRAIN_TIME : SHED_NOTHING;
}

int64_t admission_retry_after_s(const struct pressure *p, const struct pressure_limits *limits, enum shed why, double random01) {
    double over = 0;
    switch (why) {
    case SHED_DRAIN_TIME:
        over = admission_drain_s(p) - HYSTERESIS * (double)limits->max_drain_s;
        break;
    case SHED_DEPTH:
        over = (double)(p->depth - limits->max_depth + 1) / fmax(p->rate, RATE_MIN);
        break;
    case SHED_OPEN:
        over = (double)(p->open - limits->max_open + 1) / fmax(p->rate, RATE_MIN);
        break;
    case SHED_NOTHING:
    case SHED_MAX:
    default:
        break;
    }
    double s = ceil(over * (1 + random01 / 2));
    return s < 1 ? 1 : s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : (int64_t)s;
}

void capacity_start(struct capacity *c, int64_t slots) { c->per_s = (double)(slots > 0 ? slots : 1); }

void capacity_add(struct capacity *c, int64_t ended, double seconds, bool busy) {
    if (seconds <= 0 || ended < 0) {
        return; /* counters that began anew */
    }
    double seen = (double)ended / seconds;
    if (busy || seen > c->per_s) {
        c->per_s += (seen - c->per_s) * (1 - exp(-seconds / TAU_S));
    }
}
