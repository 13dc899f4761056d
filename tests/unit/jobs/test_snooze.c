/* Putting a job off: as long as is asked for, within its days. */
#include "jobs_db.h"

#define DAY INT64_C(86400000)

static void on_plain_end(struct attempt *a, const struct attempt_end *end) { *(struct attempt_end *)a->state = *end; }

static void test_snooze__then_as_long_as_may_be(void **state) {
    (void)state;
    static const struct {
        int64_t age_ms, asked_ms;
        int64_t least_ms, most_ms; /* -1: refused */
    } rows[] = {
        {0, 5000, 5000, 5000},
        {0, 0, 0, 0},
        {0, 26 * DAY, 25 * DAY - 10000, 25 * DAY},
        {20 * DAY, INT64_MAX, 5 * DAY - 10000, 5 * DAY},
        {25 * DAY, 5000, -1, -1},
        {90 * DAY, 5000, -1, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct attempt_end end = {0};
        int64_t now = loop_wall(db.loop).ms, made = now - rows[i].age_ms;
        struct attempt a = {.env = &db.env, .state = &end, .on_end = on_plain_end};
        for (int b = 0; b < 6; b++) {
            a.job.root.b[b] = (uint8_t)(made >> (40 - 8 * b));
        }
        attempt_snooze(&a, rows[i].asked_ms);
        if (rows[i].least_ms < 0) {
            assert_int_equal(END_FAILED, end.kind);
            assert_err(ERR_EXPIRED, end.err);
            assert_int_equal(ERR_CLASS_PERMANENT, err_class(end.err.code)); /* dead, not tried again */
        } else {
            assert_int_equal(END_SNOOZED, end.kind);
            assert_true(end.delay_ms >= rows[i].least_ms && end.delay_ms <= rows[i].most_ms);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_snooze__then_as_long_as_may_be)};
    return cmocka_run_group_tests(tests, jobs_db_setup, jobs_db_teardown);
}
