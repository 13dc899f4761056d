/* The metric registry of this process: families fixed by metrics.def, series made on first use and kept. One thread.
 * A series pointer stays valid for the life of the process, so hot paths look it up once. */
#ifndef BASE_METRICS_H
#define BASE_METRICS_H

#include <base/buf.h>
#include <base/clock.h>
#include <base/trace.h>

enum metric {
#define M(id, kind, name, labels, help) M_##id,
#include <base/metrics.def>
#undef M
    M_MAX
};

struct series;

enum { METRIC_SERIES_MAX = 512 }; /* per family, beside "other" */

/* Label values in the order of the family's label names; unused ones NULL. Never NULL: past METRIC_SERIES_MAX series of a
 * family, and when out of memory, it is a series whose label values are all "other" (or one that is not shown). Values are
 * cut at 100 characters; what is not printable ASCII becomes '_'. */
struct series *metric_series(enum metric m, const char *v1, const char *v2, const char *v3);
void series_add(struct series *s, double v);     /* counter */
void series_set(struct series *s, double v);     /* gauge */
void series_observe(struct series *s, double v); /* histogram, seconds */
/* The same, of something that a trace leads to. The slowest of a minute is the series' exemplar, which OpenMetrics shows. */
void series_observe_traced(struct series *s, double v, const struct trace *t, struct wall now);

static inline void metric_inc(enum metric m, const char *v1, const char *v2, const char *v3) {
    series_add(metric_series(m, v1, v2, v3), 1);
}

/* What this process has counted in those series of a family whose labels hold the text with (queue="orders") and not the text without
 * (NULL: either way); of a histogram only what took at most le seconds, which is a bound of the buckets or INFINITY: else NAN. */
double metric_total(enum metric m, const char *with, const char *without, double le);

/* This process's series as text, in the order of metrics.def, without HELP and TYPE: what a heartbeat carries. A bucket's
 * exemplar is a line of its own in front of it, "#exemplar …", which earlier versions skip. */
void metrics_snapshot(struct buf *out);

struct metrics_part {
    const char *process; /* value of the label "process", distinct among the parts */
    struct str snapshot; /* by metrics_snapshot, of this or another version */
};

/* Prometheus text 0.0.4 (or OpenMetrics 1.0, with exemplars and "# EOF") over the snapshots of several processes. Families that this
 * version does not know are left out, and so are lines that are not well formed: snapshots come through Redis. */
void metrics_render(struct buf *out, const struct metrics_part *parts, size_t n, bool openmetrics);

#endif
