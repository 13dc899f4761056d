/* PATCH /v1/queues/{queue}: what holds for a queue, from the next second on, in every process. */
#include <base/json.h>

#include "handlers.h"
#include "server.h"

enum { ANSWER_BYTES_MAX = 4096 };

#define LIMITS_OF(row)                                                                                          \
    "jsonb_build_object('slots', " row ".slots, 'max_depth', " row ".max_depth, 'max_open', " row ".max_open, " \
    "'max_drain_seconds', " row ".max_drain_s, 'max_fill_percent', " row ".max_fill_pct)"

/* $5 the version that it must have; NULL: any. $6 to $10 as they were where NULL. No row: it has another. */
static const struct pg_stmt patch_stmt = {
    "api.queue_limits",
    "WITH w AS (SELECT * FROM platform.queue WHERE name = $1 FOR UPDATE), "
    "u AS (UPDATE platform.queue q SET slots = coalesce($6::int, q.slots), max_depth = coalesce($7::bigint, q.max_depth), "
    "max_open = coalesce($8::bigint, q.max_open), max_drain_s = coalesce($9::int, q.max_drain_s), "
    "max_fill_pct = coalesce($10::smallint, q.max_fill_pct), version = q.version + 1 FROM w WHERE q.name = w.name "
    "AND w.version = coalesce($5::bigint, w.version) RETURNING q.*), " AUDIT_CTE(
        "u", "$2", "$3", "'queue.limit'", "$1",
        "(SELECT jsonb_build_object('reason', $4::text, 'before', " LIMITS_OF("w") ", 'after', " LIMITS_OF(
            "u") ") FROM u, w)") " SELECT version, slots, max_depth, max_open, max_drain_s, max_fill_pct FROM u",
    10,
};

static void on_patched(struct call *c, const PGresult *res) {
    struct buf b;
    if (PQntuples(res) == 0) {
        call_problem(c, PROBLEM_STALE, "The queue has been changed since that version");
        return;
    }
    buf_init(&b, ANSWER_BYTES_MAX);
    buf_addf(&b, "{\"name\":\"%.*s\",\"version\":%lld,\"slots\":%lld", STR_ARG(c->param), (long long)pg_col_int(res, 0, 0),
             (long long)pg_col_int(res, 0, 1));
    buf_addf(&b, ",\"limits\":{\"max_depth\":%lld,\"max_open\":%lld,\"max_drain_seconds\":%lld,\"max_fill_percent\":%lld}}",
             (long long)pg_col_int(res, 0, 2), (long long)pg_col_int(res, 0, 3), (long long)pg_col_int(res, 0, 4),
             (long long)pg_col_int(res, 0, 5));
    call_json(c, 200, &b);
    buf_free(&b);
}

static struct pg_value number(const json_t *body, const char *name, char room[PG_INT_BYTES]) {
    return json_is_integer(json_object_get(body, name)) ? pg_int(json_opt_i64(body, name, 0), room) : PG_NULL;
}

void handle_queues_patch(struct call *c) {
    const struct queue_info *q = call_param_queue(c);
    json_t *body = q != NULL ? call_body(c) : NULL;
    int64_t version;
    if (body == NULL) {
        return;
    }
    if (call_check(c, types_body(c->api->types, "QueueLimits"), body, "") && call_if_match(c, &version)) {
        char room[6][PG_INT_BYTES];
        const struct pg_value values[] = {
            pg_text(str_c(q->name)),
            pg_text(str_c(c->who.tenant)),
            pg_text(str_c(c->who.author)),
            pg_text(json_opt_str(body, "reason", STR(""))),
            version != 0 ? pg_int(version, room[0]) : PG_NULL,
            number(body, "slots", room[1]),
            number(body, "max_depth", room[2]),
            number(body, "max_open", room[3]),
            number(body, "max_drain_seconds", room[4]),
            number(body, "max_fill_percent", room[5]),
        };
        call_query(c, &patch_stmt, values, on_patched);
    }
    json_decref(body);
}
