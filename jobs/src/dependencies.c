#include <jobs/dependencies.h>

#include <base/json.h>
#include <base/limits.h>
#include <base/log.h>
#include <base/metrics.h>
#include <stdlib.h>

/* Not named: a label may not be what a producer chooses. */
#define LABEL_OTHERS "webhooks"
enum { KNOWN_MAX = 256, MOST_AT_FIRST = 1024 };

struct known {
    TAILQ_ENTRY(known) link;
    struct dependency dependency;
    char tenant[LIMIT_NAME_BYTES + 1]; /* empty: named */
    int64_t shown_us;                  /* its since_us */
    uint64_t refused_shown[REFUSED_MAX], retried_shown;
};
TAILQ_HEAD(known_list, known);

struct dependencies {
    struct known_list list; /* what was asked for last comes first */
    size_t n, most;
};

struct err dependencies_new(struct dependencies **out) {
    struct dependencies *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return err_make(ERR_NOMEM, "dependencies");
    }
    TAILQ_INIT(&t->list);
    t->most = MOST_AT_FIRST;
    *out = t;
    return OK;
}

void dependencies_free(struct dependencies *t) {
    struct known *k;
    while (t != NULL && (k = TAILQ_FIRST(&t->list)) != NULL) {
        TAILQ_REMOVE(&t->list, k, link);
        free(k);
    }
    free(t);
}

struct str dependency_origin(struct str url) {
    size_t at = 0, end = 0;
    for (size_t i = 0; i + 2 < url.n && at == 0; i++) {
        at = memcmp(url.p + i, "://", 3) == 0 ? i + 3 : 0;
    }
    for (end = at; at > 0 && end < url.n && memchr("/?#", url.p[end], 3) == NULL;) {
        end++;
    }
    return end > 0 ? str_of(url.p, end) : url;
}

static bool is_named(const struct known *k) { return k->tenant[0] == '\0'; }

static struct known *find(struct dependencies *t, struct str tenant, struct str name) {
    struct known *k;
    TAILQ_FOREACH(k, &t->list, link) {
        if (str_eq(tenant, str_c(k->tenant)) && str_eq_nocase(name, str_c(k->dependency.name))) {
            return k;
        }
    }
    return NULL;
}

/* A new one's place. NULL: none. */
static struct known *take_place(struct dependencies *t) {
    struct known *k;
    if (t->n < KNOWN_MAX) {
        k = calloc(1, sizeof *k);
        t->n += k != NULL;
        return k;
    }
    TAILQ_FOREACH_REVERSE(k, &t->list, known_list, link) {
        if (!is_named(k) && k->dependency.entered == 0 && TAILQ_EMPTY(&k->dependency.calls)) {
            TAILQ_REMOVE(&t->list, k, link);
            return k;
        }
    }
    return NULL;
}

struct dependency *dependencies_find(struct dependencies *t, struct str tenant, struct str name) {
    if (t == NULL || tenant.n > LIMIT_NAME_BYTES) {
        return NULL;
    }
    name.n = name.n < DEPENDENCY_NAME_MAX ? name.n : DEPENDENCY_NAME_MAX;
    struct known *k = find(t, tenant, name);
    if (k != NULL) {
        TAILQ_REMOVE(&t->list, k, link);
    } else {
        k = take_place(t);
        if (k == NULL) {
            return NULL;
        }
        *k = (struct known){.shown_us = 0};
        (void)str_copy_c(tenant, k->tenant, sizeof k->tenant);
        dependency_init(&k->dependency, name, t->most);
    }
    TAILQ_INSERT_HEAD(&t->list, k, link);
    return &k->dependency;
}

/* ---- what is shown ---- */

static void log_circuit(struct known *k) {
    static const char *const states[] = {[CIRCUIT_CLOSED] = "closed", [CIRCUIT_HALF_OPEN] = "half_open", [CIRCUIT_OPEN] = "open"};
    const struct dependency *d = &k->dependency;
    if (k->shown_us != d->since_us) {
        k->shown_us = d->since_us;
        log_write(d->circuit == CIRCUIT_CLOSED ? LOG_LEVEL_INFO : LOG_LEVEL_WARN, "dependency.circuit",
                  (const struct log_field[]){LF_C("dependency", d->name), LF_C("state", states[d->circuit]), LF_C("why", d->why)},
                  d->circuit == CIRCUIT_CLOSED ? 2 : 3);
    }
}

static void count_refused(struct known *k, const char *label) {
    static const char *const reasons[REFUSED_MAX] = {
        [REFUSED_CIRCUIT] = "circuit", [REFUSED_WINDOW] = "window", [REFUSED_BUDGET] = "budget"};
    const struct dependency *d = &k->dependency;
    for (size_t i = 0; i < REFUSED_MAX; i++) {
        series_add(metric_series(M_PROVIDER_REFUSED, label, reasons[i], NULL), (double)(d->refused[i] - k->refused_shown[i]));
        k->refused_shown[i] = d->refused[i];
    }
    series_add(metric_series(M_PROVIDER_RETRIES, label, NULL, NULL), (double)(d->retried - k->retried_shown));
    k->retried_shown = d->retried;
}

static void show(const char *label, enum circuit circuit, double window) {
    series_set(metric_series(M_PROVIDER_CIRCUIT, label, NULL, NULL), circuit);
    series_set(metric_series(M_PROVIDER_WINDOW, label, NULL, NULL), window);
}

void dependencies_beat(struct dependencies *t, size_t most, int64_t now_us) {
    struct known *k;
    enum circuit worst = CIRCUIT_CLOSED;
    double smallest = (double)most;
    bool others = false;
    t->most = most;
    TAILQ_FOREACH(k, &t->list, link) {
        struct dependency *d = &k->dependency;
        dependency_bound(d, most);
        dependency_look(d, now_us); /* late calls are felt even while nobody asks */
        log_circuit(k);
        count_refused(k, is_named(k) ? d->name : LABEL_OTHERS);
        if (is_named(k)) {
            show(d->name, d->circuit, d->window);
        } else {
            others = true;
            worst = d->circuit > worst ? d->circuit : worst;
            smallest = d->window < smallest ? d->window : smallest;
        }
    }
    if (others) {
        show(LABEL_OTHERS, worst, smallest);
    }
}

void dependencies_list_open(const struct dependencies *t, struct buf *out) {
    const struct known *k;
    bool others = false;
    const char *comma = "";
    TAILQ_FOREACH(k, &t->list, link) {
        bool open = k->dependency.circuit != CIRCUIT_CLOSED;
        others |= open && !is_named(k);
        if (open && is_named(k)) {
            buf_addf(out, "%s%s", comma, k->dependency.name);
            comma = ",";
        }
    }
    if (others) {
        buf_addf(out, "%s" LABEL_OTHERS, comma);
    }
}

void dependencies_list_why(const struct dependencies *t, struct buf *out) {
    const struct known *k;
    size_t n = 0;
    TAILQ_FOREACH(k, &t->list, link) {
        if (k->dependency.circuit != CIRCUIT_CLOSED && is_named(k)) {
            buf_add_char(out, n++ == 0 ? '{' : ',');
            json_add_string(out, str_c(k->dependency.name));
            buf_add_char(out, ':');
            json_add_string(out, str_c(k->dependency.why));
        }
    }
    buf_add_c(out, n > 0 ? "}" : "");
}
