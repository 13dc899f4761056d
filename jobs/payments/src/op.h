/* One operation at the provider, as a value, and every decision about it. Nothing here does anything: op_run.c does. */
#ifndef PAYMENTS_OP_H
#define PAYMENTS_OP_H

#include <base/ids.h>

#include "provider.h"

enum op_state { OP_INIT, OP_SENT, OP_SUCCEEDED, OP_DECLINED, OP_ERRORED, OP_UNKNOWN, OP_CANCELED, OP_STATE_MAX };
const char *op_state_name(enum op_state s);
bool op_state_parse(struct str s, enum op_state *out);
bool op_state_is_decided(enum op_state s); /* nothing will change it any more */

/* The ways of a machine ("payment", "payment_op", "refund"), as in payments.state_edge. */
struct edge {
    const char *machine, *from, *to;
};
extern const struct edge payment_edges[];
extern const size_t payment_edges_n;
bool payment_edge_exists(const char *machine, struct str from, const char *to);

/* What the row said when it was read. */
struct op_row {
    struct uuid id, payment_id;
    enum op_kind kind;
    enum op_state state;
    int64_t amount;
    char currency[4];
    int32_t calls;
    struct str code, token, parent, tenant, payment_status, traceparent, view;
    int64_t payment_version;
    /* sent, unknown: until "not found" means "never arrived", by Postgres' clock when it was read; negative: it would by now */
    int64_t late_in_ms;
    bool frozen;        /* its payment is */
    bool must_not_send; /* its job is closed, or to be cancelled: what did not leave must not */
    bool dead;          /* and that only until it is replayed */
};

enum op_act {
    OP_ACT_NONE,   /* it is decided, or not to be touched now */
    OP_ACT_GATE,   /* pass the gate, and if that succeeds, send */
    OP_ACT_ASK,    /* somebody sent it: look it up */
    OP_ACT_CANCEL, /* it did not reach the provider and must not */
};
/* no_sending: the caller wants it undone, not done. */
enum op_act op_next(const struct op_row *o, bool no_sending);

enum op_record {
    OP_RECORD_SUCCEEDED,
    OP_RECORD_FROZEN, /* it is booked, but not as asked */
    OP_RECORD_DECLINED,
    OP_RECORD_ERRORED, /* it did not reach the book, and this call will not any more */
    OP_RECORD_UNKNOWN,
    OP_RECORD_NOTHING, /* no news: ask again later */
};
/* What an answer means. asked: it answers a question (lookup), put after the row was read; else the call itself. */
enum op_record op_judge(const struct op_row *o, const struct provider_answer *a, bool asked);

/* The first field in which a booking differs from what was asked: "amount", "currency", "kind", "count"; NULL: none does. */
const char *op_mismatch(const struct op_row *o, const struct provider_answer *a);

/* When to ask again about an operation that is not decided. */
int64_t op_ask_again_ms(const struct op_row *o);

/* What release does next with a payment. has_op: one of its operations is not decided. */
enum release_act {
    RELEASE_DONE,
    RELEASE_DECIDE_OP, /* bring it to a decision: send it when a release opened it, else only ask about what has left */
    RELEASE_VOID,      /* open a void of what is authorized and not captured */
    RELEASE_REFUND,    /* open a refund of what is captured and not refunded */
    RELEASE_WAIT,      /* somebody else is to go on with it first */
    RELEASE_REFUSE,    /* frozen */
};
struct payment_sums {
    struct str status;
    int64_t authorized, captured, voided, refunded, capture_pending, refund_pending;
};
enum release_act payment_release_next(const struct payment_sums *p, bool has_op);

/* Why an operation was not opened. */
enum open_verdict { OPEN_AGAIN, OPEN_NOT_FOUND, OPEN_STALE, OPEN_ILLEGAL, OPEN_TOO_MUCH };
struct open_request {
    enum op_kind kind;
    int64_t amount;     /* 0: all that is left */
    int64_t if_version; /* 0: any */
};
/* found false: no such payment. OPEN_AGAIN: by this state it would have been opened; it changed in between. */
enum open_verdict op_open_judge(bool found, const struct payment_sums *p, int64_t version, const struct open_request *r);
int64_t payment_left(const struct payment_sums *p, enum op_kind kind); /* the most that can be captured, voided, refunded */
bool payment_allows(const struct payment_sums *p, enum op_kind kind);  /* by its status, and something is left */

#endif
