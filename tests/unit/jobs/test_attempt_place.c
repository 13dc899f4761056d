/* An attempt's place at the server that it calls: taken, left by its end, and what its failures are charged. */
#include <io/loop.h>
#include <jobs/attempt.h>
#include <string.h>

#include "unit.h"

static struct loop *loop;
static struct dependency server;
static struct module_env env;
static struct attempt attempt;
static struct attempt_end last;
static int ends;

static void on_end(struct attempt *a, const struct attempt_end *end) {
    assert_null(a->place.dependency);
    last = *end;
    ends++;
}

static int64_t now_us(void) { return loop_now(loop).us; }

static int setup(void **state) {
    (void)state;
    assert_ok(loop_new(&loop));
    env = (struct module_env){.loop = loop};
    return 0;
}

static int teardown(void **state) {
    (void)state;
    loop_free(loop);
    return 0;
}

static int reset(void **state) {
    (void)state;
    dependency_init(&server, STR("server"), 2);
    attempt = (struct attempt){.env = &env, .on_end = on_end};
    last = (struct attempt_end){0};
    ends = 0;
    return 0;
}

static void open_circuit(void) {
    for (int i = 0; i < 10; i++) {
        struct dependency_call c = {0};
        dependency_call_begin(&server, &c, true, now_us());
        dependency_call_end(&c, CALL_FAILED, now_us(), 0);
    }
    assert_int_equal(CIRCUIT_OPEN, server.circuit);
}

static void test_enter__then_its_end_leaves(void **state) {
    (void)state;
    assert_true(attempt_enter(&attempt, NULL)); /* of nobody's */
    assert_true(attempt_enter(&attempt, &server));
    assert_int_equal(1, server.entered);
    attempt_fail(&attempt, err_make(ERR_TRANSIENT, "no"));
    assert_int_equal(0, server.entered);
    assert_int_equal(END_FAILED, last.kind); /* a server that serves others: charged */
}

static void test_enter__full_then_later(void **state) {
    (void)state;
    server.entered = 2;
    assert_false(attempt_enter(&attempt, &server));
    assert_int_equal(END_LATER, last.kind);
    assert_true(last.delay_ms > 0);
    assert_int_equal(2, server.entered);
    assert_non_null(strstr(last.err.detail, "no room"));
}

static void test_enter__open_then_later(void **state) {
    (void)state;
    open_circuit();
    assert_false(attempt_enter(&attempt, &server));
    assert_int_equal(END_LATER, last.kind);
    assert_in_range(last.delay_ms, 900, 2000);
    assert_non_null(strstr(last.err.detail, "does not answer"));
}

static void test_enter__open_for_a_day_then_charged(void **state) {
    (void)state;
    open_circuit();
    server.away_us -= 86400LL * 1000000;
    assert_false(attempt_enter(&attempt, &server));
    assert_int_equal(END_FAILED, last.kind);
    assert_int_equal(ERR_TRANSIENT, last.err.code);
}

static void test_end__failed_with_its_server_then_only_that_is_spared(void **state) {
    (void)state;
    static const struct {
        enum err_code code;
        bool open, later;
    } rows[] = {
        {ERR_TRANSIENT, true, true}, {ERR_NET_UNKNOWN, true, true}, {ERR_NET_NOT_SENT, true, true}, {ERR_REFUSED, true, false},
        {ERR_INVALID, true, false},  {ERR_PG_DOWN, true, false},    {ERR_CONFLICT, true, false},    {ERR_TRANSIENT, false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)reset(NULL);
        assert_true(attempt_enter(&attempt, &server));
        if (rows[i].open) {
            open_circuit();
        }
        attempt_end(&attempt, &(struct attempt_end){.kind = END_FAILED, .err = err_make(rows[i].code, "x"), .delay_ms = 90000});
        assert_int_equal(rows[i].later ? END_LATER : END_FAILED, last.kind);
        assert_int_equal(rows[i].code, last.err.code);
        assert_int_equal(90000, last.delay_ms); /* Retry-After, as it is longer */
        assert_int_equal(1, ends);
    }
}

static void test_end__its_server_asked_to_wait_then_that_long_and_charged(void **state) {
    (void)state;
    struct dependency_call c = {0};
    assert_true(attempt_enter(&attempt, &server));
    dependency_call_begin(&server, &c, true, now_us());
    dependency_call_end(&c, CALL_OVERLOADED, now_us(), 60000);
    attempt_fail(&attempt, err_make(ERR_TRANSIENT, "429"));
    assert_int_equal(END_FAILED, last.kind);
    assert_in_range(last.delay_ms, 50000, 60000);
    assert_true(attempt_enter(&attempt, &server));
    attempt_fail(&attempt, err_make(ERR_PG_DOWN, "not its fault"));
    assert_int_equal(0, last.delay_ms);
}

static void test_may_call__then_those_that_repeat_one_need_leave(void **state) {
    (void)state;
    int64_t wait_ms = 0;
    assert_true(attempt_enter(&attempt, &server));
    server.retries = 0;
    server.filled_us = now_us();
    assert_true(attempt_may_call(&attempt, &wait_ms));
    attempt.job.attempt = 1;
    assert_false(attempt_may_call(&attempt, &wait_ms));
    assert_true(wait_ms > 0);
    server.retries = 5;
    assert_true(attempt_may_call(&attempt, &wait_ms));
    attempt_later(&attempt, 1, OK);
}

static void test_verdict__of_a_call_that_the_producers_deadline_cut_short_then_untold(void **state) {
    (void)state;
    attempt.give_up.us = now_us();
    assert_int_equal(CALL_OVERLOADED, attempt_call_verdict(&attempt, ERR_NET_UNKNOWN)); /* its type's own time is up */
    attempt.hurried = true;
    assert_int_equal(CALL_UNTOLD, attempt_call_verdict(&attempt, ERR_NET_UNKNOWN));
    assert_int_equal(CALL_UNTOLD, attempt_call_verdict(&attempt, ERR_NET_NOT_SENT));
    assert_int_equal(CALL_OK, attempt_call_verdict(&attempt, ERR_REFUSED));
    attempt.give_up.us = now_us() + 5000000; /* there was time: the server did it */
    assert_int_equal(CALL_FAILED, attempt_call_verdict(&attempt, ERR_NET_NOT_SENT));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_enter__then_its_end_leaves, reset),
        cmocka_unit_test_setup(test_enter__full_then_later, reset),
        cmocka_unit_test_setup(test_enter__open_then_later, reset),
        cmocka_unit_test_setup(test_enter__open_for_a_day_then_charged, reset),
        cmocka_unit_test_setup(test_end__failed_with_its_server_then_only_that_is_spared, reset),
        cmocka_unit_test_setup(test_end__its_server_asked_to_wait_then_that_long_and_charged, reset),
        cmocka_unit_test_setup(test_may_call__then_those_that_repeat_one_need_leave, reset),
        cmocka_unit_test_setup(test_verdict__of_a_call_that_the_producers_deadline_cut_short_then_untold, reset),
    };
    return cmocka_run_group_tests_name("attempt_place", tests, setup, teardown);
}
