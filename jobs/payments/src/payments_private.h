#ifndef PAYMENTS_PRIVATE_H
#define PAYMENTS_PRIVATE_H

#include <contracts/services.h>
#include <jobs/attempt.h>

#include "op_run.h"
#include "statements.h"

void job_capture_start(struct attempt *a);
void job_void_start(struct attempt *a);
void job_refund_start(struct attempt *a);
void job_sync_start(struct attempt *a);

/* payments_service; self is the struct payments. */
void payments_authorize(void *self, const struct payment_request *r, payment_cb *cb, void *arg);
void payments_release(void *self, const struct payment_request *r, struct str key, payment_cb *cb, void *arg);
void payments_leave(void *self, struct str key, void (*cb)(void *arg, struct err err), void *arg);
void payments_get(void *self, struct str tenant, struct uuid payment_id, view_cb *cb, void *arg);

/* Keeps a request for as long as its service call runs. False: out of memory. */
bool payment_request_copy(struct arena *a, const struct payment_request *r, struct payment_request *out);

/* Opens an operation on a payment: a row, and it is open; 23505, and its key was known. */
struct open_spec {
    struct uuid payment;
    struct str tenant, key, reason;
    struct uuid root; /* nil: none */
    uint32_t generation;
    struct open_request want;
    struct trace trace;
};
void op_open(struct payments *m, const struct open_spec *s, pg_cb *cb, void *arg);

/* The sums in a row of payments_stmt_peek or payments_stmt_payment_by_key; status borrowed from res. */
struct payment_sums payment_sums_read(const PGresult *res);

/* An error in the middle of an operation: what may have left is never given up. */
void op_attempt_failed(struct attempt *a, struct err e);

#endif
