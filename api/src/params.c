/* What a call brings in its path, its query and those headers of which there may be one. */
#include "call.h"
#include "header.h"
#include "job_row.h"
#include "server.h"

enum { WAIT_MAX_MS = 30000, PAGE_ROWS_DEFAULT = 50, PAGE_ROWS_MOST = 500 };

bool call_param_uuid(struct call *c, struct uuid *out) {
    if (uuid_parse(c->param, out)) {
        return true;
    }
    call_problem(c, PROBLEM_NOT_FOUND, "\"%.*s\" is not an id; ids are UUIDs", STR_ARG(c->param));
    return false;
}

const struct queue_info *call_param_queue(struct call *c) {
    const struct queue_info *q = queue_table_find(c->api->rt->queues, c->param);
    if (q == NULL) {
        call_problem(c, PROBLEM_NOT_FOUND, "There is no queue \"%.*s\"", STR_ARG(c->param));
    }
    return q;
}

bool call_one_header(struct call *c, const char *name, struct str *out) {
    struct str found = STR_NONE;
    for (size_t i = 0; i < c->req->headers_n; i++) {
        if (!str_eq_nocase(c->req->headers[i].name, str_c(name))) {
            continue;
        }
        if (found.p != NULL) {
            call_problem(c, PROBLEM_BAD_PARAMETER, "There is more than one header %s", name);
            return false;
        }
        found = c->req->headers[i].value;
    }
    *out = found;
    return true;
}

/* Compared strongly: a weak tag, or one of a form that we do not make, is none of ours. */
bool call_if_match(struct call *c, int64_t *out_version) {
    struct str match;
    if (!call_one_header(c, "If-Match", &match)) {
        return false;
    }
    if (match.p == NULL || str_is(str_trim(match), "*")) {
        *out_version = 0;
        return true;
    }
    if (header_version(match, out_version)) {
        return true;
    }
    if (header_is_etag(match)) {
        call_problem(c, PROBLEM_STALE, "%.*s is no version of this", STR_ARG(match));
    } else {
        call_problem(c, PROBLEM_BAD_PARAMETER, "If-Match must be * or one ETag, as the GET gives it: \"3\"");
    }
    return false;
}

/* ---- the query ---- */

/* Which of the route's parameters it is, as a bit; 0: none. */
static unsigned bit_of(const struct route *r, struct str name) {
    struct str rest = str_c(r->query), known;
    for (unsigned bit = 1; str_cut(&rest, ' ', &known); bit <<= 1) {
        if (str_eq(known, name)) {
            return bit;
        }
    }
    return 0;
}

bool call_check_query(struct call *c) {
    struct str rest = c->req->query, name, value;
    unsigned seen = 0;
    if ((c->route->flags & ROUTE_PAGE) != 0) {
        return true;
    }
    while (http_query_next(c->req, &rest, &name, &value)) {
        if (name.p == NULL || value.p == NULL) {
            call_problem(c, PROBLEM_BAD_PARAMETER, "The query is not percent-encoded UTF-8");
            return false;
        }
        unsigned bit = bit_of(c->route, name);
        if (bit == 0) {
            call_problem(c, PROBLEM_BAD_PARAMETER, "There is no parameter \"%.*s\" here; there is %s", STR_ARG(name),
                         c->route->query != NULL ? c->route->query : "none");
            return false;
        }
        if ((seen & bit) != 0) {
            call_problem(c, PROBLEM_BAD_PARAMETER, "%.*s is given twice", STR_ARG(name));
            return false;
        }
        seen |= bit;
    }
    return true;
}

struct page *call_page(struct call *c) {
    struct str limit = http_query(c->req, "limit");
    struct str cursor = http_query(c->req, "cursor");
    struct page *p = ARENA_NEW(&c->arena, struct page);
    struct uuid at;
    if (p == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "page"));
        return NULL;
    }
    *p = (struct page){.limit = PAGE_ROWS_DEFAULT, .after = PG_NULL};
    if (limit.p != NULL && (!str_to_i64(limit, &p->limit) || p->limit < 1 || p->limit > PAGE_ROWS_MOST)) {
        call_problem(c, PROBLEM_BAD_PARAMETER, "limit must be an integer from 1 to %d", PAGE_ROWS_MOST);
        return NULL;
    }
    if (cursor.p != NULL && !uuid_parse(cursor, &at)) {
        call_problem(c, PROBLEM_BAD_PARAMETER, "cursor must be what an earlier answer gave as next");
        return NULL;
    }
    if (cursor.p != NULL) {
        p->after = pg_uuid(at, p->after_text);
    }
    p->rows = pg_int(p->limit, p->rows_text);
    c->state = p;
    return p;
}

void call_answer_page(struct call *c, const PGresult *res, int rows, struct str next, size_t max, page_row *write) {
    struct buf b;
    buf_init(&b, max);
    buf_add_c(&b, "{\"items\":[");
    for (int row = 0; row < rows; row++) {
        buf_add_c(&b, row > 0 ? "," : "");
        write(c, &b, res, row);
    }
    buf_add_char(&b, ']');
    if (next.p != NULL) {
        job_add_text(&b, "next", next);
    }
    buf_add_char(&b, '}');
    call_json(c, 200, &b);
    buf_free(&b);
}

int64_t call_wait_ms(struct call *c, int64_t fallback_ms) {
    struct prefer prefer = {.wait_ms = -1};
    struct str query = http_query(c->req, "wait");
    int64_t ms = fallback_ms;
    for (size_t i = 0; i < c->req->headers_n; i++) {
        if (str_eq_nocase(c->req->headers[i].name, STR("Prefer"))) {
            header_prefer(c->req->headers[i].value, &prefer);
        }
    }
    if (prefer.wait_ms >= 0) {
        ms = prefer.wait_ms;
    } else if (prefer.respond_async) {
        ms = 0;
    }
    if (query.p != NULL && !header_wait(query, &ms)) {
        call_problem(c, PROBLEM_BAD_PARAMETER, "wait must be a time like 30s or 500ms");
        return -1;
    }
    c->waited = ms > 0;
    return ms < WAIT_MAX_MS ? ms : WAIT_MAX_MS;
}
