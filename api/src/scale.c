/* How many worker processes there should be: read and set by operators, read by what starts machines for them. */
#include <base/json.h>

#include "handlers.h"
#include "server.h"

enum { SCALE_BYTES_MAX = 256 * 1024 };

/* Of platform.desired_workers d and platform.queue q. */
#define SCALE_COLUMNS                                                                                                       \
    "d.queue, d.workers, d.pinned, d.reason, d.author, (extract(epoch FROM d.at) * 1000)::bigint, q.slots, q.min_workers, " \
    "q.max_workers, q.target_age_s"
#define CHANGE_COLUMNS "h.workers, h.before, h.pinned, h.reason, h.author, (extract(epoch FROM h.at) * 1000)::bigint"
enum { COL_QUEUE, COL_WORKERS, COL_PINNED, COL_REASON, COL_AUTHOR, COL_AT, COL_SLOTS, COL_MIN, COL_MAX, COL_TARGET, COL_CHANGES };

static const struct pg_stmt get_stmt = {
    "api.scale",
    "SELECT " SCALE_COLUMNS ", " CHANGE_COLUMNS
    " FROM platform.desired_workers d JOIN platform.queue q ON q.name = d.queue LEFT JOIN LATERAL "
    "(SELECT * FROM platform.scale_change c WHERE c.queue = d.queue ORDER BY seq DESC LIMIT 20) h ON true WHERE d.queue = $1 ORDER BY h.seq DESC",
    1,
};

static const struct pg_stmt list_stmt = {
    "api.scale_list",
    "SELECT " SCALE_COLUMNS " FROM platform.desired_workers d JOIN platform.queue q ON q.name = d.queue ORDER BY q.number",
    0,
};

/* $2 workers; NULL: auto, which keeps the number within the bounds and lets the autoscaler change it. $6 to $9 bounds: as they were where NULL;
 * $7: whether $8, max_workers, is given, which may be NULL. No row: the bounds contradict each other. */
static const struct pg_stmt put_stmt = {
    "api.scale_put",
    "WITH w AS (SELECT name, coalesce($6::int, min_workers) AS least, CASE WHEN $7::bool THEN $8::int ELSE max_workers END AS most, "
    "coalesce($9::int, target_age_s) AS target FROM platform.queue WHERE name = $1), "
    "q AS (UPDATE platform.queue q SET min_workers = least, max_workers = most, target_age_s = target FROM w "
    "WHERE q.name = w.name AND least <= coalesce(most, 1024) RETURNING q.name, q.slots, q.min_workers, q.max_workers, q.target_age_s), "
    "d AS (INSERT INTO platform.desired_workers AS old (queue, workers, pinned, reason, author) "
    "SELECT name, coalesce($2::int, min_workers), $2::int IS NOT NULL, $3, $4 FROM q ON CONFLICT (queue) DO UPDATE SET "
    "workers = coalesce($2::int, (SELECT least(greatest(old.workers, min_workers), coalesce(max_workers, 1024)) FROM q)), "
    "pinned = excluded.pinned, reason = excluded.reason, author = excluded.author, at = now() RETURNING *), " AUDIT_CTE(
        "d", "$5", "$4", "'queue.scale'", "$1",
        "(SELECT jsonb_build_object('workers', $2::int, 'min_workers', min_workers, 'max_workers', max_workers, 'target_age_seconds', "
        "target_age_s, 'reason', $3::text) FROM q)") " SELECT " SCALE_COLUMNS " FROM d JOIN q ON q.name = d.queue",
    9,
};

static void write_scale(struct buf *b, const PGresult *res, int row) {
    long long workers = pg_col_int(res, row, COL_WORKERS), slots = pg_col_int(res, row, COL_SLOTS);
    buf_addf(b, "{\"queue\":\"%.*s\",\"workers\":%lld,\"pinned\":%s", STR_ARG(pg_col(res, row, COL_QUEUE)), workers,
             pg_col_bool(res, row, COL_PINNED) ? "true" : "false");
    job_add_text(b, "reason", pg_col(res, row, COL_REASON));
    job_add_text(b, "author", pg_col(res, row, COL_AUTHOR));
    job_add_time(b, "at", (struct wall){pg_col_int(res, row, COL_AT)});
    buf_addf(b, ",\"slots\":%lld,\"desired_slots\":%lld,\"min_workers\":%lld,\"max_workers\":", slots, workers * slots,
             (long long)pg_col_int(res, row, COL_MIN));
    if (pg_col_null(res, row, COL_MAX)) {
        buf_add_c(b, "null");
    } else {
        buf_addf(b, "%lld", (long long)pg_col_int(res, row, COL_MAX));
    }
    buf_addf(b, ",\"target_age_seconds\":%lld", (long long)pg_col_int(res, row, COL_TARGET));
}

static void write_change(struct buf *b, const PGresult *res, int row) {
    buf_addf(b, "{\"workers\":%lld,\"before\":%lld,\"pinned\":%s", (long long)pg_col_int(res, row, COL_CHANGES),
             (long long)pg_col_int(res, row, COL_CHANGES + 1), pg_col_bool(res, row, COL_CHANGES + 2) ? "true" : "false");
    job_add_text(b, "reason", pg_col(res, row, COL_CHANGES + 3));
    job_add_text(b, "author", pg_col(res, row, COL_CHANGES + 4));
    job_add_time(b, "at", (struct wall){pg_col_int(res, row, COL_CHANGES + 5)});
    buf_add_char(b, '}');
}

/* ---- GET ---- */

static void on_get(struct call *c, const PGresult *res) {
    struct buf b;
    if (PQntuples(res) == 0) {
        call_problem(c, PROBLEM_NOT_FOUND, "Nobody has said how many workers the queue should have");
        return;
    }
    buf_init(&b, SCALE_BYTES_MAX);
    write_scale(&b, res, 0);
    buf_add_c(&b, ",\"changes\":[");
    for (int row = 0; row < PQntuples(res) && !pg_col_null(res, row, COL_CHANGES); row++) {
        buf_add_c(&b, row > 0 ? "," : "");
        write_change(&b, res, row);
    }
    buf_add_c(&b, "]}");
    call_json(c, 200, &b);
    buf_free(&b);
}

void handle_scale_get(struct call *c) {
    const struct queue_info *q = call_param_queue(c);
    if (q != NULL) {
        const struct pg_value values[] = {pg_text(str_c(q->name))};
        call_query(c, &get_stmt, values, on_get);
    }
}

static void on_list(struct call *c, const PGresult *res) {
    struct buf b;
    int64_t workers = 0;
    buf_init(&b, SCALE_BYTES_MAX);
    buf_add_c(&b, "{\"items\":[");
    for (int row = 0; row < PQntuples(res); row++) {
        buf_add_c(&b, row > 0 ? "," : "");
        write_scale(&b, res, row);
        buf_add_char(&b, '}');
        workers += pg_col_int(res, row, COL_WORKERS);
    }
    buf_addf(&b, "],\"workers\":%lld}", (long long)workers);
    call_json(c, 200, &b);
    buf_free(&b);
}

void handle_scale_list(struct call *c) { call_query(c, &list_stmt, NULL, on_list); }

/* ---- PUT ---- */

static void on_put(struct call *c, const PGresult *res) {
    struct buf b;
    if (PQntuples(res) == 0) {
        call_problem(c, PROBLEM_INVALID, "min_workers is above max_workers");
        return;
    }
    buf_init(&b, SCALE_BYTES_MAX);
    write_scale(&b, res, 0);
    buf_add_char(&b, '}');
    call_json(c, 200, &b);
    buf_free(&b);
}

/* An integer member; NULL where it is absent or no integer. */
static struct pg_value number(const json_t *body, const char *name, char room[PG_INT_BYTES]) {
    return json_is_integer(json_object_get(body, name)) ? pg_int(json_opt_i64(body, name, 0), room) : PG_NULL;
}

void handle_scale_put(struct call *c) {
    const struct queue_info *q = call_param_queue(c);
    json_t *body = q != NULL ? call_body(c) : NULL;
    if (body == NULL) {
        return;
    }
    if (call_check(c, types_body(c->api->types, "ScaleRequest"), body, "")) {
        char workers[PG_INT_BYTES], least[PG_INT_BYTES], most[PG_INT_BYTES], target[PG_INT_BYTES];
        const struct pg_value values[] = {
            pg_text(str_c(q->name)),
            number(body, "workers", workers),
            pg_text(json_opt_str(body, "reason", STR(""))),
            pg_text(str_c(c->who.author)),
            pg_text(str_c(c->who.tenant)),
            number(body, "min_workers", least),
            pg_text(json_object_get(body, "max_workers") != NULL ? STR("true") : STR("false")),
            number(body, "max_workers", most),
            number(body, "target_age_seconds", target),
        };
        call_query(c, &put_stmt, values, on_put);
    }
    json_decref(body);
}
