/* A server with a small handler and raw clients on loopback, all on one loop and one thread. A test says what it waits for;
 * the loop runs until then, or until a deadline fails the test.
 *   /echo     "METHOD path body" at once          /wait  answered by answer_waiting
 *   /big      f->big bytes at once                /deny  401 from on_head
 *   /nothing  204                                 /empty 200 without a body, with a header and its line break */
#ifndef TESTS_HTTP_FIXTURE_H
#define TESTS_HTTP_FIXTURE_H

#include "unit.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <io/http_server.h>
#include <io/timer.h>

enum { FIXTURE_DEADLINE_MS = 20000, CLIENT_BYTES = 9 * 1024 * 1024, WAITING_MAX = 8 };

struct fixture {
    struct loop *loop;
    struct http_server *server;
    struct timer *tick;
    struct http_server_options o;
    struct http_request *waiting[WAITING_MAX];
    size_t waiting_n;
    size_t big;
    int heads, requests, gone, done, done_status, bads, bad_status;
    size_t done_bytes;
    char bad_reason[128];
    bool (*until)(void *arg);
    void *until_arg;
    struct mono until_deadline;
    bool late;
};

struct client {
    int fd;
    bool eof, reset;
    size_t n;
    char got[CLIENT_BYTES];
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
        struct str text = arena_printf(req->arena, "%.*s %.*s %.*s", STR_ARG(req->method), STR_ARG(req->path), STR_ARG(req->body));
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

static inline void fixture_tick(void *arg) {
    struct fixture *f = arg;
    f->late = loop_now(f->loop).us > f->until_deadline.us;
    if (f->late || f->until(f->until_arg)) {
        loop_stop(f->loop);
    }
}

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
                                        .arg = f};
}

/* f->o may be changed between the two. */
static inline void fixture_init(struct fixture *f) {
    *f = (struct fixture){0};
    f->o = fixture_options(f);
}

static inline bool fixture_start(struct fixture *f) {
    return loop_new(&f->loop).code == ERR_NONE && timer_new(f->loop, fixture_tick, f, &f->tick).code == ERR_NONE &&
           http_server_new(f->loop, &f->o, &f->server).code == ERR_NONE;
}

/* New connections inherit a small send buffer from the listener, whatever this system's default is. */
static inline void fixture_shrink_send_buffers(void) {
    int small = 16 * 1024;
    for (int fd = 3; fd < 1024; fd++) {
        int listens = 0;
        socklen_t n = sizeof listens;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens != 0) {
            assert_int_equal(0, setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small));
        }
    }
}

static inline void fixture_stop(struct fixture *f) {
    http_server_close(f->server);
    timer_free(f->tick);
    loop_free(f->loop);
    f->server = NULL;
    assert_int_equal(0, f->waiting_n);
}

static inline void pump(struct fixture *f, bool (*until)(void *arg), void *arg) {
    f->until = until;
    f->until_arg = arg;
    f->until_deadline = (struct mono){loop_now(f->loop).us + FIXTURE_DEADLINE_MS * 1000};
    timer_start_every(f->tick, 1);
    loop_run(f->loop);
    timer_stop(f->tick);
    if (f->late) {
        fail_msg("waited too long");
    }
}

static inline void stop_loop(void *arg) { loop_stop(arg); }

/* One turn of the loop without waiting: what is there is read. */
static inline void pump_once(struct fixture *f) {
    struct turn_end hook = {.run = stop_loop, .arg = f->loop};
    loop_at_turn_end(f->loop, &hook);
    loop_run(f->loop);
}

static inline void client_open(struct client *c, struct fixture *f) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)http_server_port(f->server))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    c->eof = c->reset = false;
    c->n = 0;
    c->got[0] = '\0';
    assert_true(c->fd >= 0);
    assert_int_equal(0, connect(c->fd, (struct sockaddr *)&a, sizeof a));
}

static inline void client_close(struct client *c) {
    (void)close(c->fd);
    c->fd = -1;
}

/* Without waiting; false when the socket took less. */
static inline bool client_send(struct client *c, struct str s) {
    return send(c->fd, s.p, s.n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)s.n;
}

static inline void client_read(struct client *c) {
    while (c->n < CLIENT_BYTES - 1 && !c->eof && !c->reset) {
        ssize_t n = recv(c->fd, c->got + c->n, CLIENT_BYTES - 1 - c->n, MSG_DONTWAIT);
        if (n > 0) {
            c->n += (size_t)n;
            c->got[c->n] = '\0';
        } else if (n == 0) {
            c->eof = true;
        } else if (errno == EAGAIN) {
            return;
        } else {
            c->reset = true;
        }
    }
}

static inline bool client_ended(void *arg) {
    struct client *c = arg;
    client_read(c);
    return c->eof || c->reset;
}

static inline bool no_connections(void *arg) {
    struct fixture *f = arg;
    return http_server_connections(f->server) == 0;
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

/* Occurrences of a text in what the client has. */
static inline int times(const struct client *c, const char *text) {
    int n = 0;
    for (const char *at = strstr(c->got, text); at != NULL; at = strstr(at + 1, text)) {
        n++;
    }
    return n;
}

struct times_wanted {
    struct client *c;
    const char *text;
    int n;
};

static inline bool has_times(void *arg) {
    struct times_wanted *w = arg;
    client_read(w->c);
    return times(w->c, w->text) >= w->n;
}

/* Runs until the client has the text n times. */
static inline void pump_times(struct fixture *f, struct client *c, const char *text, int n) {
    pump(f, has_times, &(struct times_wanted){c, text, n});
}

/* Sends on a new connection, waits for its end and returns the status of the first answer; 0 without one. */
static inline int one_shot(struct fixture *f, struct client *c, struct str request) {
    client_open(c, f);
    (void)client_send(c, request);
    pump(f, client_ended, c);
    client_close(c);
    pump(f, no_connections, f);
    return strncmp(c->got, "HTTP/1.1 ", 9) == 0 ? (c->got[9] - '0') * 100 + (c->got[10] - '0') * 10 + (c->got[11] - '0') : 0;
}

static inline int count_fds(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d) != NULL) {
        n++;
    }
    (void)closedir(d);
    return n;
}

#endif
