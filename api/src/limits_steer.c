/* /v1/limits: what operators allow, by name: "tenant:acme", "type:order.place", "queue:orders", "key:<id>". Each API process and each supervisor
 * reads it once a second. */
#include <base/json.h>
#include <stdio.h>

#include "handlers.h"
#include "limits.h"
#include "server.h"

enum { LIMITS_BYTES_MAX = 1 << 20, RATE_BYTES = 32 };

#define LIMIT_COLUMNS \
    "kind || ':' || name, (per_s * 1000)::bigint, burst, concurrency, reason, author, (extract(epoch FROM at) * 1000)::bigint"
#define LIMIT_JSON(row) \
    "(SELECT jsonb_build_object('rate_per_second', per_s, 'burst', burst, 'concurrency', concurrency) FROM " row ")"

static const struct pg_stmt list_stmt = {
    "api.limits_list",
    "SELECT " LIMIT_COLUMNS
    " FROM platform.throttle t WHERE $1::text IS NULL OR kind IN ('queue', 'type') OR (kind = 'tenant' AND name = $1) "
    "OR (kind = 'key' AND EXISTS (SELECT FROM platform.api_key k WHERE k.id = t.name AND k.tenant = $1)) "
    "ORDER BY kind, name LIMIT 1000",
    1};

/* No row: there are as many as there may be. */
static const struct pg_stmt put_stmt = {
    "api.limits_put",
    "WITH w AS (SELECT * FROM platform.throttle WHERE kind = $1 AND name = $2), "
    "u AS (INSERT INTO platform.throttle (kind, name, per_s, burst, concurrency, reason, author) "
    "SELECT $1, $2, $3::numeric, $4::int, $5::int, $6, $7 WHERE (SELECT count(*) FROM platform.throttle) < 1000 OR EXISTS (SELECT FROM w) "
    "ON CONFLICT (kind, name) DO UPDATE SET per_s = excluded.per_s, burst = excluded.burst, concurrency = excluded.concurrency, "
    "reason = excluded.reason, author = excluded.author, at = now() RETURNING *), " AUDIT_CTE(
        "u", "$8", "$7", "'limit.set'", "$1 || ':' || $2",
        "jsonb_build_object('reason', $6::text, 'before', " LIMIT_JSON("w") ", 'after', " LIMIT_JSON(
            "u") ")") " SELECT " LIMIT_COLUMNS " FROM u",
    8,
};

static const struct pg_stmt delete_stmt = {
    "api.limits_delete",
    "WITH u AS (DELETE FROM platform.throttle WHERE kind = $1 AND name = $2 RETURNING *), " AUDIT_CTE(
        "u", "$3", "$4", "'limit.delete'", "$1 || ':' || $2",
        "jsonb_build_object('before', " LIMIT_JSON("u") ")") " SELECT " LIMIT_COLUMNS " FROM u",
    4,
};

static void write_limit(struct call *c, struct buf *b, const PGresult *res, int row) {
    static const char *const numbers[] = {"burst", "concurrency"};
    (void)c;
    buf_add_c(b, "{\"limit\":");
    json_add_string(b, pg_col(res, row, 0));
    if (!pg_col_null(res, row, 1)) {
        buf_addf(b, ",\"rate_per_second\":%.15g", (double)pg_col_int(res, row, 1) / 1000);
    }
    for (int i = 0; i < 2; i++) {
        if (!pg_col_null(res, row, 2 + i)) {
            buf_addf(b, ",\"%s\":%lld", numbers[i], (long long)pg_col_int(res, row, 2 + i));
        }
    }
    job_add_text(b, "reason", pg_col(res, row, 4));
    job_add_text(b, "author", pg_col(res, row, 5));
    job_add_time(b, "at", (struct wall){pg_col_int(res, row, 6)});
    buf_add_char(b, '}');
}

static void on_list(struct call *c, const PGresult *res) {
    call_answer_page(c, res, PQntuples(res), STR_NONE, LIMITS_BYTES_MAX, write_limit);
}

void handle_limits_list(struct call *c) {
    const struct pg_value values[] = {call_tenant(c)};
    call_query(c, &list_stmt, values, on_list);
}

static void answer(struct call *c, const PGresult *res) {
    struct buf b;
    buf_init(&b, LIMITS_BYTES_MAX);
    write_limit(c, &b, res, 0);
    call_json(c, 200, &b);
    buf_free(&b);
}

/* ---- its name ---- */

/* "type:order.place" in two. False: answered. */
static bool read_name(struct call *c, struct str *out_kind, struct str *out_name) {
    struct str name = c->param, kind;
    static const char *const kinds[] = {"queue", "type", "tenant", "key"};
    bool known = false;
    if (str_cut(&name, ':', &kind) && str_is_name(name, LIMIT_NAME_BYTES)) {
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            known |= str_is(kind, kinds[i]);
        }
    }
    if (!known) {
        call_problem(c, PROBLEM_NOT_FOUND, "A limit is of queue:, type:, tenant: or key: and a name, not of \"%.*s\"",
                     STR_ARG(c->param));
        return false;
    }
    if ((str_is(kind, "tenant") || str_is(kind, "key")) && (c->who.scopes & SCOPE_ADMIN) == 0) {
        call_problem(c, PROBLEM_FORBIDDEN, "To limit tenants and keys needs the scope admin");
        return false;
    }
    *out_kind = kind;
    *out_name = name;
    return true;
}

/* A limit on what is not there would limit nothing, and nobody would see why. */
static bool is_there(struct call *c, struct str kind, struct str name) {
    if (str_is(kind, "queue") && queue_table_find(c->api->rt->queues, name) == NULL) {
        call_problem(c, PROBLEM_UNKNOWN_QUEUE, "There is no queue \"%.*s\"", STR_ARG(name));
        return false;
    }
    if (str_is(kind, "type") && registry_type(c->api->rt->registry, name, NULL) == NULL) {
        call_problem(c, PROBLEM_UNKNOWN_TYPE, "There is no job type \"%.*s\"", STR_ARG(name));
        return false;
    }
    return true;
}

/* ---- PUT ---- */

static void on_put(struct call *c, const PGresult *res) {
    if (PQntuples(res) == 0) {
        call_problem(c, PROBLEM_BUSY, "There are %d limits: delete one", LIMITS_MAX);
        return;
    }
    answer(c, res);
}

static struct pg_value number(const json_t *body, const char *name, char room[PG_INT_BYTES]) {
    return json_is_integer(json_object_get(body, name)) ? pg_int(json_opt_i64(body, name, 0), room) : PG_NULL;
}

static void put(struct call *c, struct str kind, struct str name, const json_t *body) {
    char rate[RATE_BYTES], burst[PG_INT_BYTES], concurrency[PG_INT_BYTES];
    const json_t *per_s = json_object_get(body, "rate_per_second");
    struct pg_value bursts = number(body, "burst", burst);
    if (json_object_get(body, "concurrency") != NULL && !str_is(kind, "type")) {
        call_problem(c, PROBLEM_INVALID, "Only a type has a concurrency; a queue has workers and slots");
        return;
    }
    if (per_s != NULL && bursts.p == NULL) { /* a second's worth */
        double most = json_number_value(per_s);
        bursts = pg_int(most < 1 ? 1 : (int64_t)most, burst);
    }
    (void)snprintf(rate, sizeof rate, "%.3f", json_number_value(per_s));
    const struct pg_value values[] = {
        pg_text(kind),
        pg_text(name),
        per_s != NULL ? pg_text(str_c(rate)) : PG_NULL,
        per_s != NULL ? bursts : PG_NULL,
        number(body, "concurrency", concurrency),
        pg_text(json_opt_str(body, "reason", STR(""))),
        pg_text(str_c(c->who.author)),
        pg_text(str_c(c->who.tenant)),
    };
    call_query(c, &put_stmt, values, on_put);
}

void handle_limits_put(struct call *c) {
    struct str kind, name;
    if (!read_name(c, &kind, &name) || !is_there(c, kind, name)) {
        return;
    }
    json_t *body = call_body(c);
    if (body == NULL) {
        return;
    }
    if (call_check(c, types_body(c->api->types, "LimitRequest"), body, "")) {
        put(c, kind, name, body);
    }
    json_decref(body);
}

/* ---- DELETE ---- */

static void on_deleted(struct call *c, const PGresult *res) {
    if (PQntuples(res) == 0) {
        call_problem(c, PROBLEM_NOT_FOUND, "There is no limit of %.*s", STR_ARG(c->param));
        return;
    }
    answer(c, res);
}

void handle_limits_delete(struct call *c) {
    struct str kind, name;
    if (read_name(c, &kind, &name)) {
        const struct pg_value values[] = {pg_text(kind), pg_text(name), pg_text(str_c(c->who.tenant)),
                                          pg_text(str_c(c->who.author))};
        call_query(c, &delete_stmt, values, on_deleted);
    }
}
