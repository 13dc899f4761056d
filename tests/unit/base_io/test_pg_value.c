/* Parameters, columns and arrays: what goes in comes out, through a real server. */
#include "pg_fixture.h"

#include <base/ids.h>
#include <signal.h>

int callbacks_run;

static struct server *server;

static int start_server(void **state) {
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    server = server_postgres_start(NULL);
    return server != NULL ? 0 : -1;
}

static int stop_server(void **state) {
    (void)state;
    server_stop(server);
    return 0;
}

static const struct pg_stmt all_kinds = {"all_kinds",
                                         "SELECT $1::text, $2::bytea, $3::bigint, $4::uuid, $5::text, $6::bytea, "
                                         "true, false, NULL::bigint, NULL::boolean",
                                         6};
static const struct pg_stmt texts = {"texts", "SELECT coalesce(x, '<null>') FROM unnest($1::text[]) AS x", 1};
static const struct pg_stmt byteas = {"byteas", "SELECT x FROM unnest($1::bytea[]) AS x", 1};

struct checked {
    int runs;
    const struct pg_value *sent;
    size_t n;
    void (*check)(const PGresult *res, const struct checked *c);
};

static void on_result(void *arg, struct err err, const PGresult *res) {
    struct checked *c = arg;
    assert_ok(err);
    c->check(res, c);
    c->runs++;
}

static bool has_checked(void *arg) { return ((struct checked *)arg)->runs > 0; }

static void run_checked(const struct pg_stmt *stmt, const struct pg_value *values, struct checked *c) {
    struct loop *l;
    assert_ok(loop_new(&l));
    struct pg_pool *p = pg_pool_to(l, server_port(server), NULL);
    pg_exec(p, stmt, values, PG_SHARED, 0, on_result, c);
    assert_true(wait_until(l, PG_SOON_MS, has_checked, c));
    pg_pool_close(p);
    loop_free(l);
}

static void check_all_kinds(const PGresult *res, const struct checked *c) {
    struct uuid u;
    struct arena a;
    (void)c;
    arena_init(&a, 256, 4096);
    assert_str("caf\xc3\xa9 '\"\\{}", pg_col(res, 0, 0));
    struct str bytes = pg_col_bytes(res, 0, 1, &a);
    assert_int_equal(5, bytes.n);
    assert_memory_equal("a\0\xff\\x", bytes.p, 5);
    assert_true(pg_col_int(res, 0, 2) == INT64_MIN);
    assert_true(pg_col_uuid(res, 0, 3, &u));
    assert_int_equal(0x12, u.b[0]);
    assert_int_equal(0xff, u.b[15]);
    assert_true(pg_col_null(res, 0, 4));
    assert_int_equal(0, pg_col(res, 0, 4).n);
    assert_false(pg_col_null(res, 0, 5)); /* empty is not NULL */
    assert_int_equal(0, pg_col_bytes(res, 0, 5, &a).n);
    assert_non_null(pg_col_bytes(res, 0, 5, &a).p);
    assert_true(pg_col_bool(res, 0, 6));
    assert_false(pg_col_bool(res, 0, 7));
    assert_int_equal(0, pg_col_int(res, 0, 8));
    assert_false(pg_col_bool(res, 0, 9));
    assert_false(pg_col_uuid(res, 0, 8, &u));
    assert_null(pg_col_bytes(res, 0, 8, &a).p);
    assert_null(pg_col_bytes(res, 0, 0, &a).p);
    arena_free(&a);
    arena_init(&a, 1, 1);
    assert_null(pg_col_bytes(res, 0, 1, &a).p); /* no memory */
    arena_free(&a);
}

static void test_pg_value__parameters_of_every_kind_then_the_same_columns(void **state) {
    (void)state;
    char int_room[PG_INT_BYTES], uuid_room[PG_UUID_BYTES];
    struct uuid u = {{0x12, [15] = 0xff}};
    const struct pg_value values[6] = {pg_text(str_c("caf\xc3\xa9 '\"\\{}")),
                                       pg_bytes((struct str){"a\0\xff\\x", 5}),
                                       pg_int(INT64_MIN, int_room),
                                       pg_uuid(u, uuid_room),
                                       PG_NULL,
                                       pg_bytes(STR_NONE)};
    struct checked c = {.check = check_all_kinds};
    run_checked(&all_kinds, values, &c);
    assert_null(pg_text_or_null(STR_NONE).p);
    assert_non_null(pg_text(STR_NONE).p);
}

static void check_texts(const PGresult *res, const struct checked *c) {
    assert_int_equal(c->n, PQntuples(res));
    for (size_t i = 0; i < c->n; i++) {
        struct str expected = c->sent[i].p != NULL ? str_of(c->sent[i].p, c->sent[i].n) : STR("<null>");
        assert_true(str_eq(expected, pg_col(res, (int)i, 0)));
    }
}

static void check_byteas(const PGresult *res, const struct checked *c) {
    struct arena a;
    arena_init(&a, 1024, 1 << 20);
    assert_int_equal(c->n, PQntuples(res));
    for (size_t i = 0; i < c->n; i++) {
        assert_true(str_eq(str_of(c->sent[i].p, c->sent[i].n), pg_col_bytes(res, (int)i, 0, &a)));
    }
    arena_free(&a);
}

static void run_array(const struct pg_stmt *stmt, struct checked *c) {
    struct buf b;
    buf_init(&b, 1 << 20);
    pg_array_begin(&b);
    for (size_t i = 0; i < c->n; i++) {
        pg_array_add(&b, c->sent[i]);
    }
    pg_array_end(&b);
    assert_ok(buf_status(&b));
    struct pg_value array = pg_text(buf_str(&b));
    run_checked(stmt, &array, c);
    buf_free(&b);
}

static void test_pg_value__arrays_of_awkward_texts_then_the_same_rows(void **state) {
    (void)state;
    const struct pg_value sent[] = {
        pg_text(str_c("plain")), pg_text(str_c("")),         pg_text(str_c("NULL")),  PG_NULL,
        pg_text(str_c("{")),     pg_text(str_c("a,b")),      pg_text(str_c("\"q\"")), pg_text(str_c("\\")),
        pg_text(str_c(" x ")),   pg_text(str_c("\n\t\\\"")), pg_text(str_c("{}\"")),  PG_NULL};
    for (size_t n = 0; n <= sizeof sent / sizeof sent[0]; n++) {
        struct checked c = {.sent = sent, .n = n, .check = check_texts};
        run_array(&texts, &c);
    }
}

static void test_pg_value__arrays_of_bytes_then_the_same_rows(void **state) {
    (void)state;
    char all[256];
    for (int i = 0; i < 256; i++) {
        all[i] = (char)i;
    }
    const struct pg_value sent[] = {pg_bytes(str_of(all, 256)), pg_bytes(STR_NONE), PG_NULL, pg_bytes(str_of(all + 92, 1))};
    struct checked c = {.sent = sent, .n = sizeof sent / sizeof sent[0], .check = check_byteas};
    run_array(&byteas, &c);
}

static void torture_array(void *arg) {
    struct buf b;
    (void)arg;
    buf_init(&b, 1 << 16);
    pg_array_begin(&b);
    for (int i = 0; i < 100; i++) {
        pg_array_add(&b, pg_text(str_c("te\"xt")));
        pg_array_add(&b, pg_bytes(str_c("bytes")));
        pg_array_add(&b, PG_NULL);
    }
    pg_array_end(&b);
    struct err e = buf_status(&b);
    assert_true(torture_is_failing() ? e.code == ERR_NOMEM : e.code == ERR_NONE);
    buf_free(&b);
}

static void test_pg_value__allocations_fail_then_the_buffer_says_so(void **state) {
    (void)state;
    torture(torture_array, NULL);
}

static void test_pg_value__an_array_past_the_maximum_then_too_large(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 20);
    pg_array_begin(&b);
    pg_array_add(&b, pg_bytes(str_c("0123456789")));
    pg_array_end(&b);
    assert_err(ERR_TOO_LARGE, buf_status(&b));
    buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg_value__parameters_of_every_kind_then_the_same_columns),
        cmocka_unit_test(test_pg_value__arrays_of_awkward_texts_then_the_same_rows),
        cmocka_unit_test(test_pg_value__arrays_of_bytes_then_the_same_rows),
        cmocka_unit_test(test_pg_value__allocations_fail_then_the_buffer_says_so),
        cmocka_unit_test(test_pg_value__an_array_past_the_maximum_then_too_large),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
