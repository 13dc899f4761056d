/* What the database itself refuses, whoever writes. */
#include "orders_db.h"

#include "../../../jobs/orders/src/order.h"
#include "../../../jobs/orders/src/statements.h"

#define NEW_ORDER(values) \
    "INSERT INTO orders.orders (id, tenant, customer_id, currency, subtotal, total, token, capture, traceparent) VALUES " values
#define GOOD_LINE                                                                                                         \
    "INSERT INTO orders.order_line (order_id, line_no, currency, sku, title, qty, unit_minor, line_total) SELECT id, 1, " \
    "currency, 's', 't', "                                                                                                \
    "1, 100, 100 FROM o"

static const char *fresh(void) {
    return sql_text(
        db.admin,
        "WITH o AS (" NEW_ORDER("(gen_random_uuid(), 't', 'c', 'EUR', 100, 100, 'tok', false, '-')") " RETURNING id, currency), "
                                                                                                     "l AS (" GOOD_LINE
                                                                                                     ") SELECT id FROM o");
}

static size_t all_states(const char **out) {
    size_t n = 0;
    for (size_t i = 0; i < 2 * order_edges_n; i++) {
        const char *name = i % 2 == 0 ? order_edges[i / 2].from : order_edges[i / 2].to;
        size_t k = 0;
        while (k < n && strcmp(out[k], name) != 0) {
            k++;
        }
        if (k == n && strcmp(name, "new") != 0) {
            out[n++] = name;
        }
    }
    return n;
}

static void test_sql__given_every_pair_of_states_then_only_the_edges_pass(void **state) {
    (void)state;
    const char *id = fresh(), *states[64];
    char sql[512];
    size_t n = all_states(states);
    assert_int_equal(11, n);
    for (size_t i = 0; i < n * n; i++) {
        const char *from = states[i / n], *to = states[i % n];
        (void)snprintf(sql, sizeof sql,
                       "ALTER TABLE orders.orders DISABLE TRIGGER guard; UPDATE orders.orders SET status = '%s', payment_id = "
                       "id WHERE id = '%s'; ALTER TABLE orders.orders ENABLE TRIGGER guard",
                       from, id);
        sql_run(db.admin, sql);
        (void)snprintf(sql, sizeof sql, "UPDATE orders.orders SET status = '%s', version = version + 1 WHERE id = '%s'", to, id);
        bool passes = strcmp(from, to) == 0 || order_edge_exists(str_c(from), to);
        assert_string_equal(passes ? "" : "23514", sql_state(db.admin, sql));
    }
    assert_int_equal(order_edges_n, sql_int(db.admin, "SELECT count(*) FROM orders.state_edge"));
    assert_string_equal("23514", sql_state(db.admin, "UPDATE orders.orders SET status = 'nonsense', version = version + 1"));
}

static void test_sql__given_an_illegal_order_then_it_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *state, *sql;
    } rows[] = {
        {"23514", NEW_ORDER("(gen_random_uuid(), 't', 'c', 'EUR', 100, 99, 'tok', false, '-')")}, /* total */
        {"23514", NEW_ORDER("(gen_random_uuid(), 't', 'c', 'EUR', 0, 0, 'tok', false, '-')")},    /* nothing */
        {"23514", NEW_ORDER("(gen_random_uuid(), 't', 'c', 'eur', 100, 100, 'tok', false, '-')")},
        {"23514", NEW_ORDER("(gen_random_uuid(), 't', 'c', 'EUR', 9007199254740992, 9007199254740992, 'tok', false, '-')")},
        {"23514", NEW_ORDER("(gen_random_uuid(), 't', 'c', 'EUR', 100, 100, 'tok', false, '-')")}, /* no lines */
        {"23514",
         "INSERT INTO orders.orders (id, tenant, customer_id, currency, subtotal, total, token, capture, traceparent, status) "
         "VALUES "
         "(gen_random_uuid(), 't', 'c', 'EUR', 100, 100, 'tok', false, '-', 'confirmed')"},
        {"23514", "UPDATE orders.orders SET subtotal = 101, total = 101, version = version + 1"},
        {"23514", "UPDATE orders.order_line SET unit_minor = 99, line_total = 99"}, /* the order's sum */
        {"23514", "UPDATE orders.order_line SET unit_minor = 99"},                  /* the line's sum */
        {"23514", "UPDATE orders.order_line SET qty = 0, line_total = 0"},
        {"23514", "DELETE FROM orders.order_line"},
        {"23514",
         "INSERT INTO orders.order_line SELECT order_id, 2, currency, sku, title, qty, unit_minor, discount, tax, line_total "
         "FROM "
         "orders.order_line"},
        {"23503", "UPDATE orders.order_line SET currency = 'USD'"},
        {"40001", "UPDATE orders.orders SET status = 'authorizing'"},
        {"40001", "UPDATE orders.orders SET status = 'authorizing', version = version + 2"},
    };
    (void)fresh();
    sql_run(db.admin, "BEGIN; DELETE FROM orders.order_line; DELETE FROM orders.orders; COMMIT");
    (void)fresh();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *got = sql_state(db.admin, rows[i].sql);
        if (strcmp(rows[i].state, got) != 0) {
            fail_msg("'%s' instead of %s: %s", got, rows[i].state, rows[i].sql);
        }
    }
    assert_string_equal("42501", sql_state(db.admin, "SET ROLE penstock_orders; SELECT * FROM platform.job"));
    sql_run(db.admin, "RESET ROLE");
}

static void test_sql__given_a_step_decided_on_an_older_version_then_it_does_nothing(void **state) {
    (void)state;
    char id[UUID_TEXT_BYTES];
    assert_true(str_copy_c(str_c(fresh()), id, sizeof id));
    static const struct { const char *version, *rows; } steps[] = {{"2", "0"}, {"0", "0"}, {"1", "1"}, {"1", "0"}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        const char *const values[] = {id, steps[i].version, "authorizing", NULL};
        PGresult *res = PQexecParams(db.admin, orders_stmt_move.sql, orders_stmt_move.params, NULL, values, NULL, NULL, 0);
        assert_string_equal(steps[i].rows, PQcmdTuples(res));
        PQclear(res);
    }
}

static void test_sql__given_a_root_then_sql_and_c_make_the_same_follow_up(void **state) {
    (void)state;
    static const struct job_place places[] = {{false, 1, 0}, {false, 1023, 15}, {false, 514, 7}};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        struct uuid root = id_new_job(&db.ids, places[i]), derived;
        char sql[128], from[UUID_TEXT_BYTES], expected[UUID_TEXT_BYTES];
        assert_ok(id_derive(root, STR("release"), places[i], &derived));
        uuid_text(root, from);
        uuid_text(derived, expected);
        (void)snprintf(sql, sizeof sql, "SELECT orders.sibling_id('%s', 'release')", from);
        assert_string_equal(expected, sql_text(db.admin, sql));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sql__given_every_pair_of_states_then_only_the_edges_pass),
        cmocka_unit_test(test_sql__given_an_illegal_order_then_it_is_refused),
        cmocka_unit_test(test_sql__given_a_step_decided_on_an_older_version_then_it_does_nothing),
        cmocka_unit_test(test_sql__given_a_root_then_sql_and_c_make_the_same_follow_up),
    };
    return cmocka_run_group_tests(tests, orders_db_setup, orders_db_teardown);
}
