/* The life of a call: from the head of a request to the line in the log. */
#include "call.h"

#include <base/limits.h>
#include <base/log.h>
#include <base/metrics.h>
#include <stdio.h>
#include <stdlib.h>

#include "card.h"
#include "declared.h"
#include "door.h"
#include "header.h"
#include "limits.h"
#include "record.h"
#include "server.h"

static const int64_t DEADLINE_MAX_MS = 30LL * 86400 * 1000;
enum { STATUS_GONE = 499, SPARE_CALLS = 256, ARENA_BLOCK_BYTES = 4096, ARENA_BYTES = 16 << 20 };

/* ---- memory ---- */

static struct call *call_new(struct api *api, struct http_request *req) {
    struct call *c = TAILQ_FIRST(&api->spare);
    if (c != NULL) {
        TAILQ_REMOVE(&api->spare, c, link);
        api->spare_n--;
    } else {
        c = calloc(1, sizeof *c);
        if (c == NULL) {
            return NULL;
        }
        arena_init(&c->arena, ARENA_BLOCK_BYTES, ARENA_BYTES);
    }
    *c = (struct call){
        .api = api, .req = req, .arena = c->arena, .waiter.timer = c->waiter.timer, .refs = 1, .number = ++api->calls_n};
    c->path = arena_str(&c->arena, req->path);
    TAILQ_INSERT_TAIL(&api->open, c, link);
    api->open_n++;
    return c;
}

static void call_free(struct call *c) {
    waiter_free(&c->waiter);
    arena_free(&c->arena);
    free(c);
}

void calls_free_spare(struct api *api) {
    struct call *c;
    while ((c = TAILQ_FIRST(&api->spare)) != NULL) {
        TAILQ_REMOVE(&api->spare, c, link);
        api->spare_n--;
        call_free(c);
    }
}

void call_hold(struct call *c) { c->refs++; }

void call_release(struct call *c) {
    struct api *api = c->api;
    if (--c->refs > 0) {
        return;
    }
    wait_remove(&c->waiter);
    TAILQ_REMOVE(&api->open, c, link);
    if (api->closing || api->spare_n == SPARE_CALLS) {
        call_free(c);
    } else {
        arena_reset(&c->arena);
        TAILQ_INSERT_HEAD(&api->spare, c, link);
        api->spare_n++;
    }
    api->open_n--;
    declared_forget(api, false);
    api_call_ended(api);
}

/* ---- answers ---- */

void call_header(struct call *c, const char *name, struct str value) {
    if (c->headers_n < CALL_HEADERS_MAX) {
        c->headers[c->headers_n++] = (struct http_header){str_c(name), value};
    }
}

void call_answer(struct call *c, int status, const char *content_type, struct str body) {
    struct http_request *req = c->req;
    if (req == NULL) {
        return;
    }
    c->req = NULL;
    const struct http_answer answer = {
        .status = status,
        .content_type = content_type,
        .headers = c->headers,
        .headers_n = c->headers_n,
        .body = body,
    };
    http_respond(req, &answer);
}

bool call_stream(struct call *c, struct str first, void (*ended)(struct call *c)) {
    if (c->req == NULL) {
        return false;
    }
    call_header(c, "Cache-Control", STR("no-store"));
    call_header(c, "X-Accel-Buffering", STR("no"));
    const struct http_answer answer = {
        .status = 200,
        .content_type = "text/event-stream",
        .headers = c->headers,
        .headers_n = c->headers_n,
        .body = first,
    };
    c->ended = ended;
    c->took_us = loop_now(c->api->rt->loop).us - c->req->began.us;
    http_stream_begin(c->req, &answer);
    return true;
}

void call_json(struct call *c, int status, const struct buf *body) {
    struct err e = buf_status(body);
    if (err_is_set(e)) {
        call_fail(c, e);
    } else {
        call_answer(c, status, "application/json", buf_str(body));
    }
}

void call_problem_full(struct call *c, struct problem *p) {
    struct buf body;
    char room[24];
    if (c->req == NULL) {
        return;
    }
    p->trace = &c->trace;
    p->instance = c->path;
    c->problem = problem_code(p->id);
    if (p->retry_after_s > 0) {
        (void)snprintf(room, sizeof room, "%lld", (long long)p->retry_after_s);
        call_header(c, "Retry-After", str_c(room));
    }
    buf_init(&body, PROBLEM_BYTES_MAX);
    problem_write(&body, p);
    struct str text = err_is_set(buf_status(&body)) ? STR("") : buf_str(&body);
    call_answer(c, problem_status(p->id), "application/problem+json", text);
    buf_free(&body);
}

void call_problem(struct call *c, enum problem_id id, const char *detail, ...) {
    char text[512];
    va_list args;
    va_start(args, detail);
    (void)vsnprintf(text, sizeof text, detail, args);
    va_end(args);
    struct problem p = {.id = id, .detail = str_c(text), .retry_after_s = problem_status(id) == 503 ? 1 : 0};
    call_problem_full(c, &p);
}

void call_fail(struct call *c, struct err err) {
    enum problem_id id = problem_of(err.code);
    if (c->req != NULL && id == PROBLEM_INTERNAL) {
        LOG(ERROR, "http.failed", LF_ERR(err), LF_TRACE(&c->trace));
    }
    call_problem(c, id, "%s", id == PROBLEM_INTERNAL ? err_name(err.code) : err.detail);
}

void call_tagged(struct call *c, struct str etag, struct str body) {
    if (c->req == NULL) {
        return;
    }
    struct str known = http_request_header(c->req, "If-None-Match");
    call_header(c, "ETag", etag);
    if (known.p != NULL && header_etag_is_in(known, etag)) {
        call_answer(c, 304, NULL, STR_NONE);
    } else {
        call_answer(c, 200, "application/json", body);
    }
}

/* ---- Postgres ---- */

struct query {
    struct call *call;
    call_then *then;
    const char *name; /* the statement's */
    struct span_mark mark;
};

static void on_query(void *arg, struct err err, const PGresult *res) {
    struct query *q = arg;
    struct call *c = q->call;
    record_query(c, q->name, &q->mark, err);
    if (err_is_set(err)) {
        call_fail(c, err);
    } else {
        q->then(c, res);
    }
    call_release(c);
}

void call_query(struct call *c, const struct pg_stmt *stmt, const struct pg_value *values, call_then *then) {
    call_query_on(c, c->api->rt->platform, stmt, values, then);
}

void call_query_on(struct call *c, struct pg_pool *pool, const struct pg_stmt *stmt, const struct pg_value *values,
                   call_then *then) {
    struct query *q = ARENA_NEW(&c->arena, struct query);
    if (q == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "%s", stmt->name));
        return;
    }
    *q = (struct query){.call = c, .then = then, .name = stmt->name};
    span_begin_in(&q->mark, &c->scope);
    call_hold(c);
    pg_exec(pool, stmt, values, 0, 0, on_query, q);
}

struct pg_value call_tenant(const struct call *c) {
    return (c->who.scopes & SCOPE_ADMIN) != 0 ? PG_NULL : pg_text(str_c(c->who.tenant));
}

bool call_sees(const struct call *c, struct str tenant) {
    return (c->who.scopes & SCOPE_ADMIN) != 0 || str_is(tenant, c->who.tenant);
}

bool call_sees_stream_job(const struct call *c, struct uuid id) {
    return (c->who.scopes & SCOPE_ADMIN) != 0 || id_has_tenant(id, str_c(c->who.tenant));
}

/* ---- requests ---- */

static void log_call(struct call *c, const struct http_request *req, int status, size_t bytes, int64_t us) {
    bool probe = c->route != NULL && (c->route->flags & ROUTE_LAX) != 0 && status < 400;
    struct log_field fields[12] = {
        LF_STR("method", req->method),
        LF_STR("path", card_hidden(c->path, &c->arena)),
        LF_C("route", c->route != NULL ? c->route->path : "none"),
        LF_INT("status", status),
        LF_REAL("ms", (double)us / 1000),
        LF_INT("bytes", bytes),
        LF_C("tenant", c->who.tenant),
        LF_BOOL("key", c->key.p != NULL),
        LF_TRACE(&c->trace),
    };
    size_t n = 9;
    if (!uuid_is_nil(c->job)) {
        fields[n++] = LF_UUID("job", &c->job);
    }
    if (!uuid_is_nil(c->root)) {
        fields[n++] = LF_UUID("root", &c->root);
    }
    if (c->problem != NULL) {
        fields[n++] = LF_C("problem", c->problem);
    }
    log_write(probe ? LOG_LEVEL_DEBUG : status >= 500 ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, "http.request", fields, n);
}

enum { STATUS_BYTES = 4 };

static void status_text(int status, char out[STATUS_BYTES]) {
    out[0] = (char)('0' + status / 100 % 10);
    out[1] = (char)('0' + status / 10 % 10);
    out[2] = (char)('0' + status % 10);
    out[3] = '\0';
}

/* Of no call: there was no memory for one, or the request could not be read. */
static void count_bad(int status) {
    char code[STATUS_BYTES];
    status_text(status, code);
    series_observe(metric_series(M_HTTP_DURATION, "none", code, route_class(NULL, false)), 0);
}

static void count(const struct call *c, int status, int64_t us) {
    char code[STATUS_BYTES];
    status_text(status, code);
    struct series *s =
        metric_series(M_HTTP_DURATION, c->route != NULL ? c->route->name : "none", code, route_class(c->route, c->waited));
    series_observe_traced(s, (double)us / 1e6, &c->trace, loop_wall(c->api->rt->loop));
}

static void end(struct call *c, const struct http_request *req, int status, size_t bytes) {
    int64_t us = c->took_us > 0 ? c->took_us : loop_now(c->api->rt->loop).us - req->began.us;
    count(c, status, us);
    record_request(c, req, status, bytes);
    log_call(c, req, status, bytes, us);
    call_release(c);
}

/* The client went away before the answer. 499 is what servers write into their logs for that. */
static void on_gone(struct http_request *req) {
    struct call *c = req->user;
    c->req = NULL;
    wait_remove(&c->waiter);
    end(c, req, STATUS_GONE, 0);
}

static void read_trace(struct call *c) {
    struct trace parent;
    struct str text = http_request_header(c->req, "traceparent");
    if (text.p != NULL && trace_parse(str_trim(text), &parent)) {
        c->trace = trace_child(&parent);
        memcpy(c->trace_parent, parent.span_id, sizeof c->trace_parent);
    } else {
        c->trace = span_root();
    }
    span_scope_open(&c->scope, &c->trace, &c->arena);
}

static bool find_route(struct call *c) {
    char allow[ROUTE_ALLOW_BYTES];
    struct str param;
    c->route = route_find(c->req->method, c->req->path, &param, allow);
    if (c->route != NULL) {
        c->param = http_decode(&c->arena, param);
        if (c->param.p == NULL) {
            call_problem(c, PROBLEM_BAD_PARAMETER, "The path is not percent-encoded rightly");
        }
        return c->param.p != NULL;
    }
    if (allow[0] != '\0') {
        call_header(c, "Allow", str_c(allow));
        call_problem(c, PROBLEM_METHOD, "%.*s is not a method of this path; it has %s", STR_ARG(c->req->method), allow);
    } else {
        call_problem(c, PROBLEM_NO_ROUTE, "There is nothing at %.*s", STR_ARG(c->path));
    }
    return false;
}

static bool check_media(struct call *c) {
    unsigned flags = c->route->flags;
    struct str type = http_request_header(c->req, "Content-Type");
    const char *wanted = (flags & ROUTE_LINES) != 0 ? "application/x-ndjson" : "application/json";
    if ((flags & (ROUTE_BODY | ROUTE_LINES)) == 0 || (type.p == NULL && (flags & ROUTE_OPTIONAL) != 0)) {
        return true;
    }
    if (type.p != NULL && header_media_is(type, wanted)) {
        return true;
    }
    call_problem(c, PROBLEM_MEDIA_TYPE, "Content-Type must be %s, in UTF-8", wanted);
    return false;
}

static bool read_key(struct call *c) {
    struct str value = STR_NONE;
    if ((c->route->flags & (ROUTE_KEY | ROUTE_KEY_MAY | ROUTE_LINES)) == 0) {
        return true;
    }
    if (!call_one_header(c, "Idempotency-Key", &value)) {
        return false;
    }
    if ((c->route->flags & ROUTE_LINES) != 0) {
        if (value.p != NULL) {
            call_problem(c, PROBLEM_BAD_PARAMETER, "Idempotency-Key is not for all lines together: each has its own, as \"key\"");
        }
        return value.p == NULL;
    }
    if (value.p == NULL) {
        if ((c->route->flags & ROUTE_KEY) != 0) {
            call_problem(c, PROBLEM_KEY_MISSING, "This path takes effects once per key");
            return false;
        }
        return true;
    }
    if (!header_key(value, &c->arena, &c->key)) {
        call_problem(c, PROBLEM_KEY_MALFORMED, "The value cannot be used as a key");
        return false;
    }
    return true;
}

/* The same name and form as a handler is told it by (jobs/custom/src/handler.c): who is called can pass it on. */
static bool read_deadline(struct call *c) {
    struct str value;
    if ((c->route->flags & (ROUTE_KEY | ROUTE_KEY_MAY | ROUTE_LINES)) == 0) {
        return true;
    }
    if (!call_one_header(c, "Penstock-Deadline", &value)) {
        return false;
    }
    if (value.p == NULL) {
        return true;
    }
    if (!header_time(str_trim(value), &c->deadline) || c->deadline.ms - loop_wall(c->api->rt->loop).ms > DEADLINE_MAX_MS) {
        call_problem(c, PROBLEM_BAD_PARAMETER,
                     "Penstock-Deadline must be a time like 2026-11-28T21:13:34.123Z, at most 30 days ahead");
        return false;
    }
    return true;
}

static bool check_ready(struct call *c) {
    if (c->api->ready || (c->route->flags & ROUTE_LAX) != 0) {
        return true;
    }
    call_problem(c, PROBLEM_UNAVAILABLE, "This process has just started: Postgres has not answered yet");
    return false;
}

/* What the head alone tells: a refusal costs no body and no statement. */
static bool check(struct call *c) {
    return limits_admit_request(c) && call_check_query(c) && check_ready(c) && check_media(c) && read_key(c) &&
           read_deadline(c) && door_admits_route(c);
}

static void on_let_in(struct call *c) {
    if (check(c)) {
        http_go_on(c->req);
    }
}

bool call_on_head(void *arg, struct http_request *req) {
    struct call *c = call_new(arg, req);
    if (c == NULL) {
        const struct http_answer answer = {.status = 503, .close = true};
        http_respond(req, &answer);
        return false;
    }
    req->user = c;
    req->on_gone = on_gone;
    read_trace(c);
    return find_route(c) && auth_check(c, on_let_in) == AUTH_YES && check(c);
}

void call_on_request(void *arg, struct http_request *req) {
    struct call *c = req->user;
    (void)arg;
    call_hold(c); /* a handler that answers at once may go on using the call until it returns */
    c->route->handler(c);
    call_release(c);
}

void call_on_done(void *arg, struct http_request *req, int status, size_t bytes) {
    (void)arg;
    struct call *c = req->user;
    if (c != NULL && c->ended != NULL) {
        c->req = NULL;
        c->ended(c);
    }
    if (c != NULL) {
        end(c, req, status, bytes);
    } else {
        count_bad(status); /* there was no memory for a call */
    }
}

void call_on_bad(void *arg, int status, const char *reason, struct buf *body) {
    (void)arg;
    struct trace trace = trace_new();
    const struct problem p = {.id = problem_of_status(status), .detail = str_c(reason), .trace = &trace};
    problem_write(body, &p);
    count_bad(status);
    LOG(INFO, "http.bad_request", LF_INT("status", status), LF_C("detail", reason), LF_TRACE(&trace));
}
