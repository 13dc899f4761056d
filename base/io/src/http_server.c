/* The listener, the connections and the memory they share. */
#include "http_private.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BACKLOG = 1024, BAD_ANSWER_BYTES = 16 * 1024, BAD_ANSWER_FIRST_BYTES = 1024 };

/* ---- exchanges ---- */

static int on_headers_complete(llhttp_t *p) {
    struct http_exchange *x = p->data;
    x->head_seen = true;
    return HPE_PAUSED;
}

static int on_message_complete(llhttp_t *p) {
    struct http_exchange *x = p->data;
    x->body_seen = true;
    return HPE_PAUSED;
}

static int on_body(llhttp_t *p, const char *at, size_t n) {
    struct http_exchange *x = p->data;
    buf_add(&x->body, str_of(at, n));
    return x->body.failed == ERR_NONE ? 0 : HPE_USER;
}

static int on_chunk_header(llhttp_t *p) {
    struct http_exchange *x = p->data;
    x->chunks++;
    return 0;
}

static const llhttp_settings_t parser_settings = {
    .on_headers_complete = on_headers_complete,
    .on_message_complete = on_message_complete,
    .on_body = on_body,
    .on_chunk_header = on_chunk_header,
};

static void clear_buf(struct buf *b) {
    if (b->cap > HTTP_KEEP_BYTES) {
        buf_free(b);
    } else {
        buf_clear(b);
    }
}

void http_exchange_clear(struct http_exchange *x) {
    arena_reset(&x->arena);
    clear_buf(&x->body);
    clear_buf(&x->out);
    x->req = (struct http_request){0};
    x->framing = (struct http_framing){0};
    x->parsed = x->body_wire = x->chunks = x->handed = 0;
    x->head_seen = x->body_seen = x->keep_alive = x->last = x->announced = x->goes_on = false;
    llhttp_init(&x->parser, HTTP_REQUEST, &parser_settings);
    x->parser.data = x;
}

struct http_exchange *http_exchange_take(struct http_server *s) {
    struct http_exchange *x = SLIST_FIRST(&s->spares);
    if (x != NULL) {
        SLIST_REMOVE_HEAD(&s->spares, spare);
        s->spares_n--;
        return x;
    }
    x = calloc(1, sizeof *x);
    if (x != NULL) {
        arena_init(&x->arena, HTTP_ARENA_BLOCK_BYTES, HTTP_ARENA_BYTES);
        buf_init(&x->in, HTTP_IN_BYTES);
        buf_init(&x->body, s->o.max_body_bytes);
        buf_init(&x->out, HTTP_ANSWER_BYTES);
        http_exchange_clear(x);
    }
    return x;
}

static void exchange_free(struct http_exchange *x) {
    arena_free(&x->arena);
    buf_free(&x->in);
    buf_free(&x->body);
    buf_free(&x->out);
    free(x);
}

void http_exchange_give(struct http_server *s, struct http_exchange *x) {
    if (s->spares_n >= HTTP_SPARE_EXCHANGES) {
        exchange_free(x);
        return;
    }
    clear_buf(&x->in);
    http_exchange_clear(x);
    SLIST_INSERT_HEAD(&s->spares, x, spare);
    s->spares_n++;
}

/* ---- the end ---- */

static void free_if_idle(struct http_server *s) {
    if (!s->closing || s->handles > 0 || s->conns_n > 0) {
        return;
    }
    while (!SLIST_EMPTY(&s->spares)) {
        struct http_exchange *x = SLIST_FIRST(&s->spares);
        SLIST_REMOVE_HEAD(&s->spares, spare);
        exchange_free(x);
    }
    buf_free(&s->bad_body);
    buf_free(&s->bad_out);
    free(s);
}

/* Perhaps the last one. */
static void after_connection(struct http_server *s) {
    if (s->closing) {
        free_if_idle(s);
    } else if (s->draining && s->conns_n == 0 && s->o.on_drained != NULL) {
        s->o.on_drained(s->o.arg);
    }
}

void http_server_forget(struct http_server *s, struct http_conn *c) {
    TAILQ_REMOVE(&s->conns, c, link);
    s->conns_n--;
    after_connection(s);
}

static void on_listener_closed(uv_handle_t *h) {
    struct http_server *s = h->data;
    s->handles--;
    free_if_idle(s);
}

void http_server_stop_accepting(struct http_server *s) {
    struct http_conn *c;
    if (s->draining) {
        return;
    }
    s->draining = true;
    uv_close((uv_handle_t *)&s->listener, on_listener_closed);
    TAILQ_FOREACH(c, &s->conns, link) {
        if (c->phase == CONN_IDLE) {
            http_conn_enter(c, CONN_IDLE); /* its deadline is another one now */
        }
    }
    after_connection(s);
}

void http_server_close(struct http_server *s) {
    struct http_conn *c;
    if (s == NULL || s->closing) {
        return;
    }
    s->closing = true;
    http_server_stop_accepting(s);
    TAILQ_FOREACH(c, &s->conns, link) { http_conn_close(c); }
    loop_cancel_turn_end(s->loop, &s->turn_end);
    free_if_idle(s);
}

/* ---- accepting ---- */

static void on_connection(uv_stream_t *listener, int status);

static void on_refused_closed(uv_handle_t *h) {
    struct http_server *s = h->data;
    s->handles--;
    s->refusing = false;
    if (s->refuse_next && !s->draining) {
        s->refuse_next = false;
        on_connection((uv_stream_t *)&s->listener, 0);
    }
    free_if_idle(s);
}

/* libuv stops listening for good when an announced connection is not taken, so it is taken in any case. */
static void refuse_connection(struct http_server *s, const char *reason) {
    int fd;
    if (s->refusing) {
        s->refuse_next = true;
        return;
    }
    s->refusing = true;
    s->handles++;
    (void)uv_tcp_init(loop_uv(s->loop), &s->refused);
    s->refused.data = s;
    if (uv_accept((uv_stream_t *)&s->listener, (uv_stream_t *)&s->refused) == 0 &&
        uv_fileno((uv_handle_t *)&s->refused, &fd) == 0) {
        (void)recv(fd, s->read_room, sizeof s->read_room, MSG_DONTWAIT); /* unread bytes would turn the close into a reset */
        (void)http_answer_bad(s, &s->refused, 503, reason, true);
    }
    uv_close((uv_handle_t *)&s->refused, on_refused_closed);
}

/* Its socket is for uv_accept; NULL: out of memory. */
static struct http_conn *conn_new(struct http_server *s) {
    struct http_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return NULL;
    }
    uv_loop_t *loop = loop_uv(s->loop);
    (void)uv_tcp_init(loop, &c->tcp);
    (void)uv_timer_init(loop, &c->timer);
    c->tcp.data = c->timer.data = c;
    c->handles = 2;
    c->server = s;
    c->fires_us = INT64_MAX;
    return c;
}

static void on_connection(uv_stream_t *listener, int status) {
    struct http_server *s = listener->data;
    if (status < 0) {
        return; /* out of descriptors: libuv has dropped the connection */
    }
    struct http_conn *c = s->conns_n < s->o.max_connections ? conn_new(s) : NULL;
    if (c == NULL) {
        refuse_connection(s, s->conns_n < s->o.max_connections ? "out of memory" : "too many connections");
        return;
    }
    TAILQ_INSERT_TAIL(&s->conns, c, link);
    s->conns_n++;
    if (uv_accept(listener, (uv_stream_t *)&c->tcp) == 0) {
        http_conn_start(c);
    } else {
        http_conn_close(c);
    }
}

/* ---- the beginning ---- */

static void on_turn_end(void *arg) {
    struct http_server *s = arg;
    struct http_conn *c;
    size_t n = 0;
    TAILQ_FOREACH(c, &s->ready, ready_link) { n++; }
    for (; n > 0 && !TAILQ_EMPTY(&s->ready); n--) { /* those that come back wait for the next turn */
        c = TAILQ_FIRST(&s->ready);
        TAILQ_REMOVE(&s->ready, c, ready_link);
        c->ready = false;
        http_conn_advance(c);
    }
}

/* "127.0.0.1:8080" or "[::1]:8080". */
static struct err parse_listen(const char *text, struct sockaddr_storage *out) {
    struct str s = str_c(text);
    char host[64];
    uint64_t port;
    size_t colon = s.n;
    while (colon > 0 && s.p[colon - 1] != ':') {
        colon--;
    }
    bool v6 = colon > 2 && s.p[0] == '[' && s.p[colon - 2] == ']';
    struct str address = v6 ? str_of(s.p + 1, colon - 3) : str_of(s.p, colon > 0 ? colon - 1 : 0);
    if (!str_to_u64(str_of(s.p + colon, s.n - colon), &port) || port > 65535 || !str_copy_c(address, host, sizeof host) ||
        (v6 ? uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)(void *)out)
            : uv_ip4_addr(host, (int)port, (struct sockaddr_in *)(void *)out)) != 0) {
        return err_make(ERR_INVALID, "%s: not an address like 127.0.0.1:8080 or [::1]:8080", text);
    }
    return OK;
}

static struct err start_listening(struct http_server *s) {
    struct sockaddr_storage a = {0};
    TRY(parse_listen(s->o.listen, &a));
    int rc = s->o.socket > 0 ? uv_tcp_open(&s->listener, s->o.socket) : uv_tcp_bind(&s->listener, (const struct sockaddr *)&a, 0);
    rc = rc == 0 ? uv_listen((uv_stream_t *)&s->listener, BACKLOG, on_connection) : rc;
    return rc == 0 ? OK : err_make(ERR_SYSTEM, "listen on %s: %s", s->o.listen, uv_strerror(rc));
}

struct err http_server_new(struct loop *l, const struct http_server_options *o, struct http_server **out) {
    struct http_server *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return err_make(ERR_NOMEM, "http server");
    }
    s->loop = l;
    s->o = *o;
    s->handles = 1;
    s->turn_end = (struct turn_end){.run = on_turn_end, .arg = s};
    TAILQ_INIT(&s->conns);
    TAILQ_INIT(&s->ready);
    SLIST_INIT(&s->spares);
    buf_init(&s->bad_body, BAD_ANSWER_BYTES);
    buf_init(&s->bad_out, 2 * BAD_ANSWER_BYTES);
    (void)uv_tcp_init(loop_uv(l), &s->listener);
    s->listener.data = s;
    (void)signal(SIGPIPE, SIG_IGN); /* a client that goes away must not end the process */
    struct err e = start_listening(s);
    /* Room for the answers that say that there is no memory. */
    if (!err_is_set(e) && (buf_reserve(&s->bad_body, BAD_ANSWER_FIRST_BYTES) == NULL ||
                           buf_reserve(&s->bad_out, 2 * BAD_ANSWER_FIRST_BYTES) == NULL)) {
        e = err_make(ERR_NOMEM, "http server");
    }
    if (err_is_set(e)) {
        http_server_close(s);
        return e;
    }
    s->o.listen = NULL; /* the caller's */
    *out = s;
    return OK;
}

int http_server_port(const struct http_server *s) {
    struct sockaddr_storage a;
    int n = sizeof a;
    if (uv_tcp_getsockname(&s->listener, (struct sockaddr *)&a, &n) != 0) {
        return 0;
    }
    return ntohs(a.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)(void *)&a)->sin6_port
                                         : ((struct sockaddr_in *)(void *)&a)->sin_port);
}

size_t http_server_connections(const struct http_server *s) { return s->conns_n; }
