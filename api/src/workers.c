/* The processes that are alive, and how many worker processes there should be. */
#include <base/json.h>
#include <stdlib.h>

#include "fleet.h"
#include "handlers.h"
#include "server.h"

enum { WORKERS_BYTES_MAX = 4 << 20 };

/* ---- GET /v1/workers ---- */

static int by_name(const void *a, const void *b) {
    const struct process *x = a;
    const struct process *y = b;
    size_t n = x->name.n < y->name.n ? x->name.n : y->name.n;
    int order = memcmp(x->name.p, y->name.p, n);
    return order != 0 ? order : x->name.n < y->name.n ? -1 : x->name.n > y->name.n;
}

/* A beat as it is, but for the metrics: they are at /metrics. */
static struct err write_process(struct buf *b, const struct process *p) {
    (void)json_object_del(p->beat, "metrics");
    if (json_object_set_new(p->beat, "process", json_stringn(p->name.p, p->name.n)) != 0) {
        return err_make(ERR_NOMEM, "processes");
    }
    return json_write(p->beat, b);
}

static struct err write_all(struct buf *b, const struct process *processes, size_t n) {
    struct process sorted[FLEET_MAX];
    for (size_t i = 0; i < n; i++) {
        sorted[i] = processes[i];
    }
    qsort(sorted, n, sizeof sorted[0], by_name);
    buf_add_c(b, "{\"items\":[");
    for (size_t i = 0; i < n; i++) {
        buf_add_c(b, i > 0 ? "," : "");
        TRY(write_process(b, &sorted[i]));
    }
    buf_add_c(b, "]}");
    return OK;
}

static void on_fleet(struct call *c, struct err err, const struct process *processes, size_t n) {
    struct buf b;
    buf_init(&b, WORKERS_BYTES_MAX);
    if (!err_is_set(err)) {
        err = write_all(&b, processes, n);
    }
    if (err_is_set(err)) {
        call_fail(c, err);
    } else {
        call_json(c, 200, &b);
    }
    buf_free(&b);
}

void handle_workers_list(struct call *c) { fleet_read_for(c, FLEET_BRIEF, on_fleet); }

/* ---- GET, PUT /v1/scale/{queue} ---- */

#define SCALE_COLUMNS "queue, workers, pinned, reason, author, (extract(epoch FROM at) * 1000)::bigint"

static const struct pg_stmt scale_get_stmt = {"api.scale",
                                              "SELECT " SCALE_COLUMNS " FROM platform.desired_workers WHERE queue = $1", 1};

/* $2 workers; NULL: auto, which keeps the number and lets others change it. */
static const struct pg_stmt scale_put_stmt = {
    "api.scale_put",
    "WITH u AS (INSERT INTO platform.desired_workers (queue, workers, pinned, reason, author) "
    "VALUES ($1, coalesce($2::int, 1), $2 IS NOT NULL, $3, $4) ON CONFLICT (queue) DO UPDATE SET "
    "workers = coalesce($2::int, platform.desired_workers.workers), pinned = excluded.pinned, reason = excluded.reason, "
    "author = excluded.author, at = now() RETURNING *), " AUDIT_CTE(
        "u", "$5", "$4", "'queue.scale'", "$1",
        "jsonb_build_object('workers', $2::int, 'reason', $3::text)") " SELECT " SCALE_COLUMNS " FROM u",
    5,
};

static void on_scale(struct call *c, const PGresult *res) {
    struct buf b;
    if (PQntuples(res) == 0) {
        call_problem(c, PROBLEM_NOT_FOUND, "Nobody has said how many workers the queue should have");
        return;
    }
    buf_init(&b, WORKERS_BYTES_MAX);
    buf_addf(&b, "{\"queue\":\"%.*s\",\"workers\":%lld,\"pinned\":%s", STR_ARG(pg_col(res, 0, 0)),
             (long long)pg_col_int(res, 0, 1), pg_col_bool(res, 0, 2) ? "true" : "false");
    job_add_text(&b, "reason", pg_col(res, 0, 3));
    job_add_text(&b, "author", pg_col(res, 0, 4));
    job_add_time(&b, "at", (struct wall){pg_col_int(res, 0, 5)});
    buf_add_char(&b, '}');
    call_json(c, 200, &b);
    buf_free(&b);
}

void handle_scale_get(struct call *c) {
    const struct queue_info *q = call_param_queue(c);
    if (q != NULL) {
        const struct pg_value values[] = {pg_text(str_c(q->name))};
        call_query(c, &scale_get_stmt, values, on_scale);
    }
}

void handle_scale_put(struct call *c) {
    const struct queue_info *q = call_param_queue(c);
    json_t *body = q != NULL ? call_body(c) : NULL;
    if (body == NULL) {
        return;
    }
    if (call_check(c, types_body(c->api->types, "ScaleRequest"), body, "")) {
        char workers[PG_INT_BYTES];
        bool automatic = json_is_string(json_object_get(body, "workers"));
        const struct pg_value values[] = {
            pg_text(str_c(q->name)),
            automatic ? PG_NULL : pg_int(json_opt_i64(body, "workers", 0), workers),
            pg_text(json_opt_str(body, "reason", STR(""))),
            pg_text(str_c(c->who.author)),
            pg_text(str_c(c->who.tenant)),
        };
        call_query(c, &scale_put_stmt, values, on_scale);
    }
    json_decref(body);
}
