#include "kind.h"

#include <base/metrics.h>
#include <stdlib.h>

struct kinds {
    size_t n;
    struct kind kind[]; /* the first one is the unknown */
};

const char *attempt_label_name(enum attempt_label l) {
    static const char *const names[LABEL_MAX] = {
        [LABEL_DONE] = "done",         [LABEL_DEAD] = "dead",   [LABEL_CANCELLED] = "cancelled", [LABEL_EXPIRED] = "expired",
        [LABEL_ABSORBED] = "absorbed", [LABEL_RETRY] = "retry", [LABEL_RELEASED] = "released",   [LABEL_LOST] = "lost",
    };
    return names[l];
}

enum attempt_label attempt_label_of(enum job_outcome o) {
    static const enum attempt_label labels[OUTCOME_MAX] = {
        [OUTCOME_DONE] = LABEL_DONE,
        [OUTCOME_DEAD] = LABEL_DEAD,
        [OUTCOME_CANCELLED] = LABEL_CANCELLED,
        [OUTCOME_EXPIRED] = LABEL_EXPIRED,
    };
    return labels[o];
}

struct err kinds_new(struct runtime *rt, const char *queue, struct kinds **out) {
    const struct registry *r = rt->registry;
    size_t n = 1;
    for (size_t m = 0; m < r->modules_n; m++) {
        n += r->modules[m]->types_n;
    }
    struct kinds *k = calloc(1, sizeof *k + n * sizeof k->kind[0]);
    if (k == NULL) {
        return err_make(ERR_NOMEM, "job types");
    }
    k->kind[k->n++] = (struct kind){.name = STR("unknown"), .queue = queue};
    for (size_t m = 0; m < r->modules_n; m++) {
        for (size_t t = 0; t < r->modules[m]->types_n; t++) {
            const struct job_type *type = &r->modules[m]->types[t];
            k->kind[k->n++] =
                (struct kind){.name = str_c(type->name), .type = type, .env = runtime_module(rt, r->modules[m]), .queue = queue};
        }
    }
    *out = k;
    return OK;
}

void kinds_free(struct kinds *k) { free(k); }

struct kind *kinds_find(struct kinds *k, struct str type) {
    for (size_t i = 1; i < k->n; i++) {
        if (str_eq(type, k->kind[i].name)) {
            return &k->kind[i];
        }
    }
    return &k->kind[0];
}

static struct series *kept(struct series **where, enum metric m, const struct kind *k, const char *last) {
    if (*where == NULL) {
        *where = metric_series(m, k->queue, k->name.p, last);
    }
    return *where;
}

void kind_waited(struct kind *k, int64_t ms) {
    series_observe(kept(&k->queue_wait, M_JOB_QUEUE_WAIT, k, NULL), (double)ms / 1000);
}

void kind_ran(struct kind *k, int64_t us) { series_observe(kept(&k->duration, M_JOB_DURATION, k, NULL), (double)us / 1e6); }

void kind_attempt(struct kind *k, enum attempt_label l) {
    series_add(kept(&k->attempts[l], M_ATTEMPTS, k, attempt_label_name(l)), 1);
}

void kind_finished(struct kind *k, enum job_outcome o) {
    series_add(kept(&k->finished[o], M_JOBS_FINISHED, k, job_outcome_name(o)), 1);
}
