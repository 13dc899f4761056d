/* What order.place, order.cancel and order.release have in common: an attempt at one order, the row as it was read, the payments
 * service called for it, endings. */
#ifndef ORDERS_FLOW_H
#define ORDERS_FLOW_H

#include <contracts/services.h>
#include <jobs/attempt.h>
#include <jobs/refusal.h>

#include "order.h"
#include "statements.h"

struct flow {
    struct attempt *a;
    struct uuid order;
    struct order_row row;
    int64_t if_version;
    int rounds;
    void (*act)(struct flow *f); /* after each load */
};

/* Reads the order and calls act. Called again after each step; after too many the attempt ends by attempt_later. */
void flow_load(struct flow *f);

/* For pg_exec: any error ends the attempt, else the order is read again. arg is the flow. */
void flow_on_step(void *arg, struct err err, const PGresult *res);
void flow_exec(struct flow *f, const struct pg_stmt *stmt, const struct pg_value *values);
/* To another status, decided on the version that was read. own: this job is the order.cancel at it. */
void flow_move(struct flow *f, const char *status, bool own);

enum { FLOW_PAYMENT_KEY_BYTES = UUID_TEXT_BYTES + 10 };
struct str flow_payment_key(struct uuid order, char room[FLOW_PAYMENT_KEY_BYTES]);
/* The request that authorize was or will be called with; *room holds its key. False: the attempt has ended. */
bool flow_payment(struct flow *f, struct payment_request *out);
/* Calls release; released when everything is given back, refused when it cannot be. Else the attempt ends here. */
void flow_release(struct flow *f, void (*released)(struct flow *f), void (*refused)(struct flow *f, struct str code));
/* Ends the attempt with an error of the payments service, or with its "not known yet". */
void flow_unpaid(struct flow *f, struct err err, const struct payment_answer *answer);

/* Endings. result.p NULL: out of memory. */
void flow_close(struct flow *f, enum job_outcome outcome, int status, struct str result);
void flow_refuse(struct flow *f, enum job_outcome outcome, const struct refusal *r);
void flow_commit(struct flow *f, const struct attempt_effect *e);
/* Past the job's deadline. An order that is there expires with it (orders.sql). */
void flow_expire(struct flow *f);
/* The order as canceled. */
void flow_commit_canceled(struct flow *f, enum job_outcome outcome, int status, struct str result);

int64_t order_lock_order(struct uuid order);

#endif
