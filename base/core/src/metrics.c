/* The registry and this process's snapshot. A series is found by the text of its labels, which is also what is printed. */
#include "metrics_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(series) ((series)->hashed = false)
#include <uthash.h>

const struct family metric_families[M_MAX] = {
#define M(id, kind_, name_, labels_, help_) [M_##id] = {kind_, STR("penstock_" name_), labels_, help_},
#include <base/metrics.def>
#undef M
};

/* Upper bounds of the buckets in seconds, as they are printed; the last bucket, +Inf, is the count. The texts are the same in
 * both formats, or a change of format would make new series. */
static const struct {
    double le;
    const char *text;
} bounds[] = {
    {0.001, "0.001"}, {0.0025, "0.0025"}, {0.005, "0.005"}, {0.01, "0.01"}, {0.025, "0.025"}, {0.05, "0.05"},
    {0.1, "0.1"},     {0.25, "0.25"},     {0.5, "0.5"},     {1, "1.0"},     {2.5, "2.5"},     {5, "5.0"},
    {10, "10.0"},     {30, "30.0"},       {60, "60.0"},     {300, "300.0"}, {600, "600.0"},
};

enum { BOUNDS = sizeof bounds / sizeof bounds[0], LABELS_MAX = 3, VALUE_MAX = 100, LABELS_BYTES = 1024, EXEMPLAR_MS = 60000 };

struct series {
    UT_hash_handle hh;
    bool hashed;
    double value; /* of a histogram: the sum */
    uint64_t count;
    uint64_t buckets[BOUNDS]; /* not cumulative */
    struct {
        double value;
        struct wall at; /* 0: there is none */
        struct trace trace;
    } exemplar;
    size_t labels_n;
    char labels[]; /* a="x",b="y" */
};

static struct series *registry[M_MAX]; /* uthash tables, in the order in which the series came */
static struct series nowhere;          /* takes what cannot be kept */

/* A bounded value is at most doubled by its escapes, and a name is short: LABELS_BYTES holds three of them. */
static size_t add_value(char *to, const char *v) {
    size_t n = 0;
    to[n++] = '"';
    for (size_t i = 0; v[i] != '\0' && i < VALUE_MAX; i++) {
        if (v[i] == '"' || v[i] == '\\') {
            to[n++] = '\\';
        }
        to[n++] = v[i] >= ' ' && v[i] <= '~' ? v[i] : '_';
    }
    to[n++] = '"';
    return n;
}

static size_t labels_text(enum metric m, const char *const values[LABELS_MAX], char to[LABELS_BYTES]) {
    struct str names = str_c(metric_families[m].labels);
    struct str name;
    size_t n = 0;
    for (int i = 0; i < LABELS_MAX && str_cut(&names, ',', &name); i++) {
        if (i > 0) {
            to[n++] = ',';
        }
        memcpy(to + n, name.p, name.n);
        n += name.n;
        to[n++] = '=';
        n += add_value(to + n, values[i] != NULL ? values[i] : "");
    }
    return n;
}

static struct series *find(enum metric m, const char *labels, size_t n) {
    struct series *s;
    HASH_FIND(hh, registry[m], labels, n, s);
    return s;
}

static struct series *add(enum metric m, const char *labels, size_t n) {
    struct series *s = calloc(1, sizeof *s + n);
    if (s == NULL) {
        return NULL;
    }
    s->hashed = true;
    s->labels_n = n;
    memcpy(s->labels, labels, n);
    HASH_ADD_KEYPTR(hh, registry[m], s->labels, s->labels_n, s);
    if (!s->hashed) {
        free(s);
        return NULL;
    }
    return s;
}

static struct series *other(enum metric m) {
    static const char *const values[LABELS_MAX] = {"other", "other", "other"};
    char labels[LABELS_BYTES];
    size_t n = labels_text(m, values, labels);
    struct series *s = find(m, labels, n);
    s = s != NULL ? s : add(m, labels, n);
    return s != NULL ? s : &nowhere;
}

/* The series that was asked for last, by what it was asked for: most of the time the next one is the same. */
enum { ASKED_BYTES = 48 };
static struct {
    struct series *s;
    char values[LABELS_MAX][ASKED_BYTES];
} asked[M_MAX];

static bool was_asked(enum metric m, const char *const values[LABELS_MAX]) {
    bool same = asked[m].s != NULL;
    for (int i = 0; i < LABELS_MAX && same; i++) {
        same = strcmp(asked[m].values[i], values[i] != NULL ? values[i] : "") == 0;
    }
    return same;
}

static void note_asked(enum metric m, const char *const values[LABELS_MAX], struct series *s) {
    asked[m].s = s;
    for (int i = 0; i < LABELS_MAX; i++) {
        if (!str_copy_c(str_c(values[i] != NULL ? values[i] : ""), asked[m].values[i], ASKED_BYTES)) {
            asked[m].s = NULL;
        }
    }
}

struct series *metric_series(enum metric m, const char *v1, const char *v2, const char *v3) {
    const char *const values[LABELS_MAX] = {v1, v2, v3};
    if (was_asked(m, values)) {
        return asked[m].s;
    }
    char labels[LABELS_BYTES];
    size_t n = labels_text(m, values, labels);
    struct series *s = find(m, labels, n);
    if (s == NULL && HASH_COUNT(registry[m]) < METRIC_SERIES_MAX) {
        s = add(m, labels, n);
    }
    if (s == NULL) {
        return other(m);
    }
    note_asked(m, values, s);
    return s;
}

void series_add(struct series *s, double v) { s->value += v; }
void series_set(struct series *s, double v) { s->value = v; }

/* BOUNDS: +Inf. */
static size_t bucket_of(double v) {
    size_t i = 0;
    while (i < BOUNDS && v > bounds[i].le) {
        i++;
    }
    return i;
}

void series_observe(struct series *s, double v) {
    size_t i = bucket_of(v);
    s->value += v;
    s->count++;
    if (i < BOUNDS) {
        s->buckets[i]++;
    }
}

void series_observe_traced(struct series *s, double v, const struct trace *t, struct wall now) {
    series_observe(s, v);
    if (v >= s->exemplar.value || now.ms - s->exemplar.at.ms > EXEMPLAR_MS) {
        s->exemplar.value = v;
        s->exemplar.at = now;
        s->exemplar.trace = *t;
    }
}

/* Of a histogram: what took at most as long as the bounds-th bucket's bound; BOUNDS: all. */
static double counted(enum metric m, const struct series *s, size_t bound) {
    if (metric_families[m].kind != HISTOGRAM) {
        return s->value;
    }
    uint64_t n = bound == BOUNDS ? s->count : 0;
    for (size_t i = 0; i <= bound && bound < BOUNDS; i++) {
        n += s->buckets[i];
    }
    return (double)n;
}

static bool has_text(const struct series *s, const char *text) {
    return memmem(s->labels, s->labels_n, text, strlen(text)) != NULL;
}

double metric_total(enum metric m, const char *with, const char *without, double le) {
    double sum = 0;
    size_t bound = bucket_of(le);
    if (bound < BOUNDS ? bounds[bound].le > le : isfinite(le)) {
        return NAN;
    }
    for (const struct series *s = registry[m]; s != NULL; s = s->hh.next) {
        if ((with == NULL || has_text(s, with)) && (without == NULL || !has_text(s, without))) {
            sum += counted(m, s, bound);
        }
    }
    return sum;
}

void metric_add_number(struct buf *out, double v) {
    char text[32];
    if (isnan(v)) {
        buf_add_c(out, "NaN");
    } else if (isinf(v)) {
        buf_add_c(out, v > 0 ? "+Inf" : "-Inf");
    } else {
        (void)snprintf(text, sizeof text, "%.15g", v);
        if (strtod(text, NULL) != v) { /* 15 digits do not bring it back */
            (void)snprintf(text, sizeof text, "%.17g", v);
        }
        buf_add_c(out, text);
    }
}

static void add_plain(struct buf *out, const struct family *f, const struct series *s) {
    buf_add(out, f->name);
    if (s->labels_n > 0) {
        buf_addf(out, "{%.*s}", (int)s->labels_n, s->labels);
    }
    buf_add_char(out, ' ');
    metric_add_number(out, s->value);
    buf_add_char(out, '\n');
}

static void add_exemplar(struct buf *out, const struct series *s) {
    char id[TRACE_ID_HEX_BYTES];
    trace_id_text(&s->exemplar.trace, id);
    buf_addf(out, EXEMPLAR_MARK "{trace_id=\"%s\"} ", id);
    metric_add_number(out, s->exemplar.value);
    buf_addf(out, " %lld.%03lld\n", (long long)(s->exemplar.at.ms / 1000), (long long)(s->exemplar.at.ms % 1000));
}

static void add_bucket(struct buf *out, const struct family *f, const struct series *s, size_t i, uint64_t count) {
    const char *le = i < BOUNDS ? bounds[i].text : "+Inf";
    if (s->exemplar.at.ms != 0 && bucket_of(s->exemplar.value) == i) {
        add_exemplar(out, s);
    }
    buf_addf(out, "%.*s_bucket{%.*s%sle=\"%s\"} %llu\n", STR_ARG(f->name), (int)s->labels_n, s->labels,
             s->labels_n > 0 ? "," : "", le, (unsigned long long)count);
}

static void add_histogram(struct buf *out, const struct family *f, const struct series *s) {
    const char *open = s->labels_n > 0 ? "{" : "";
    const char *close = s->labels_n > 0 ? "}" : "";
    uint64_t below = 0;
    for (size_t i = 0; i < BOUNDS; i++) {
        below += s->buckets[i];
        add_bucket(out, f, s, i, below);
    }
    add_bucket(out, f, s, BOUNDS, s->count);
    buf_addf(out, "%.*s_sum%s%.*s%s ", STR_ARG(f->name), open, (int)s->labels_n, s->labels, close);
    metric_add_number(out, s->value);
    buf_addf(out, "\n%.*s_count%s%.*s%s %llu\n", STR_ARG(f->name), open, (int)s->labels_n, s->labels, close,
             (unsigned long long)s->count);
}

void metrics_snapshot(struct buf *out) {
    for (int m = 0; m < M_MAX; m++) {
        const struct family *f = &metric_families[m];
        for (const struct series *s = registry[m]; s != NULL; s = s->hh.next) {
            if (f->kind == HISTOGRAM) {
                add_histogram(out, f, s);
            } else {
                add_plain(out, f, s);
            }
        }
    }
}

void metric_each(enum metric m, metric_visit *visit, void *arg) {
    for (const struct series *s = registry[m]; s != NULL; s = s->hh.next) {
        struct metric_point p = {str_of(s->labels, s->labels_n), s->value, s->count, s->buckets,
                                 .exemplar_value = s->exemplar.value};
        if (s->exemplar.at.ms != 0) {
            p.exemplar = &s->exemplar.trace;
            p.exemplar_at = s->exemplar.at;
        }
        visit(arg, &p);
    }
}

size_t metric_bounds_n(void) { return BOUNDS; }

void metric_bounds_text(struct buf *out) {
    for (size_t i = 0; i < BOUNDS; i++) {
        buf_add_c(out, i > 0 ? "," : "");
        buf_add_c(out, bounds[i].text);
    }
}
