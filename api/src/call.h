/* One request on its way through the API. A call outlives its client: what it has begun in Postgres and Redis answers to it, even
 * when nobody is there any more to be told.
 *
 * Lifetime: the server's side holds one reference until the answer is out or the client is gone; everything asynchronous holds one
 * from its start to the end of its callback. Answering may give up the server's reference at once, so that a callback touches the
 * call after an answer only because it holds its own. */
#ifndef API_CALL_H
#define API_CALL_H

#include <base/trace.h>
#include <io/http_server.h>
#include <io/pg.h>
#include <sys/queue.h>

#include "auth.h"
#include "problem.h"
#include "route.h"
#include "wait.h"

struct api;

enum { CALL_HEADERS_MAX = 12 };

struct call {
    struct api *api;
    struct http_request *req; /* NULL once answered or gone: header values and body have gone with it */
    const struct route *route;
    struct str param; /* the path's, decoded; in the arena */
    struct str path;  /* in the arena */
    struct arena arena;
    struct trace trace;
    struct identity who;
    struct str key;                               /* Idempotency-Key, in the arena; p NULL: none */
    struct wall deadline;                         /* Penstock-Deadline; 0: none */
    struct http_header headers[CALL_HEADERS_MAX]; /* of the answer */
    size_t headers_n;
    struct waiter waiter;
    void (*ended)(struct call *c); /* of a stream */
    int64_t took_us;               /* until a stream began; 0: it is none */
    void *state;                   /* the handler's, in the arena */
    /* for the log line */
    struct uuid job, root; /* nil: none */
    const char *problem;
    unsigned refs;
    bool waited;            /* it was to wait for a job */
    uint64_t number;        /* of those that have begun */
    TAILQ_ENTRY(call) link; /* open or spare */
};
TAILQ_HEAD(call_list, call);

/* The server's callbacks; arg is the struct api. */
bool call_on_head(void *arg, struct http_request *req);
void call_on_request(void *arg, struct http_request *req);
void call_on_done(void *arg, struct http_request *req, int status, size_t bytes);
void call_on_bad(void *arg, int status, const char *reason, struct buf *body);

void call_hold(struct call *c);
void call_release(struct call *c);
void calls_free_spare(struct api *api);

/* Answers, each at most once per call; nothing happens when the client is gone. Bodies are copied. */
void call_header(struct call *c, const char *name, struct str value); /* value must live until the answer: arena or static */
void call_answer(struct call *c, int status, const char *content_type, struct str body);
void call_json(struct call *c, int status,
               const struct buf *body); /* a failed buf becomes a problem; the buf stays the caller's */
void call_problem(struct call *c, enum problem_id id, const char *detail, ...) PRINTF_LIKE(3, 4);
void call_problem_full(struct call *c, struct problem *p); /* trace and instance are filled in */
void call_fail(struct call *c, struct err err);            /* the problem behind an error of a server of ours */
/* An answer of text/event-stream that goes on: its first part, then what http_stream_send(c->req, …) sends, until the client or http_stream_end
 * ends it; then ended runs, once. False: the client has gone. */
bool call_stream(struct call *c, struct str first, void (*ended)(struct call *c));
/* 304 when If-None-Match names the tag, else 200 with it. etag with its quotes. */
void call_tagged(struct call *c, struct str etag, struct str body);

/* One statement for this call. then runs only when it succeeded; otherwise the call is answered. The reference is this function's. */
typedef void call_then(struct call *c, const PGresult *res);
void call_query(struct call *c, const struct pg_stmt *stmt, const struct pg_value *values, call_then *then);

/* The tenant whose rows this caller may see; PG_NULL for those who may see every one. */
struct pg_value call_tenant(const struct call *c);
bool call_sees(const struct call *c, struct str tenant);
bool call_sees_stream_job(const struct call *c, struct uuid id); /* by the tenant in the id */

/* ---- params.c ---- */

/* The path's {id} as a uuid; answers 404 and is false when it is none. */
bool call_param_uuid(struct call *c, struct uuid *out);
/* The path's {queue}; answers 404 and is NULL when there is none. */
const struct queue_info *call_param_queue(struct call *c);
/* Answers 400 and is false where the header is there twice. p NULL: it is absent. */
bool call_one_header(struct call *c, const char *name, struct str *out);
/* Answers 400 and is false unless the query has parameters of the route alone, each once and well encoded. */
bool call_check_query(struct call *c);
/* ?limit= and ?cursor=, ready for a statement; becomes the call's state. NULL: answered. */
struct page {
    int64_t limit;
    struct pg_value rows, after; /* limit; cursor, or NULL */
    char rows_text[PG_INT_BYTES], after_text[PG_UUID_BYTES];
};
struct page *call_page(struct call *c);
/* 200 with {"items": the first rows of res, each by write, "next": next}; next with p NULL: left out. In bytes at most max. */
typedef void page_row(struct call *c, struct buf *b, const PGresult *res, int row);
void call_answer_page(struct call *c, const PGresult *res, int rows, struct str next, size_t max, page_row *write);
/* The version that If-Match names; 0: none, or *. Answers 400 or 412 and is false when it names none that there can be. */
bool call_if_match(struct call *c, int64_t *out_version);
/* The wait of this request, from Prefer or ?wait=, at most 30 s; fallback_ms without either. Answers 400 and is -1 when malformed. */
int64_t call_wait_ms(struct call *c, int64_t fallback_ms);

#endif
