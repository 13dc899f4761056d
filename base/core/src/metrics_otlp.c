#include "metrics_private.h"
#include "otlp_private.h"

#include <math.h>

struct writing {
    struct buf *out;
    enum metric metric;
    struct mono began, now;
    bool first; /* point of the metric */
};

static void add_double(struct buf *out, double v) {
    if (isnan(v)) {
        buf_add_c(out, "\"NaN\"");
    } else if (isinf(v)) {
        buf_add_c(out, v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    } else {
        metric_add_number(out, v);
    }
}

/* a="x",b="y": the values are JSON as they stand, with their quotes. */
static void add_labels(struct buf *out, struct str labels) {
    const char *end = labels.p + labels.n;
    buf_add_c(out, "\"attributes\":[");
    for (const char *at = labels.p; at < end;) {
        const char *equals = memchr(at, '=', (size_t)(end - at));
        const char *close = equals + 2;
        while (*close != '"') {
            close += *close == '\\' ? 2 : 1;
        }
        buf_addf(out, "%s{\"key\":\"%.*s\",\"value\":{\"stringValue\":%.*s}}", at > labels.p ? "," : "", (int)(equals - at), at,
                 (int)(close - equals), equals + 1);
        at = close + 2; /* the quote and the comma */
    }
    buf_add_char(out, ']');
}

static void add_exemplar(struct buf *out, const struct metric_point *p) {
    buf_addf(out, ",\"exemplars\":[{\"timeUnixNano\":\"%lld000000\",\"asDouble\":", (long long)p->exemplar_at.ms);
    add_double(out, p->exemplar_value);
    buf_add_char(out, ',');
    otlp_add_hex(out, "traceId", p->exemplar->trace_id, sizeof p->exemplar->trace_id);
    buf_add_char(out, ',');
    otlp_add_hex(out, "spanId", p->exemplar->span_id, sizeof p->exemplar->span_id);
    buf_add_c(out, "}]");
}

static void add_buckets(struct buf *out, const struct metric_point *p) {
    uint64_t above = p->count;
    buf_add_c(out, ",\"count\":");
    otlp_add_u64(out, p->count);
    buf_add_c(out, ",\"sum\":");
    add_double(out, p->value);
    buf_add_c(out, ",\"bucketCounts\":[");
    for (size_t i = 0; i < metric_bounds_n(); i++) {
        otlp_add_u64(out, p->buckets[i]);
        buf_add_char(out, ',');
        above -= p->buckets[i];
    }
    otlp_add_u64(out, above);
    buf_add_c(out, "],\"explicitBounds\":[");
    metric_bounds_text(out);
    buf_add_char(out, ']');
    if (p->exemplar != NULL && trace_is_sampled(p->exemplar)) {
        add_exemplar(out, p);
    }
}

static void add_point(void *arg, const struct metric_point *p) {
    struct writing *w = arg;
    buf_add_c(w->out, w->first ? "{" : ",{");
    w->first = false;
    add_labels(w->out, p->labels);
    otlp_add_times(w->out, (const char *[]){"startTimeUnixNano", "timeUnixNano"}, w->began, w->now);
    if (metric_families[w->metric].kind == HISTOGRAM) {
        add_buckets(w->out, p);
    } else {
        buf_add_c(w->out, ",\"asDouble\":");
        add_double(w->out, p->value);
    }
    buf_add_char(w->out, '}');
}

static void count_point(void *arg, const struct metric_point *p) {
    size_t *n = arg;
    (void)p;
    (*n)++;
}

/* penstock_job_duration_seconds → penstock.job_duration, "s". */
static void add_name(struct buf *out, const struct family *f) {
    static const struct {
        struct str suffix;
        const char *unit;
    } suffixes[] = {{STR("_total"), "1"}, {STR("_seconds"), "s"}, {STR("_bytes"), "By"}};
    struct str name = f->name;
    const char *unit = "1", *dot = memchr(name.p, '_', name.n);
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        struct str suffix = suffixes[i].suffix;
        if (name.n > suffix.n && str_eq(str_of(name.p + name.n - suffix.n, suffix.n), suffix)) {
            name.n -= suffix.n;
            unit = suffixes[i].unit;
        }
    }
    buf_addf(out, "{\"name\":\"%.*s.%.*s\",\"unit\":\"%s\",\"description\":\"%s\"", (int)(dot - name.p), name.p,
             (int)(name.n - (size_t)(dot - name.p) - 1), dot + 1, unit, f->help);
}

void otlp_add_metrics(struct buf *out, struct mono began, struct mono now) {
    static const char *const kinds[] = {[COUNTER] =
                                            ",\"sum\":{\"aggregationTemporality\":2,\"isMonotonic\":true,\"dataPoints\":[",
                                        [GAUGE] = ",\"gauge\":{\"dataPoints\":[",
                                        [HISTOGRAM] = ",\"histogram\":{\"aggregationTemporality\":2,\"dataPoints\":["};
    bool first = true;
    for (int m = 0; m < M_MAX; m++) {
        size_t n = 0;
        metric_each((enum metric)m, count_point, &n);
        if (n == 0) {
            continue;
        }
        struct writing w = {out, (enum metric)m, began, now, true};
        buf_add_c(out, first ? "" : ",");
        first = false;
        add_name(out, &metric_families[m]);
        buf_add_c(out, kinds[metric_families[m].kind]);
        metric_each((enum metric)m, add_point, &w);
        buf_add_c(out, "]}}");
    }
}
