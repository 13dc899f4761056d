/* http_floor: the least that a server of POST requests with a JSON body can do, on the libraries that Penstock's stands on: libuv, llhttp,
 * jansson. It parses head and body, refuses what is no object, and answers 202 with an object that names the type it was sent. No limits, no
 * deadlines. Prints its port on 127.0.0.1; serves until standard input ends. */
#include "tool.h"

#include <jansson.h>
#include <llhttp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { BODY_BYTES = 64 << 10, ANSWER_BYTES = 1024 };

struct client {
    uv_tcp_t tcp;
    llhttp_t parser;
    size_t body_n;
    char in[BODY_BYTES], body[BODY_BYTES];
};

struct answer {
    uv_write_t write;
    char text[ANSWER_BYTES];
};

static llhttp_settings_t settings;

static void must(int uv, const char *what) {
    if (uv < 0) {
        die(what, uv_strerror(uv));
    }
}

static void on_written(uv_write_t *write, int status) {
    (void)status;
    free(write->data);
}

static void answer(struct client *c, const char *status, const char *body, size_t n) {
    struct answer *a = must_alloc(1, sizeof *a);
    int length =
        snprintf(a->text, sizeof a->text, "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%.*s",
                 status, n, (int)n, body);
    uv_buf_t buf = uv_buf_init(a->text, (unsigned)length);
    a->write.data = a;
    must(uv_write(&a->write, (uv_stream_t *)&c->tcp, &buf, 1, on_written), "write");
}

static int on_message(llhttp_t *parser) {
    struct client *c = parser->data;
    json_error_t why;
    json_t *body = json_loadb(c->body, c->body_n, JSON_REJECT_DUPLICATES, &why);
    const char *type = json_string_value(json_object_get(body, "type"));
    if (type == NULL) {
        answer(c, "422 Unprocessable Entity", "{}", 2);
    } else {
        json_t *said = json_pack("{s:s, s:s}", "state", "waiting", "type", type);
        char text[ANSWER_BYTES / 2];
        size_t n = json_dumpb(said, text, sizeof text, JSON_COMPACT);
        answer(c, "202 Accepted", text, n < sizeof text ? n : 0);
        json_decref(said);
    }
    json_decref(body);
    return 0;
}

static int on_begin(llhttp_t *parser) {
    ((struct client *)parser->data)->body_n = 0;
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t n) {
    struct client *c = parser->data;
    if (n > BODY_BYTES - c->body_n) {
        return -1;
    }
    memcpy(c->body + c->body_n, at, n);
    c->body_n += n;
    return 0;
}

static void on_closed(uv_handle_t *handle) { free(handle->data); }

static void on_room(uv_handle_t *handle, size_t hint, uv_buf_t *out) {
    struct client *c = handle->data;
    (void)hint;
    *out = uv_buf_init(c->in, sizeof c->in);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct client *c = stream->data;
    if (n < 0 || llhttp_execute(&c->parser, buf->base, (size_t)n) != HPE_OK) {
        uv_close((uv_handle_t *)stream, on_closed);
    }
}

static void on_connection(uv_stream_t *listener, int status) {
    struct client *c = must_alloc(1, sizeof *c);
    must(status, "listen");
    must(uv_tcp_init(listener->loop, &c->tcp), "tcp");
    c->tcp.data = c;
    must(uv_accept(listener, (uv_stream_t *)&c->tcp), "accept");
    must(uv_tcp_nodelay(&c->tcp, 1), "nodelay");
    llhttp_init(&c->parser, HTTP_REQUEST, &settings);
    c->parser.data = c;
    must(uv_read_start((uv_stream_t *)&c->tcp, on_room, on_read), "read");
}

static void on_input(uv_poll_t *input, int status, int events) {
    (void)status;
    (void)events;
    uv_stop(input->loop); /* nobody writes to it: it has ended */
}

int main(void) {
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    uv_poll_t input;
    struct sockaddr_in at;
    int at_n = sizeof at;
    llhttp_settings_init(&settings);
    settings.on_message_begin = on_begin;
    settings.on_body = on_body;
    settings.on_message_complete = on_message;
    must(uv_ip4_addr("127.0.0.1", 0, &at), "address");
    must(uv_tcp_init(loop, &listener), "tcp");
    must(uv_tcp_bind(&listener, (const struct sockaddr *)&at, 0), "bind");
    must(uv_listen((uv_stream_t *)&listener, 128, on_connection), "listen");
    must(uv_tcp_getsockname(&listener, (struct sockaddr *)&at, &at_n), "port");
    must(uv_poll_init(loop, &input, 0), "stdin");
    must(uv_poll_start(&input, UV_READABLE, on_input), "stdin");
    (void)printf("%d\n", ntohs(at.sin_port));
    (void)fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT) < 0;
}
