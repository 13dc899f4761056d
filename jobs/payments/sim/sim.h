/* penstock-sim: a payment provider that charges for every accepted call, keys or not, but books nothing that is past its
 * signed not_after; and a sink that notes every webhook. Misbehaves on request (faults.h).
 *
 *   POST /v1/authorize|capture|void|refund   {reference, amount, currency, token | parent, not_after}, Penstock-Signature
 *   GET  /v1/lookup?reference=R              what the book has of our reference
 *   POST /v1/faults, GET /v1/faults          the script of misbehaviour, and its hits
 *   POST /hook/…, POST /v1/hook-faults       the sink, and what it answers next
 *   GET  /v1/stats                           counts since the start */
#ifndef SIM_H
#define SIM_H

#include <base/json.h>
#include <io/http_server.h>
#include <sys/queue.h>

#include "book.h"
#include "faults.h"

enum sim_count {
    COUNT_AUTHORIZE, /* the first four in the order of enum book_op */
    COUNT_CAPTURE,
    COUNT_VOID,
    COUNT_REFUND,
    COUNT_DECLINED,
    COUNT_TOO_LATE,
    COUNT_DROPPED,
    COUNT_ERRORS,
    COUNT_INVALID,
    COUNT_LOOKUPS,
    COUNT_HOOKS,
    COUNT_MAX
};

struct hook_script {
    int status;
    int64_t retry_after_s; /* 0: not sent */
    int64_t left;          /* webhooks that it still answers */
    bool drop_after;       /* noted, then closed without an answer */
};

struct order;
TAILQ_HEAD(order_list, order);

struct sim {
    struct loop *loop;
    struct book *book;
    struct faults faults;
    struct str secret;
    int64_t lateness_ms; /* how long after not_after it still books */
    struct order_list due;
    struct turn_end commit;
    size_t orders;
    int hooks_fd;
    struct hook_script hook_script;
    int64_t count[COUNT_MAX];
};

/* Answers with JSON. */
void sim_answer(struct http_request *req, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);
void sim_answer_buf(struct http_request *req, int status, struct buf *body); /* frees body */
/* A simulator that cannot write must not go on: says so and exits. */
_Noreturn void sim_die(const char *what, struct err e);

/* provider.c */
void provider_call(struct sim *s, struct http_request *req, enum book_op op);
void provider_lookup(struct sim *s, struct http_request *req);

/* hooks.c */
MUST struct err hooks_open(struct sim *s, const char *book_path);
void hooks_receive(struct sim *s, struct http_request *req);
void hooks_script(struct sim *s, struct http_request *req);

#endif
