#include "../../../api/src/problem.h"

#include <base/json.h>

#include "unit.h"

static json_t *written(const struct problem *p) {
    struct buf b;
    json_t *v = NULL;
    buf_init(&b, PROBLEM_BYTES_MAX);
    problem_write(&b, p);
    assert_ok(buf_status(&b));
    assert_ok(json_read(buf_str(&b), &v));
    buf_free(&b);
    return v;
}

static void test_problem__given_any_of_the_table_then_it_has_the_members_of_rfc_9457_and_ours(void **state) {
    (void)state;
    for (int id = 0; id < PROBLEM_MAX; id++) {
        const struct problem p = {.id = (enum problem_id)id, .detail = STR("d"), .instance = STR("/v1/x")};
        json_t *v = written(&p);
        struct str type = json_opt_str(v, "type", STR(""));
        assert_true(str_starts(type, STR("/problems/")));
        assert_null(memchr(type.p, '_', type.n));
        assert_int_equal(problem_status(p.id), json_opt_i64(v, "status", 0));
        assert_in_range(problem_status(p.id), 400, 599);
        assert_str(problem_code(p.id), json_opt_str(v, "code", STR("")));
        assert_true(json_opt_str(v, "title", STR("")).n > 0);
        assert_true(json_opt_str(v, "hint", STR("")).n > 0);
        assert_true(json_is_boolean(json_object_get(v, "retryable")));
        assert_str("/v1/x", json_opt_str(v, "instance", STR("")));
        assert_null(json_object_get(v, "errors"));
        json_decref(v);
    }
}

static void test_problem__given_text_from_outside_then_it_is_escaped(void **state) {
    (void)state;
    const struct problem_error errors[] = {{STR("#/a\"b"), STR("bad\n")}};
    struct trace t = {.trace_id = {1, 2, 3}};
    const struct problem p = {.id = PROBLEM_INVALID,
                              .detail = STR("\"quoted\"\x01\xff"),
                              .hint = STR("h"),
                              .trace = &t,
                              .retry_after_s = 7,
                              .errors = errors,
                              .errors_n = 1};
    json_t *v = written(&p);
    assert_str("\"quoted\"\x01\xef\xbf\xbd", json_opt_str(v, "detail", STR("")));
    assert_str("h", json_opt_str(v, "hint", STR("")));
    assert_str("01020300000000000000000000000000", json_opt_str(v, "trace_id", STR("")));
    assert_int_equal(7, json_opt_i64(v, "retry_after_seconds", 0));
    const json_t *first = json_array_get(json_object_get(v, "errors"), 0);
    assert_str("#/a\"b", json_opt_str(first, "pointer", STR("")));
    assert_str("bad\n", json_opt_str(first, "detail", STR("")));
    json_decref(v);
}

static void test_problem__given_an_error_of_ours_then_the_client_sees_whose_fault_it_is(void **state) {
    (void)state;
    assert_int_equal(PROBLEM_UNAVAILABLE, problem_of(ERR_PG_DOWN));
    assert_int_equal(PROBLEM_UNAVAILABLE, problem_of(ERR_PG_LOST));
    assert_int_equal(PROBLEM_UNAVAILABLE, problem_of(ERR_REDIS_FULL));
    assert_int_equal(PROBLEM_BUSY, problem_of(ERR_BUSY));
    assert_int_equal(PROBLEM_BUSY, problem_of(ERR_NOMEM));
    assert_int_equal(PROBLEM_NOT_FOUND, problem_of(ERR_NOT_FOUND));
    assert_int_equal(PROBLEM_DRAINING, problem_of(ERR_CLOSED));
    assert_int_equal(PROBLEM_INTERNAL, problem_of(ERR_PG_ERROR));
    assert_int_equal(PROBLEM_INTERNAL, problem_of(ERR_REDIS_REPLY));
}

static void test_problem__given_a_status_of_the_server_then_the_problem_has_it(void **state) {
    (void)state;
    static const int statuses[] = {400, 408, 413, 431, 500, 503};
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        assert_int_equal(statuses[i], problem_status(problem_of_status(statuses[i])));
    }
}

static void write_one(void *arg) {
    (void)arg;
    const struct problem_error errors[] = {{STR("#/a"), STR("bad")}};
    const struct problem p = {.id = PROBLEM_INVALID, .detail = STR("d"), .hint = STR("h"), .errors = errors, .errors_n = 1};
    struct buf b;
    buf_init(&b, PROBLEM_BYTES_MAX);
    problem_write(&b, &p);
    struct err e = buf_status(&b);
    assert_true(err_is_set(e) == (torture_is_failing() != 0));
    buf_free(&b);
}

static void test_problem__an_allocation_fails_then_the_buffer_says_so(void **state) {
    (void)state;
    torture(write_one, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_problem__given_any_of_the_table_then_it_has_the_members_of_rfc_9457_and_ours),
        cmocka_unit_test(test_problem__given_text_from_outside_then_it_is_escaped),
        cmocka_unit_test(test_problem__given_an_error_of_ours_then_the_client_sees_whose_fault_it_is),
        cmocka_unit_test(test_problem__given_a_status_of_the_server_then_the_problem_has_it),
        cmocka_unit_test(test_problem__an_allocation_fails_then_the_buffer_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
