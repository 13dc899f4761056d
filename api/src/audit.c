/* What operators and those who act for them did; and with which settings this process runs. */
#include "handlers.h"
#include "server.h"

enum { LIST_BYTES_MAX = 4 << 20, SETTINGS_BYTES_MAX = 256 * 1024 };

/* Each qualifier has an index that ends in seq. */
static const struct pg_stmt list_stmt = {
    "api.audit",
    "SELECT seq, (extract(epoch FROM at) * 1000)::bigint, tenant, author, action, target, detail::text FROM platform.audit "
    "WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR target = $2) AND ($3::text IS NULL OR action = $3) "
    "AND ($4::text IS NULL OR author = $4) AND ($5::bigint IS NULL OR seq < $5) ORDER BY seq DESC LIMIT $6::int",
    6,
};

static void write_entry(struct call *c, struct buf *b, const PGresult *res, int row) {
    (void)c;
    buf_addf(b, "{\"seq\":%lld", (long long)pg_col_int(res, row, 0));
    job_add_time(b, "at", (struct wall){pg_col_int(res, row, 1)});
    job_add_text(b, "tenant", pg_col(res, row, 2));
    job_add_text(b, "author", pg_col(res, row, 3));
    job_add_text(b, "action", pg_col(res, row, 4));
    job_add_text(b, "target", pg_col(res, row, 5));
    buf_addf(b, ",\"detail\":%.*s}", STR_ARG(pg_col(res, row, 6)));
}

static void on_entries(struct call *c, const PGresult *res) {
    const struct page *p = c->state;
    int rows = PQntuples(res);
    call_answer_page(c, res, rows, rows == p->limit ? pg_col(res, rows - 1, 0) : STR_NONE, LIST_BYTES_MAX, write_entry);
}

void handle_audit_list(struct call *c) {
    const struct page *p = call_page_limit(c);
    struct str cursor = p != NULL ? http_query(c->req, "cursor") : STR_NONE;
    char room[PG_INT_BYTES];
    int64_t seq = 0;
    if (p == NULL) {
        return;
    }
    if (cursor.p != NULL && !str_to_i64(cursor, &seq)) {
        call_problem(c, PROBLEM_BAD_PARAMETER, "cursor must be what an earlier answer gave as next");
        return;
    }
    const struct pg_value values[] = {
        call_tenant(c),
        pg_text_or_null(http_query(c->req, "target")),
        pg_text_or_null(http_query(c->req, "action")),
        pg_text_or_null(http_query(c->req, "author")),
        cursor.p != NULL ? pg_int(seq, room) : PG_NULL,
        p->rows,
    };
    call_query(c, &list_stmt, values, on_entries);
}

void handle_settings(struct call *c) {
    struct buf b;
    buf_init(&b, SETTINGS_BYTES_MAX);
    buf_add_c(&b, "{\"items\":");
    conf_show(c->api->options->conf, &b);
    buf_add_char(&b, '}');
    call_json(c, 200, &b);
    buf_free(&b);
}
