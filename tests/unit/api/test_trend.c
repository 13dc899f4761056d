#include "../../../api/src/trend.h"

#include <math.h>

#include "unit.h"

static void test_trend__given_a_steady_flow_then_the_rates_follow_it(void **state) {
    (void)state;
    struct trend t = {0};
    for (int i = 0; i < 60; i++) {
        trend_add(&t, 1, 20, 10, 1);
    }
    assert_true(fabs(t.in_per_s - 20) < 0.1 && fabs(t.out_per_s - 10) < 0.1 && fabs(t.dead_per_s - 1) < 0.1);
    for (int i = 0; i < 60; i++) {
        trend_add(&t, 1, 0, 0, 0);
    }
    assert_true(t.in_per_s < 0.1);
}

/* Redis begins an epoch anew, and its counters fall. */
static void test_trend__given_counters_that_fell_then_no_rate_below_nothing(void **state) {
    (void)state;
    struct trend t = {0};
    trend_add(&t, 1, -500, -400, 0);
    trend_add(&t, 0, 10, 10, 0);
    trend_mark(&t, 0, 0);
    assert_true(t.in_per_s == 0 && t.out_per_s == 0);
    assert_true(trend_at(&t, 0)->in_per_s == 0 && trend_at(&t, 0)->out_per_s == 0);
}

static void test_trend__given_more_points_than_it_keeps_then_the_latest(void **state) {
    (void)state;
    struct trend t = {0};
    for (int i = 0; i < TREND_POINTS + 7; i++) {
        trend_add(&t, TREND_STEP_S, TREND_STEP_S * (int64_t)i, 0, 0);
        trend_mark(&t, i, i);
    }
    assert_int_equal(TREND_POINTS, trend_count(&t));
    assert_true(trend_at(&t, 0)->backlog == 7 && trend_at(&t, TREND_POINTS - 1)->in_per_s == TREND_POINTS + 6);
}

static void test_trend__given_a_time_of_which_nothing_is_known_then_a_gap(void **state) {
    (void)state;
    struct trend t = {0};
    trend_mark(&t, 3, 4);
    assert_int_equal(1, trend_count(&t));
    assert_true(isnan(trend_at(&t, 0)->age_s));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trend__given_a_steady_flow_then_the_rates_follow_it),
        cmocka_unit_test(test_trend__given_counters_that_fell_then_no_rate_below_nothing),
        cmocka_unit_test(test_trend__given_more_points_than_it_keeps_then_the_latest),
        cmocka_unit_test(test_trend__given_a_time_of_which_nothing_is_known_then_a_gap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
