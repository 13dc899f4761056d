/* Dead jobs: listed, and run again. */
#include <base/json.h>

#include "dead_groups.h"
#include "dlq.h"
#include "handlers.h"
#include "replay.h"
#include "server.h"
#include "types.h"

enum { LIST_BYTES_MAX = 8 << 20, PAYLOADS_MOST = 64 /* in a page */, PAYLOAD_BYTES_MOST = 512 * 1024 };

/* ---- GET /v1/dlq ---- */

/* By an index on (queue, died_at), for each queue. Keyset over (died_at, id): the cursor is the id of the last row shown. */
static const struct pg_stmt list_stmt = {
    "api.dlq",
    "SELECT id, root_id, generation, class, tenant, queue, type, type_version, attempts, errors, fingerprint, "
    "(extract(epoch FROM died_at) * 1000)::bigint, substr(traceparent, 4, 32), release, payload FROM platform.queue q CROSS JOIN LATERAL "
    "(SELECT id, root_id, generation, class, tenant, queue, type, type_version, attempts, errors, fingerprint, died_at, traceparent, release, "
    "CASE WHEN $6::bool THEN payload END AS payload FROM platform.dead_job WHERE queue = q.name AND replayed_at IS NULL AND discarded_at IS NULL "
    "AND ($1::text IS NULL OR tenant = $1) AND ($5::text IS NULL OR fingerprint = $5) AND ($4::uuid IS NULL OR (died_at, id) < "
    "(SELECT died_at, id FROM platform.dead_job WHERE id = $4)) ORDER BY died_at DESC, id DESC LIMIT $3::int) d "
    "WHERE ($2::text IS NULL OR q.name = $2) ORDER BY died_at DESC, id DESC LIMIT $3::int",
    6,
};

static struct err add_payload(struct call *c, struct buf *b, const PGresult *res, int row) {
    const struct job_type *type = registry_type(c->api->rt->registry, pg_col(res, row, 6), NULL);
    struct str payload = pg_col_bytes(res, row, 14, &c->arena);
    return payload.p != NULL ? job_add_payload(b, type != NULL ? types_payload(c->api->types, type) : NULL, payload)
                             : err_make(ERR_NOMEM, "payload");
}

static void write_dead(struct call *c, struct buf *b, const PGresult *res, int row) {
    struct err err = OK;
    buf_addf(b, "{\"id\":\"%.*s\",\"root_id\":\"%.*s\",\"generation\":%lld", STR_ARG(pg_col(res, row, 0)),
             STR_ARG(pg_col(res, row, 1)), (long long)pg_col_int(res, row, 2));
    job_add_text(b, "durability", pg_col(res, row, 3));
    job_add_text(b, "tenant", pg_col(res, row, 4));
    job_add_text(b, "queue", pg_col(res, row, 5));
    job_add_text(b, "type", pg_col(res, row, 6));
    buf_addf(b, ",\"type_version\":%lld,\"attempts\":%lld,\"errors\":%.*s", (long long)pg_col_int(res, row, 7),
             (long long)pg_col_int(res, row, 8), STR_ARG(pg_col(res, row, 9)));
    job_add_text(b, "fingerprint", pg_col(res, row, 10));
    job_add_time(b, "died_at", (struct wall){pg_col_int(res, row, 11)});
    job_add_text(b, "trace_id", pg_col(res, row, 12));
    if (!pg_col_null(res, row, 13)) {
        job_add_text(b, "release", pg_col(res, row, 13));
    }
    if (!pg_col_null(res, row, 14)) {
        err = add_payload(c, b, res, row);
    }
    buf_add_char(b, '}');
    b->failed = b->failed != ERR_NONE ? b->failed : err.code;
}

/* How many rows a page shows: reading and masking payloads keeps everybody else waiting, so it ends behind the one that makes them many bytes. */
static int rows_of_page(const PGresult *res) {
    int n = PQntuples(res), row = 0;
    for (size_t bytes = 0; row < n && bytes < PAYLOAD_BYTES_MOST; row++) {
        bytes += (size_t)PQgetlength(res, row, 14) / 2; /* in hex */
    }
    return row;
}

static void on_dead(struct call *c, const PGresult *res) {
    const struct page *p = c->state;
    int rows = rows_of_page(res);
    bool more = rows == p->limit || rows < PQntuples(res);
    call_answer_page(c, res, rows, more ? pg_col(res, rows - 1, 0) : STR_NONE, LIST_BYTES_MAX, write_dead);
}

void handle_dlq_list(struct call *c) {
    struct page *p = call_page(c);
    struct str payload = http_query(c->req, "payload");
    if (p == NULL) {
        return;
    }
    if (payload.p != NULL && !str_is(payload, "true")) {
        call_problem(c, PROBLEM_BAD_PARAMETER, "payload must be true, or left out");
        return;
    }
    if (payload.p != NULL && p->limit > PAYLOADS_MOST) {
        p->limit = PAYLOADS_MOST;
        p->rows = pg_int(p->limit, p->rows_text);
    }
    const struct pg_value values[] = {
        call_tenant(c), pg_text_or_null(http_query(c->req, "queue")),       p->rows,
        p->after,       pg_text_or_null(http_query(c->req, "fingerprint")), pg_text(payload.p != NULL ? payload : STR("false"))};
    call_query(c, &list_stmt, values, on_dead);
}

/* ---- POST /v1/jobs/{id}/retry ---- */

static const struct pg_stmt exists_stmt = {
    "api.job_exists",
    "SELECT EXISTS (SELECT FROM platform.job WHERE id = $1::uuid AND ($2::text IS NULL OR tenant = $2)) OR "
    "EXISTS (SELECT FROM platform.dead_job WHERE id = $1::uuid AND ($2::text IS NULL OR tenant = $2))",
    2,
};

static void on_exists(struct call *c, const PGresult *res) {
    if (pg_col_bool(res, 0, 0)) {
        call_problem(c, PROBLEM_NOT_DEAD, "It has not died, or was run again already, or died more than 25 days ago");
    } else {
        call_problem(c, PROBLEM_NOT_FOUND, "There is no job of this id");
    }
}

static void on_retried(struct replay *r) {
    struct call *c = r->call;
    char text[PG_UUID_BYTES];
    if (r->n == 0) {
        const struct pg_value values[] = {pg_uuid(c->job, text), call_tenant(c)};
        call_query(c, &exists_stmt, values, on_exists);
        return;
    }
    uuid_text(c->job, text);
    call_answer(c, 202, "application/json",
                arena_printf(&c->arena, "{\"id\":\"%s\",\"state\":\"waiting\",\"generation\":%u}", text, r->jobs[0].generation));
}

void handle_jobs_retry(struct call *c) {
    struct replay *r = ARENA_NEW(&c->arena, struct replay);
    char text[UUID_TEXT_BYTES];
    if (r == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "retry"));
        return;
    }
    if (!call_param_uuid(c, &c->job)) {
        return;
    }
    uuid_text(c->job, text);
    *r = (struct replay){
        .call = c, .ids = arena_printf(&c->arena, "{%s}", text), .reason = STR(""), .limit = 1, .done = on_retried};
    replay_start(r);
}

/* ---- POST /v1/dlq/{queue}/retry ---- */

static const struct pg_stmt left_stmt = {
    "api.dlq_left",
    "SELECT count(*) FROM platform.dead_job WHERE replayed_at IS NULL AND discarded_at IS NULL AND queue = $1 "
    "AND ($2::text IS NULL OR tenant = $2)",
    2,
};

static void on_left(struct call *c, const PGresult *res) {
    const struct replay *r = c->state;
    struct buf b;
    buf_init(&b, LIST_BYTES_MAX);
    buf_add_c(&b, "{\"retried\":[");
    for (size_t i = 0; i < r->n; i++) {
        char text[UUID_TEXT_BYTES];
        uuid_text(r->jobs[i].id, text);
        buf_addf(&b, "%s\"%s\"", i > 0 ? "," : "", text);
    }
    buf_addf(&b, "],\"left\":%lld}", (long long)pg_col_int(res, 0, 0));
    call_json(c, 202, &b);
    buf_free(&b);
}

static void on_all_retried(struct replay *r) {
    dead_groups_expire(r->call->api);
    const struct pg_value values[] = {pg_text(r->queue), call_tenant(r->call)};
    call_query(r->call, &left_stmt, values, on_left);
}

static void retry_all(struct call *c, const struct queue_info *q, const struct dead_filter *f) {
    struct replay *r = ARENA_NEW(&c->arena, struct replay);
    if (r == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "retry"));
        return;
    }
    *r = (struct replay){
        .call = c,
        .queue = str_c(q->name),
        .fingerprint = f->fingerprint,
        .ids = f->ids,
        .reason = f->reason,
        .limit = (size_t)f->limit,
        .done = on_all_retried,
    };
    replay_start(r);
}

void handle_dlq_retry(struct call *c) {
    const struct queue_info *q = call_param_queue(c);
    struct dead_filter f;
    if (q == NULL || !dead_filter_read(c, "DeadRetry", LIMIT_BATCH, &f)) {
        return;
    }
    if (f.dry_run) {
        dead_filter_show(c, q, &f, DEAD_YOUNG);
    } else {
        retry_all(c, q, &f);
    }
}
