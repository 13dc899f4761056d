#include "trend.h"

#include <math.h>

static const double FOLLOWS_S = 5;

static void follow(double *rate, double seconds, int64_t n) {
    double seen = n > 0 ? (double)n / seconds : 0;
    *rate += (1 - exp(-seconds / FOLLOWS_S)) * (seen - *rate);
}

void trend_add(struct trend *t, double seconds, int64_t in, int64_t out, int64_t dead) {
    if (seconds <= 0) {
        return;
    }
    follow(&t->in_per_s, seconds, in);
    follow(&t->out_per_s, seconds, out);
    follow(&t->dead_per_s, seconds, dead);
    t->in += in > 0 ? in : 0; /* an epoch began anew: its counters, too */
    t->out += out > 0 ? out : 0;
    t->seconds += seconds;
}

void trend_mark(struct trend *t, double age_s, double backlog) {
    struct trend_point *p = &t->points[t->n++ % TREND_POINTS];
    bool known = t->seconds > 0;
    *p = (struct trend_point){
        .age_s = known ? (float)age_s : NAN,
        .backlog = (float)backlog,
        .in_per_s = known ? (float)((double)t->in / t->seconds) : 0,
        .out_per_s = known ? (float)((double)t->out / t->seconds) : 0,
    };
    t->in = t->out = 0;
    t->seconds = 0;
}

size_t trend_count(const struct trend *t) { return t->n < TREND_POINTS ? t->n : TREND_POINTS; }

const struct trend_point *trend_at(const struct trend *t, size_t i) {
    return &t->points[(t->n - trend_count(t) + i) % TREND_POINTS];
}
