/* Every statement of the module. Each is complete in itself and may be sent twice; one that changes an order names the version it
 * was decided on. Parameters are listed in statements.c. */
#ifndef ORDERS_STATEMENTS_H
#define ORDERS_STATEMENTS_H

#include <jobs/module_sql.h>

extern const struct module_sql orders_sql;

extern const struct pg_stmt orders_stmt_load, orders_stmt_insert, orders_stmt_move, orders_stmt_request_cancel, orders_stmt_view;
/* Effects. */
extern const struct pg_stmt orders_stmt_confirm, orders_stmt_payment_failed, orders_stmt_canceled;

/* Columns of orders_stmt_load. */
enum {
    COL_ID,
    COL_STATUS,
    COL_VERSION,
    COL_CURRENCY,
    COL_TOTAL,
    COL_TOKEN,
    COL_CAPTURE,
    COL_CUSTOMER,
    COL_TENANT,
    COL_CANCEL_REQUESTED,
    COL_PLACE_IS_OVER,
    COL_CLOSED,
    COL_OWN,
    COL_VIEW,
};

#endif
