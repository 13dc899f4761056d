#include "kind.h"

#include <base/json.h>
#include <base/metrics.h>
#include <base/schema.h>
#include <stdlib.h>

struct kinds {
    size_t n;
    struct kind kind[]; /* the first one is the unknown */
};

const char *attempt_label_name(enum attempt_label l) {
    static const char *const names[LABEL_MAX] = {
        [LABEL_DONE] = "done",         [LABEL_DEAD] = "dead",         [LABEL_CANCELLED] = "cancelled",
        [LABEL_EXPIRED] = "expired",   [LABEL_ABSORBED] = "absorbed", [LABEL_RETRY] = "retry",
        [LABEL_RELEASED] = "released", [LABEL_SNOOZED] = "snoozed",   [LABEL_LOST] = "lost",
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

static struct dependency *dependency_of(struct runtime *rt, const struct job_type *type) {
    return type->dependency != NULL ? dependencies_find(rt->dependencies, STR(""), str_c(type->dependency)) : NULL;
}

struct err kinds_new(struct runtime *rt, const char *queue, struct kinds **out) {
    const struct registry *r = rt->registry;
    const struct job_type *type;
    const struct module *module;
    size_t n = 0;
    while (registry_at(r, n, NULL) != NULL) {
        n++;
    }
    struct kinds *k = calloc(1, sizeof *k + (n + 1) * sizeof k->kind[0]);
    if (k == NULL) {
        return err_make(ERR_NOMEM, "job types");
    }
    k->kind[k->n++] = (struct kind){.name = STR("unknown"), .queue = queue};
    for (size_t i = 0; (type = registry_at(r, i, &module)) != NULL; i++) {
        k->kind[k->n++] = (struct kind){.name = str_c(type->name),
                                        .type = type,
                                        .env = runtime_module(rt, module),
                                        .dependency = dependency_of(rt, type),
                                        .queue = queue};
    }
    *out = k;
    return OK;
}

void kinds_free(struct kinds *k) {
    for (size_t i = 0; k != NULL && i < k->n; i++) {
        schema_free(k->kind[i].schema);
    }
    free(k);
}

static struct series *kept(struct series **where, enum metric m, const struct kind *k, const char *last) {
    if (*where == NULL) {
        *where = metric_series(m, k->queue, k->name.p, last);
    }
    return *where;
}

void kinds_show_zeros(struct kinds *k) {
    for (size_t i = 1; i < k->n; i++) {
        if (strcmp(k->kind[i].type->queue, k->kind[i].queue) == 0) {
            series_add(kept(&k->kind[i].finished[OUTCOME_DEAD], M_JOBS_FINISHED, &k->kind[i], job_outcome_name(OUTCOME_DEAD)), 0);
        }
    }
}

struct dependency *kinds_dependency(const struct kinds *k) {
    struct dependency *shared = NULL;
    for (size_t i = 1; i < k->n; i++) {
        if (strcmp(k->kind[i].type->queue, k->kind[i].queue) != 0) {
            continue;
        }
        if (k->kind[i].dependency == NULL || (shared != NULL && k->kind[i].dependency != shared)) {
            return NULL;
        }
        shared = k->kind[i].dependency;
    }
    return shared;
}

struct kind *kinds_find(struct kinds *k, struct str type) {
    for (size_t i = 1; i < k->n; i++) {
        if (str_eq(type, k->kind[i].name)) {
            return &k->kind[i];
        }
    }
    return &k->kind[0];
}

size_t kinds_known(const struct kinds *k, size_t first, struct queue_kind out[LIMIT_BATCH]) {
    size_t n = 0;
    for (size_t i = first + 1; i < k->n && n < LIMIT_BATCH; i++) {
        out[n++] = (struct queue_kind){k->kind[i].name, k->kind[i].type->version};
    }
    return n;
}

struct err kind_schema(struct kind *k, const struct schema **out) {
    if (k->schema == NULL) {
        json_t *document;
        TRY(json_read(str_c(k->type->schema), &document));
        struct err e = schema_compile(document, &k->schema);
        json_decref(document);
        TRY(e);
    }
    *out = k->schema;
    return OK;
}

struct err kind_check(struct kind *k, struct str payload) {
    struct schema_error error;
    const struct schema *schema;
    json_t *value;
    TRY(kind_schema(k, &schema));
    TRY(json_read(payload, &value));
    bool valid = schema_check(schema, value, &error, 1) == 0;
    json_decref(value);
    return valid ? OK : err_make(ERR_INVALID, "payload: %s %s", error.pointer, error.detail);
}

void kind_waited(struct kind *k, int64_t ms, const struct trace *t, struct wall now) {
    series_observe_traced(kept(&k->queue_wait, M_JOB_QUEUE_WAIT, k, NULL), ms > 0 ? (double)ms / 1000 : 0, t, now);
}

void kind_ran(struct kind *k, int64_t us, const struct trace *t, struct wall now) {
    series_observe_traced(kept(&k->duration, M_JOB_DURATION, k, NULL), (double)us / 1e6, t, now);
}

void kind_parked(const struct kind *k) { metric_inc(M_JOBS_PARKED, k->queue, k->name.p, NULL); }

void kind_attempt(struct kind *k, enum attempt_label l) {
    series_add(kept(&k->attempts[l], M_ATTEMPTS, k, attempt_label_name(l)), 1);
}

void kind_finished(struct kind *k, enum job_outcome o) {
    series_add(kept(&k->finished[o], M_JOBS_FINISHED, k, job_outcome_name(o)), 1);
}
