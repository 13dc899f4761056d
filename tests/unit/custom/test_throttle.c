#include "../../../jobs/custom/src/throttle.h"
#include "unit.h"

enum { SECOND_US = 1000000 };

static void test_throttle__no_limit_then_never_in_the_way(void **state) {
    (void)state;
    struct throttle t = {0};
    int64_t wait = -1;
    for (int i = 0; i < 10000; i++) {
        assert_true(throttle_take(&t, 0, 0, 1, &wait));
    }
    assert_int_equal(-1, wait);
}

static void test_throttle__concurrency_then_so_many_until_one_is_given_back(void **state) {
    (void)state;
    struct throttle t = {0};
    int64_t wait = 0;
    assert_true(throttle_take(&t, 0, 2, 0, &wait));
    assert_true(throttle_take(&t, 0, 2, 0, &wait));
    assert_false(throttle_take(&t, 0, 2, 0, &wait));
    assert_true(wait > 0);
    throttle_give(&t, 1000);
    assert_true(throttle_take(&t, 0, 2, 0, &wait));
    assert_false(throttle_take(&t, 0, 2, 0, &wait));
}

/* Whoever is sent away comes back when told, for a minute: what the rate allows is begun, and no more. */
static void test_throttle__rate_then_that_many_a_second_and_none_comes_back_in_vain_often(void **state) {
    (void)state;
    enum { JOBS = 1000, RATE = 100 };
    struct throttle t = {0};
    static int64_t due[JOBS];
    int begun = 0, asked = 0;
    int64_t last = 0;
    for (int i = 0; i < JOBS; i++) {
        due[i] = 0;
    }
    while (begun < JOBS) {
        int next = 0;
        for (int i = 1; i < JOBS; i++) {
            next = due[i] < due[next] ? i : next;
        }
        int64_t now = due[next], wait = 0;
        asked++;
        if (throttle_take(&t, RATE, 0, now, &wait)) {
            throttle_give(&t, 1000);
            due[next] = INT64_MAX;
            last = now;
            begun++;
            assert_true(begun <= RATE * (now / SECOND_US + 1) + RATE / 10);
        } else {
            due[next] = now + wait * 1000;
        }
    }
    assert_in_range(last, 9 * SECOND_US, 12 * SECOND_US);
    assert_in_range(asked, JOBS, 3 * JOBS);
}

static void test_throttle__a_queue_of_a_day_then_nobody_waits_longer_than_an_hour(void **state) {
    (void)state;
    struct throttle t = {0};
    int64_t wait = 0;
    for (int i = 0; i < 90000; i++) {
        if (!throttle_take(&t, 1, 0, 0, &wait)) {
            assert_in_range(wait, 20, 3600000);
        }
    }
    assert_int_equal(3600000, wait);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_throttle__no_limit_then_never_in_the_way),
        cmocka_unit_test(test_throttle__concurrency_then_so_many_until_one_is_given_back),
        cmocka_unit_test(test_throttle__rate_then_that_many_a_second_and_none_comes_back_in_vain_often),
        cmocka_unit_test(test_throttle__a_queue_of_a_day_then_nobody_waits_longer_than_an_hour),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
