/* GET /v1/orders/{id}/timeline and the like: what every module tells of a thing, and the jobs it came by. First the modules are asked about
 * the id, then the platform about the jobs of the roots that they named and about what was sent under the same trace, then the modules about
 * those. */
#include <base/json.h>
#include <stdlib.h>

#include "handlers.h"
#include "server.h"

enum { TIMELINE_BYTES_MAX = 2 << 20, ITEMS_MAX = 1000, IDS_BYTES_MAX = 64 * 1024 };

static const struct pg_stmt jobs_stmt = {
    "api.timeline",
    "WITH t AS (SELECT substr(traceparent, 4, 32) AS trace FROM platform.job WHERE root_id = ANY($1::uuid[]) ORDER BY id LIMIT 1), "
    "j AS (SELECT * FROM platform.job WHERE root_id = ANY($1::uuid[]) UNION SELECT j.* FROM platform.job j JOIN t "
    "ON substr(j.traceparent, 4, 32) = t.trace WHERE j.queue = 'notifications') "
    "SELECT (extract(epoch FROM created_at) * 1000)::bigint, 'job ' || type || ' ' || state, json_strip_nulls(json_build_object('job_id', id, "
    "'state', state, 'generation', generation, 'queue', queue, 'status', result_status, 'finished_at', "
    "to_char(finished_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')))::text, id "
    "FROM j WHERE tenant = $2::text ORDER BY id LIMIT 500",
    2,
};

struct item {
    int64_t at_ms;
    size_t order; /* of those at the same time, as they came */
    const char *module;
    struct str what, detail; /* in the call's arena */
};

struct timeline {
    struct item items[ITEMS_MAX];
    size_t n;
    struct buf ids;   /* array: what is asked about now */
    struct buf found; /* array: what to ask about next; open */
    size_t next;      /* module */
    bool second;      /* round */
    struct uuid id;
};

static void ask_modules(struct call *c);

/* ---- the end ---- */

static int by_time(const void *a, const void *b) {
    const struct item *x = a, *y = b;
    return x->at_ms != y->at_ms ? (x->at_ms < y->at_ms ? -1 : 1) : x->order < y->order ? -1 : x->order > y->order;
}

/* Who is asked about a thing and about what belongs to it may tell of the same twice. */
static bool is_told(const struct timeline *t, size_t at) {
    const struct item *item = &t->items[at];
    for (size_t i = at; i > 0 && t->items[i - 1].at_ms == item->at_ms; i--) {
        const struct item *other = &t->items[i - 1];
        if (other->module == item->module && str_eq(other->what, item->what) && str_eq(other->detail, item->detail)) {
            return true;
        }
    }
    return false;
}

static void end(struct call *c, struct err err) {
    struct timeline *t = c->state;
    if (err_is_set(err)) {
        call_fail(c, err);
    }
    buf_free(&t->ids);
    buf_free(&t->found);
}

static void answer(struct call *c) {
    struct timeline *t = c->state;
    struct buf b;
    if (t->n == 0) {
        call_problem(c, PROBLEM_NOT_FOUND, "There is nothing of this id");
        end(c, OK);
        return;
    }
    qsort(t->items, t->n, sizeof t->items[0], by_time);
    buf_init(&b, TIMELINE_BYTES_MAX);
    buf_add_c(&b, "{\"items\":[");
    for (size_t i = 0; i < t->n; i++) {
        const struct item *item = &t->items[i];
        if (is_told(t, i)) {
            continue;
        }
        buf_addf(&b, "%s{\"source\":\"%s\"", i > 0 ? "," : "", item->module);
        job_add_time(&b, "at", (struct wall){item->at_ms});
        job_add_text(&b, "what", item->what);
        buf_addf(&b, ",\"detail\":%.*s}", STR_ARG(item->detail));
    }
    buf_add_c(&b, "]}");
    call_json(c, 200, &b);
    buf_free(&b);
    end(c, OK);
}

/* ---- rows ---- */

static bool take(struct call *c, const PGresult *res, const char *module) {
    struct timeline *t = c->state;
    for (int row = 0; row < PQntuples(res) && t->n < ITEMS_MAX; row++) {
        struct item item = {.at_ms = pg_col_int(res, row, 0),
                            .order = t->n,
                            .module = module,
                            .what = arena_str(&c->arena, pg_col(res, row, 1)),
                            .detail = arena_str(&c->arena, pg_col(res, row, 2))};
        if (item.what.p == NULL || item.detail.p == NULL) {
            return false;
        }
        t->items[t->n++] = item;
        if (!pg_col_null(res, row, 3)) {
            pg_array_add(&t->found, pg_text(pg_col(res, row, 3)));
        }
    }
    return true;
}

/* What was found is what is asked about next. */
static bool turn(struct timeline *t) {
    pg_array_end(&t->found);
    buf_clear(&t->ids);
    buf_add(&t->ids, buf_str(&t->found));
    buf_clear(&t->found);
    pg_array_begin(&t->found);
    t->next = 0;
    return !err_is_set(buf_status(&t->ids));
}

/* ---- the platform's jobs ---- */

static void on_jobs(void *arg, struct err err, const PGresult *res) {
    struct call *c = arg;
    struct timeline *t = c->state;
    t->second = true;
    if (err_is_set(err) || !take(c, res, "jobs") || !turn(t)) {
        end(c, err_is_set(err) ? err : err_make(ERR_NOMEM, "timeline"));
    } else {
        ask_modules(c);
    }
    call_release(c);
}

static void ask_jobs(struct call *c) {
    struct timeline *t = c->state;
    char id[PG_UUID_BYTES];
    pg_array_add(&t->found, pg_uuid(t->id, id));
    if (!turn(t)) {
        end(c, err_make(ERR_NOMEM, "timeline"));
        return;
    }
    const struct pg_value values[] = {pg_text(buf_str(&t->ids)), pg_text(str_c(c->who.tenant))};
    call_hold(c);
    pg_exec(c->api->rt->platform, &jobs_stmt, values, 0, 0, on_jobs, c);
}

/* ---- the modules' stories ---- */

static void on_story(void *arg, struct err err, const PGresult *res) {
    struct call *c = arg;
    struct timeline *t = c->state;
    const struct module *m = c->api->rt->registry->modules[t->next++];
    if (err_is_set(err) || !take(c, res, m->name)) {
        end(c, err_is_set(err) ? err : err_make(ERR_NOMEM, "timeline"));
    } else {
        ask_modules(c);
    }
    call_release(c);
}

static void ask_modules(struct call *c) {
    struct timeline *t = c->state;
    const struct registry *r = c->api->rt->registry;
    while (t->next < r->modules_n && r->modules[t->next]->story == NULL) {
        t->next++;
    }
    if (t->next == r->modules_n) {
        if (t->second) {
            answer(c);
        } else {
            ask_jobs(c);
        }
        return;
    }
    const struct pg_value values[] = {pg_text(buf_str(&t->ids)), pg_text(str_c(c->who.tenant))};
    call_hold(c);
    pg_exec(runtime_module(c->api->rt, r->modules[t->next])->db, r->modules[t->next]->story, values, 0, 0, on_story, c);
}

static void show(struct call *c) {
    struct timeline *t = ARENA_NEW(&c->arena, struct timeline);
    char id[PG_UUID_BYTES];
    if (t == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "timeline"));
        return;
    }
    if (!call_param_uuid(c, &t->id)) {
        return;
    }
    c->state = t;
    buf_init(&t->ids, IDS_BYTES_MAX);
    buf_init(&t->found, IDS_BYTES_MAX);
    pg_array_begin(&t->ids);
    pg_array_add(&t->ids, pg_uuid(t->id, id));
    pg_array_end(&t->ids);
    pg_array_begin(&t->found);
    if (err_is_set(buf_status(&t->ids))) {
        end(c, err_make(ERR_NOMEM, "timeline"));
    } else {
        ask_modules(c);
    }
}

void handle_orders_timeline(struct call *c) { show(c); }
void handle_payments_timeline(struct call *c) { show(c); }
void handle_notifications_timeline(struct call *c) { show(c); }
