#include "../../../api/src/admission.h"

#include "unit.h"

static const struct pressure_limits limits = {.max_depth = 1000, .max_open = 2000, .max_drain_s = 60};

static struct pressure at(int64_t waiting, double rate) {
    return (struct pressure){.waiting = waiting, .depth = waiting, .open = waiting, .rate = rate};
}

static enum shed judge(struct pressure p, enum shed before) { return admission_judge(&p, &limits, before); }

static void test_admission__given_drain_time_then_it_closes_above_the_limit_and_opens_below_six_tenths(void **state) {
    (void)state;
    assert_int_equal(SHED_NOTHING, judge(at(600, 10), SHED_NOTHING));       /* 60 s */
    assert_int_equal(SHED_DRAIN_TIME, judge(at(601, 10), SHED_NOTHING));    /* 60.1 s */
    assert_int_equal(SHED_DRAIN_TIME, judge(at(361, 10), SHED_DRAIN_TIME)); /* 36.1 s: still closed */
    assert_int_equal(SHED_NOTHING, judge(at(361, 10), SHED_NOTHING));       /* had it been open, it would stay so */
    assert_int_equal(SHED_NOTHING, judge(at(360, 10), SHED_DRAIN_TIME));
}

static void test_admission__given_depth_or_open_rows_then_they_close_without_hysteresis(void **state) {
    (void)state;
    struct pressure p = at(10, 100);
    p.depth = 1000;
    assert_int_equal(SHED_DEPTH, judge(p, SHED_NOTHING));
    p.depth = 999;
    assert_int_equal(SHED_NOTHING, judge(p, SHED_DEPTH));
    p.open = 2000;
    assert_int_equal(SHED_OPEN, judge(p, SHED_NOTHING));
    p.depth = 1000;
    assert_int_equal(SHED_OPEN, judge(p, SHED_NOTHING));
}

static void test_admission__given_a_paused_queue_then_drain_time_does_not_count(void **state) {
    (void)state;
    struct pressure p = at(900, 0);
    p.paused = true;
    assert_int_equal(SHED_NOTHING, judge(p, SHED_NOTHING));
    p.depth = 1000;
    assert_int_equal(SHED_DEPTH, judge(p, SHED_NOTHING));
}

static void test_admission__given_no_drain_limit_then_only_depth_and_open_rows_count(void **state) {
    (void)state;
    struct pressure_limits none = limits;
    struct pressure p = at(999, 0);
    none.max_drain_s = 0;
    assert_int_equal(SHED_NOTHING, admission_judge(&p, &none, SHED_NOTHING));
}

static void test_admission__given_nothing_ends_then_drain_time_is_finite(void **state) {
    (void)state;
    struct pressure p = at(10, 0);
    assert_true(admission_drain_s(&p) == 1000);
}

static void test_admission__given_a_refusal_then_retry_after_is_when_the_cause_should_be_gone(void **state) {
    (void)state;
    struct pressure p = at(800, 10); /* 80 s; open again at 36 s */
    assert_int_equal(44, admission_retry_after_s(&p, &limits, SHED_DRAIN_TIME, 0));
    assert_int_equal(66, admission_retry_after_s(&p, &limits, SHED_DRAIN_TIME, 1));
    p = at(1099, 10);
    assert_int_equal(10, admission_retry_after_s(&p, &limits, SHED_DEPTH, 0));
    p = at(2999, 1);
    assert_int_equal(300, admission_retry_after_s(&p, &limits, SHED_OPEN, 0)); /* no later than that */
    p = at(1000, 5000);
    assert_int_equal(1, admission_retry_after_s(&p, &limits, SHED_DEPTH, 0)); /* no sooner than that */
}

static void test_admission__given_jobs_wait_then_capacity_follows_what_ends(void **state) {
    (void)state;
    struct capacity c;
    capacity_start(&c, 64);
    for (int i = 0; i < 60; i++) {
        capacity_add(&c, 200, 1, true);
    }
    assert_true(c.per_s > 199 && c.per_s <= 200);
    for (int i = 0; i < 60; i++) {
        capacity_add(&c, 0, 1, true);
    }
    assert_true(c.per_s < 1);
}

static void test_admission__given_an_idle_queue_then_capacity_is_not_forgotten(void **state) {
    (void)state;
    struct capacity c;
    capacity_start(&c, 64);
    for (int i = 0; i < 600; i++) {
        capacity_add(&c, 3, 1, false);
    }
    assert_true(c.per_s == 64);
    for (int i = 0; i < 600; i++) {
        capacity_add(&c, 100, 1, false);
    }
    assert_true(c.per_s > 99); /* it can do at least that */
}

static void test_admission__given_counters_that_began_anew_then_capacity_stays(void **state) {
    (void)state;
    struct capacity c;
    capacity_start(&c, 10);
    capacity_add(&c, -5000, 1, true);
    capacity_add(&c, 50, 0, true);
    assert_true(c.per_s == 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admission__given_drain_time_then_it_closes_above_the_limit_and_opens_below_six_tenths),
        cmocka_unit_test(test_admission__given_depth_or_open_rows_then_they_close_without_hysteresis),
        cmocka_unit_test(test_admission__given_a_paused_queue_then_drain_time_does_not_count),
        cmocka_unit_test(test_admission__given_no_drain_limit_then_only_depth_and_open_rows_count),
        cmocka_unit_test(test_admission__given_nothing_ends_then_drain_time_is_finite),
        cmocka_unit_test(test_admission__given_a_refusal_then_retry_after_is_when_the_cause_should_be_gone),
        cmocka_unit_test(test_admission__given_jobs_wait_then_capacity_follows_what_ends),
        cmocka_unit_test(test_admission__given_an_idle_queue_then_capacity_is_not_forgotten),
        cmocka_unit_test(test_admission__given_counters_that_began_anew_then_capacity_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
