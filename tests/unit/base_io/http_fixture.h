/* A server with a small handler, on a loop that runs until what a test waits for, or until a deadline fails the test.
 *   /echo     "METHOD path body" at once          /wait  answered by answer_waiting
 *   /big      f->big bytes at once                /deny  401 from on_head
 *   /ask      on_head waits, for answer_waiting or for http_go_on
 *   /nothing  204                                 /empty 200 without a body, with a header and its line break */
#ifndef TESTS_HTTP_FIXTURE_H
#define TESTS_HTTP_FIXTURE_H

#include "unit.h"
#include "wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <io/http_server.h>

enum { FIXTURE_DEADLINE_MS = 20000, WAITING_MAX = 8 };

struct fixture {
    struct loop *loop;
    struct http_server *server;
    struct http_server_options o;
    struct http_request *waiting[WAITING_MAX];
    size_t waiting_n;
    size_t big;
    int heads, requests, gone, done, done_status, drained, bads, bad_status;
    size_t done_bytes;
    char bad_reason[128];
};

static inline void answer(struct http_request *req, int status, struct str body) {
    http_respond(req, &(struct http_answer){.status = status, .content_type = body.n > 0 ? "text/plain" : NULL, .body = body});
}

static inline void on_gone(struct http_request *req) {
    struct fixture *f = req->user;
    for (size_t i = 0; i < f->waiting_n; i++) {
        if (f->waiting[i] == req) {
            f->waiting[i] = f->waiting[--f->waiting_n];
            break;
        }
    }
    f->gone++;
}

static inline bool fixture_on_head(void *arg, struct http_request *req) {
    struct fixture *f = arg;
    f->heads++;
    req->user = f;
    req->on_gone = on_gone;
    if (str_is(req->path, "/deny")) {
        answer(req, 401, STR("no"));
        return false;
    }
    if (str_is(req->path, "/ask")) {
        assert_true(f->waiting_n < WAITING_MAX);
        f->waiting[f->waiting_n++] = req;
        return false;
    }
    return true;
}

static inline void fixture_on_request(void *arg, struct http_request *req) {
    struct fixture *f = arg;
    f->requests++;
    if (str_is(req->path, "/wait")) {
        assert_true(f->waiting_n < WAITING_MAX);
        f->waiting[f->waiting_n++] = req;
    } else if (str_is(req->path, "/big")) {
        char *p = malloc(f->big);
        if (p != NULL) {
            memset(p, 'x', f->big);
        }
        answer(req, p != NULL ? 200 : 503, str_of(p, p != NULL ? f->big : 0));
        free(p);
    } else if (str_is(req->path, "/nothing")) {
        answer(req, 204, STR("must not be sent"));
    } else if (str_is(req->path, "/empty")) {
        const struct http_header h = {STR("X-Note"), STR("a\r\nb: c")};
        http_respond(req, &(struct http_answer){.status = 200, .headers = &h, .headers_n = 1});
    } else {
        struct str text =
            arena_printf(req->arena, "%.*s %.*s %.*s", STR_ARG(req->method), STR_ARG(req->path), STR_ARG(req->body));
        answer(req, text.p != NULL ? 200 : 503, text);
    }
}

static inline void fixture_on_bad(void *arg, int status, const char *reason, struct buf *body) {
    struct fixture *f = arg;
    f->bads++;
    f->bad_status = status;
    (void)snprintf(f->bad_reason, sizeof f->bad_reason, "%s", reason);
    buf_addf(body, "{\"status\":%d,\"detail\":\"%s\"}", status, reason);
}

static inline void fixture_on_done(void *arg, struct http_request *req, int status, size_t bytes) {
    struct fixture *f = arg;
    (void)req;
    f->done++;
    f->done_status = status;
    f->done_bytes = bytes;
}

static inline void fixture_on_drained(void *arg) { ((struct fixture *)arg)->drained++; }

static inline struct http_server_options fixture_options(struct fixture *f) {
    return (struct http_server_options){.listen = "127.0.0.1:0",
                                        .max_connections = 100,
                                        .max_body_bytes = 100000,
                                        .header_ms = 5000,
                                        .idle_ms = 60000,
                                        .body_bytes_per_s = 1024,
                                        .on_head = fixture_on_head,
                                        .on_request = fixture_on_request,
                                        .on_bad = fixture_on_bad,
                                        .on_done = fixture_on_done,
                                        .on_drained = fixture_on_drained,
                                        .arg = f};
}

/* f->o may be changed between the two. */
static inline void fixture_init(struct fixture *f) {
    *f = (struct fixture){0};
    f->o = fixture_options(f);
}

static inline bool fixture_start(struct fixture *f) {
    return loop_new(&f->loop).code == ERR_NONE && http_server_new(f->loop, &f->o, &f->server).code == ERR_NONE;
}

static inline void fixture_stop(struct fixture *f) {
    http_server_close(f->server);
    loop_free(f->loop);
    f->server = NULL;
    assert_int_equal(0, f->waiting_n);
}

static inline void pump(struct fixture *f, bool (*until)(void *arg), void *arg) {
    if (!wait_until(f->loop, FIXTURE_DEADLINE_MS, until, arg)) {
        fail_msg("waited too long");
    }
}

static inline bool one_waits(void *arg) {
    struct fixture *f = arg;
    return f->waiting_n > 0;
}

static inline void answer_waiting(struct fixture *f, struct str body) {
    assert_true(f->waiting_n > 0);
    struct http_request *req = f->waiting[--f->waiting_n];
    answer(req, 200, body);
}

#endif
