#include "statements.h"

/* SQL keeps its own lines. */
/* clang-format off */

const struct module_sql orders_sql = MODULE_SQL("orders");

/* The job of this root has its effect; a dead one of an older generation was replayed. */
#define ROOT_IS_CLOSED(root, generation_)                                                                                        \
    "EXISTS (SELECT FROM orders.effect x WHERE x.root_id = " root " AND x.step = '' "                                            \
    "AND NOT (x.outcome = 'dead' AND x.generation < " generation_ "))"
#define ORDER_EVENT(id, type, data, source)                                                                                      \
    EVENT_INSERT("orders", id, type, "o.id", "o.version", "o.tenant", "o.traceparent", data, source " o")

/* $1 order, $2 root of the job that reads, $3 tenant, $4 its generation. Always one row; the view is of the order as canceled
 * next. */
const struct pg_stmt orders_stmt_load = {
    "orders.load",
    "SELECT o.id, o.status, o.version, o.currency, o.total, o.token, o.capture, o.customer_id, o.tenant, "
    "EXISTS (SELECT FROM orders.effect c WHERE c.root_id = k.id AND c.step = 'cancel_request'), "
    "EXISTS (SELECT FROM orders.effect f WHERE f.root_id = k.id AND f.step = ''), " ROOT_IS_CLOSED("$2::uuid", "$4::int") ", "
    "o.cancel_root IS NOT NULL AND o.cancel_root = $2::uuid, "
    "CASE WHEN k.id <> $2::uuid AND o.status = 'canceled' THEN orders.order_view(o, o.status, o.version) "
    "WHEN k.id <> $2::uuid AND o.id IS NOT NULL THEN orders.order_view(o, 'canceled', o.version + 1) END "
    "FROM (SELECT $1::uuid AS id) k LEFT JOIN orders.orders o ON o.id = k.id AND o.tenant = $3::text",
    4,
};

/* $1 order, $2 tenant, $3 customer, $4 currency, $5 total, $6 token, $7 capture, $8 notify, $9 traceparent, $10 event id, $11
 * skus, $12 titles, $13 quantities, $14 unit prices, $15 generation. */
const struct pg_stmt orders_stmt_insert = {
    "orders.insert",
    "WITH o AS (INSERT INTO orders.orders (id, tenant, customer_id, currency, subtotal, total, token, capture, notify, "
    "traceparent) SELECT $1::uuid, $2::text, $3::text, $4::text, $5::bigint, $5::bigint, $6::text, $7::boolean, $8::jsonb, "
    "$9::text WHERE NOT " ROOT_IS_CLOSED("$1::uuid", "$15::int") " ON CONFLICT DO NOTHING RETURNING *), "
    "t AS (SELECT * FROM unnest($11::text[], $12::text[], $13::int[], $14::bigint[]) "
    "WITH ORDINALITY AS t(sku, title, qty, unit, n)), "
    "l AS (INSERT INTO orders.order_line (order_id, line_no, currency, sku, title, qty, unit_minor, line_total) "
    "SELECT o.id, t.n, o.currency, t.sku, t.title, t.qty, t.unit, t.qty * t.unit FROM o, t), "
    "e AS (" ORDER_EVENT("$10::uuid", "'order.created'",
                         "jsonb_build_object('order_id', o.id, 'customer_id', o.customer_id, 'currency', o.currency, "
                         "'total_minor', o.total, 'lines', (SELECT jsonb_agg(jsonb_build_object('line_no', t.n, 'sku', t.sku, "
                         "'qty', t.qty, 'unit_minor', t.unit) ORDER BY t.n) FROM t))", "o") ") "
    "SELECT count(*) FROM o",
    15,
};

/* $1 order, $2 version it is at, $3 status it goes to, $4 root of the order.cancel at it or NULL. No row: it was changed. */
const struct pg_stmt orders_stmt_move = {
    "orders.move",
    "UPDATE orders.orders SET status = $3::text, version = version + 1, cancel_root = coalesce($4::uuid, cancel_root) "
    "WHERE id = $1::uuid AND version = $2::bigint RETURNING id",
    4,
};

/* An order.cancel asks the flow that is placing the order to stop. The new version makes a confirmation on its way start over. $1
 * order, $2 version, $3 root of the order.cancel. */
const struct pg_stmt orders_stmt_request_cancel = {
    "orders.request_cancel",
    "WITH o AS (UPDATE orders.orders SET version = version + 1, cancel_root = $3::uuid "
    "WHERE id = $1::uuid AND version = $2::bigint AND status IN ('placed', 'reserving', 'authorizing') RETURNING id) "
    "INSERT INTO orders.effect (root_id, step, generation, outcome, status) SELECT id, 'cancel_request', 0, 'done', 0 FROM o "
    "ON CONFLICT DO NOTHING",
    3,
};

/* The effects name the version they make ($8): one decided on an older order fails with 40001 and the whole of it is
 * undone. */
#define ENDED(type, data)                                                                                                        \
    "e AS (" ORDER_EVENT("$9::uuid", "'" type "'", "jsonb_build_object('order_id', o.id, 'payment_id', o.payment_id, "           \
                         "'customer_id', o.customer_id, 'currency', o.currency, 'total_minor', o.total, "                        \
                         "'notify', o.notify" data ")",                                                                          \
                         "o") ")"

/* $7 payment, $8 version, $9 event id, $10 id of the capture, $11 its payload. */
const struct pg_stmt orders_stmt_confirm = {
    "orders.confirm",
    EFFECT_GATE("orders") ", o AS (UPDATE orders.orders o SET status = 'confirmed', payment_id = $7::uuid, version = $8::bigint "
    "FROM g WHERE o.id = g.root_id RETURNING o.*), " ENDED("order.confirmed", "") ", "
    "j AS (" JOB_INSERT("orders", "$10::uuid", "$10::uuid", "o.tenant", "'payments'", "'payment.capture'", "1", "$11::bytea",
                        "o.traceparent", "NULL::timestamptz", "o WHERE o.capture") ")" EFFECT_ANSWER("orders"),
    11,
};

/* $7 payment, $8 version, $9 event id, $10 the provider's code. */
const struct pg_stmt orders_stmt_payment_failed = {
    "orders.payment_failed",
    EFFECT_GATE("orders") ", o AS (UPDATE orders.orders o SET status = 'payment_failed', payment_id = $7::uuid, "
    "version = $8::bigint FROM g WHERE o.id = g.root_id RETURNING o.*), "
    ENDED("order.payment_failed", ", 'code', $10::text") EFFECT_ANSWER("orders"),
    10,
};

/* $7 order (an order.cancel has a root of its own), $8 version, $9 event id. */
const struct pg_stmt orders_stmt_canceled = {
    "orders.canceled",
    EFFECT_GATE("orders") ", o AS (UPDATE orders.orders o SET status = 'canceled', version = $8::bigint FROM g "
    "WHERE o.id = $7::uuid RETURNING o.*), " ENDED("order.canceled", ", 'reason', 'requested'") EFFECT_ANSWER("orders"),
    9,
};

/* $1 order, $2 tenant. */
const struct pg_stmt orders_stmt_view = {
    "orders.view",
    "SELECT version, orders.order_view(o, o.status, o.version) FROM orders.orders o WHERE id = $1::uuid AND tenant = $2::text",
    2,
};
