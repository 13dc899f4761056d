/* One connection: reads, feeds the parser, calls the handlers, keeps the deadlines, ends. See http_private.h for the phases.
 *
 * The end of the client's stream is no reason to go away: a client may shut down its sending side behind a whole request and
 * wait (nc does). So EOF lets the answers that are due go out, and closes then. It also means that a client that closed its
 * socket is noticed only by its reset, which comes when it was killed with data unread or when we write to it. */
#include "http_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static void settle(struct http_conn *c);

/* ---- deadlines ---- */

static int64_t phase_ms(const struct http_conn *c, enum conn_phase phase) {
    const struct http_server_options *o = &c->server->o;
    switch (phase) {
    case CONN_IDLE:
        return c->server->draining && o->idle_ms > HTTP_DRAIN_IDLE_MS ? HTTP_DRAIN_IDLE_MS : o->idle_ms;
    case CONN_WRITING:
        return o->idle_ms;
    case CONN_HEAD:
        return o->header_ms;
    case CONN_BODY:
        return HTTP_BODY_GRACE_MS;
    case CONN_LINGER:
        return HTTP_LINGER_MS;
    case CONN_HANDLER: /* handlers have deadlines of their own */
    case CONN_STREAM:
    case CONN_SENT:
    case CONN_CLOSED:
        return -1;
    }
    return -1;
}

static void on_timer(uv_timer_t *t);

static void arm(struct http_conn *c, struct mono now) {
    if (c->deadline_us >= c->fires_us) {
        return; /* it fires early enough, and looks again then */
    }
    c->fires_us = c->deadline_us;
    int64_t ms = (c->deadline_us - now.us + 999) / 1000;
    (void)uv_timer_start(&c->timer, on_timer, ms > 0 ? (uint64_t)ms : 0, 0);
}

void http_conn_enter(struct http_conn *c, enum conn_phase phase) {
    int64_t ms = phase_ms(c, phase);
    c->phase = phase;
    if (ms < 0) {
        c->deadline_us = INT64_MAX;
        return;
    }
    struct mono now = loop_now(c->server->loop);
    c->deadline_us = now.us + ms * 1000;
    c->unsent = uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);
    arm(c, now);
}

/* The deadline of a body moves by the time that its bytes may take at the least rate, but never past the grace. */
static void credit_body(struct http_conn *c, size_t n) {
    int64_t most = loop_now(c->server->loop).us + HTTP_BODY_GRACE_MS * 1000;
    int64_t earned = c->deadline_us + (int64_t)n * 1000000 / c->server->o.body_bytes_per_s;
    c->deadline_us = earned < most ? earned : most;
}

/* ---- the end of requests and connections ---- */

void http_conn_tell_done(struct http_conn *c) {
    struct http_exchange *x = c->x;
    if (x == NULL || !x->announced) {
        return;
    }
    x->announced = false; /* before the call, which may close the server, and with it this connection */
    if (c->server->o.on_done != NULL) {
        c->server->o.on_done(c->server->o.arg, &x->req, x->status, x->handed);
    }
}

static void tell_gone(struct http_conn *c) {
    struct http_exchange *x = c->x;
    bool announced = x->announced;
    x->announced = false;
    if (announced && x->req.on_gone != NULL) {
        x->req.on_gone(&x->req);
    }
}

static void drop_exchange(struct http_conn *c) {
    if (c->x != NULL) {
        http_exchange_give(c->server, c->x);
        c->x = NULL;
    }
}

static void on_closed(uv_handle_t *h) {
    struct http_conn *c = h->data;
    if (--c->handles > 0) {
        return;
    }
    drop_exchange(c); /* not earlier: a cancelled write used it */
    http_server_forget(c->server, c);
    free(c);
}

void http_conn_close(struct http_conn *c) {
    enum conn_phase was = c->phase;
    if (was == CONN_CLOSED) {
        return;
    }
    http_conn_enter(c, CONN_CLOSED);
    if (was == CONN_WRITING) {
        c->x->handed = c->x->out.n - uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);
    }
    if (was == CONN_WRITING || was == CONN_SENT || was == CONN_STREAM) {
        http_conn_tell_done(c);
    } else if (c->x != NULL) {
        tell_gone(c);
    }
    if (c->ready) {
        TAILQ_REMOVE(&c->server->ready, c, ready_link);
        c->ready = false;
    }
    uv_close((uv_handle_t *)&c->tcp, on_closed);
    uv_close((uv_handle_t *)&c->timer, on_closed);
}

/* Closing while the client still sends makes the kernel answer with a reset, which may overtake our last answer. */
void http_conn_linger(struct http_conn *c) {
    int fd;
    drop_exchange(c);
    if (c->eof || uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0 || shutdown(fd, SHUT_WR) != 0) {
        http_conn_close(c);
        return;
    }
    http_conn_enter(c, CONN_LINGER);
    settle(c);
}

/* Ends the connection with an answer of our own. */
static void refuse(struct http_conn *c, int status, const char *reason) {
    bool is_head = c->x != NULL && str_is(c->x->req.method, "HEAD");
    if (c->x != NULL) {
        tell_gone(c);
    }
    if (c->phase != CONN_CLOSED) {
        (void)http_answer_bad(c->server, &c->tcp, status, reason, !is_head);
        http_conn_linger(c);
    }
}

static void on_timer(uv_timer_t *t) {
    struct http_conn *c = t->data;
    struct mono now = loop_now(c->server->loop);
    size_t unsent = uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);
    c->fires_us = INT64_MAX;
    if (c->deadline_us > now.us) {
        if (c->deadline_us != INT64_MAX) {
            arm(c, now);
        }
    } else if (c->phase == CONN_HEAD) {
        refuse(c, 408, "the request head took too long");
    } else if (c->phase == CONN_BODY) {
        refuse(c, 408, "the request body came too slowly");
    } else if (c->phase == CONN_WRITING && unsent < c->unsent) {
        http_conn_enter(c, CONN_WRITING); /* slow, but it reads */
    } else {
        http_conn_close(c);
    }
}

/* ---- requests ---- */

static void begin_request(struct http_conn *c) {
    c->x->req.began = loop_now(c->server->loop);
    http_conn_enter(c, CONN_HEAD);
}

static bool deliver(struct http_conn *c) {
    c->x->req.body = buf_str(&c->x->body);
    c->x->announced = true;
    http_conn_enter(c, CONN_HANDLER);
    c->server->o.on_request(c->server->o.arg, &c->x->req);
    return true;
}

static void send_continue(struct http_conn *c) {
    static char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    uv_buf_t b = uv_buf_init(line, sizeof line - 1);
    int n = uv_try_write((uv_stream_t *)&c->tcp, &b, 1);
    if (n != UV_EAGAIN && n != (int)sizeof line - 1) {
        http_conn_close(c); /* half a line cannot be taken back */
    }
}

static bool has_body(const struct http_exchange *x) { return x->framing.chunked || x->framing.length > 0; }

static bool begin_body(struct http_conn *c) {
    struct http_exchange *x = c->x;
    x->last = false;
    if (!has_body(x)) {
        return deliver(c);
    }
    llhttp_resume(&x->parser);
    http_conn_enter(c, CONN_BODY);
    if (x->framing.expects_continue && x->in.n == 0) {
        send_continue(c);
    }
    return true;
}

/* on_head, then what the head says about a body. */
static bool accept_head(struct http_conn *c) {
    struct http_exchange *x = c->x;
    const struct http_server_options *o = &c->server->o;
    if (x->framing.length > o->max_body_bytes) {
        refuse(c, 413, "the request body is too large");
        return false;
    }
    if (o->on_head != NULL) {
        x->announced = true;
        x->last = has_body(x); /* if it is refused now */
        http_conn_enter(c, CONN_HANDLER);
        if (!o->on_head(o->arg, &x->req) || c->phase != CONN_HANDLER) {
            return true;
        }
    }
    return begin_body(c);
}

static void advance_later(struct http_conn *c) {
    if (!c->ready) {
        c->ready = true;
        TAILQ_INSERT_TAIL(&c->server->ready, c, ready_link);
        loop_at_turn_end(c->server->loop, &c->server->turn_end);
    }
}

void http_go_on(struct http_request *req) {
    req->conn->x->goes_on = true;
    advance_later(req->conn);
}

/* The first n bytes of in are the whole head. */
static bool finish_head(struct http_conn *c, size_t n) {
    struct http_exchange *x = c->x;
    x->req.conn = c;
    x->req.arena = &x->arena;
    x->req.peer = str_c(c->peer);
    struct str head = arena_str(&x->arena, str_of(x->in.p, n));
    if (head.p == NULL) {
        refuse(c, 503, "out of memory");
        return false;
    }
    struct http_verdict v = http_parse_head(head, &x->arena, &x->req, &x->framing);
    bool chunked = (x->parser.flags & F_CHUNKED) != 0;
    if (v.status == 0 && (chunked != x->framing.chunked || x->parser.content_length != x->framing.length)) {
        v = (struct http_verdict){400, "the length of the body is ambiguous"};
    }
    if (v.status != 0) {
        refuse(c, v.status, v.reason);
        return false;
    }
    x->keep_alive = llhttp_should_keep_alive(&x->parser) != 0;
    x->parser.upgrade = 0; /* no other protocol is spoken here: a request that offers one is an ordinary request */
    buf_drop(&x->in, n);
    return accept_head(c);
}

/* Empty lines before a request are allowed (RFC 9112 2.2), and no reason to start its clock. */
static bool skip_empty_lines(struct http_conn *c) {
    struct http_exchange *x = c->x;
    size_t n = 0;
    while (x->in.n - n >= 2 && memcmp(x->in.p + n, "\r\n", 2) == 0) {
        n += 2;
    }
    buf_drop(&x->in, n);
    if (x->in.n == 0) {
        drop_exchange(c);
        http_conn_enter(c, CONN_IDLE);
        return false;
    }
    return x->in.n > 1 || x->in.p[0] != '\r';
}

static bool step_head(struct http_conn *c) {
    struct http_exchange *x = c->x;
    if (x->in.n == x->parsed || (x->parsed == 0 && !skip_empty_lines(c))) {
        return false;
    }
    llhttp_errno_t rc = llhttp_execute(&x->parser, x->in.p + x->parsed, x->in.n - x->parsed);
    if (rc != HPE_OK && !(rc == HPE_PAUSED && x->head_seen)) {
        refuse(c, 400, llhttp_get_error_reason(&x->parser));
        return false;
    }
    x->parsed = rc == HPE_OK ? x->in.n : (size_t)(llhttp_get_error_pos(&x->parser) - x->in.p);
    if (x->parsed > LIMIT_HTTP_HEAD_BYTES) {
        refuse(c, 431, "the request head is too large");
        return false;
    }
    return rc == HPE_PAUSED && finish_head(c, x->parsed);
}

static bool step_body(struct http_conn *c) {
    struct http_exchange *x = c->x;
    if (x->in.n == 0) {
        return false;
    }
    llhttp_errno_t rc = llhttp_execute(&x->parser, x->in.p, x->in.n);
    if (x->body.failed == ERR_TOO_LARGE) {
        refuse(c, 413, "the request body is too large");
        return false;
    }
    if (x->body.failed != ERR_NONE) {
        refuse(c, 503, "out of memory");
        return false;
    }
    if (rc != HPE_OK && !(rc == HPE_PAUSED && x->body_seen)) {
        refuse(c, 400, llhttp_get_error_reason(&x->parser));
        return false;
    }
    size_t used = rc == HPE_OK ? x->in.n : (size_t)(llhttp_get_error_pos(&x->parser) - x->in.p);
    buf_drop(&x->in, used);
    x->body_wire += used;
    /* 16 bytes a chunk for its size line; what is more are extensions and trailers, which nobody reads. */
    if (x->body_wire - x->body.n > LIMIT_HTTP_HEAD_BYTES + 16 * x->chunks) {
        refuse(c, 413, "too many bytes between the chunks of the body");
        return false;
    }
    return rc == HPE_PAUSED && deliver(c);
}

static void end_exchange(struct http_conn *c) {
    struct http_exchange *x = c->x;
    http_conn_tell_done(c);
    if (c->phase == CONN_CLOSED) {
        return;
    }
    if (x->last) {
        http_conn_linger(c);
        return;
    }
    http_exchange_clear(x);
    if (x->in.n > 0) {
        begin_request(c);
        return;
    }
    drop_exchange(c);
    http_conn_enter(c, CONN_IDLE);
}

static bool step(struct http_conn *c) {
    if (c->phase == CONN_HEAD) {
        return step_head(c);
    }
    if (c->phase == CONN_BODY) {
        return step_body(c);
    }
    if (c->phase == CONN_HANDLER && c->x->goes_on) {
        c->x->goes_on = false;
        return begin_body(c);
    }
    if (c->phase == CONN_SENT) {
        end_exchange(c);
        return true;
    }
    return false;
}

void http_conn_advance(struct http_conn *c) {
    int steps = 0;
    c->advancing = true;
    while (steps < HTTP_STEPS && step(c)) {
        steps++;
    }
    c->advancing = false;
    if (steps == HTTP_STEPS && c->phase != CONN_CLOSED) {
        advance_later(c);
    }
    settle(c);
}

void http_conn_sent(struct http_conn *c) {
    http_conn_enter(c, CONN_SENT);
    if (c->advancing) {
        return; /* ends when the handler has returned */
    }
    end_exchange(c);
    if (c->phase == CONN_HEAD) {
        advance_later(c);
    }
    settle(c);
}

/* ---- reading ---- */

static void on_alloc(uv_handle_t *h, size_t hint, uv_buf_t *out) {
    struct http_conn *c = h->data;
    (void)hint;
    *out = uv_buf_init(c->server->read_room, sizeof c->server->read_room);
}

static void take_bytes(struct http_conn *c, struct str bytes) {
    if (c->x == NULL) {
        c->x = http_exchange_take(c->server);
        if (c->x == NULL) {
            refuse(c, 503, "out of memory");
            return;
        }
        begin_request(c);
    }
    buf_add(&c->x->in, bytes);
    if (c->x->in.failed == ERR_NONE) {
        if (c->phase == CONN_BODY) {
            credit_body(c, bytes.n);
        }
        http_conn_advance(c);
    } else if (c->phase == CONN_HEAD || c->phase == CONN_BODY) {
        refuse(c, 503, "out of memory");
    } else {
        http_conn_close(c); /* an answer is on its way: nothing else can be said */
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b) {
    struct http_conn *c = stream->data;
    if (n > 0) {
        if (c->phase != CONN_LINGER) {
            take_bytes(c, str_of(b->base, (size_t)n));
        }
    } else if (n == UV_EOF) {
        c->eof = true;
        c->reading = false;
        settle(c);
    } else if (n < 0) {
        http_conn_close(c);
    }
}

/* Then nobody is left to be told anything. */
static bool ends_with_client(enum conn_phase phase) { return phase == CONN_IDLE || phase == CONN_STREAM || phase == CONN_LINGER; }

/* After everything that may have changed a connection: end it when the client has, read when there is room. */
static void settle(struct http_conn *c) {
    if (c->phase == CONN_CLOSED) {
        return;
    }
    if (c->eof && ends_with_client(c->phase)) {
        http_conn_close(c);
        return;
    }
    if (c->eof && !c->ready && (c->phase == CONN_HEAD || c->phase == CONN_BODY)) {
        refuse(c, 400, "the connection ended in the middle of a request");
        return;
    }
    bool want = !c->eof && (c->x == NULL || c->x->in.n <= LIMIT_HTTP_HEAD_BYTES);
    if (want && !c->reading) {
        c->reading = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) == 0;
    } else if (!want && c->reading) {
        (void)uv_read_stop((uv_stream_t *)&c->tcp);
        c->reading = false;
    }
}

/* ---- a new connection ---- */

static void name_peer(struct http_conn *c) {
    struct sockaddr_storage a;
    int n = sizeof a;
    char host[HTTP_PEER_BYTES - 16] = "";
    if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&a, &n) != 0) {
        return;
    }
    bool v6 = a.ss_family == AF_INET6;
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)&a;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&a;
    (void)(v6 ? uv_ip6_name(in6, host, sizeof host) : uv_ip4_name(in4, host, sizeof host));
    (void)snprintf(c->peer, sizeof c->peer, v6 ? "[%s]:%d" : "%s:%d", host, ntohs(v6 ? in6->sin6_port : in4->sin_port));
}

void http_conn_start(struct http_conn *c) {
    name_peer(c);
    (void)uv_tcp_nodelay(&c->tcp, 1);
    http_conn_enter(c, CONN_IDLE);
    settle(c);
}
