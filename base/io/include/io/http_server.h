/* HTTP/1.1 server on libuv and llhttp (strict). What llhttp leaves open is refused here: obs-fold, empty header names, no or
 * two Host fields, Transfer-Encoding on 1.0 (all 400), too many or too large headers (431), bodies (413), slow heads and
 * bodies (408). Requests of one connection are answered in order: parsing pauses while an answer is due.
 * Expect: 100-continue and HEAD are handled; keep-alive by the rules of 1.0 and 1.1. No TLS: it ends in front. */
#ifndef IO_HTTP_SERVER_H
#define IO_HTTP_SERVER_H

#include <base/arena.h>
#include <base/buf.h>
#include <io/loop.h>

struct http_server;
struct http_conn;

struct http_header {
    struct str name, value;
};

enum { HTTP_HEADERS_MAX = 100 };

struct http_request {
    struct str method;      /* "GET" */
    struct str target;      /* as sent */
    struct str path, query; /* target cut at '?'; not decoded */
    const struct http_header *headers;
    size_t headers_n;
    struct str body;     /* whole, de-chunked; empty in on_head */
    struct arena *arena; /* lives until the answer is sent or the client is gone */
    struct mono began;   /* first byte of the head */
    struct str peer;     /* "127.0.0.1:40212" */
    void *user;          /* the handler's own */
    /* Set by the handler: the request dies unanswered after this call, and http_respond must not be called any more. The
     * connection was reset, the body did not come or was refused, or the server was closed. The end of the client's stream
     * alone (EOF) is no reason: a client may shut down its sending side behind a whole request and wait. */
    void (*on_gone)(struct http_request *req);
    struct http_conn *conn; /* the server's */
};

struct http_server_options {
    const char *listen; /* "127.0.0.1:8080", "[::1]:8080"; port 0 takes a free one */
    int socket;         /* listens already, taken over, and listen is only its name; 0: none */
    size_t max_connections, max_body_bytes;
    int64_t header_ms, idle_ms, body_bytes_per_s;
    /* Called when the head is complete, before the body is read. True: go on. False: the handler has answered (a refusal costs no
     * body: one that has come with the head is passed over, and the connection is closed if it is still on its way), or does so later,
     * or calls http_go_on later. May be NULL. */
    bool (*on_head)(void *arg, struct http_request *req);
    /* Called with the whole request. Answers now or later, exactly once, with http_respond. */
    void (*on_request)(void *arg, struct http_request *req);
    /* An answer that the server makes itself (400, 408, 413, 431; 503 too many connections or out of memory; 500 an answer
     * that is too large): fills its body and may count it; content type is application/problem+json. The connection ends. */
    void (*on_bad)(void *arg, int status, const char *reason, struct buf *body);
    /* Once for each answered request, for the canonical log line: after the last byte of the answer was handed to the kernel,
     * or the connection was lost before. bytes: how many were handed over, head included; of a stream that was ended also those that
     * wait. May be NULL. */
    void (*on_done)(void *arg, struct http_request *req, int status, size_t bytes);
    /* Once, after http_server_stop_accepting, when the last connection has gone; not while the server is closed. May be NULL. */
    void (*on_drained)(void *arg);
    void *arg;
};

/* Also ignores SIGPIPE in this process. ERR_INVALID: listen is no address; ERR_SYSTEM: it cannot be listened on. */
MUST struct err http_server_new(struct loop *l, const struct http_server_options *o, struct http_server **out);
int http_server_port(const struct http_server *s);
size_t http_server_connections(const struct http_server *s);
/* Drain: answers carry Connection: close, and connections that idle end half a second later: a request may be on its way, and is served.
 * A socket that others hold, too, goes on queueing connections. */
void http_server_stop_accepting(struct http_server *s);
void http_server_close(struct http_server *s); /* drops what is left (on_gone); freed by the loop; NULL is fine */

struct str http_request_header(const struct http_request *req, const char *name); /* first of that name; p is NULL when absent */
/* The value of a query parameter, percent-decoded into the request's arena; p is NULL when absent, or malformed. */
struct str http_query(struct http_request *req, const char *name);
/* Takes the next parameter off rest (req->query at first), percent-decoded into the arena; p is NULL of what is malformed, or not UTF-8.
 * False at the end. */
bool http_query_next(struct http_request *req, struct str *rest, struct str *out_name, struct str *out_value);
struct str http_decode(struct arena *a, struct str s); /* percent-decoding; p is NULL when malformed, or with %00 in it */

struct http_answer {
    int status;
    const char *content_type; /* NULL without a body */
    const struct http_header *headers;
    size_t headers_n;
    struct str body;
    bool close;
};
/* Copies everything. Content-Length, Date, Connection are the server's. For HEAD, 204 and 304 the body is left out. CR, LF and
 * NUL in header values become spaces. Never calls on_head or on_request; it may call on_done. */
void http_respond(struct http_request *req, const struct http_answer *answer);
/* An answer that goes on until it is ended, or the client is gone: then on_done tells. Its head goes out without a length, the connection ends
 * with it; the body is its first part. Copies everything. */
void http_stream_begin(struct http_request *req, const struct http_answer *answer);
/* The next part; copied. False: nothing was sent, the client has not taken all of an earlier one yet. No more than one waits. May end the
 * stream, and then calls on_done. */
bool http_stream_send(struct http_request *req, struct str part);
/* What was sent still goes out, unless the client takes nothing of it for idle_ms; then the connection ends. Calls on_done before it returns. */
void http_stream_end(struct http_request *req);
void http_stream_cut(struct http_request *req); /* at once: what waits is lost. Calls on_done before it returns */
/* After an on_head that returned false without an answer, and never from within it: the body is read, and on_request called, from the
 * loop's turn end. */
void http_go_on(struct http_request *req);
/* Instead of an answer: closes the connection without one, as a peer that died would (the provider simulator). on_gone does not run. */
void http_drop(struct http_request *req);

#endif
