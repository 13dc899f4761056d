#include "statements.h"

/* SQL keeps its own lines. */
/* clang-format off */

const struct module_sql payments_sql = MODULE_SQL("payments");

#define MS " * interval '1 millisecond'"
/* The job of this root is closed, or somebody asked for its cancellation: what has not left must not leave. A dead one of an
 * older generation was replayed. */
#define ROOT_IS_OVER(root, generation_)                                                                                          \
    "EXISTS (SELECT FROM payments.effect x WHERE x.root_id = " root " AND (x.step = 'cancel_request' OR "                        \
    "(x.step = '' AND NOT (x.outcome = 'dead' AND x.generation < " generation_ "))))"

/* $1 the key or id, $2 the provider's lateness in ms, $3 generation. clock_timestamp: the answer is to hold for a question put
 * after this. */
#define OP_SELECT                                                                                                                \
    "SELECT o.id, o.payment_id, o.kind, o.state, o.amount, o.currency, o.calls, o.code, p.token, p.provider_ref, p.tenant, "     \
    "p.status, p.version, o.traceparent, "                                                                                       \
    "ceil(extract(epoch FROM o.not_after + $2::bigint" MS " - clock_timestamp()) * 1000)::bigint, "                              \
    ROOT_IS_OVER("o.root_id", "$3::int") ", EXISTS (SELECT FROM payments.effect d WHERE d.root_id = o.root_id AND d.step = '' "  \
    "AND d.outcome = 'dead' AND d.generation >= $3::int), "                                                                      \
    "CASE WHEN o.state IN ('succeeded', 'declined', 'canceled') THEN payments.payment_view(p) END "                              \
    "FROM payments.payment_op o JOIN payments.payment p ON p.id = o.payment_id WHERE o."
const struct pg_stmt payments_stmt_op_by_key = {"payments.op_by_key", OP_SELECT "key = $1::text", 3};
const struct pg_stmt payments_stmt_op_by_id = {"payments.op_by_id", OP_SELECT "id = $1::uuid", 3};

/* The gate. $1 op, $2 budget in ms, $3 generation. One row (calls, not_after in ms): the caller sends. */
const struct pg_stmt payments_stmt_gate = {
    "payments.gate",
    "WITH g AS (UPDATE payments.payment_op o SET state = 'sent', version = version + 1, calls = calls + 1, code = NULL, "
    "sent_at = now(), not_after = now() + $2::bigint" MS " WHERE id = $1::uuid AND state IN ('init', 'errored') "
    "AND NOT " ROOT_IS_OVER("o.root_id", "$3::int") " "
    "AND NOT EXISTS (SELECT FROM payments.payment f WHERE f.id = o.payment_id AND f.status = 'frozen') "
    "RETURNING payment_id, calls, not_after), "
    "p AS (UPDATE payments.payment p SET status = 'authorizing', version = version + 1 FROM g "
    "WHERE p.id = g.payment_id AND p.status = 'created') "
    "SELECT calls, floor(extract(epoch FROM not_after) * 1000)::bigint FROM g",
    3,
};

/* A frozen payment stays frozen, whatever becomes of its operations. */
#define STATUS(expression) "status = CASE WHEN p.status = 'frozen' THEN p.status ELSE " expression " END, version = p.version + 1"
#define IF_KIND(kind) "(CASE WHEN o.kind = '" kind "' THEN o.amount ELSE 0 END)"
/* Which sum of the payment went up, and what is left of it, for the event. */
#define EVENT_FROM_P(id, type, data)                                                                                             \
    EVENT_INSERT("payments", id, type, "p.id", "p.version", "p.tenant", "p.traceparent", data, "p")
#define EVENT_BASE "'payment_id', p.id, 'order_id', p.order_id, 'op_id', p.op_id, 'kind', p.kind, 'currency', p.currency"

/* $1 op, $2 provider_ref, $3 amount, $4 currency as booked, $5 event id. The provider's booking is a fact, whichever call made
 * it. */
const struct pg_stmt payments_stmt_succeeded = {
    "payments.succeeded",
    "WITH o AS (UPDATE payments.payment_op SET state = 'succeeded', version = version + 1, provider_ref = $2::text, "
    "booked_amount = $3::bigint, booked_currency = $4::text, code = NULL, decided_at = now() "
    "WHERE id = $1::uuid AND state IN ('sent', 'unknown') RETURNING *), "
    "p AS (UPDATE payments.payment p SET "
    "authorized = p.authorized + " IF_KIND("authorize") ", captured = p.captured + " IF_KIND("capture") ", "
    "capture_pending = p.capture_pending - " IF_KIND("capture") ", voided = p.voided + " IF_KIND("void") ", "
    "refunded = p.refunded + " IF_KIND("refund") ", refund_pending = p.refund_pending - " IF_KIND("refund") ", "
    "provider_ref = CASE WHEN o.kind = 'authorize' THEN o.provider_ref ELSE p.provider_ref END, "
    "auth_expires_at = CASE WHEN o.kind = 'authorize' THEN now() + interval '7 days' ELSE p.auth_expires_at END, "
    STATUS("CASE o.kind WHEN 'authorize' THEN 'authorized' "
           "WHEN 'void' THEN CASE WHEN p.captured > 0 THEN 'closed' ELSE 'voided' END "
           "WHEN 'capture' THEN CASE WHEN p.captured + o.amount + p.voided = p.authorized THEN 'captured' "
           "ELSE 'partially_captured' END ELSE p.status END") " "
    "FROM o WHERE p.id = o.payment_id RETURNING p.*, o.id AS op_id, o.kind, o.amount AS op_amount), "
    "r AS (UPDATE payments.refund r SET status = 'succeeded', version = r.version + 1 FROM o WHERE r.id = o.id), "
    "l AS (INSERT INTO payments.ledger_entry (op_id, account, currency, amount) "
    "SELECT o.id, a.account, o.currency, a.sign * CASE o.kind WHEN 'capture' THEN o.amount ELSE -o.amount END "
    "FROM o, (VALUES ('provider_receivable', 1), ('order_liability', -1)) a(account, sign) "
    "WHERE o.kind IN ('capture', 'refund')), "
    "e AS (" EVENT_FROM_P("$5::uuid",
                          "CASE p.kind WHEN 'authorize' THEN 'payment.authorized' WHEN 'capture' THEN 'payment.captured' "
                          "WHEN 'void' THEN 'payment.voided' ELSE 'refund.succeeded' END",
                          "jsonb_build_object(" EVENT_BASE ", 'amount_minor', p.op_amount, 'total_captured_minor', p.captured, "
                          "'total_refunded_minor', p.refunded, 'expires_at', p.auth_expires_at)") ") "
    "SELECT count(*) FROM o",
    5,
};

/* $1 op, $2 provider_ref or NULL (it is that of another operation), $3 amount, $4 currency as booked, $5 event id, $6 the field
 * that differs. The sums stay as they are: what is true is for a person to find out. */
const struct pg_stmt payments_stmt_frozen = {
    "payments.frozen",
    "WITH o AS (UPDATE payments.payment_op SET state = 'succeeded', version = version + 1, provider_ref = $2::text, "
    "booked_amount = $3::bigint, booked_currency = $4::text, code = 'integrity_failed', decided_at = now() "
    "WHERE id = $1::uuid AND state IN ('sent', 'unknown') RETURNING *), "
    "p AS (UPDATE payments.payment p SET status = 'frozen', version = p.version + 1 FROM o WHERE p.id = o.payment_id "
    "RETURNING p.*, o.id AS op_id, o.kind, o.amount AS op_amount, o.currency AS op_currency), "
    "e AS (" EVENT_FROM_P("$5::uuid", "'payment.integrity_failed'",
                          "jsonb_build_object(" EVENT_BASE ", 'field', $6::text, "
                          "'sent', jsonb_build_object('amount_minor', p.op_amount, 'currency', p.op_currency), "
                          "'got', jsonb_build_object('amount_minor', $3::bigint, 'currency', $4::text))") ") "
    "SELECT count(*) FROM o",
    6,
};

/* $1 op, $2 'declined' or 'canceled', $3 code, $4 states it may come from, $5 calls, $6 event id. Here, and only here, what was
 * reserved is given back. */
const struct pg_stmt payments_stmt_not_done = {
    "payments.not_done",
    "WITH o AS (UPDATE payments.payment_op SET state = $2::text, version = version + 1, code = $3::text, decided_at = now() "
    "WHERE id = $1::uuid AND state = ANY($4::text[]) AND calls = $5::int RETURNING *), "
    "p AS (UPDATE payments.payment p SET "
    "capture_pending = p.capture_pending - " IF_KIND("capture") ", refund_pending = p.refund_pending - " IF_KIND("refund") ", "
    STATUS("CASE o.kind WHEN 'authorize' THEN CASE o.state WHEN 'declined' THEN 'failed' ELSE 'canceled' END "
           "WHEN 'refund' THEN p.status ELSE CASE WHEN p.captured > 0 THEN 'partially_captured' ELSE 'authorized' END END") " "
    "FROM o WHERE p.id = o.payment_id RETURNING p.*, o.id AS op_id, o.kind, o.code), "
    "r AS (UPDATE payments.refund r SET status = 'failed', version = r.version + 1 FROM o WHERE r.id = o.id), "
    "e AS (" EVENT_FROM_P("$6::uuid", "CASE p.kind WHEN 'refund' THEN 'refund.failed' ELSE 'payment.failed' END",
                          "jsonb_build_object(" EVENT_BASE ", 'code', p.code)") ") "
    "SELECT count(*) FROM o",
    6,
};

/* $1 op, $2 code, $3 calls. It is not in the book and that call will not bring it there. */
const struct pg_stmt payments_stmt_errored = {
    "payments.errored",
    "WITH o AS (UPDATE payments.payment_op SET state = 'errored', version = version + 1, code = $2::text "
    "WHERE id = $1::uuid AND state IN ('sent', 'unknown') AND calls = $3::int RETURNING payment_id), "
    "p AS (UPDATE payments.payment p SET status = 'authorizing', version = p.version + 1 FROM o "
    "WHERE p.id = o.payment_id AND p.status = 'unknown') "
    "SELECT count(*) FROM o",
    3,
};

/* $1 op, $2 calls, $3 event id, $4 job id of the sync, $5 lateness in ms. */
const struct pg_stmt payments_stmt_unknown = {
    "payments.unknown",
    "WITH o AS (UPDATE payments.payment_op SET state = 'unknown', version = version + 1 "
    "WHERE id = $1::uuid AND state = 'sent' AND calls = $2::int RETURNING *), "
    "p AS (UPDATE payments.payment p SET "
    STATUS("CASE p.status WHEN 'authorizing' THEN 'unknown' WHEN 'capturing' THEN 'unknown_capture' "
           "WHEN 'voiding' THEN 'unknown_void' ELSE p.status END") " "
    "FROM o WHERE p.id = o.payment_id RETURNING p.*, o.id AS op_id, o.kind, o.not_after), "
    "r AS (UPDATE payments.refund r SET status = 'unknown', version = r.version + 1 FROM o WHERE r.id = o.id), "
    "e AS (" EVENT_FROM_P("$3::uuid", "'payment.unknown'", "jsonb_build_object(" EVENT_BASE ")") "), "
    "j AS (" JOB_INSERT("payments", "$4::uuid", "$4::uuid", "p.tenant", "'payments'", "'payment.sync'", "1",
                        "convert_to('{\"op_id\":\"' || p.op_id || '\"}', 'UTF8')", "p.traceparent",
                        "p.not_after + $5::bigint" MS, "p") ") "
    "SELECT count(*) FROM o",
    5,
};

/* $1 payment, $2 op, $3 key, $4 tenant, $5 order, $6 amount, $7 currency, $8 token, $9 traceparent, $10 provider. Does nothing
 * where the key is known, or the order has another live payment. */
const struct pg_stmt payments_stmt_open_authorize = {
    "payments.open_authorize",
    "WITH p AS (INSERT INTO payments.payment (id, tenant, order_id, key, amount, currency, token, traceparent) "
    "VALUES ($1::uuid, $4::text, $5::uuid, $3::text, $6::bigint, $7::text, $8::text, $9::text) "
    "ON CONFLICT DO NOTHING RETURNING id) "
    "INSERT INTO payments.payment_op (id, payment_id, kind, key, amount, currency, provider, traceparent) "
    "SELECT $2::uuid, id, 'authorize', $3::text, $6::bigint, $7::text, $10::text, $9::text FROM p RETURNING id",
    10,
};

/* The payment of a key under which nothing must be asked for any more. $1 payment, $2 key, $3 tenant, $4 order, $5 amount, $6
 * currency, $7 token, $8 traceparent. */
const struct pg_stmt payments_stmt_bury = {
    "payments.bury",
    "INSERT INTO payments.payment (id, tenant, order_id, key, amount, currency, token, traceparent, status) "
    "VALUES ($1::uuid, $3::text, $4::uuid, $2::text, $5::bigint, $6::text, $7::text, $8::text, 'canceled') "
    "ON CONFLICT DO NOTHING RETURNING id",
    8,
};

/* Opening an operation on a payment: $1 op, $2 key, $3 payment, $4 tenant, $5 root or NULL, $6 amount or NULL (all that is left),
 * $7 version or NULL, $8 traceparent, $9 provider, $10 generation. A row: it was opened. 23505: the key is known. op_open_judge
 * says why not else. */
#define OPEN_WHERE(left)                                                                                                         \
    "WHERE p.id = $3::uuid AND p.tenant = $4::text AND ($7::bigint IS NULL OR p.version = $7::bigint) "                          \
    "AND coalesce($6::bigint, " left ") BETWEEN 1 AND " left " AND NOT " ROOT_IS_OVER("$5::uuid", "$10::int") " "                \
    "AND NOT EXISTS (SELECT FROM payments.payment_op k WHERE k.key = $2::text) "
#define OPEN_MAY(to)                                                                                                             \
    "AND EXISTS (SELECT FROM payments.state_edge WHERE machine = 'payment' AND from_state = p.status AND to_state = '" to "') "
#define OPEN_INSERT(kind)                                                                                                        \
    "INSERT INTO payments.payment_op (id, payment_id, root_id, kind, key, amount, currency, provider, traceparent) "             \
    "SELECT $1::uuid, u.id, $5::uuid, '" kind "', $2::text, u.op_amount, u.currency, $9::text, $8::text FROM u RETURNING id"
#define HELD_LEFT "(p.authorized - p.captured - p.capture_pending - p.voided)"
#define CAPTURED_LEFT "(p.captured - p.refunded - p.refund_pending)"

/* Nothing else can be pending in a state that leads to capturing, so what is pending then is this. */
const struct pg_stmt payments_stmt_open_capture = {
    "payments.open_capture",
    "WITH u AS (UPDATE payments.payment p SET status = 'capturing', version = p.version + 1, "
    "capture_pending = p.capture_pending + coalesce($6::bigint, " HELD_LEFT ") " OPEN_WHERE(HELD_LEFT) OPEN_MAY("capturing")
    "RETURNING p.id, p.currency, p.capture_pending AS op_amount) " OPEN_INSERT("capture"),
    10,
};
const struct pg_stmt payments_stmt_open_void = {
    "payments.open_void",
    "WITH u AS (UPDATE payments.payment p SET status = 'voiding', version = p.version + 1 "
    OPEN_WHERE(HELD_LEFT) OPEN_MAY("voiding") "RETURNING p.id, p.currency, " HELD_LEFT " AS op_amount) " OPEN_INSERT("void"),
    10,
};
/* $6 is never NULL here. $11 reason or NULL. */
const struct pg_stmt payments_stmt_open_refund = {
    "payments.open_refund",
    "WITH u AS (UPDATE payments.payment p SET version = p.version + 1, refund_pending = p.refund_pending + $6::bigint "
    OPEN_WHERE(CAPTURED_LEFT) "AND p.status IN ('captured', 'partially_captured', 'closed') "
    "RETURNING p.id, p.currency, $6::bigint AS op_amount), "
    "o AS (" OPEN_INSERT("refund") "), "
    "r AS (INSERT INTO payments.refund (id, payment_id, amount, reason) SELECT $1::uuid, u.id, u.op_amount, $11::text FROM u) "
    "SELECT id FROM o",
    11,
};

/* The end of a job because it opened nothing; $7 payment. 40001: it did, in between (payments.sql); the next attempt goes on with
 * that. */
const struct pg_stmt payments_stmt_close_unopened = {
    "payments.close_unopened",
    EFFECT_GATE("payments")
    " SELECT payments.opened_nothing(root_id, $7::uuid) AS fresh, generation, outcome, status, result FROM g UNION ALL "
    "SELECT false, generation, outcome, status, result FROM payments.effect WHERE root_id = $1::uuid AND step = $2::text "
    "AND NOT EXISTS (SELECT FROM g)",
    EFFECT_PARAMS + 1,
};

#define SUMS "p.id, p.status, p.version, p.authorized, p.captured, p.voided, p.refunded, p.capture_pending, p.refund_pending, "

/* $1 payment, $2 tenant, $3 root, $4 generation. One row, with a NULL id when there is no such payment. */
const struct pg_stmt payments_stmt_peek = {
    "payments.peek",
    "SELECT " SUMS ROOT_IS_OVER("$3::uuid", "$4::int") " "
    "FROM (SELECT $1::uuid AS id) k LEFT JOIN payments.payment p ON p.id = k.id AND p.tenant = $2::text",
    4,
};

/* $1 key. With one of the payment's operations that are not decided. Those of jobs have a root; so have authorizations none, but
 * no release opens them. */
const struct pg_stmt payments_stmt_payment_by_key = {
    "payments.payment_by_key",
    "SELECT " SUMS "o.id, o.root_id IS NULL AND o.kind <> 'authorize' FROM payments.payment p LEFT JOIN payments.payment_op o "
    "ON o.payment_id = p.id AND o.state IN ('init', 'sent', 'errored', 'unknown') WHERE p.key = $1::text ORDER BY o.id LIMIT 1",
    1,
};

/* $1 payment, $2 tenant. */
const struct pg_stmt payments_stmt_view = {
    "payments.view",
    "SELECT version, payments.payment_view(p) FROM payments.payment p WHERE id = $1::uuid AND tenant = $2::text",
    2,
};
