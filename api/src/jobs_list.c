/* GET /v1/jobs: a page of the journal. A page looks at no more than PAGE_ROWS rows, however rare what is asked for: it may be short,
 * and says where to go on. */
#include "handlers.h"
#include "server.h"

enum { LIST_BYTES_MAX = 4 << 20, COLUMN_LAST = 0, COLUMN_SCANNED, COLUMN_JOB };
#define PAGE_ROWS "2000"

static const struct pg_stmt list_stmt = {
    "api.jobs",
    "WITH s AS (SELECT id, tenant, state, type, queue FROM platform.job WHERE $6::uuid IS NULL OR id < $6 ORDER BY id DESC LIMIT " PAGE_ROWS
    "), m AS (SELECT id FROM s WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR state = $2) AND ($3::text IS NULL OR type = $3) "
    "AND ($4::text IS NULL OR queue = $4) ORDER BY id DESC LIMIT $5::int) "
    "SELECT e.last, e.n = " PAGE_ROWS ", " JOB_COLUMNS_BUT_RESULT
    "NULL::bytea FROM (SELECT (SELECT id FROM s ORDER BY id LIMIT 1) AS last, "
    "(SELECT count(*) FROM s) AS n) e LEFT JOIN (SELECT j.* FROM m JOIN platform.job j ON j.id = m.id) j ON true ORDER BY j.id DESC",
    6};

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

void handle_jobs_list(struct call *c) {
    const struct page *p = call_page(c);
    if (p == NULL) {
        return;
    }
    struct str state = http_query(c->req, "state");
    if (state.p != NULL && !is_state(state)) {
        call_problem(c, PROBLEM_BAD_PARAMETER, "state must be waiting (every open one), done, dead, cancelled or expired");
        return;
    }
    const struct pg_value values[] = {
        call_tenant(c),
        pg_text_or_null(state),
        pg_text_or_null(http_query(c->req, "type")),
        pg_text_or_null(http_query(c->req, "queue")),
        p->rows,
        p->after,
    };
    call_query(c, &list_stmt, values, on_rows);
}
