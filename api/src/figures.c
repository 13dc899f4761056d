#include "figures.h"

#include <base/json.h>
#include <jobs/runtime.h>
#include <math.h>
#include <stdlib.h>

enum { NUMBER_BYTES = 40 };

static bool read_number(struct str s, double *out) {
    char text[NUMBER_BYTES], *end;
    if (!str_copy_c(s, text, sizeof text) || text[0] == '\0') {
        return false;
    }
    *out = strtod(text, &end);
    return *end == '\0' && !isnan(*out);
}

/* Of {a="x",b="y"}. */
static struct str label(struct str labels, const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i + n + 2 < labels.n; i++) {
        bool begins = i == 0 || labels.p[i - 1] == ',';
        if (begins && memcmp(labels.p + i, name, n) == 0 && labels.p[i + n] == '=' && labels.p[i + n + 1] == '"') {
            struct str rest = str_of(labels.p + i + n + 2, labels.n - i - n - 2), value;
            return str_cut(&rest, '"', &value) ? value : STR_NONE;
        }
    }
    return STR_NONE;
}

static struct queue_figures *queue_of(struct figures *f, const struct queue_table *t, struct str labels) {
    struct str name = label(labels, "queue");
    for (size_t i = 0; i < queue_table_count(t) && i < LIMIT_QUEUES; i++) {
        if (str_is(name, queue_table_at(t, i)->name)) {
            return &f->queues[i];
        }
    }
    return NULL;
}

static void add_bucket(struct spread *s, struct str labels, double n) {
    struct str le = label(labels, "le");
    double bound = INFINITY;
    if (!str_is(le, "+Inf") && !read_number(le, &bound)) {
        return;
    }
    unsigned i = 0;
    while (i < s->n && s->bound[i] < bound) {
        i++;
    }
    if (i == s->n) { /* they come in order, and every process has the same */
        if (s->n == FIGURES_BUCKETS) {
            return;
        }
        s->bound[s->n++] = bound;
    }
    if (s->bound[i] == bound) {
        s->below[i] += n;
    }
}

static void add_attempts(struct queue_figures *q, struct str outcome, double n) {
    q->attempts += n;
    q->retries += str_is(outcome, "retry") ? n : 0;
    q->dead += str_is(outcome, "dead") ? n : 0;
}

static struct dependency_figures *dependency_of(struct figures *f, struct str name) {
    for (unsigned i = 0; i < f->dependencies_n; i++) {
        if (str_is(name, f->dependencies[i].name)) {
            return &f->dependencies[i];
        }
    }
    if (f->dependencies_n == FIGURES_DEPENDENCIES || name.n == 0) {
        return NULL;
    }
    struct dependency_figures *d = &f->dependencies[f->dependencies_n];
    if (!str_copy_c(name, d->name, sizeof d->name)) {
        return NULL;
    }
    f->dependencies_n++;
    return d;
}

static void add_dependency(struct figures *f, struct str name, struct str labels, double v) {
    struct dependency_figures *d = dependency_of(f, label(labels, "provider"));
    if (d == NULL) {
        return;
    }
    if (str_is(name, "penstock_provider_window")) {
        d->window += v;
    } else if ((int)v > d->circuit) {
        d->circuit = (int)v;
    }
}

static void add_line(struct figures *f, const struct queue_table *t, struct str name, struct str labels, double v) {
    if (str_is(name, "penstock_provider_window") || str_is(name, "penstock_provider_circuit_state")) {
        add_dependency(f, name, labels, v);
        return;
    }
    struct queue_figures *q = queue_of(f, t, labels);
    if (q == NULL) {
        return;
    }
    if (str_is(name, "penstock_attempts_total")) {
        add_attempts(q, label(labels, "outcome"), v);
    } else if (str_is(name, "penstock_job_queue_wait_seconds_bucket")) {
        add_bucket(&q->wait, labels, v);
    } else if (str_is(name, "penstock_job_duration_seconds_bucket")) {
        add_bucket(&q->run, labels, v);
    }
}

static bool is_wanted(struct str line) {
    return str_starts(line, STR("penstock_attempts_total{")) ||
           str_starts(line, STR("penstock_job_queue_wait_seconds_bucket{")) ||
           str_starts(line, STR("penstock_job_duration_seconds_bucket{")) || str_starts(line, STR("penstock_provider_"));
}

void figures_add(struct figures *f, const struct queue_table *t, struct str snapshot) {
    struct str line, name, labels;
    double v;
    while (str_cut(&snapshot, '\n', &line)) {
        if (is_wanted(line) && str_cut(&line, '{', &name) && str_cut(&line, '}', &labels) && read_number(str_trim(line), &v)) {
            add_line(f, t, name, labels, v);
        }
    }
}

void figures_add_why(struct figures *f, const json_t *why) {
    for (unsigned i = 0; i < f->dependencies_n; i++) {
        struct dependency_figures *d = &f->dependencies[i];
        struct str text = json_opt_str(why, d->name, STR_NONE);
        if (text.p != NULL && d->why[0] == '\0') {
            (void)str_copy_c(text, d->why, sizeof d->why);
        }
    }
}

double spread_quantile(const struct spread *s, double p) {
    double all = s->n > 0 ? s->below[s->n - 1] : 0, wanted = all * p;
    if (all <= 0) {
        return -1;
    }
    unsigned i = 0;
    while (i + 1 < s->n && s->below[i] < wanted) {
        i++;
    }
    double from = i > 0 ? s->bound[i - 1] : 0, before = i > 0 ? s->below[i - 1] : 0;
    if (isinf(s->bound[i])) {
        return from;
    }
    double in = s->below[i] - before;
    return from + (in > 0 ? (s->bound[i] - from) * (wanted - before) / in : 0);
}
