/* Every statement of the module. Each is complete in itself and may be sent twice; those that change an operation carry its guard
 * (state, and where the answer belongs to one call, calls). Parameters are listed in statements.c. */
#ifndef PAYMENTS_STATEMENTS_H
#define PAYMENTS_STATEMENTS_H

#include <jobs/module_sql.h>

extern const struct module_sql payments_sql;

extern const struct pg_stmt payments_stmt_op_by_key, payments_stmt_op_by_id;
extern const struct pg_stmt payments_stmt_gate;
extern const struct pg_stmt payments_stmt_succeeded, payments_stmt_frozen, payments_stmt_not_done, payments_stmt_errored,
    payments_stmt_unknown;

extern const struct pg_stmt payments_stmt_open_authorize, payments_stmt_open_capture, payments_stmt_open_void,
    payments_stmt_open_refund;
extern const struct pg_stmt payments_stmt_close_unopened;
extern const struct pg_stmt payments_stmt_peek, payments_stmt_view;
extern const struct pg_stmt payments_stmt_payment_by_key, payments_stmt_bury;

/* Columns of payments_stmt_op_by_key and payments_stmt_op_by_id. */
enum {
    OP_COL_ID,
    OP_COL_PAYMENT,
    OP_COL_KIND,
    OP_COL_STATE,
    OP_COL_AMOUNT,
    OP_COL_CURRENCY,
    OP_COL_CALLS,
    OP_COL_CODE,
    OP_COL_TOKEN,
    OP_COL_PARENT,
    OP_COL_TENANT,
    OP_COL_STATUS,
    OP_COL_VERSION,
    OP_COL_TRACE,
    OP_COL_LATE_IN,
    OP_COL_MUST_NOT_SEND,
    OP_COL_DEAD,
    OP_COL_VIEW,
};
/* Columns of payments_stmt_peek and payments_stmt_payment_by_key: the sums, then the statement's own. */
enum {
    SUM_COL_ID,
    SUM_COL_STATUS,
    SUM_COL_VERSION,
    SUM_COL_AUTHORIZED,
    SUM_COL_CAPTURED,
    SUM_COL_VOIDED,
    SUM_COL_REFUNDED,
    SUM_COL_CAPTURE_PENDING,
    SUM_COL_REFUND_PENDING,
    SUM_COL_OVER, /* peek: the job is closed or to be cancelled */
    SUM_COL_OP = SUM_COL_OVER,
    SUM_COL_OURS, /* payment_by_key: one of its operations that are not decided, or NULL; and whether a release opened it */
};

#endif
