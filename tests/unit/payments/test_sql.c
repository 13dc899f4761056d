/* What the database itself refuses, whoever writes; and what the statements do when many runners send them at once, or one twice. */
#include <poll.h>

#include "payments_db.h"

#include "../../../jobs/payments/src/statements.h"

enum { CROWD = 40 };

static int reset(void **state) {
    (void)state;
    fake_forget(fake);
    return 0;
}

/* --- edges --- */

static size_t all_states(const char *machine, const char **out) {
    size_t n = 0;
    for (size_t i = 0; i < 2 * payment_edges_n; i++) {
        const struct edge *e = &payment_edges[i / 2];
        const char *name = i % 2 == 0 ? e->from : e->to;
        size_t k = 0;
        while (k < n && strcmp(out[k], name) != 0) {
            k++;
        }
        if (k == n && strcmp(name, "new") != 0 && strcmp(e->machine, machine) == 0) {
            out[n++] = name;
        }
    }
    return n;
}

/* The row's CHECKs are kept out of the way by setting, together with the status, what they want. */
static void check_machine(const char *machine, const char *table, const char *column, const char *id, const char *also,
                          size_t states_n) {
    const char *states[32];
    char sql[512];
    size_t n = all_states(machine, states);
    assert_int_equal(states_n, n);
    for (size_t i = 0; i < n * n; i++) {
        const char *from = states[i / n], *to = states[i % n];
        (void)snprintf(sql, sizeof sql,
                       "ALTER TABLE %s DISABLE TRIGGER guard; UPDATE %s SET %s = '%s' %s WHERE id = '%s'; "
                       "ALTER TABLE %s ENABLE TRIGGER guard",
                       table, table, column, from, also, id, table);
        sql_run(db.admin, sql);
        (void)snprintf(sql, sizeof sql, "UPDATE %s SET %s = '%s', version = version + 1 WHERE id = '%s'", table, column, to, id);
        bool passes = strcmp(from, to) == 0 || payment_edge_exists(machine, str_c(from), to);
        const char *got = sql_state(db.admin, sql);
        if (strcmp(passes ? "" : "23514", got) != 0) {
            fail_msg("%s: from %s to %s: '%s'", machine, from, to, got);
        }
        (void)snprintf(sql, sizeof sql, "UPDATE %s SET %s = '%s' WHERE id = '%s'", table, column, to, id);
        assert_string_equal("40001", sql_state(db.admin, sql));
    }
}

static void test_sql__given_every_pair_of_states_then_only_the_edges_pass(void **state) {
    (void)state;
    struct uuid p = authorized(NULL), q = authorized(NULL);
    char id[UUID_TEXT_BYTES];
    assert_int_equal(200, job_on("payment.capture", q, "", NULL, 0));
    assert_int_equal(201, job_on("payment.refund", q, ",\"amount_minor\":5", NULL, 0));
    uuid_text(p, id);
    check_machine("payment", "payments.payment", "status", id, ", captured = 1000, authorized = 1000, auth_expires_at = now()",
                  17);
    const char *op = of_payment(p, "(SELECT id FROM payments.payment_op o WHERE o.payment_id = p.id)");
    check_machine("payment_op", "payments.payment_op", "state", op, "", 7);
    const char *refund = of_payment(q, "(SELECT id FROM payments.refund r WHERE r.payment_id = p.id)");
    check_machine("refund", "payments.refund", "status", refund, "", 5);
    assert_int_equal(payment_edges_n, sql_int(db.admin, "SELECT count(*) FROM payments.state_edge"));
}

/* --- money --- */

static void test_sql__given_an_illegal_payment_then_it_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *state, *sql; /* %s: the id of a payment of 1000 that is partially captured with 300 */
    } rows[] = {
        {"23514", "UPDATE payments.payment SET amount = 0, version = version + 1 WHERE id = '%s'"},
        {"23514", "UPDATE payments.payment SET amount = 9007199254740992, version = version + 1 WHERE id = '%s'"},
        {"23514", "UPDATE payments.payment SET authorized = 1001, version = version + 1 WHERE id = '%s'"},
        {"23514", "UPDATE payments.payment SET captured = 1001, version = version + 1 WHERE id = '%s'"},
        {"23514", "UPDATE payments.payment SET captured = -1, version = version + 1 WHERE id = '%s'"},
        {"23514", "UPDATE payments.payment SET capture_pending = 701, version = version + 1 WHERE id = '%s'"},
        {"23514", "UPDATE payments.payment SET voided = 701, version = version + 1 WHERE id = '%s'"},
        {"23514", "UPDATE payments.payment SET refunded = 301, version = version + 1 WHERE id = '%s'"},
        {"23514", "UPDATE payments.payment SET refund_pending = 301, version = version + 1 WHERE id = '%s'"},
        {"23514", "UPDATE payments.payment SET refunded = 200, refund_pending = 101, version = version + 1 WHERE id = '%s'"},
        {"23514", "UPDATE payments.payment SET currency = 'eur', version = version + 1 WHERE id = '%s'"},
        {"40001", "UPDATE payments.payment SET status = 'capturing' WHERE id = '%s'"},
        {"40001", "UPDATE payments.payment SET status = 'capturing', version = version + 2 WHERE id = '%s'"},
        {"23503", "UPDATE payments.payment SET currency = 'USD', version = version + 1 WHERE id = '%s'"},
        {"23505", "INSERT INTO payments.payment (id, tenant, order_id, key, amount, currency, token, traceparent) SELECT "
                  "gen_random_uuid(), tenant, "
                  "order_id, 'another', amount, currency, token, traceparent FROM payments.payment WHERE id = '%s'"},
        {"23505", "INSERT INTO payments.payment (id, tenant, order_id, key, amount, currency, token, traceparent) SELECT "
                  "gen_random_uuid(), tenant, "
                  "gen_random_uuid(), key, amount, currency, token, traceparent FROM payments.payment WHERE id = '%s'"},
        {"23514",
         "INSERT INTO payments.payment (id, tenant, order_id, key, amount, currency, token, traceparent, status) SELECT "
         "gen_random_uuid(), "
         "tenant, gen_random_uuid(), 'x', amount, currency, token, traceparent, 'captured' FROM payments.payment WHERE id = "
         "'%s'"},
        {"23503", "INSERT INTO payments.payment_op (id, payment_id, kind, key, amount, currency, provider, traceparent) VALUES "
                  "(gen_random_uuid(), "
                  "'%s', 'capture', 'k1', 1, 'USD', 'fake', '-')"},
        {"23514",
         "INSERT INTO payments.payment_op (id, payment_id, kind, key, amount, currency, provider, traceparent, state) VALUES "
         "(gen_random_uuid(), '%s', 'capture', 'k1', 1, 'EUR', 'fake', '-', 'sent')"},
        {"23514", "UPDATE payments.payment_op SET state = 'sent', version = version + 1 WHERE payment_id = '%s'"},
        {"23514", "UPDATE payments.payment_op SET booked_amount = 1, version = version + 1 WHERE payment_id = '%s'"},
        {"23514", "UPDATE payments.payment_op SET provider_ref = NULL, version = version + 1 WHERE payment_id = '%s'"},
        {"23505",
         "UPDATE payments.payment_op SET key = (SELECT key FROM payments.payment_op ORDER BY created_at LIMIT 1), version = "
         "version + 1 "
         "WHERE payment_id = '%s' AND kind = 'capture'"},
    };
    (void)authorized(NULL);
    struct uuid p = authorized(NULL);
    char sql[768], id[UUID_TEXT_BYTES];
    assert_int_equal(200, job_on("payment.capture", p, ",\"amount_minor\":300", NULL, 0));
    uuid_text(p, id);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *gap = strstr(rows[i].sql, "%s");
        (void)snprintf(sql, sizeof sql, "%.*s%s%s", (int)(gap - rows[i].sql), rows[i].sql, id, gap + 2);
        const char *got = sql_state(db.admin, sql);
        if (strcmp(rows[i].state, got) != 0) {
            fail_msg("'%s' instead of %s: %s", got, rows[i].state, sql);
        }
    }
    assert_payment("partially_captured 1000 300 0 0 0 0", p);
}

static void test_sql__given_the_ledger_then_it_balances_and_is_only_appended_to(void **state) {
    (void)state;
    struct uuid p = authorized(NULL);
    char sql[512];
    assert_int_equal(200, job_on("payment.capture", p, ",\"amount_minor\":300", NULL, 0));
    const char *op = of_payment(p, "(SELECT id FROM payments.payment_op o WHERE o.payment_id = p.id AND kind = 'authorize')");
    static const char *const bad[] = {
        "INSERT INTO payments.ledger_entry VALUES ('%s', 'provider_receivable', 'EUR', 5)",
        "INSERT INTO payments.ledger_entry VALUES ('%s', 'provider_receivable', 'EUR', 5), ('%s', 'order_liability', 'EUR', -4)",
        "INSERT INTO payments.ledger_entry VALUES ('%s', 'provider_receivable', 'EUR', 0), ('%s', 'order_liability', 'EUR', 0)",
        "INSERT INTO payments.ledger_entry VALUES ('%s', 'pocket', 'EUR', 5), ('%s', 'order_liability', 'EUR', -5)",
        "UPDATE payments.ledger_entry SET amount = 2 * amount",
        "DELETE FROM payments.ledger_entry",
        "TRUNCATE payments.ledger_entry",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *rest = bad[i], *gap;
        size_t n = 0;
        while ((gap = strstr(rest, "%s")) != NULL) {
            n += (size_t)snprintf(sql + n, sizeof sql - n, "%.*s%s", (int)(gap - rest), rest, op);
            rest = gap + 2;
        }
        (void)snprintf(sql + n, sizeof sql - n, "%s", rest);
        assert_string_equal("23514", sql_state(db.admin, sql));
    }
    for (size_t i = 4; i < sizeof bad / sizeof bad[0]; i++) { /* and the module's role has not even the right to try */
        (void)snprintf(sql, sizeof sql, "SET ROLE penstock_payments; %s", bad[i]);
        assert_string_equal("42501", sql_state(db.admin, sql));
    }
    assert_string_equal("42501", sql_state(db.admin, "SET ROLE penstock_payments; DELETE FROM payments.state_edge"));
    sql_run(db.admin, "RESET ROLE");
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO payments.ledger_entry VALUES ('%s', 'provider_receivable', 'USD', 5), "
                   "('%s', 'order_liability', 'USD', -5)",
                   op, op);
    assert_string_equal("23503", sql_state(db.admin, sql));
    assert_int_equal(0, sql_int(db.admin, "SELECT coalesce(sum(amount), 0) FROM payments.ledger_entry"));
    assert_int_equal(
        0, sql_int(db.admin,
                   "SELECT count(*) FROM payments.payment p WHERE captured - refunded <> (SELECT coalesce(sum(l.amount), 0) "
                   "FROM payments.ledger_entry l JOIN payments.payment_op o ON o.id = l.op_id WHERE o.payment_id = p.id "
                   "AND account = 'provider_receivable')"));
}

/* --- many at once --- */

/* Sends the statement on n connections while the row is locked, then lets go; how many got a row. States of failures must be
 * state. */
static int crowd(const char *lock, const struct pg_stmt *stmt, int n, const char *const *(*values)(int i), const char *failure) {
    PGconn *c[CROWD];
    int rows = 0;
    sql_run(db.admin, "BEGIN");
    sql_run(db.admin, lock);
    for (int i = 0; i < n; i++) {
        c[i] = module_db_connect(&db, "penstock_payments");
        assert_int_equal(1, PQsendQueryParams(c[i], stmt->sql, stmt->params, NULL, values(i), NULL, NULL, 0));
    }
    while (sql_int(db.admin, "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'") < n) {
        (void)poll(NULL, 0, 2);
    }
    sql_run(db.admin, "COMMIT");
    for (int i = 0; i < n; i++) {
        PGresult *res = PQgetResult(c[i]);
        if (PQresultStatus(res) == PGRES_TUPLES_OK) {
            rows += PQntuples(res);
        } else {
            assert_string_equal(failure, PQresultErrorField(res, PG_DIAG_SQLSTATE));
        }
        PQclear(res);
        PQfinish(c[i]);
    }
    return rows;
}

static struct {
    char op[64], payment[UUID_TEXT_BYTES], key[CROWD][32], id[CROWD][UUID_TEXT_BYTES];
    const char *v[11];
} crowd_values;

static const char *const *gate_values(int i) {
    (void)i;
    crowd_values.v[0] = crowd_values.op;
    crowd_values.v[1] = "400";
    crowd_values.v[2] = "0";
    return crowd_values.v;
}

static void test_sql__given_40_runners_at_one_gate_then_one_passes(void **state) {
    (void)state;
    struct payment_request r = request_new();
    char lock[160];
    fake->script[0] = FAKE_NOT_SENT;
    assert_int_equal(ERR_NET_NOT_SENT, authorize(&r).err.code);
    (void)snprintf(crowd_values.op, sizeof crowd_values.op, "%s",
                   sql_text(db.admin, "SELECT id FROM payments.payment_op ORDER BY created_at DESC LIMIT 1"));
    (void)snprintf(lock, sizeof lock, "SELECT * FROM payments.payment_op WHERE id = '%s' FOR UPDATE", crowd_values.op);
    assert_int_equal(1, crowd(lock, &payments_stmt_gate, CROWD, gate_values, ""));
    (void)snprintf(lock, sizeof lock, "SELECT state || ' ' || calls FROM payments.payment_op WHERE id = '%s'", crowd_values.op);
    assert_string_equal("sent 2", sql_text(db.admin, lock));
}

static const char *const *refund_values(int i) {
    uuid_text(id_new(&db.ids), crowd_values.id[i]);
    (void)snprintf(crowd_values.key[i], sizeof crowd_values.key[i], "%d:%.8s", i, crowd_values.payment + 28);
    const char *const v[] = {
        crowd_values.id[i], crowd_values.key[i], crowd_values.payment, "default", NULL, "100", NULL, "-", "fake", "0", NULL};
    memcpy(crowd_values.v, v, sizeof v);
    return crowd_values.v;
}

static void test_sql__given_20_refunds_of_100_with_100_left_then_one_is_accepted(void **state) {
    (void)state;
    struct uuid p = authorized(NULL);
    char lock[160];
    assert_int_equal(200, job_on("payment.capture", p, ",\"amount_minor\":100", NULL, 0));
    uuid_text(p, crowd_values.payment);
    (void)snprintf(lock, sizeof lock, "SELECT * FROM payments.payment WHERE id = '%s' FOR UPDATE", crowd_values.payment);
    assert_int_equal(1, crowd(lock, &payments_stmt_open_refund, 20, refund_values, ""));
    assert_payment("partially_captured 1000 100 0 0 0 100", p);
    assert_string_equal("1", of_payment(p, "(SELECT count(*) FROM payments.refund r WHERE r.payment_id = p.id)"));
}

static const char *const *capture_values(int i) {
    uuid_text(id_new(&db.ids), crowd_values.id[i]);
    const char *const v[] = {
        crowd_values.id[i], crowd_values.op, crowd_values.payment, "default", NULL, NULL, NULL, "-", "fake", "0"};
    memcpy(crowd_values.v, v, sizeof v);
    return crowd_values.v;
}

static void test_sql__given_20_runners_of_one_capture_then_one_opens_it(void **state) {
    (void)state;
    struct uuid p = authorized(NULL);
    char lock[160];
    uuid_text(p, crowd_values.payment);
    (void)snprintf(crowd_values.op, sizeof crowd_values.op, "%s:capture", crowd_values.payment);
    (void)snprintf(lock, sizeof lock, "SELECT * FROM payments.payment WHERE id = '%s' FOR UPDATE", crowd_values.payment);
    assert_int_equal(1, crowd(lock, &payments_stmt_open_capture, 20, capture_values, "23505"));
    assert_payment("capturing 1000 0 0 0 1000 0", p);
}

/* --- one of two --- */

/* Sends the statement on c while db.admin's transaction is open, waits until it waits for that, commits; the SQLSTATE, "" when it
 * worked. */
static const char *after_admin(PGconn *c, const struct pg_stmt *stmt, const char *const *values) {
    static char state[6];
    assert_int_equal(1, PQsendQueryParams(c, stmt->sql, stmt->params, NULL, values, NULL, NULL, 0));
    while (PQisBusy(c) != 0 && sql_int(db.admin, "SELECT count(*) FROM pg_locks WHERE NOT granted") < 1) {
        assert_int_equal(1, PQconsumeInput(c));
        (void)poll(NULL, 0, 2);
    }
    sql_run(db.admin, "COMMIT");
    PGresult *res = PQgetResult(c);
    const char *code = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    (void)snprintf(state, sizeof state, "%s", code != NULL ? code : "");
    PQclear(res);
    return state;
}

static void first(const struct pg_stmt *stmt, const char *const *values) {
    sql_run(db.admin, "BEGIN");
    PGresult *res = PQexecParams(db.admin, stmt->sql, stmt->params, NULL, values, NULL, NULL, 0);
    assert_int_equal(1, PQntuples(res));
    PQclear(res);
}

static void test_sql__given_an_opening_and_a_refusal_at_once_then_the_first_wins(void **state) {
    (void)state;
    static const struct {
        const struct pg_stmt *open;
        const char *kind, *before, *after;
    } rows[] = {
        {&payments_stmt_open_capture, "capture", "partially_captured 1000 300 0 0 0 0", "capturing 1000 300 0 0 100 0"},
        {&payments_stmt_open_void, "void", "partially_captured 1000 300 0 0 0 0", "voiding 1000 300 0 0 0 0"},
        {&payments_stmt_open_refund, "refund", "partially_captured 1000 300 0 0 0 0", "partially_captured 1000 300 0 0 0 100"},
    };
    static const char *const outcomes[] = {"expired", "cancelled", "done"};
    const size_t n = sizeof rows / sizeof rows[0];
    for (size_t i = 0; i < 2 * n; i++) {
        const struct pg_stmt *open_stmt = rows[i % n].open, *close_stmt = &payments_stmt_close_unopened;
        bool open_first = i < n;
        char root[UUID_TEXT_BYTES], op[UUID_TEXT_BYTES], payment[UUID_TEXT_BYTES], key[64], sql[256];
        struct uuid p = authorized(NULL);
        assert_int_equal(200, job_on("payment.capture", p, ",\"amount_minor\":300", NULL, 0));
        uuid_text(p, payment);
        uuid_text(module_job_id(&db, "payments"), root);
        uuid_text(id_new(&db.ids), op);
        (void)snprintf(key, sizeof key, "%s:%s", root, rows[i % n].kind);
        const char *const opening[] = {op, key, payment, "default", root, "100", NULL, "-", "fake", "0", NULL};
        const char *const closing[] = {root, "", "0", outcomes[i % n], "410", NULL, payment};
        PGconn *other = module_db_connect(&db, "penstock_payments");
        first(open_first ? open_stmt : close_stmt, open_first ? opening : closing);
        assert_string_equal("40001", after_admin(other, open_first ? close_stmt : open_stmt, open_first ? closing : opening));
        PQfinish(other);
        assert_payment(open_first ? rows[i % n].after : rows[i % n].before, p);
        (void)snprintf(sql, sizeof sql,
                       "SELECT (SELECT count(*) FROM payments.payment_op WHERE root_id = '%s') || ' ' || "
                       "(SELECT count(*) FROM payments.effect WHERE root_id = '%s')",
                       root, root);
        assert_string_equal(open_first ? "1 0" : "0 1", sql_text(db.admin, sql));
    }
}

/* --- twice --- */

static void twice(struct uuid payment, const struct pg_stmt *stmt, const char *const *values) {
    const char *first = "";
    char snapshot[2048];
    for (int i = 0; i < 2; i++) {
        PGresult *res = PQexecParams(db.admin, stmt->sql, stmt->params, NULL, values, NULL, NULL, 0);
        if (PQresultStatus(res) != PGRES_TUPLES_OK) {
            fail_msg("%s: %s", stmt->name, PQerrorMessage(db.admin));
        }
        assert_string_equal(i == 0 ? "1" : "0", PQgetvalue(res, 0, 0));
        PQclear(res);
        const char *now = of_payment(
            payment, "concat_ws(' ', p.*::text, (SELECT string_agg(o::text, ' ' ORDER BY id) FROM payments.payment_op o "
                     "WHERE o.payment_id = p.id), (SELECT count(*) FROM payments.event_outbox e WHERE e.aggregate_id = p.id), "
                     "(SELECT count(*) FROM payments.job_outbox), (SELECT count(*) FROM payments.ledger_entry))");
        if (i == 1) {
            assert_string_equal(first, now);
        }
        (void)snprintf(snapshot, sizeof snapshot, "%s", now);
        first = snapshot;
    }
}

/* A capture of 1000 that passed its gate once; its operation in crowd_values.op. */
static struct uuid capture_sent(void) {
    struct uuid p = authorized(NULL);
    uuid_text(p, crowd_values.payment);
    (void)snprintf(crowd_values.op, sizeof crowd_values.op, "%s:capture", crowd_values.payment);
    PQclear(PQexecParams(db.admin, payments_stmt_open_capture.sql, payments_stmt_open_capture.params, NULL, capture_values(0),
                         NULL, NULL, 0));
    (void)snprintf(crowd_values.op, sizeof crowd_values.op, "%s", crowd_values.id[0]);
    PQclear(PQexecParams(db.admin, payments_stmt_gate.sql, payments_stmt_gate.params, NULL, gate_values(0), NULL, NULL, 0));
    assert_payment("capturing 1000 0 0 0 1000 0", p);
    return p;
}

static void test_sql__given_a_record_that_is_sent_twice_then_the_second_changes_nothing(void **state) {
    (void)state;
    char event[UUID_TEXT_BYTES], job[UUID_TEXT_BYTES], ref[2][UUID_TEXT_BYTES + 4];
    for (int i = 0; i < 2; i++) {
        uuid_text(id_new(&db.ids), ref[i]);
    }
    const char *const op = crowd_values.op;
    const struct {
        const struct pg_stmt *stmt;
        const char *values[7], *payment;
    } rows[] = {
        {&payments_stmt_succeeded, {op, ref[0], "1000", "EUR", event}, "captured 1000 1000 0 0 0 0"},
        {&payments_stmt_frozen, {op, ref[1], "999", "EUR", event, "amount"}, "frozen 1000 0 0 0 1000 0"},
        {&payments_stmt_not_done, {op, "declined", "no", "{sent,unknown}", "1", event}, "authorized 1000 0 0 0 0 0"},
        {&payments_stmt_unknown, {op, "1", event, job, "100"}, "unknown_capture 1000 0 0 0 1000 0"},
        {&payments_stmt_errored, {op, "never", "1"}, "capturing 1000 0 0 0 1000 0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct uuid p = capture_sent();
        uuid_text(id_new(&db.ids), event);
        uuid_text(id_new(&db.ids), job);
        twice(p, rows[i].stmt, rows[i].values);
        assert_payment(rows[i].payment, p);
    }
}

static void test_sql__given_an_answer_to_an_older_call_then_only_a_booking_counts(void **state) {
    (void)state;
    char event[UUID_TEXT_BYTES], ref[UUID_TEXT_BYTES], sql[160];
    struct uuid p = capture_sent();
    const char *const op = crowd_values.op;
    const char *const errored[] = {op, "never", "1"}, *const declined[] = {op, "declined", "no", "{sent,unknown}", "1", event},
                      *const booked[] = {op, ref, "1000", "EUR", event};
    uuid_text(id_new(&db.ids), event);
    uuid_text(id_new(&db.ids), ref);
    PQclear(PQexecParams(db.admin, payments_stmt_errored.sql, payments_stmt_errored.params, NULL, errored, NULL, NULL, 0));
    PQclear(PQexecParams(db.admin, payments_stmt_gate.sql, payments_stmt_gate.params, NULL, gate_values(0), NULL, NULL,
                         0)); /* the second call */
    PQclear(PQexecParams(db.admin, payments_stmt_errored.sql, payments_stmt_errored.params, NULL, errored, NULL, NULL, 0));
    PQclear(PQexecParams(db.admin, payments_stmt_not_done.sql, payments_stmt_not_done.params, NULL, declined, NULL, NULL, 0));
    (void)snprintf(sql, sizeof sql, "SELECT state || ' ' || calls FROM payments.payment_op WHERE id = '%s'", op);
    assert_string_equal("sent 2", sql_text(db.admin, sql));
    PQclear(PQexecParams(db.admin, payments_stmt_succeeded.sql, payments_stmt_succeeded.params, NULL, booked, NULL, NULL, 0));
    assert_payment("captured 1000 1000 0 0 0 0", p);
}

static void test_sql__given_a_root_then_sql_and_c_make_the_same_follow_up(void **state) {
    (void)state;
    static const struct job_place places[] = {{false, 0, 0}, {false, 2, 1}, {false, 1023, 15}, {true, 513, 6}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct uuid root = id_new_job(&db.ids, places[i]), derived;
        char sql[128], from[UUID_TEXT_BYTES], expected[UUID_TEXT_BYTES];
        assert_ok(id_derive(root, STR("sync:0"), places[i], &derived));
        uuid_text(root, from);
        uuid_text(derived, expected);
        (void)snprintf(sql, sizeof sql, "SELECT payments.sibling_id('%s', 'sync:0')", from);
        assert_string_equal(expected, sql_text(db.admin, sql));
    }
}

/* A terminal row that a replay may open again, and nothing else. */
static void test_sql__given_effects_then_the_first_row_wins_until_a_replay(void **state) {
    (void)state;
    static const struct {
        const char *generation, *outcome, *fresh, *stands;
    } rows[] = {
        {"0", "dead", "t", "0 dead"},
        {"0", "done", "f", "0 dead"},
        {"1", "done", "t", "1 done"},
        {"2", "dead", "f", "1 done"},
    };
    char root[UUID_TEXT_BYTES], sql[200];
    uuid_text(id_new(&db.ids), root);
    (void)snprintf(sql, sizeof sql, "SELECT generation || ' ' || outcome FROM payments.effect WHERE root_id = '%s'", root);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *const values[] = {root, "", rows[i].generation, rows[i].outcome, "200", NULL};
        PGresult *res = PQexecParams(db.admin, payments_sql.close.sql, payments_sql.close.params, NULL, values, NULL, NULL, 0);
        assert_int_equal(1, PQntuples(res));
        assert_string_equal(rows[i].fresh, PQgetvalue(res, 0, 0));
        PQclear(res);
        assert_string_equal(rows[i].stands, sql_text(db.admin, sql));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_sql__given_an_illegal_payment_then_it_is_refused, reset),
        cmocka_unit_test_setup(test_sql__given_the_ledger_then_it_balances_and_is_only_appended_to, reset),
        cmocka_unit_test_setup(test_sql__given_40_runners_at_one_gate_then_one_passes, reset),
        cmocka_unit_test_setup(test_sql__given_20_refunds_of_100_with_100_left_then_one_is_accepted, reset),
        cmocka_unit_test_setup(test_sql__given_20_runners_of_one_capture_then_one_opens_it, reset),
        cmocka_unit_test_setup(test_sql__given_an_opening_and_a_refusal_at_once_then_the_first_wins, reset),
        cmocka_unit_test_setup(test_sql__given_a_record_that_is_sent_twice_then_the_second_changes_nothing, reset),
        cmocka_unit_test_setup(test_sql__given_an_answer_to_an_older_call_then_only_a_booking_counts, reset),
        cmocka_unit_test_setup(test_sql__given_a_root_then_sql_and_c_make_the_same_follow_up, reset),
        cmocka_unit_test_setup(test_sql__given_effects_then_the_first_row_wins_until_a_replay, reset),
        cmocka_unit_test_setup(test_sql__given_every_pair_of_states_then_only_the_edges_pass,
                               reset), /* last: it leaves nonsense */
    };
    return cmocka_run_group_tests(tests, payments_db_setup, payments_db_teardown);
}
