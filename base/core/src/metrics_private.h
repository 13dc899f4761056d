/* What metrics.c, metrics_render.c and metrics_otlp.c share: the families, and the series as they stand. */
#ifndef BASE_METRICS_PRIVATE_H
#define BASE_METRICS_PRIVATE_H

#include <base/metrics.h>

struct family {
    enum { COUNTER, GAUGE, HISTOGRAM } kind;
    struct str name;    /* with prefix */
    const char *labels; /* names, comma separated */
    const char *help;
};

/* What a line of a snapshot begins with that is the exemplar of the line behind it; what follows is as in OpenMetrics. */
#define EXEMPLAR_MARK "#exemplar "

extern const struct family metric_families[M_MAX];

/* One series, borrowed for the call. */
struct metric_point {
    struct str labels;            /* a="x",b="y": escapes are those of JSON */
    double value;                 /* of a histogram: the sum */
    uint64_t count;               /* HISTOGRAM */
    const uint64_t *buckets;      /* HISTOGRAM: not cumulative, one per bound; what is above the last counts in count alone */
    const struct trace *exemplar; /* of this value, seen then; NULL: there is none */
    double exemplar_value;
    struct wall exemplar_at;
};
typedef void metric_visit(void *arg, const struct metric_point *p);
void metric_each(enum metric m, metric_visit *visit, void *arg);
void metric_bounds_text(struct buf *out); /* "0.001,0.0025,…" */
size_t metric_bounds_n(void);
void metric_add_number(struct buf *out, double v);

#endif
