/* What http_server.c (listening, shared memory), http_conn.c (one connection's life) and http_answer.c (writing) share.
 *
 * A connection is small while it idles. With the first byte of a request it takes an exchange from the server: the memory
 * of one request and its answer. The exchange goes back when the answer is with the kernel and nothing more was received,
 * and keeps its buffers, so that a request in the steady state allocates nothing.
 *
 *   IDLE ──byte──▶ HEAD ──▶ (on_head) ──▶ BODY ──▶ HANDLER ──http_respond──▶ WRITING ──▶ SENT ──▶ IDLE or HEAD
 *                    └── 400 408 431 ──┬── 408 413 ──┘    │                              └─ last answer ─▶ LINGER ──▶ CLOSED
 *                                      └──────────────────┼─────────────────────────────────────────────▶ LINGER
 *                                          http_stream_begin ──▶ STREAM ──http_stream_end──▶ WRITING (or SENT)
 *                                                                  └── cut, or the client is gone ──▶ CLOSED
 *
 * Handlers are called from http_conn_advance alone: never from within http_respond, so a handler that walks its own waiting
 * requests is not entered again. */
#ifndef IO_HTTP_PRIVATE_H
#define IO_HTTP_PRIVATE_H

#include <base/limits.h>
#include <io/http_server.h>
#include <llhttp.h>
#include <sys/queue.h>
#include <uv.h>

#include "http_parse.h"

enum {
    HTTP_READ_BYTES = 64 * 1024,                             /* most that one read takes */
    HTTP_IN_BYTES = LIMIT_HTTP_HEAD_BYTES + HTTP_READ_BYTES, /* received and not yet used: reading stops past a head */
    HTTP_KEEP_BYTES = 64 * 1024,                             /* larger buffers are not kept for the next request */
    HTTP_ARENA_BLOCK_BYTES = 4 * 1024,
    HTTP_ARENA_BYTES = 8 * 1024 * 1024,
    HTTP_ANSWER_BYTES = 8 * 1024 * 1024, /* largest answer, and so the most that waits for a slow client */
    HTTP_SPARE_EXCHANGES = 256,
    HTTP_BODY_GRACE_MS = 5000, /* what a body may lag behind its least rate */
    HTTP_DRAIN_IDLE_MS = 500,  /* what an idle connection gets to say when the server drains */
    HTTP_LINGER_MS = 1000,     /* for the client to read the last answer while it is still sending */
    HTTP_STEPS = 64,           /* per turn and connection, so that one that pipelines does not starve the others */
    HTTP_DATE_BYTES = 30,
    HTTP_PEER_BYTES = 64,
};

enum conn_phase {
    CONN_IDLE,
    CONN_HEAD,
    CONN_BODY,
    CONN_HANDLER, /* the answer is due */
    CONN_WRITING, /* the kernel did not take all of the answer yet */
    CONN_SENT,    /* it did; the exchange is about to end */
    CONN_STREAM,  /* an answer without an end: out has what the kernel did not take of the latest part */
    CONN_LINGER,  /* sending is shut down; what still comes is thrown away */
    CONN_CLOSED,  /* waits for libuv's close callbacks */
};

struct http_exchange {
    struct http_request req;
    struct arena arena;
    struct buf in; /* received, not yet used; begins with the head while that is incomplete */
    size_t parsed; /* bytes of in that the parser has seen */
    struct buf body;
    size_t body_wire; /* bytes of the body as sent, with its chunk lines */
    size_t chunks;
    struct buf out; /* the whole answer */
    int status;
    size_t handed; /* bytes of out that the kernel took */
    llhttp_t parser;
    uv_write_t write;
    struct http_framing framing;
    bool head_seen, body_seen; /* set by the parser's callbacks */
    bool keep_alive;           /* what the client asked for */
    bool last;                 /* the connection ends with this answer */
    bool announced;            /* a handler knows this request and is told its end: on_done or on_gone */
    bool goes_on;              /* http_go_on was called */
    SLIST_ENTRY(http_exchange) spare;
};

struct http_conn {
    uv_tcp_t tcp;
    uv_timer_t timer; /* one for all deadlines: armed early or in time, looks at deadline_us when it fires */
    int handles;      /* of the two, not yet closed */
    struct http_server *server;
    struct http_exchange *x; /* NULL while idle and lingering */
    enum conn_phase phase;
    int64_t deadline_us, fires_us; /* INT64_MAX: none */
    size_t unsent;                 /* WRITING: left at the last deadline */
    bool reading, eof;
    bool advancing; /* http_conn_advance is on the stack */
    bool ready;     /* on the server's list: has received bytes to work on in the next turn */
    TAILQ_ENTRY(http_conn) link, ready_link;
    char peer[HTTP_PEER_BYTES];
};

TAILQ_HEAD(http_conns, http_conn);

struct http_server {
    struct loop *loop;
    struct http_server_options o;
    uv_tcp_t listener;
    uv_tcp_t refused; /* over the limit or out of memory: answered and closed here, one at a time, without allocating */
    bool refusing, refuse_next, draining, closing;
    int handles; /* of the two, not yet closed */
    struct http_conns conns, ready;
    size_t conns_n;
    struct turn_end turn_end; /* works on ready */
    SLIST_HEAD(, http_exchange) spares;
    size_t spares_n;
    struct buf bad_body, bad_out; /* answers that the server makes itself */
    int64_t date_s;
    char date[HTTP_DATE_BYTES];
    char read_room[HTTP_READ_BYTES]; /* between a read and its callback */
};

/* http_server.c */
struct http_exchange *http_exchange_take(struct http_server *s); /* NULL: out of memory */
void http_exchange_clear(struct http_exchange *x);               /* for the next request; keeps what is in `in` */
void http_exchange_give(struct http_server *s, struct http_exchange *x);
void http_server_forget(struct http_server *s, struct http_conn *c); /* its handles are closed */

/* http_conn.c */
void http_conn_start(struct http_conn *c);   /* after uv_accept */
void http_conn_advance(struct http_conn *c); /* does what the received bytes allow */
void http_conn_sent(struct http_conn *c);    /* the whole answer is with the kernel */
void http_conn_enter(struct http_conn *c, enum conn_phase phase);
void http_conn_linger(struct http_conn *c);    /* ends it softly: nothing more is sent */
void http_conn_close(struct http_conn *c);     /* ends it now; a request under way is told */
void http_conn_tell_done(struct http_conn *c); /* on_done, unless it was called already; may close the server */

/* http_answer.c */
void http_answer_build(struct http_exchange *x, struct http_server *s, const struct http_answer *a, bool endless);
size_t http_answer_bad(struct http_server *s, uv_tcp_t *tcp, int status, const char *reason, bool with_body);

#endif
