/* Answers without an end. What the kernel does not take of one part waits; the next is not taken before that is gone, so that a slow
 * client costs the memory of one part, and whoever sends decides how long it may be slow. Ended, what waits is an answer like any other: it
 * goes out as long as the client takes of it (CONN_WRITING). */
#include "http_private.h"

#include <assert.h>

/* What the kernel keeps for a client that does not read is old news for it, and memory for us. */
enum { SEND_BUFFER_BYTES = 32 * 1024 };

static void on_written(uv_write_t *w, int status) {
    struct http_conn *c = w->data;
    if (c->phase == CONN_CLOSED) {
        return;
    }
    if (status != 0) {
        http_conn_close(c);
        return;
    }
    c->x->handed += c->x->out.n;
    buf_clear(&c->x->out);
    if (c->phase == CONN_WRITING) {
        http_conn_sent(c);
    }
}

/* What is in out. */
static void push(struct http_conn *c) {
    struct http_exchange *x = c->x;
    uv_stream_t *stream = (uv_stream_t *)&c->tcp;
    uv_buf_t b = uv_buf_init(x->out.p, (unsigned)x->out.n);
    int n = uv_try_write(stream, &b, 1);
    if (n < 0 && n != UV_EAGAIN) {
        http_conn_close(c);
        return;
    }
    size_t took = n > 0 ? (size_t)n : 0;
    x->handed += took;
    buf_drop(&x->out, took);
    if (x->out.n == 0) {
        return;
    }
    x->write.data = c;
    b = uv_buf_init(x->out.p, (unsigned)x->out.n);
    if (uv_write(&x->write, stream, &b, 1, on_written) != 0) {
        http_conn_close(c);
    }
}

void http_stream_begin(struct http_request *req, const struct http_answer *answer) {
    struct http_conn *c = req->conn;
    struct http_exchange *x = c->x;
    int room = SEND_BUFFER_BYTES;
    assert(c->phase == CONN_HANDLER && x != NULL && &x->req == req);
    (void)uv_send_buffer_size((uv_handle_t *)&c->tcp, &room);
    x->last = true;
    x->status = answer->status;
    http_answer_build(x, c->server, answer, true);
    http_conn_enter(c, CONN_STREAM);
    if (x->out.failed != ERR_NONE) {
        http_conn_close(c);
        return;
    }
    push(c);
}

bool http_stream_send(struct http_request *req, struct str part) {
    struct http_conn *c = req->conn;
    struct http_exchange *x = c->x;
    assert(c->phase == CONN_STREAM && &x->req == req);
    if (x->out.n > 0) {
        return false;
    }
    buf_add(&x->out, part);
    if (x->out.failed != ERR_NONE) {
        http_conn_close(c);
        return true;
    }
    push(c);
    return true;
}

/* Who sent is told now, whatever still waits: it is the server's from here on. */
void http_stream_end(struct http_request *req) {
    struct http_conn *c = req->conn;
    struct http_exchange *x = c->x;
    assert(c->phase == CONN_STREAM && &x->req == req);
    bool waits = x->out.n > 0;
    x->handed += x->out.n;
    http_conn_enter(c, CONN_WRITING);
    http_conn_tell_done(c);
    if (c->phase == CONN_WRITING && !waits) {
        http_conn_sent(c);
    }
}

void http_stream_cut(struct http_request *req) {
    assert(req->conn->phase == CONN_STREAM);
    http_conn_close(req->conn);
}
