/* Which ticks are made: on time, and after a time without a scheduler, by each policy. */
#include "../../../scheduler/src/cron_plan.h"

#include "unit.h"

#define MINUTE INT64_C(60000)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
static const int64_t noon = 20786 * DAY + 12 * HOUR; /* 2026-11-29 */

static struct zone *utc;

static int setup(void **state) {
    (void)state;
    return err_is_set(zone_load(STR("UTC"), &utc));
}

static int teardown(void **state) {
    (void)state;
    zone_free(utc);
    return 0;
}

static struct cron_plan plan(const char *text, enum cron_missed missed, int64_t from, int64_t now) {
    struct cron c;
    struct cron_plan p;
    assert_ok(cron_parse(str_c(text), &c));
    assert_true(cron_plan_make(&c, utc, missed, (struct wall){from}, (struct wall){now}, LIMIT_BATCH, &p));
    assert_true(p.next.ms > from || p.n == 0);
    return p;
}

static void test_plan__nothing_due_then_the_next_tick_alone(void **state) {
    (void)state;
    for (int m = MISSED_SKIP; m <= MISSED_ALL; m++) {
        struct cron_plan p = plan("0 * * * *", (enum cron_missed)m, noon + 1, noon + MINUTE);
        assert_int_equal(0, p.n);
        assert_int_equal(0, p.dropped);
        assert_int_equal(noon + HOUR, p.next.ms);
    }
}

static void test_plan__one_due_on_time_then_made_by_every_policy(void **state) {
    (void)state;
    for (int m = MISSED_SKIP; m <= MISSED_ALL; m++) {
        for (int64_t late = 0; late <= CRON_ON_TIME_MS; late += CRON_ON_TIME_MS / 4) {
            struct cron_plan p = plan("0 * * * *", (enum cron_missed)m, noon, noon + late);
            assert_int_equal(1, p.n);
            assert_int_equal(noon, p.ticks[0].ms);
            assert_int_equal(noon + HOUR, p.next.ms);
        }
    }
}

static void test_plan__several_missed_then_by_policy(void **state) {
    (void)state;
    int64_t now = noon + 3 * HOUR + 2 * MINUTE;
    struct cron_plan p = plan("0 * * * *", MISSED_SKIP, noon, now);
    assert_int_equal(0, p.n);
    assert_int_equal(4, p.dropped);
    p = plan("0 * * * *", MISSED_ONCE, noon, now);
    assert_int_equal(1, p.n);
    assert_int_equal(noon + 3 * HOUR, p.ticks[0].ms);
    assert_int_equal(3, p.dropped);
    p = plan("0 * * * *", MISSED_ALL, noon, now);
    assert_int_equal(4, p.n);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(noon + i * HOUR, p.ticks[i].ms);
    }
    assert_int_equal(0, p.dropped);
    assert_int_equal(noon + 4 * HOUR, p.next.ms);
}

static void test_plan__skip_and_the_latest_on_time_then_that_one(void **state) {
    (void)state;
    struct cron_plan p = plan("* * * * *", MISSED_SKIP, noon - HOUR, noon + 30000);
    assert_int_equal(1, p.n);
    assert_int_equal(noon, p.ticks[0].ms);
    assert_int_equal(60, p.dropped);
}

/* Plan after plan until nothing is due: what a scheduler does. */
static int64_t catch_up(enum cron_missed missed, int64_t from, int64_t now, int64_t *out_first, int64_t *out_dropped) {
    int64_t made = 0, last = 0, plans = 0;
    *out_dropped = 0;
    while (from <= now) {
        struct cron_plan p = plan("* * * * *", missed, from, now);
        for (size_t i = 0; i < p.n; i++) {
            assert_true(p.ticks[i].ms > last && p.ticks[i].ms >= from && p.ticks[i].ms <= now && p.ticks[i].ms < p.next.ms);
            *out_first = made == 0 ? p.ticks[i].ms : *out_first;
            last = p.ticks[i].ms;
            made++;
        }
        *out_dropped += p.dropped;
        from = p.next.ms;
        assert_true(plans++ < 100);
    }
    return made;
}

static void test_plan__all_and_more_than_the_cap_then_the_latest_of_them(void **state) {
    (void)state;
    static const int64_t behind[] = {CRON_CATCH_UP_MAX, CRON_CATCH_UP_MAX + 1, CRON_WALK_MAX - 1,
                                     CRON_WALK_MAX,     CRON_WALK_MAX + 1,     500000};
    for (size_t i = 0; i < sizeof behind / sizeof behind[0]; i++) {
        int64_t first = 0, dropped = 0;
        int64_t from = noon - (behind[i] - 1) * MINUTE;
        assert_int_equal(CRON_CATCH_UP_MAX, catch_up(MISSED_ALL, from, noon, &first, &dropped));
        assert_int_equal(noon - (CRON_CATCH_UP_MAX - 1) * MINUTE, first);
        assert_int_equal(behind[i] - CRON_CATCH_UP_MAX, dropped);
        assert_int_equal(1, catch_up(MISSED_ONCE, from, noon, &first, &dropped));
        assert_int_equal(noon, first);
        assert_int_equal(behind[i] - 1, dropped);
    }
}

static void test_plan__fewer_than_a_batch_wanted_then_the_oldest_of_them(void **state) {
    (void)state;
    struct cron c;
    struct cron_plan p;
    assert_ok(cron_parse(STR("* * * * *"), &c));
    assert_true(cron_plan_make(&c, utc, MISSED_ALL, (struct wall){noon}, (struct wall){noon + HOUR}, 7, &p));
    assert_int_equal(7, p.n);
    assert_int_equal(noon, p.ticks[0].ms);
    assert_int_equal(noon + 7 * MINUTE, p.next.ms);
    assert_int_equal(0, p.dropped);
}

static void test_plan__never_again_then_false(void **state) {
    (void)state;
    struct cron c;
    struct cron_plan p;
    assert_ok(cron_parse(STR("0 0 30 2 *"), &c));
    assert_false(cron_plan_make(&c, utc, MISSED_ALL, (struct wall){noon}, (struct wall){noon}, LIMIT_BATCH, &p));
}

static void test_missed__names(void **state) {
    (void)state;
    enum cron_missed m;
    assert_true(cron_missed_parse(STR("skip"), &m) && m == MISSED_SKIP);
    assert_true(cron_missed_parse(STR("once"), &m) && m == MISSED_ONCE);
    assert_true(cron_missed_parse(STR("all"), &m) && m == MISSED_ALL);
    assert_false(cron_missed_parse(STR("ALL"), &m));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plan__nothing_due_then_the_next_tick_alone),
        cmocka_unit_test(test_plan__one_due_on_time_then_made_by_every_policy),
        cmocka_unit_test(test_plan__several_missed_then_by_policy),
        cmocka_unit_test(test_plan__skip_and_the_latest_on_time_then_that_one),
        cmocka_unit_test(test_plan__all_and_more_than_the_cap_then_the_latest_of_them),
        cmocka_unit_test(test_plan__fewer_than_a_batch_wanted_then_the_oldest_of_them),
        cmocka_unit_test(test_plan__never_again_then_false),
        cmocka_unit_test(test_missed__names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
