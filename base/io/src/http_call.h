/* The parts of the HTTP and mail client: http_client.c owns calls, their queue and their deadlines; http_send.c and
 * mail.c know what one call is (call_kind); curl_lane.c drives libcurl's multi interface.
 *
 * Callbacks of users run in one place, the end-of-turn hook of http_client.c: never inside libcurl, never inside http_send,
 * and a user may send, cancel and close from them. */
#ifndef HTTP_CALL_H
#define HTTP_CALL_H

#include <base/span.h>
#include <io/http_client.h>
#include <io/timer.h>

#include <curl/curl.h>
#include <sys/queue.h>

enum { CALL_DETAIL_BYTES = 200, CALL_SPARES = 64 };

struct http_call;

struct call_kind {
    const char *awaits; /* what its caller waits for, in words */
    struct err (*start)(struct http_call *call);
    /* Gives up a started call. Returns what became of it: `why`, or better knowledge (it may have arrived). */
    struct err (*stop)(struct http_call *call, struct err why);
    void (*deliver)(struct http_call *call); /* calls the user's callback with call->err */
    void (*free)(struct http_call *call);    /* what call->part still holds; may be NULL */
};

struct http_call {
    TAILQ_ENTRY(http_call) link;
    struct http_client *client;
    const struct call_kind *kind;
    enum { CALL_NEW, CALL_WAITING, CALL_RUNNING, CALL_DONE } state;
    bool spare;   /* lives in the client, for when memory is short */
    bool starved; /* its socket cannot be watched: to be stopped outside of libcurl */
    struct timer *deadline;
    struct err err;
    char detail[CALL_DETAIL_BYTES]; /* of err */
    union {
        http_cb *http;
        mail_cb *mail;
    } cb;
    void *arg;
    void *part;     /* the kind's */
    uint32_t owner; /* loop_owner when it was made */
    struct span_mark mark;
};
TAILQ_HEAD(call_list, http_call);

struct lane;

struct http_client {
    struct loop *loop;
    size_t max_in_flight, max_waiting;
    size_t in_flight, waiting_n;
    char *allow_cidr, *user_agent;
    /* Connections of vetted and other calls never mix: an open connection is not vetted again. */
    struct lane *plain, *vetted;
    struct blocking *mailers; /* NULL before the first mail */
    struct call_list waiting, running, done;
    struct turn_end turn_end;
    bool closed, delivering, some_starved;
    uint64_t spares_used; /* bit per spare */
    struct http_call spare[CALL_SPARES];
};

/* A call with its callback's argument; call->err is set when it cannot be made (closed, full, no memory) and is only to
 * carry the refusal. NULL when even that has no room. */
struct http_call *http_call_new(struct http_client *c, const struct call_kind *kind, void *arg);
void http_call_refuse(struct http_call *call, struct err e);        /* sets call->err before submit */
void http_call_submit(struct http_call *call, int64_t deadline_ms); /* queued, or refused when call->err is set */
void http_call_finish(struct http_call *call, struct err e);        /* a running call has ended by itself */
void http_call_starve(struct http_call *call);                      /* may be called inside libcurl's callbacks */
void http_send_ended(struct http_call *call, CURLcode rc);          /* from the lane */

/* libcurl's multi interface on the loop. The lane's easy handles have their call as CURLOPT_PRIVATE. */
MUST struct err lane_new(struct loop *l, size_t max_idle_connections, struct lane **out);
void lane_free(struct lane *lane); /* NULL is fine */
MUST struct err lane_add(struct lane *lane, CURL *easy);
void lane_remove(struct lane *lane, CURL *easy);

#endif
