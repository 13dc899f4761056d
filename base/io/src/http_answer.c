/* Writing answers: the whole answer is put together in one buffer, offered to the kernel at once, and what it does not take
 * is queued. One answer per connection at a time, so HTTP_ANSWER_BYTES bounds what waits for a slow client. */
#include "http_private.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>

enum { HEAD_BYTES = 512 }; /* of nearly every answer */

static const struct {
    int status;
    const char *text;
} reasons[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {207, "Multi-Status"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {422, "Unprocessable Content"},
    {424, "Failed Dependency"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
};

static const char *reason_of(int status) {
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].status == status) {
            return reasons[i].text;
        }
    }
    return ""; /* a phrase may be missing (RFC 9112 4) */
}

/* IMF-fixdate, made once a second. Not strftime: its names follow the locale. */
static struct str date_now(struct http_server *s) {
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    int64_t seconds = loop_wall(s->loop).ms / 1000;
    if (seconds != s->date_s) {
        time_t t = (time_t)seconds;
        struct tm tm = {0};
        (void)gmtime_r(&t, &tm);
        (void)snprintf(s->date, sizeof s->date, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[tm.tm_wday % 7],
                       (unsigned)tm.tm_mday % 100, months[tm.tm_mon % 12], (unsigned)(tm.tm_year + 1900) % 10000,
                       (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
        s->date_s = seconds;
    }
    return str_c(s->date);
}

static void add_number(struct buf *b, uint64_t v) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    buf_add(b, str_of(digits + at, sizeof digits - at));
}

static void add_line(struct buf *b, struct str name, struct str value) {
    buf_add(b, name);
    buf_add(b, STR(": "));
    size_t from = b->n;
    buf_add(b, value);
    for (size_t i = from; i < b->n; i++) { /* a value from outside must not end the line */
        if (b->p[i] == '\r' || b->p[i] == '\n' || b->p[i] == '\0') {
            b->p[i] = ' ';
        }
    }
    buf_add(b, STR("\r\n"));
}

/* These have no content, and Content-Length must not (204) or need not (304) be there (RFC 9110 8.6). */
static bool has_content(int status) { return status != 204 && status != 304; }

/* Everything but the answer's own headers and the empty line. connection may be NULL; length < 0: there is none. */
static void add_head(struct buf *b, struct http_server *s, int status, const char *type, int64_t length, const char *connection) {
    buf_add(b, STR("HTTP/1.1 "));
    add_number(b, (uint64_t)status);
    buf_add_char(b, ' ');
    buf_add_c(b, reason_of(status));
    buf_add(b, STR("\r\n"));
    add_line(b, STR("Date"), date_now(s));
    if (type != NULL) {
        add_line(b, STR("Content-Type"), str_c(type));
    }
    if (has_content(status) && length >= 0) {
        buf_add(b, STR("Content-Length: "));
        add_number(b, (uint64_t)length);
        buf_add(b, STR("\r\n"));
    }
    if (connection != NULL) {
        add_line(b, STR("Connection"), str_c(connection));
    }
}

void http_answer_build(struct http_exchange *x, struct http_server *s, const struct http_answer *a, bool endless) {
    if (a->body.n <= x->out.max - HEAD_BYTES) {
        (void)buf_reserve(&x->out, HEAD_BYTES + a->body.n); /* at once; what this fails with, the rest fails with */
    }
    const char *connection = x->last ? "close" : x->framing.version_1_0 ? "keep-alive" : NULL;
    add_head(&x->out, s, a->status, a->content_type, endless ? -1 : (int64_t)a->body.n, connection);
    for (size_t i = 0; i < a->headers_n; i++) {
        add_line(&x->out, a->headers[i].name, a->headers[i].value);
    }
    buf_add(&x->out, STR("\r\n"));
    if (has_content(a->status) && !str_is(x->req.method, "HEAD")) {
        buf_add(&x->out, a->body);
    }
}

static void on_written(uv_write_t *w, int status) {
    struct http_conn *c = w->data;
    if (c->phase == CONN_CLOSED) {
        return;
    }
    if (status == 0) {
        c->x->handed = c->x->out.n;
        http_conn_sent(c);
    } else {
        http_conn_enter(c, CONN_SENT);
        http_conn_close(c);
    }
}

static void send_out(struct http_conn *c) {
    struct http_exchange *x = c->x;
    uv_stream_t *stream = (uv_stream_t *)&c->tcp;
    uv_buf_t b = uv_buf_init(x->out.p, (unsigned)x->out.n);
    int n = uv_try_write(stream, &b, 1);
    x->handed = n > 0 ? (size_t)n : 0;
    if (x->handed == x->out.n) {
        http_conn_sent(c);
        return;
    }
    x->write.data = c;
    b = uv_buf_init(x->out.p + x->handed, (unsigned)(x->out.n - x->handed));
    if ((n < 0 && n != UV_EAGAIN) || uv_write(&x->write, stream, &b, 1, on_written) != 0) {
        http_conn_enter(c, CONN_SENT);
        http_conn_close(c);
        return;
    }
    http_conn_enter(c, CONN_WRITING);
}

/* The handler answered by the head alone. A body that has come with it is passed over and the connection goes on; one that is still on
 * its way is not waited for. */
static void pass_over_body(struct http_exchange *x) {
    if (x->last && !x->framing.chunked && x->framing.length <= x->in.n) {
        buf_drop(&x->in, x->framing.length);
        x->last = false;
    }
}

void http_respond(struct http_request *req, const struct http_answer *answer) {
    struct http_conn *c = req->conn;
    struct http_exchange *x = c->x;
    assert(c->phase == CONN_HANDLER && x != NULL && &x->req == req);
    pass_over_body(x);
    x->last = x->last || answer->close || !x->keep_alive || c->server->draining;
    x->status = answer->status;
    http_answer_build(x, c->server, answer, false);
    if (x->out.failed == ERR_NONE) {
        send_out(c);
        return;
    }
    bool no_memory = x->out.failed == ERR_NOMEM;
    x->last = true;
    x->status = no_memory ? 503 : 500;
    x->handed = http_answer_bad(c->server, &c->tcp, x->status, no_memory ? "out of memory" : "the answer is too large",
                                !str_is(req->method, "HEAD"));
    http_conn_sent(c);
}

void http_drop(struct http_request *req) {
    struct http_conn *c = req->conn;
    assert(c->phase == CONN_HANDLER && c->x != NULL && &c->x->req == req);
    c->x->announced = false; /* the handler knows */
    http_conn_close(c);
}

/* What the socket does not take at once is lost: it goes to a client that breaks the rules, and nothing of ours waits. */
size_t http_answer_bad(struct http_server *s, uv_tcp_t *tcp, int status, const char *reason, bool with_body) {
    struct buf *body = &s->bad_body;
    struct buf *out = &s->bad_out;
    buf_clear(body);
    buf_clear(out);
    s->o.on_bad(s->o.arg, status, reason, body);
    struct str content = body->failed == ERR_NONE ? buf_str(body) : STR_NONE;
    add_head(out, s, status, content.n > 0 ? "application/problem+json" : NULL, (int64_t)content.n, "close");
    buf_add(out, STR("\r\n"));
    if (with_body) {
        buf_add(out, content);
    }
    if (out->failed != ERR_NONE) {
        return 0;
    }
    uv_buf_t b = uv_buf_init(out->p, (unsigned)out->n);
    int n = uv_try_write((uv_stream_t *)tcp, &b, 1);
    return n > 0 ? (size_t)n : 0;
}
