/* GET /v1/jobs: a page of the journal. A page looks at no more than PAGE_ROWS rows, however rare what is asked for: it may be short,
 * and says where to go on. What is asked for says where to look: each of these ways goes down an index by id. */
#include <base/ids.h>

#include "handlers.h"
#include "server.h"

enum { LIST_BYTES_MAX = 4 << 20, COLUMN_LAST = 0, COLUMN_SCANNED, COLUMN_JOB, PARAMS = 8, AGE_MAX_S = 10 * 365 * 86400 };
#define PAGE_ROWS "1000"

/* $1 tenant that the caller is, or NULL, $2 state, $3 type, $4 queue, $5 limit, $6 ids below, $7 tenant, $8 a part of the error, or the key; each
 * but the limit may be NULL. What $8 is looked for in is the source's. */
#define BELOW "($6::uuid IS NULL OR id < $6)"
#define PAGE_OF(source)                                                                                               \
    "WITH s AS (" source                                                                                              \
    "), m AS (SELECT id FROM s WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR state = $2) "         \
    "AND ($3::text IS NULL OR type = $3) AND ($4::text IS NULL OR queue = $4) AND ($7::text IS NULL OR tenant = $7) " \
    "AND ($8::text IS NULL OR position(lower($8) IN lower(text)) > 0) ORDER BY id DESC LIMIT $5::int) "               \
    "SELECT e.last, e.n = " PAGE_ROWS ", " JOB_COLUMNS_BUT_RESULT                                                     \
    "NULL::bytea FROM (SELECT (SELECT id FROM s ORDER BY id LIMIT 1) AS last, (SELECT count(*) FROM s) AS n) e "      \
    "LEFT JOIN (SELECT j.* FROM m JOIN platform.job j ON j.id = m.id) j ON true ORDER BY j.id DESC"

static const struct pg_stmt all_stmt = {
    "api.jobs",
    PAGE_OF("SELECT id, tenant, state, type, queue, NULL AS text FROM platform.job WHERE " BELOW
            " ORDER BY id DESC LIMIT " PAGE_ROWS),
    PARAMS};
/* Of each shard as many, by the index job_open. */
static const struct pg_stmt waiting_stmt = {
    "api.jobs_waiting",
    PAGE_OF("SELECT j.*, NULL AS text FROM (SELECT name, generate_series(0, shards - 1) AS shard FROM platform.queue "
            "WHERE $4::text IS NULL OR name = $4) q CROSS JOIN LATERAL (SELECT id, tenant, state, type, queue FROM platform.job "
            "WHERE state = 'waiting' AND queue = q.name AND shard = q.shard AND " BELOW " ORDER BY id DESC LIMIT " PAGE_ROWS
            ") j ORDER BY id DESC LIMIT " PAGE_ROWS),
    PARAMS};
/* By the index job_ended. */
static const struct pg_stmt ended_stmt = {
    "api.jobs_ended",
    PAGE_OF("SELECT id, tenant, state, type, queue, NULL AS text FROM platform.job WHERE state = $2 "
            "AND state IN ('dead', 'cancelled', 'expired') AND " BELOW " ORDER BY id DESC LIMIT " PAGE_ROWS),
    PARAMS};
static const struct pg_stmt error_stmt = {
    "api.jobs_error",
    PAGE_OF("SELECT id, tenant, 'dead' AS state, type, queue, fingerprint AS text FROM platform.dead_job "
            "WHERE class = 'journal' AND replayed_at IS NULL AND discarded_at IS NULL AND " BELOW
            " ORDER BY id DESC LIMIT " PAGE_ROWS),
    PARAMS};
/* One of each tenant; the tenants by steps through the index. */
static const struct pg_stmt key_stmt = {
    "api.jobs_key",
    PAGE_OF(
        "WITH RECURSIVE t AS (SELECT min(tenant) AS tenant FROM platform.idempotency UNION ALL "
        "SELECT (SELECT min(i.tenant) FROM platform.idempotency i WHERE i.tenant > t.tenant) FROM t WHERE t.tenant IS NOT NULL) "
        "SELECT j.id, i.tenant, state, type, queue, i.key AS text FROM t JOIN platform.idempotency i ON i.tenant = t.tenant "
        "AND i.key = $8 JOIN platform.job j ON j.id = i.job_id WHERE $6::uuid IS NULL OR j.id < $6 ORDER BY j.id DESC LIMIT " PAGE_ROWS),
    PARAMS};

/* The states that a row has; the finer ones are Redis' to tell (GET of the job). */
static bool is_state(struct str s) {
    enum job_outcome outcome;
    return str_is(s, "waiting") || job_outcome_parse(s, &outcome);
}

static void write_item(struct call *c, struct buf *b, const PGresult *res, int row) {
    struct job_row j;
    if (job_row_read(res, row, COLUMN_JOB, &c->arena, &j)) {
        job_write(b, &j, j.state, (struct wall){0});
    } else {
        b->failed = ERR_NOMEM; /* a page with a job left out would be a lie */
    }
}

static void on_rows(struct call *c, const PGresult *res) {
    const struct page *p = c->state;
    int rows = PQntuples(res);
    int found = rows > 0 && !pg_col_null(res, 0, COLUMN_JOB) ? rows : 0;
    struct str next = STR_NONE;
    if (found == p->limit) {
        next = pg_col(res, found - 1, COLUMN_JOB);
    } else if (rows > 0 && pg_col_bool(res, 0, COLUMN_SCANNED)) {
        next = pg_col(res, 0, COLUMN_LAST);
    }
    call_answer_page(c, res, found, next, LIST_BYTES_MAX, write_item);
}

/* "5m", also ">5m": made so long ago or longer. */
static bool parse_age(struct str s, int64_t *out_s) {
    static const struct {
        char unit;
        int64_t s;
    } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    int64_t n;
    if (s.n > 0 && s.p[0] == '>') {
        s = str_of(s.p + 1, s.n - 1);
    }
    for (size_t i = 0; s.n > 1 && i < sizeof units / sizeof units[0]; i++) {
        if (s.p[s.n - 1] == units[i].unit && str_to_i64(str_of(s.p, s.n - 1), &n) && n >= 0 && n <= AGE_MAX_S / units[i].s) {
            *out_s = n * units[i].s;
            return true;
        }
    }
    return false;
}

/* Ids begin with the time: those below this one are of before. */
static struct uuid first_of(int64_t ms) {
    struct uuid id = {0};
    for (size_t i = 0; i < 6; i++) {
        id.b[i] = (uint8_t)(ms >> (8 * (5 - i)));
    }
    return id;
}

/* The lower of the page's cursor and what the age asks for. False: answered. */
static bool narrow(struct call *c, struct page *p) {
    struct str age = http_query(c->req, "age"), cursor = http_query(c->req, "cursor");
    struct uuid at;
    int64_t seconds;
    if (age.p == NULL) {
        return true;
    }
    if (!parse_age(age, &seconds)) {
        call_problem(c, PROBLEM_BAD_PARAMETER, "age must be a time like >5m, with s, m, h or d: made so long ago or longer");
        return false;
    }
    int64_t before_ms = loop_wall(c->api->rt->loop).ms - seconds * 1000;
    struct uuid bound = first_of(before_ms > 0 ? before_ms : 0);
    if (cursor.p == NULL || (uuid_parse(cursor, &at) && memcmp(bound.b, at.b, sizeof at.b) < 0)) {
        p->after = pg_uuid(bound, p->after_text);
    }
    return true;
}

static const struct pg_stmt *way_to(struct str state, struct str error, struct str key) {
    return key.p != NULL                              ? &key_stmt
           : error.p != NULL                          ? &error_stmt
           : state.p == NULL || str_is(state, "done") ? &all_stmt
           : str_is(state, "waiting")                 ? &waiting_stmt
                                                      : &ended_stmt;
}

void handle_jobs_list(struct call *c) {
    struct page *p = call_page(c);
    if (p == NULL || !narrow(c, p)) {
        return;
    }
    struct str state = http_query(c->req, "state"), error = http_query(c->req, "error"), key = http_query(c->req, "key");
    if (state.p != NULL && !is_state(state)) {
        call_problem(c, PROBLEM_BAD_PARAMETER, "state must be waiting (every open one), done, dead, cancelled or expired");
        return;
    }
    if (error.p != NULL && key.p != NULL) {
        call_problem(c, PROBLEM_BAD_PARAMETER, "error and key do not go together: a key names one job");
        return;
    }
    const struct pg_value values[PARAMS] = {
        call_tenant(c),
        pg_text_or_null(state),
        pg_text_or_null(http_query(c->req, "type")),
        pg_text_or_null(http_query(c->req, "queue")),
        p->rows,
        p->after,
        pg_text_or_null(http_query(c->req, "tenant")),
        pg_text_or_null(key.p != NULL ? key : error),
    };
    call_query(c, way_to(state, error, key), values, on_rows);
}
