/* So many a second and so many at once, in virtual time. */
#include "../../../api/src/bucket.h"

#include <stdbool.h>

#include "unit.h"

#define S INT64_C(1000000)

static bool take(struct bucket *b, int64_t now_us) {
    bucket_fill(b, now_us);
    bool there = bucket_wait_s(b) <= 0;
    if (there) {
        bucket_take(b);
    }
    return there;
}

static int taken(struct bucket *b, int64_t from_us, int64_t until_us, int64_t every_us) {
    int n = 0;
    for (int64_t t = from_us; t < until_us; t += every_us) {
        n += take(b, t);
    }
    return n;
}

static void test_bucket__asked_without_end_then_the_rate_and_what_it_held(void **state) {
    (void)state;
    static const struct { double per_s, most; } rows[] = {{10, 10}, {10, 1}, {0.5, 1}, {100, 500}, {2.5, 3}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct bucket b = {0};
        bucket_set(&b, rows[i].per_s, rows[i].most, 7 * S);
        int n = taken(&b, 7 * S, 107 * S, S / 1000);
        assert_in_range(n, (int)(rows[i].per_s * 100 + rows[i].most) - 1, (int)(rows[i].per_s * 100 + rows[i].most));
    }
}

static void test_bucket__empty_then_the_wait_is_the_time_to_the_next(void **state) {
    (void)state;
    struct bucket b = {0};
    bucket_set(&b, 4, 2, 0);
    assert_int_equal(2, taken(&b, 0, 2, 1));
    bucket_fill(&b, 2);
    int64_t at = 2 + (int64_t)(bucket_wait_s(&b) * 1e6);
    assert_in_range(at, S / 4 - 2, S / 4 + 2);
    assert_false(take(&b, at - 1000));
    assert_true(take(&b, at + 1));
}

static void test_bucket__left_alone_then_no_more_than_it_holds(void **state) {
    (void)state;
    struct bucket b = {0};
    bucket_set(&b, 10, 5, 0);
    assert_int_equal(5, taken(&b, 3600 * S, 3600 * S + 10, 1));
}

static void test_set__again_then_what_was_used_stays_used(void **state) {
    (void)state;
    struct bucket b = {0};
    bucket_set(&b, 1, 10, 0);
    assert_int_equal(10, taken(&b, 0, 20, 1));
    for (int64_t t = 20; t < 10000; t += 100) {
        bucket_set(&b, 1, 10, t); /* as it is read every second */
    }
    assert_false(take(&b, 10000));
    bucket_set(&b, 1, 12, 10000); /* two more at once */
    assert_int_equal(2, taken(&b, 10000, 10010, 1));
    bucket_set(&b, 1, 1, 10010);
    assert_false(take(&b, 10011));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bucket__asked_without_end_then_the_rate_and_what_it_held),
        cmocka_unit_test(test_bucket__empty_then_the_wait_is_the_time_to_the_next),
        cmocka_unit_test(test_bucket__left_alone_then_no_more_than_it_holds),
        cmocka_unit_test(test_set__again_then_what_was_used_stays_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
