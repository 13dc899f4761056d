#include <jobs/slo.h>

#include <base/metrics.h>
#include <math.h>
#include <stdio.h>

const struct slo slos[SLOS] = {
#define START(queue, within, target) {#queue "-start", SLO_START, #queue, within, (target) / 100.0},
#define COMPLETION(queue, target) {#queue "-completion", SLO_COMPLETION, #queue, 0, (target) / 100.0},
#define AVAILABILITY(class, target) {#class "-availability", SLO_AVAILABILITY, #class, 0, (target) / 100.0},
#define LATENCY(class, within, target) {#class "-latency", SLO_LATENCY, #class, within, (target) / 100.0},
#define BURN_FLOOR(events)
#include <slo.def>
#undef BURN_FLOOR
#undef START
#undef COMPLETION
#undef AVAILABILITY
#undef LATENCY
};

/* Where each kind is counted: the label of which `of` is the value, the family, and the text in the labels of what is left out, because it
 * is not good, or is none of these events. ops/lib/penstock_ops/slo.py says the same to Prometheus. */
static const struct {
    const char *name, *label;
    enum metric metric;
    const char *bad, *other;
} kinds[SLO_KINDS] = {
    [SLO_START] = {"start", "queue", M_JOB_QUEUE_WAIT, NULL, NULL},
    [SLO_COMPLETION] = {"completion", "queue", M_JOBS_FINISHED, "outcome=\"dead\"", NULL},
    [SLO_AVAILABILITY] = {"availability", "class", M_HTTP_DURATION, "code=\"5", NULL},
    [SLO_LATENCY] = {"latency", "class", M_HTTP_DURATION, NULL, "code=\"5"},
};

const char *slo_kind_name(enum slo_kind k) { return kinds[k].name; }

struct slo_count slo_counted(const struct slo *o) {
    enum metric m = kinds[o->kind].metric;
    const char *bad = kinds[o->kind].bad, *other = kinds[o->kind].other;
    char with[100];
    (void)snprintf(with, sizeof with, "%s=\"%s\"", kinds[o->kind].label, o->of);
    double le = o->within_s > 0 ? o->within_s : INFINITY;
    return (struct slo_count){
        .good = (int64_t)metric_total(m, with, bad != NULL ? bad : other, le),
        .total = (int64_t)metric_total(m, with, other, INFINITY),
    };
}

double slo_budget_left(const struct slo *o, struct slo_count n) {
    return n.total > 0 ? 1 - (double)(n.total - n.good) / ((double)n.total * (1 - o->target)) : (double)NAN;
}
