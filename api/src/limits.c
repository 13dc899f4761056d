#include "limits.h"

#include <base/log.h>
#include <base/metrics.h>
#include <io/timer.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bucket.h"
#include "server.h"

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(row) ((row)->hashed = false)
#include <uthash.h>

enum { LOAD_MS = 1000, NAME_BYTES = 96, KIND_BYTES = 16, FIELD_BYTES = 192, ASKED_MAX = 3 };

struct limit {
    bool hashed, there;    /* there: in the last reading */
    char name[NAME_BYTES]; /* "tenant:acme" */
    char kind[KIND_BYTES]; /* "tenant" */
    double per_s;          /* of all API processes */
    struct bucket bucket;  /* this one's share */
    UT_hash_handle hh;
};

struct limits {
    struct api *api;
    struct timer *timer;
    struct limit *rows;
    bool loading;
};

/* Whether this process is one of those that divide a rate matters only while there is one. */
static const struct pg_stmt load_stmt = {
    "api.limits",
    "WITH me AS (INSERT INTO platform.api_process (name, seen_at) SELECT $1, now() WHERE EXISTS (SELECT FROM platform.throttle WHERE per_s > 0) "
    "ON CONFLICT (name) DO UPDATE SET seen_at = excluded.seen_at) "
    "SELECT t.kind || ':' || t.name, t.kind, (t.per_s * 1000)::bigint, t.burst, "
    "(SELECT count(*) FROM platform.api_process WHERE name <> $1 AND seen_at > now() - interval '5 s') + 1 "
    "FROM platform.throttle t WHERE t.per_s > 0 LIMIT 1000",
    1,
};

/* ---- reading ---- */

static struct limit *find(const struct limits *l, struct str name) {
    struct limit *row = NULL;
    HASH_FIND(hh, l->rows, name.p, name.n, row);
    return row;
}

static struct limit *add(struct limits *l, struct str name) {
    struct limit *row = calloc(1, sizeof *row);
    if (row == NULL || !str_copy_c(name, row->name, sizeof row->name)) {
        free(row);
        return NULL;
    }
    row->hashed = true;
    HASH_ADD_KEYPTR(hh, l->rows, row->name, name.n, row);
    if (!row->hashed) {
        free(row);
        return NULL;
    }
    return row;
}

static void take_row(struct limits *l, const PGresult *res, int row) {
    struct str name = pg_col(res, row, 0);
    struct limit *limit = find(l, name);
    if (limit == NULL && (limit = add(l, name)) == NULL) {
        return; /* no memory: the next second */
    }
    double n = (double)pg_col_int(res, row, 4);
    limit->there = true;
    (void)str_copy_c(pg_col(res, row, 1), limit->kind, sizeof limit->kind);
    limit->per_s = (double)pg_col_int(res, row, 2) / 1000;
    bucket_set(&limit->bucket, limit->per_s / n, fmax(1, (double)pg_col_int(res, row, 3) / n), loop_now(l->api->rt->loop).us);
}

static void drop_others(struct limits *l) {
    struct limit *row, *next;
    HASH_ITER(hh, l->rows, row, next) {
        if (!row->there) {
            HASH_DEL(l->rows, row);
            free(row);
        } else {
            row->there = false;
        }
    }
}

static void on_loaded(void *arg, struct err err, const PGresult *res) {
    struct limits *l = arg;
    l->loading = false;
    if (err_is_set(err)) {
        return; /* what was known stays */
    }
    for (int row = 0; row < PQntuples(res); row++) {
        take_row(l, res, row);
    }
    drop_others(l);
}

static void on_tick(void *arg) {
    struct limits *l = arg;
    if (!l->loading) {
        const struct pg_value values[] = {pg_text(str_c(l->api->rt->process))};
        l->loading = true;
        pg_exec(l->api->rt->platform, &load_stmt, values, 0, 0, on_loaded, l);
    }
}

/* ---- asking ---- */

/* RateLimit: "tenant";r=3;t=1 and RateLimit-Policy: "tenant";q=20;w=2 (draft-ietf-httpapi-ratelimit-headers): what this process may still let
 * in, and in how many seconds it is all there again. */
static void show(struct call *c, const struct limit *l) {
    const struct bucket *b = &l->bucket;
    struct str policy = arena_printf(&c->arena, "\"%s\";q=%.0f;w=%.0f", l->kind, floor(b->most), ceil(b->most / b->per_s));
    struct str now = arena_printf(&c->arena, "\"%s\";r=%.0f;t=%.0f", l->kind, floor(fmax(0, b->tokens)),
                                  ceil((b->most - b->tokens) / b->per_s));
    if (policy.p != NULL && now.p != NULL) {
        call_header(c, "RateLimit-Policy", policy);
        call_header(c, "RateLimit", now);
    }
}

static bool refuse(struct call *c, const struct limit *l, const char *of, struct problem *out) {
    double wait_s = bucket_wait_s(&l->bucket);
    *out = (struct problem){
        .id = PROBLEM_RATE_LIMITED,
        .detail = arena_printf(&c->arena, "%s may have %g %s a second, in all, and has had them", l->name, l->per_s, of),
        .retry_after_s = (int64_t)fmax(1, ceil(wait_s)),
    };
    if (out->detail.p == NULL) {
        out->detail = STR("The rate is limited");
    }
    metric_inc(M_RATE_LIMITED, l->kind, NULL, NULL); /* names of tenants and keys have no end, and are nobody's to read */
    return false;
}

/* All of them, or none is charged. */
static bool admit(struct call *c, struct limit *const *asked, size_t n, bool tell, const char *of, struct problem *out) {
    struct limit *tightest = NULL;
    int64_t now = loop_now(c->api->rt->loop).us;
    for (size_t i = 0; i < n; i++) {
        bucket_fill(&asked[i]->bucket, now);
        if (tightest == NULL || asked[i]->bucket.tokens < tightest->bucket.tokens) {
            tightest = asked[i];
        }
    }
    bool lets = tightest == NULL || bucket_wait_s(&tightest->bucket) <= 0;
    for (size_t i = 0; i < n && lets; i++) {
        bucket_take(&asked[i]->bucket);
    }
    if (tightest != NULL && tell) {
        show(c, tightest);
    }
    return lets || refuse(c, tightest, of, out);
}

static void ask(const struct limits *l, const char *kind, const char *name, struct limit *asked[ASKED_MAX], size_t *n) {
    char text[NAME_BYTES];
    int used = snprintf(text, sizeof text, "%s:%s", kind, name);
    struct limit *row = used > 0 && (size_t)used < sizeof text ? find(l, str_of(text, (size_t)used)) : NULL;
    if (row != NULL) {
        asked[(*n)++] = row;
    }
}

bool limits_admit_job(struct call *c, const struct job_type *type, const struct queue_info *q, struct problem *out_problem) {
    const struct limits *l = c->api->limits;
    struct limit *asked[ASKED_MAX];
    size_t n = 0;
    if (l->rows == NULL) {
        return true;
    }
    ask(l, "tenant", c->who.tenant, asked, &n);
    ask(l, "type", type->name, asked, &n);
    ask(l, "queue", q->name, asked, &n);
    return admit(c, asked, n, (c->route->flags & ROUTE_LINES) == 0, "jobs", out_problem);
}

bool limits_admit_request(struct call *c) {
    const struct limits *l = c->api->limits;
    struct limit *asked[ASKED_MAX];
    struct problem problem;
    size_t n = 0;
    if (l->rows == NULL) {
        return true;
    }
    ask(l, "key", c->who.author, asked, &n);
    if (admit(c, asked, n, true, "requests", &problem)) {
        return true;
    }
    call_problem_full(c, &problem);
    return false;
}

/* ---- life ---- */

struct err limits_new(struct api *api, struct limits **out) {
    struct limits *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return err_make(ERR_NOMEM, "limits");
    }
    l->api = api;
    struct err e = timer_new(api->rt->loop, on_tick, l, &l->timer);
    if (err_is_set(e)) {
        free(l);
        return e;
    }
    *out = l;
    return OK;
}

void limits_start(struct limits *l) {
    timer_start_every(l->timer, LOAD_MS);
    on_tick(l);
}

void limits_stop(struct limits *l) {
    if (l != NULL) {
        timer_free(l->timer);
        l->timer = NULL;
    }
}

void limits_free(struct limits *l) {
    struct limit *row, *next;
    if (l == NULL) {
        return;
    }
    HASH_ITER(hh, l->rows, row, next) {
        HASH_DEL(l->rows, row);
        free(row);
    }
    free(l);
}
