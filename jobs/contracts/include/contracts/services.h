/* How modules and the API call a module: vtables, filled by each module's open() in process, or by a client of a module that was
 * moved out. Every call is asynchronous; the callback runs once, and not before the call returns unless memory is out. Keys
 * (root:step) make a call repeatable: the module dedupes itself. Strings are copied by the callee where it keeps them. */
#ifndef CONTRACTS_SERVICES_H
#define CONTRACTS_SERVICES_H

#include <base/err.h>
#include <base/ids.h>
#include <base/trace.h>

/* What a GET shows: ready JSON, and the version behind its ETag. json is borrowed for the callback. ERR_NOT_FOUND: none of that
 * id in that tenant. */
struct view {
    int64_t version;
    struct str json;
};
typedef void view_cb(void *arg, struct err err, const struct view *view);

struct orders_service {
    void (*get)(void *self, struct str tenant, struct uuid order_id, view_cb *cb, void *arg);
    void *self;
};

struct money {
    int64_t minor; /* units of the currency's exponent */
    char currency[4];
};

struct payment_request {
    struct str key; /* "<root>:authorize": the same key is the same payment */
    struct str tenant;
    struct uuid order_id;
    struct money amount;
    struct str token;
    struct trace trace;
    struct mono give_up; /* the caller's own */
};

enum payment_outcome {
    PAYMENT_OK,
    PAYMENT_DECLINED, /* the provider said no; code says why */
    PAYMENT_PENDING,  /* not known yet: ask again with the same key after delay_ms */
    /* What the provider booked is not what it was asked for: money may be held that is not the amount. It is no refusal: nothing
     * more is asked of the provider, either way, until a person has decided; the event payment.integrity_failed says where. */
    PAYMENT_FROZEN,
};

struct payment_answer {
    enum payment_outcome outcome;
    struct uuid payment_id;
    struct str code;  /* DECLINED, FROZEN; borrowed for the callback */
    int64_t delay_ms; /* PENDING */
};
typedef void payment_cb(void *arg, struct err err, const struct payment_answer *answer);

/* The provider behind payments_service: a job type that calls it names it as its dependency. */
#define DEPENDENCY_PAYMENTS "payments"

struct payments_service {
    void (*authorize)(void *self, const struct payment_request *r, payment_cb *cb, void *arg);
    /* Undoes what authorize with the same request did, under a key of its own ("<root>:release"): voids what is authorized,
     * refunds what is captured. Where nothing was asked for yet, it sees to it that nothing will be: an authorize that comes
     * after it is declined. What jobs have begun with the payment and not sent is canceled. PAYMENT_OK also when there is nothing
     * left to undo; DECLINED: the provider would not. */
    void (*release)(void *self, const struct payment_request *r, struct str key, payment_cb *cb, void *arg);
    /* Whoever authorized under this key is not coming back: what was sent to the provider and is not known is asked about by a job of
     * this module. What was not sent stays as it is, and there may be nothing. */
    void (*leave)(void *self, struct str key, void (*cb)(void *arg, struct err err), void *arg);
    void (*get)(void *self, struct str tenant, struct uuid payment_id, view_cb *cb, void *arg);
    void *self;
};

struct notifications_service {
    void (*get)(void *self, struct str tenant, struct uuid notification_id, view_cb *cb, void *arg);
    void *self;
};

struct services {
    struct orders_service orders;
    struct payments_service payments;
    struct notifications_service notifications;
};

#endif
