/* A payment provider. An adapter turns these calls into its protocol and its answers into these outcomes; it decides nothing and
 * retries nothing. Callbacks run once, and not before the call returns unless memory is out; answers are borrowed for the
 * callback. */
#ifndef PAYMENTS_PROVIDER_H
#define PAYMENTS_PROVIDER_H

#include <base/clock.h>
#include <base/err.h>
#include <base/ids.h>
#include <base/str.h>

enum op_kind { OP_AUTHORIZE, OP_CAPTURE, OP_VOID, OP_REFUND, OP_KIND_MAX };
const char *op_kind_name(enum op_kind k);
bool op_kind_parse(struct str s, enum op_kind *out);

struct provider_call {
    enum op_kind kind;
    struct uuid reference; /* the operation's id: the same for every repetition */
    int64_t amount;
    const char *currency;
    struct str token;  /* authorize */
    struct str parent; /* the others: the provider's reference of the authorization */
    struct str traceparent;
    struct wall not_after; /* signed with the request: booked later than this it would be nobody's */
    int64_t deadline_ms;
};

enum provider_outcome {
    PROVIDER_OK,        /* booked */
    PROVIDER_DECLINED,  /* not booked, for good; code says why */
    PROVIDER_TOO_LATE,  /* not booked: past not_after */
    PROVIDER_REFUSED,   /* not booked: the request was not understood or not accepted just now */
    PROVIDER_NOT_SENT,  /* it never left */
    PROVIDER_NOT_FOUND, /* lookup: nothing of this reference is in the book */
    PROVIDER_UNKNOWN,
};
const char *provider_outcome_name(enum provider_outcome o);

struct provider_answer {
    enum provider_outcome outcome;
    enum op_kind kind;       /* OK: what was booked, */
    int count;               /* how often (the call itself: 1), */
    struct str provider_ref; /* and the first booking */
    int64_t amount;
    struct str currency;
    struct str code;  /* DECLINED, REFUSED */
    struct err err;   /* NOT_SENT, UNKNOWN; REFUSED: just now */
    int64_t after_ms; /* what it asked to wait (Retry-After); 0: nothing */
};
typedef void provider_cb(void *arg, const struct provider_answer *answer);

struct provider {
    const char *name; /* in payment_op.provider */
    /* At least one must hold, or a repetition could charge twice. */
    bool honours_keys, honours_not_after;
    int64_t lateness_ms; /* how long after not_after it may still book */
    void (*call)(struct provider *p, const struct provider_call *c, provider_cb *cb, void *arg);
    void (*lookup)(struct provider *p, struct uuid reference, int64_t deadline_ms, provider_cb *cb, void *arg);
    void (*close)(struct provider *p);
};

struct module_env;
/* The simulator (jobs/payments/sim), spoken to over HTTP. */
MUST struct err provider_sim_new(struct module_env *env, struct provider **out);

#endif
