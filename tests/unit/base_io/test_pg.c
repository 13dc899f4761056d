/* The Postgres pool against a real server: batches, transactions, errors, closing. Faults are in test_pg_faults.c. */
#include "pg_fixture.h"

#include <signal.h>

int callbacks_run;

static struct server *server;

static int start_server(void **state) {
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    pg_open_process_fds();
    server = server_postgres_start(NULL);
    if (server == NULL) {
        return -1;
    }
    struct loop *l;
    assert_ok(loop_new(&l));
    pg_run(l, server_port(server),
           "CREATE TABLE t (id bigint PRIMARY KEY, seq bigserial, once bigint UNIQUE DEFERRABLE INITIALLY DEFERRED, "
           "positive bigint CHECK (positive > 0), bytes bytea)");
    pg_run(l, server_port(server),
           "CREATE FUNCTION fail_with(state text) RETURNS int LANGUAGE plpgsql AS "
           "$$BEGIN RAISE EXCEPTION 'because' USING ERRCODE = state; END$$");
    loop_free(l);
    return 0;
}

static int stop_server(void **state) {
    (void)state;
    server_stop(server);
    return 0;
}

static const struct pg_stmt stmt_truncate = {"truncate", "TRUNCATE t RESTART IDENTITY", 0};
static const struct pg_stmt insert = {"insert", "INSERT INTO t (id) VALUES ($1) RETURNING txid_current(), seq", 1};
static const struct pg_stmt insert_once = {"insert_once", "INSERT INTO t (id, once) VALUES ($1, $2) RETURNING txid_current()", 2};
static const struct pg_stmt insert_positive = {"insert_positive", "INSERT INTO t (id, positive) VALUES ($1, $2)", 2};
static const struct pg_stmt count_rows = {"count", "SELECT count(*) FROM t", 0};
static const struct pg_stmt seq_of = {"seq_of", "SELECT seq FROM t WHERE id = $1", 1};
static const struct pg_stmt nap = {"nap", "SELECT pg_sleep($1::float8), txid_current()", 1};
static const struct pg_stmt fail_with = {"fail_with", "SELECT fail_with($1)", 1};
static const struct pg_stmt broken = {"broken", "SELEKT $1", 1};
static const struct pg_stmt echo = {"echo", "SELECT $1::text", 1};
static const struct pg_stmt backend = {"backend", "SELECT pg_backend_pid()", 0};

struct fixture {
    struct loop *loop;
    struct pg_pool *pool;
    int fds;
};

static struct fixture setup(int connections) {
    struct fixture f = {.fds = server_count_fds()};
    char url[96];
    struct pg_options o = pg_options_for(url, server_port(server), NULL);
    o.connections = connections;
    assert_ok(loop_new(&f.loop));
    assert_ok(pg_pool_new(f.loop, &o, &f.pool));
    assert_int_equal(ERR_NONE, pg_ask(f.loop, f.pool, &stmt_truncate, NULL).code);
    return f;
}

static void teardown(struct fixture *f) {
    pg_pool_close(f->pool);
    loop_free(f->loop);
    assert_int_equal(f->fds, server_count_fds());
}

static void exec_int(struct fixture *f, const struct pg_stmt *stmt, int64_t v, int flags, int64_t order, struct pg_outcome *o) {
    char room[PG_INT_BYTES];
    struct pg_value value = pg_int(v, room);
    pg_exec(f->pool, stmt, &value, flags, order, note_pg_outcome, o);
}

static void exec_two(struct fixture *f, const struct pg_stmt *stmt, int64_t a, int64_t b, struct pg_outcome *o) {
    char room[2][PG_INT_BYTES];
    struct pg_value values[2] = {pg_int(a, room[0]), pg_int(b, room[1])};
    pg_exec(f->pool, stmt, values, PG_SHARED, a, note_pg_outcome, o);
}

static void exec_text(struct fixture *f, const struct pg_stmt *stmt, const char *text, int flags, struct pg_outcome *o) {
    struct pg_value value = pg_text(str_c(text));
    pg_exec(f->pool, stmt, &value, flags, 0, note_pg_outcome, o);
}

static void wait_quiet(struct fixture *f) { assert_true(wait_until(f->loop, PG_SOON_MS, pg_is_quiet, f->pool)); }

static void assert_rows(struct fixture *f, const char *expected) {
    assert_string_equal(expected, pg_ask(f->loop, f->pool, &count_rows, NULL).text);
}

static int count_different(const struct pg_outcome *o, int n) {
    int different = 0;
    for (int i = 0; i < n; i++) {
        int j = 0;
        while (j < i && strcmp(o[i].text, o[j].text) != 0) {
            j++;
        }
        different += j == i ? 1 : 0;
    }
    return different;
}

/* ---- batches ---- */

static void test_pg__shared_statements_of_a_turn_then_one_transaction_per_64(void **state) {
    (void)state;
    struct fixture f = setup(1);
    struct pg_outcome o[100] = {{0}};
    for (int i = 0; i < 100; i++) {
        exec_int(&f, &insert, i, PG_SHARED, 0, &o[i]);
        assert_int_equal(0, o[i].runs);
    }
    assert_int_equal(100, pg_pool_waiting(f.pool));
    wait_quiet(&f);
    assert_int_equal(1, count_different(o, LIMIT_BATCH));
    assert_int_equal(2, count_different(o, 100));
    assert_rows(&f, "100");
    teardown(&f);
}

static void test_pg__statements_of_their_own_then_a_transaction_each(void **state) {
    (void)state;
    struct fixture f = setup(1);
    struct pg_outcome o[20] = {{0}};
    for (int i = 0; i < 20; i++) {
        exec_int(&f, &insert, i, i < 10 ? 0 : PG_SHARED, 0, &o[i]);
    }
    wait_quiet(&f);
    assert_int_equal(11, count_different(o, 20));
    assert_rows(&f, "20");
    teardown(&f);
}

static void test_pg__order_then_rows_are_touched_in_it(void **state) {
    (void)state;
    struct fixture f = setup(1);
    struct pg_outcome o[10] = {{0}};
    static const int64_t order[10] = {7, -3, 7, 0, 9, 1, INT64_MAX, 1, INT64_MIN, 7};
    static const char *const seq[10] = {"6", "2", "7", "3", "9", "4", "10", "5", "1", "8"}; /* stable among equals */
    for (int i = 0; i < 10; i++) {
        exec_int(&f, &insert, i, PG_SHARED, order[i], &o[i]);
    }
    wait_quiet(&f);
    for (int i = 0; i < 10; i++) {
        struct pg_outcome s = {0};
        exec_int(&f, &seq_of, i, 0, 0, &s);
        wait_quiet(&f);
        assert_string_equal(seq[i], s.text);
    }
    teardown(&f);
}

static void test_pg__what_comes_during_a_flight_then_the_next_batch(void **state) {
    (void)state;
    struct fixture f = setup(1);
    struct pg_outcome first = {0}, o[30] = {{0}};
    exec_text(&f, &nap, "0.2", PG_SHARED, &first);
    for (int i = 0; i < 30; i++) {
        wait_ms(f.loop, 2);
        exec_int(&f, &insert, i, PG_SHARED, 0, &o[i]);
    }
    assert_int_equal(0, first.runs);
    wait_quiet(&f);
    assert_int_equal(1, count_different(o, 30));
    teardown(&f);
}

static void test_pg__waiting_behind_a_busy_connection_then_another_one_is_opened(void **state) {
    (void)state;
    struct fixture f = setup(2);
    struct pg_outcome slow = {0}, pid[2] = {{0}};
    pid[0] = pg_ask(f.loop, f.pool, &backend, NULL);
    exec_text(&f, &nap, "1", 0, &slow);
    wait_ms(f.loop, 5);
    pid[1] = pg_ask(f.loop, f.pool, &backend, NULL);
    assert_int_equal(0, slow.runs);
    assert_string_not_equal(pid[0].text, pid[1].text);
    wait_quiet(&f);
    assert_string_equal(pid[0].text, pg_ask(f.loop, f.pool, &backend, NULL).text); /* the first one first */
    teardown(&f);
}

/* ---- failures of statements ---- */

static void test_pg__one_unique_violation_among_64_then_63_are_done(void **state) {
    (void)state;
    struct fixture f = setup(1);
    struct pg_outcome o[64] = {{0}};
    exec_int(&f, &insert, 31, 0, 0, &o[0]);
    wait_quiet(&f);
    for (int i = 0; i < 64; i++) {
        o[i] = (struct pg_outcome){0};
        exec_int(&f, &insert, i, PG_SHARED, 0, &o[i]);
    }
    wait_quiet(&f);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(1, o[i].runs);
        assert_int_equal(i == 31 ? ERR_PG_UNIQUE : ERR_NONE, o[i].code);
    }
    assert_non_null(strstr(o[31].detail, "insert: 23505 duplicate key"));
    o[31].text[0] = '\0';
    assert_int_equal(64, count_different(o, 64)); /* each ran alone */
    assert_rows(&f, "64");
    teardown(&f);
}

static void test_pg__a_violation_found_by_the_commit_then_the_others_are_done(void **state) {
    (void)state;
    struct fixture f = setup(1);
    struct pg_outcome o[5] = {{0}};
    for (int i = 0; i < 5; i++) {
        exec_two(&f, &insert_once, i, i == 4 ? 2 : i, &o[i]);
    }
    wait_quiet(&f);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(1, o[i].runs);
        assert_int_equal(i == 4 ? ERR_PG_UNIQUE : ERR_NONE, o[i].code);
    }
    assert_rows(&f, "4");
    teardown(&f);
}

static void test_pg__sql_that_does_not_parse_then_only_that_statement_fails(void **state) {
    (void)state;
    struct fixture f = setup(1);
    for (int round = 0; round < 2; round++) {
        struct pg_outcome bad[2] = {{0}}, good[3] = {{0}};
        exec_int(&f, &insert, 10 * round, PG_SHARED, 0, &good[0]);
        exec_text(&f, &broken, "x", PG_SHARED, &bad[0]);
        exec_int(&f, &insert, 10 * round + 1, PG_SHARED, 0, &good[1]);
        exec_text(&f, &broken, "x", 0, &bad[1]);
        exec_int(&f, &insert, 10 * round + 2, 0, 0, &good[2]);
        wait_quiet(&f);
        for (int i = 0; i < 2; i++) {
            assert_int_equal(ERR_PG_ERROR, bad[i].code);
            assert_non_null(strstr(bad[i].detail, "broken: 42601 syntax error"));
        }
        for (int i = 0; i < 3; i++) {
            assert_int_equal(ERR_NONE, good[i].code);
        }
    }
    assert_rows(&f, "6");
    teardown(&f);
}

static void test_pg__a_table_that_comes_later_then_the_statement_works_from_then_on(void **state) {
    (void)state;
    static const struct pg_stmt of_later = {"of_later", "SELECT count(*) FROM later", 0};
    struct fixture f = setup(1);
    struct pg_outcome o = pg_ask(f.loop, f.pool, &of_later, NULL);
    assert_int_equal(ERR_PG_ERROR, o.code);
    assert_non_null(strstr(o.detail, "42P01"));
    pg_run(f.loop, server_port(server), "CREATE TABLE later ()");
    assert_string_equal("0", pg_ask(f.loop, f.pool, &of_later, NULL).text);
    teardown(&f);
}

static void test_pg__a_slow_statement_in_a_batch_then_only_it_times_out(void **state) {
    (void)state;
    struct fixture f = setup(1);
    struct pg_outcome slow = {0}, o[10] = {{0}};
    for (int i = 0; i < 10; i++) {
        exec_int(&f, &insert, i, PG_SHARED, i, &o[i]);
    }
    exec_text(&f, &nap, "9", PG_SHARED, &slow);
    wait_quiet(&f);
    assert_int_equal(ERR_PG_SLOW, slow.code);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(ERR_NONE, o[i].code);
    }
    assert_rows(&f, "10");
    teardown(&f);
}

static void test_pg__sqlstates_then_codes(void **state) {
    (void)state;
    static const struct {
        const char *sqlstate;
        enum err_code code;
    } cases[] = {
        {"23505", ERR_PG_UNIQUE},   {"23514", ERR_PG_CHECK},    {"23503", ERR_PG_CHECK},    {"23502", ERR_PG_CHECK},
        {"40001", ERR_PG_CONFLICT}, {"40P01", ERR_PG_CONFLICT}, {"55P03", ERR_PG_CONFLICT}, {"57014", ERR_PG_SLOW},
        {"57P01", ERR_PG_DOWN},     {"57P03", ERR_PG_DOWN},     {"53100", ERR_PG_DOWN},     {"53200", ERR_PG_DOWN},
        {"53300", ERR_PG_DOWN},     {"25006", ERR_PG_DOWN},     {"08006", ERR_PG_DOWN},     {"22P02", ERR_PG_ERROR},
        {"P0001", ERR_PG_ERROR},    {"XX000", ERR_PG_ERROR},    {"26000", ERR_PG_ERROR},
    };
    struct fixture f = setup(1);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pg_outcome o = {0};
        char detail[64];
        exec_text(&f, &fail_with, cases[i].sqlstate, i % 2 == 0 ? PG_SHARED : 0, &o);
        wait_quiet(&f);
        assert_string_equal(err_name(cases[i].code), err_name(o.code));
        (void)snprintf(detail, sizeof detail, "fail_with: %s because", cases[i].sqlstate);
        assert_string_equal(detail, o.detail);
    }
    struct pg_outcome o = {0};
    exec_two(&f, &insert_positive, 1, -1, &o);
    wait_quiet(&f);
    assert_int_equal(ERR_PG_CHECK, o.code);
    teardown(&f);
}

struct owned {
    struct loop *loop;
    uint32_t owner;
    bool done;
};
static void on_owned(void *arg, struct err err, const PGresult *res) {
    struct owned *o = arg;
    (void)err;
    (void)res;
    *o = (struct owned){o->loop, loop_owner(o->loop), true};
}

static void test_pg__statements_on_somebodys_behalf_then_so_are_their_callbacks(void **state) {
    (void)state;
    struct fixture f = setup(1);
    struct owned o[3] = {{f.loop, 0, false}, {f.loop, 0, false}, {f.loop, 0, false}};
    struct pg_value bad = pg_text((struct str){"a\0b", 3}), good = pg_text(STR("a"));
    for (uint32_t i = 0; i < 3; i++) {
        (void)loop_own(f.loop, 10 + i);
        pg_exec(f.pool, &echo, i == 1 ? &bad : &good, PG_SHARED, 0, on_owned, &o[i]);
    }
    (void)loop_own(f.loop, 0);
    wait_quiet(&f);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(o[i].done);
        assert_int_equal(10 + i, o[i].owner);
    }
    assert_int_equal(0, loop_owner(f.loop));
    teardown(&f);
}

/* ---- refusals and closing ---- */

static void test_pg__what_cannot_be_taken_then_refused_after_pg_exec(void **state) {
    (void)state;
    struct fixture f = setup(1);
    struct pg_outcome o[1300] = {{0}};
    struct pg_outcome nul = {0};
    struct pg_value value = pg_text((struct str){"a\0b", 3});
    pg_exec(f.pool, &echo, &value, 0, 0, note_pg_outcome, &nul);
    assert_int_equal(0, nul.runs);
    for (int i = 0; i < 1300; i++) {
        exec_text(&f, &echo, "x", PG_SHARED, &o[i]);
        assert_int_equal(0, o[i].runs);
    }
    wait_quiet(&f);
    assert_int_equal(ERR_INVALID, nul.code);
    assert_string_equal("echo: parameter $1 holds a NUL byte", nul.detail);
    for (int i = 0; i < 1300; i++) {
        assert_int_equal(1, o[i].runs);
        assert_int_equal(i < 999 ? ERR_NONE : ERR_BUSY, o[i].code); /* the NUL's refusal counted */
    }
    teardown(&f);
}

static void test_pg__close_with_all_kinds_pending_then_closed_before_it_returns(void **state) {
    (void)state;
    struct fixture f = setup(1);
    struct pg_outcome flying = {0}, waiting[3] = {{0}};
    exec_text(&f, &nap, "9", 0, &flying);
    wait_ms(f.loop, 20);
    for (int i = 0; i < 3; i++) {
        exec_text(&f, &echo, "x", PG_SHARED, &waiting[i]);
    }
    pg_pool_close(f.pool);
    f.pool = NULL;
    assert_int_equal(ERR_CLOSED, flying.code);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(1, waiting[i].runs);
        assert_int_equal(ERR_CLOSED, waiting[i].code);
    }
    teardown(&f);
}

static void close_pool(void *arg, struct err err, const PGresult *res) {
    struct pg_pool **p = arg;
    assert_true((res == NULL) == err_is_set(err));
    pg_pool_close(*p);
    *p = NULL;
}

static bool is_null(void *arg) { return *(struct pg_pool **)arg == NULL; }

static void test_pg__close_inside_a_callback_of_a_batch_then_the_others_keep_their_outcome(void **state) {
    (void)state;
    struct fixture f = setup(1);
    struct pg_outcome o[4] = {{0}}, later = {0};
    char room[PG_INT_BYTES];
    struct pg_value value = pg_int(100, room);
    exec_int(&f, &insert, 0, PG_SHARED, 0, &o[0]);
    pg_exec(f.pool, &insert, &value, PG_SHARED, 1, close_pool, &f.pool);
    exec_int(&f, &insert, 2, PG_SHARED, 2, &o[2]);
    exec_text(&f, &nap, "9", 0, &later);
    assert_true(wait_until(f.loop, PG_SOON_MS, is_null, &f.pool));
    assert_int_equal(ERR_NONE, o[0].code);
    assert_int_equal(1, o[2].runs);
    assert_int_equal(ERR_NONE, o[2].code); /* it had committed */
    assert_int_equal(ERR_CLOSED, later.code);
    teardown(&f);
}

static void test_pg__urls_then_accepted_or_refused_with_a_hint(void **state) {
    (void)state;
    static const struct {
        const char *url, *hint; /* NULL: good */
    } cases[] = {
        {"postgresql://127.0.0.1:5432/penstock", NULL},
        {"postgresql://localhost/x?sslmode=disable", NULL},
        {"postgresql://[::1]:5432/x", NULL},
        {"postgresql:///x?host=/run/postgresql", NULL},
        {"postgresql://10.0.0.1,10.0.0.2/x", NULL},
        {"postgresql://db.example/x?hostaddr=10.0.0.1", NULL},
        {"host=127.0.0.1 options='-c work_mem=4MB'", NULL},
        {"postgresql://db.example/x", "db.example"},
        {"postgresql://10.0.0.1,db.example/x", "db.example"},
        {"postgresql:///x", "no host"},
        {"postgresql://127.0.0.1:5432/x?nonsense=1", "not a libpq url"},
    };
    struct loop *l;
    assert_ok(loop_new(&l));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pg_pool *p = NULL;
        struct pg_options o = {.url = cases[i].url, .connections = 1, .max_waiting = 1, .connect_ms = 1, .statement_ms = 1};
        struct err e = pg_pool_new(l, &o, &p);
        if (cases[i].hint == NULL) {
            assert_ok(e);
        } else {
            assert_int_equal(ERR_INVALID, e.code);
            assert_non_null(strstr(e.detail, cases[i].hint));
        }
        pg_pool_close(p);
    }
    loop_free(l);
}

static void torture_pool(void *arg) {
    struct fixture f = {0};
    char url[96];
    struct pg_options o = pg_options_for(url, server_port(server), NULL);
    (void)arg;
    o.password = "unused";
    if (err_is_set(loop_new(&f.loop))) {
        return;
    }
    if (!err_is_set(pg_pool_new(f.loop, &o, &f.pool))) {
        struct pg_outcome out[3] = {{0}};
        exec_text(&f, &echo, "a", PG_SHARED, &out[0]);
        exec_text(&f, &fail_with, "23505", PG_SHARED, &out[1]);
        exec_text(&f, &echo, "b", 0, &out[2]);
        wait_quiet(&f);
        for (int i = 0; i < 3; i++) {
            assert_int_equal(1, out[i].runs);
            assert_true(torture_is_failing() || out[i].code == (i == 1 ? ERR_PG_UNIQUE : ERR_NONE));
        }
        pg_pool_close(f.pool);
    }
    loop_free(f.loop);
}

static void test_pg__allocations_fail_then_an_error_and_no_leak(void **state) {
    (void)state;
    torture(torture_pool, NULL);
}

static void test_pg__a_system_call_fails_then_an_error_or_no_difference(void **state) {
    (void)state;
    torture_io(torture_pool, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg__shared_statements_of_a_turn_then_one_transaction_per_64),
        cmocka_unit_test(test_pg__statements_of_their_own_then_a_transaction_each),
        cmocka_unit_test(test_pg__order_then_rows_are_touched_in_it),
        cmocka_unit_test(test_pg__what_comes_during_a_flight_then_the_next_batch),
        cmocka_unit_test(test_pg__waiting_behind_a_busy_connection_then_another_one_is_opened),
        cmocka_unit_test(test_pg__one_unique_violation_among_64_then_63_are_done),
        cmocka_unit_test(test_pg__a_violation_found_by_the_commit_then_the_others_are_done),
        cmocka_unit_test(test_pg__sql_that_does_not_parse_then_only_that_statement_fails),
        cmocka_unit_test(test_pg__a_table_that_comes_later_then_the_statement_works_from_then_on),
        cmocka_unit_test(test_pg__a_slow_statement_in_a_batch_then_only_it_times_out),
        cmocka_unit_test(test_pg__sqlstates_then_codes),
        cmocka_unit_test(test_pg__statements_on_somebodys_behalf_then_so_are_their_callbacks),
        cmocka_unit_test(test_pg__what_cannot_be_taken_then_refused_after_pg_exec),
        cmocka_unit_test(test_pg__close_with_all_kinds_pending_then_closed_before_it_returns),
        cmocka_unit_test(test_pg__close_inside_a_callback_of_a_batch_then_the_others_keep_their_outcome),
        cmocka_unit_test(test_pg__urls_then_accepted_or_refused_with_a_hint),
        cmocka_unit_test(test_pg__allocations_fail_then_an_error_and_no_leak),
        cmocka_unit_test(test_pg__a_system_call_fails_then_an_error_or_no_difference),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
