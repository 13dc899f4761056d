/* A webhook receiver on the loop: one connection at a time, everything in static memory, so that torture() is the tested code's
 * alone. It notes the last request and answers as it was told. */
#ifndef HOOK_SINK_H
#define HOOK_SINK_H

#include <arpa/inet.h>
#include <io/loop.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "unit.h"

enum { HOOK_SINK_BYTES = 512 * 1024 };

static struct {
    uv_tcp_t listener, conn;
    uv_write_t write;
    bool open, pending; /* pending: another connection waits to be accepted */
    int port, requests;
    const char *answer; /* a whole response; NULL: hangs up without one */
    size_t n;
    char text[HOOK_SINK_BYTES + 1]; /* the last request */
} sink;

#define ANSWER(status, headers) "HTTP/1.1 " status " X\r\nContent-Length: 0\r\nConnection: close\r\n" headers "\r\n"

static inline void sink_accept(void);

static inline void sink_on_closed(uv_handle_t *h) {
    (void)h;
    sink.open = false;
    if (sink.pending && !uv_is_closing((uv_handle_t *)&sink.listener)) {
        sink_accept();
    }
}

static inline void sink_hang_up(void) {
    if (sink.open && !uv_is_closing((uv_handle_t *)&sink.conn)) {
        uv_close((uv_handle_t *)&sink.conn, sink_on_closed);
    }
}

static inline bool sink_is_complete(void) {
    const char *body = strstr(sink.text, "\r\n\r\n"), *length = strcasestr(sink.text, "\r\ncontent-length: ");
    size_t follows = length != NULL ? strtoul(length + 18, NULL, 10) : 0;
    return body != NULL && sink.n >= (size_t)(body + 4 - sink.text) + follows;
}

static inline void sink_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *out) {
    (void)h;
    (void)suggested;
    *out = uv_buf_init(sink.text + sink.n, (unsigned)(HOOK_SINK_BYTES - sink.n));
}

static inline void sink_on_written(uv_write_t *w, int status) {
    (void)w;
    (void)status;
    sink_hang_up();
}

static inline void sink_on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf) {
    (void)buf;
    if (n < 0) {
        sink_hang_up();
        return;
    }
    sink.n += (size_t)n;
    sink.text[sink.n] = '\0';
    if (!sink_is_complete()) {
        return;
    }
    sink.requests++;
    uv_buf_t answer = uv_buf_init((char *)(uintptr_t)sink.answer, sink.answer != NULL ? (unsigned)strlen(sink.answer) : 0);
    if (sink.answer == NULL || uv_write(&sink.write, s, &answer, 1, sink_on_written) != 0) {
        sink_hang_up();
    }
}

static inline void sink_accept(void) {
    sink.open = true;
    sink.pending = false;
    sink.n = 0;
    (void)uv_tcp_init(sink.listener.loop, &sink.conn);
    (void)uv_accept((uv_stream_t *)&sink.listener, (uv_stream_t *)&sink.conn);
    (void)uv_read_start((uv_stream_t *)&sink.conn, sink_alloc, sink_on_read);
}

static inline void sink_on_connection(uv_stream_t *s, int status) {
    (void)s;
    if (status == 0 && sink.open) {
        sink.pending = true;
    } else if (status == 0) {
        sink_accept();
    }
}

static inline void sink_start(struct loop *l) {
    struct sockaddr_in a;
    int n = sizeof a;
    (void)uv_tcp_init(loop_uv(l), &sink.listener);
    assert_int_equal(0, uv_ip4_addr("127.0.0.1", 0, &a));
    assert_int_equal(0, uv_tcp_bind(&sink.listener, (struct sockaddr *)&a, 0));
    assert_int_equal(0, uv_listen((uv_stream_t *)&sink.listener, 16, sink_on_connection));
    assert_int_equal(0, uv_tcp_getsockname(&sink.listener, (struct sockaddr *)&a, &n));
    sink.port = ntohs(a.sin_port);
}

static inline void sink_stop(void) {
    sink_hang_up();
    uv_close((uv_handle_t *)&sink.listener, NULL);
}

/* A header of the last request; "" when it has none. */
static inline const char *sink_header(const char *name) {
    static char values[8][256];
    static unsigned next;
    char wanted[64], *value = values[next++ % 8];
    (void)snprintf(wanted, sizeof wanted, "\r\n%s: ", name);
    const char *at = strcasestr(sink.text, wanted);
    at = at != NULL ? at + strlen(wanted) : "\r";
    (void)snprintf(value, sizeof values[0], "%.*s", (int)strcspn(at, "\r"), at);
    return value;
}

static inline const char *sink_body(void) {
    const char *at = strstr(sink.text, "\r\n\r\n");
    return at != NULL ? at + 4 : "";
}

#endif
