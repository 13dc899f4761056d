#include <base/str.h>
#include <jobs/retry.h>

#include "unit.h"

static const struct retry_policy policy = {.base_ms = 1000, .cap_ms = 60000, .max_attempts = 5};

enum { UNTOUCHED = -77 };

static void test_retry__every_error_then_what_its_class_says(void **state) {
    (void)state;
    static const enum retry_verdict by_class[ERR_CLASS_MAX] = {
        [ERR_CLASS_OK] = RETRY_DEAD,       [ERR_CLASS_INFRA] = RETRY_RELEASE,  [ERR_CLASS_TRANSIENT] = RETRY_CHARGE,
        [ERR_CLASS_CONFLICT] = RETRY_SOON, [ERR_CLASS_UNKNOWN] = RETRY_CHARGE, [ERR_CLASS_INVALID] = RETRY_DEAD,
        [ERR_CLASS_PERMANENT] = RETRY_DEAD};
    for (int code = 0; code < ERR_MAX; code++) {
        int64_t delay = UNTOUCHED;
        enum retry_verdict v = retry_decide(&policy, (enum err_code)code, 0, 0, 0.5, &delay);
        assert_int_equal(by_class[err_class((enum err_code)code)], v);
        assert_int_equal(v == RETRY_DEAD, delay == UNTOUCHED);
    }
}

/* Codes whose class is a promise of the protocol, whatever the table becomes. */
static void test_retry__given_some_errors_then_their_verdicts_are_fixed(void **state) {
    (void)state;
    static const struct {
        enum err_code code;
        enum retry_verdict verdict;
    } rows[] = {
        {ERR_REDIS_DOWN, RETRY_RELEASE}, {ERR_REDIS_LOST, RETRY_RELEASE}, {ERR_REDIS_FULL, RETRY_RELEASE},
        {ERR_PG_DOWN, RETRY_RELEASE},    {ERR_PG_LOST, RETRY_RELEASE},    {ERR_NOMEM, RETRY_RELEASE},
        {ERR_CLOSED, RETRY_RELEASE},     {ERR_BUSY, RETRY_RELEASE},       {ERR_TRANSIENT, RETRY_CHARGE},
        {ERR_TIMEOUT, RETRY_CHARGE},     {ERR_NET_UNKNOWN, RETRY_CHARGE}, {ERR_NET_NOT_SENT, RETRY_CHARGE},
        {ERR_PG_CONFLICT, RETRY_SOON},   {ERR_CONFLICT, RETRY_SOON},      {ERR_INVALID, RETRY_DEAD},
        {ERR_UNKNOWN_TYPE, RETRY_DEAD},  {ERR_UNDECODABLE, RETRY_DEAD},   {ERR_REFUSED, RETRY_DEAD},
        {ERR_NET_ADDRESS, RETRY_DEAD},   {ERR_PG_CHECK, RETRY_DEAD},      {ERR_NONE, RETRY_DEAD},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t delay;
        assert_int_equal(rows[i].verdict, retry_decide(&policy, rows[i].code, 0, 0, 0, &delay));
    }
}

static void test_retry__given_an_attempt_then_full_jitter_below_a_doubling_ceiling(void **state) {
    (void)state;
    static const struct retry_policy patient = {.base_ms = 100, .cap_ms = 5000, .max_attempts = 1000};
    static const int64_t ceilings[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000};
    for (uint32_t attempt = 0; attempt < 200; attempt++) {
        int64_t ceiling = ceilings[attempt < 8 ? attempt : 8];
        for (int k = 0; k < 16; k++) {
            int64_t delay = UNTOUCHED;
            assert_int_equal(RETRY_CHARGE, retry_decide(&patient, ERR_TRANSIENT, attempt, 0, k / 16.0, &delay));
            assert_int_equal(ceiling * k / 16, delay); /* uniform from nothing to the ceiling */
        }
        int64_t most;
        assert_int_equal(RETRY_CHARGE, retry_decide(&patient, ERR_TRANSIENT, attempt, 0, 0.9999999, &most));
        assert_in_range(most, ceiling - 1, ceiling);
    }
}

static void test_retry__given_a_cap_between_two_doublings_then_the_last_one_is_the_cap(void **state) {
    (void)state;
    static const struct {
        int64_t base, cap, ceilings[4];
    } rows[] = {
        {2000, 5000, {2000, 4000, 5000, 5000}}, {2500, 5001, {2500, 5000, 5001, 5001}}, {5000, 5000, {5000, 5000, 5000, 5000}}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct retry_policy p = {.base_ms = rows[i].base, .cap_ms = rows[i].cap, .max_attempts = 9};
        for (uint32_t attempt = 0; attempt < 4; attempt++) {
            int64_t most;
            assert_int_equal(RETRY_CHARGE, retry_decide(&p, ERR_TRANSIENT, attempt, 0, 0.9999999, &most));
            assert_int_equal(rows[i].ceilings[attempt] - 1, most);
        }
    }
}

static void test_retry__given_a_conflict_then_the_base_delay_only(void **state) {
    (void)state;
    static const struct { int64_t base, most; } rows[] = {{100, 100}, {1000, 1000}, {5000, 1000}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct retry_policy p = {.base_ms = rows[i].base, .cap_ms = 60000, .max_attempts = 50};
        for (uint32_t attempt = 0; attempt < 49; attempt++) {
            int64_t delay;
            assert_int_equal(RETRY_SOON, retry_decide(&p, ERR_CONFLICT, attempt, 0, 0.5, &delay));
            assert_int_equal(rows[i].most / 2, delay);
            assert_int_equal(RETRY_SOON, retry_decide(&p, ERR_CONFLICT, attempt, 0, 0.9999999, &delay));
            assert_int_equal(rows[i].most - 1, delay);
        }
    }
}

static void test_retry__given_our_own_trouble_then_released_whatever_was_charged(void **state) {
    (void)state;
    static const uint32_t attempts[] = {0, 4, 5, 100, UINT32_MAX};
    for (size_t i = 0; i < sizeof attempts / sizeof attempts[0]; i++) {
        int64_t least, most;
        assert_int_equal(RETRY_RELEASE, retry_decide(&policy, ERR_PG_DOWN, attempts[i], 0, 0, &least));
        assert_int_equal(RETRY_RELEASE, retry_decide(&policy, ERR_PG_DOWN, attempts[i], 0, 0.9999999, &most));
        assert_int_equal(500, least);
        assert_int_equal(1999, most);
    }
}

static void test_retry__given_the_last_attempt_then_dead_and_the_output_untouched(void **state) {
    (void)state;
    static const struct {
        uint32_t max, attempt;
        bool dead;
    } rows[] = {{5, 3, false}, {5, 4, true},           {5, 5, true}, {5, UINT32_MAX, true},
                {1, 0, true},  {UINT32_MAX, 7, false}, {0, 0, true}, {0, UINT32_MAX, true}};
    static const enum err_code codes[] = {ERR_TRANSIENT, ERR_CONFLICT, ERR_NET_UNKNOWN};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t k = 0; k < sizeof codes / sizeof codes[0]; k++) {
            const struct retry_policy p = {.base_ms = 1000, .cap_ms = 60000, .max_attempts = rows[i].max};
            int64_t delay = UNTOUCHED;
            enum retry_verdict v = retry_decide(&p, codes[k], rows[i].attempt, 0, 0.5, &delay);
            assert_int_equal(rows[i].dead, v == RETRY_DEAD);
            assert_int_equal(rows[i].dead, delay == UNTOUCHED);
        }
    }
}

static void test_retry__given_hostile_policies_then_no_overflow(void **state) {
    (void)state;
    static const struct retry_policy rows[] = {
        {INT64_MAX, INT64_MAX, 10}, {1, INT64_MAX, 200}, {INT64_MAX / 2 + 1, INT64_MAX, 10},
        {INT64_MAX, 1, 10},         {0, 0, 10},          {0, INT64_MAX, 10}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (uint32_t attempt = 0; attempt + 1 < rows[i].max_attempts; attempt++) {
            int64_t delay;
            assert_int_equal(RETRY_CHARGE, retry_decide(&rows[i], ERR_TRANSIENT, attempt, INT64_MIN, 0.999, &delay));
            assert_in_range(delay, 0, rows[i].cap_ms);
        }
    }
}

static void test_retry__asked_to_wait_then_honoured_within_bounds(void **state) {
    (void)state;
    static const struct {
        int64_t cap, after, delay;
    } rows[] = {
        {2000, 0, 500},                /* not asked: jitter alone */
        {2000, 10, 500},               /* sooner than we would come anyway */
        {2000, 30000, 30000},          /* past the cap, up to a minute */
        {2000, 90000, 60000},          /* no longer than a minute */
        {3600000, 90000, 90000},       /* or than the cap */
        {3600000, INT64_MAX, 3600000}, /* hostile */
        {2000, -1, 500},
        {2000, INT64_MIN, 500},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct retry_policy p = {.base_ms = 1000, .cap_ms = rows[i].cap, .max_attempts = 5};
        int64_t delay;
        assert_int_equal(RETRY_CHARGE, retry_decide(&p, ERR_TRANSIENT, 0, rows[i].after, 0.5, &delay));
        assert_int_equal(rows[i].delay, delay);
    }
}

static void test_retry_after__given_a_header_then_ms_from_now(void **state) {
    (void)state;
    const int64_t now = INT64_C(784111777000); /* Sun, 06 Nov 1994 08:49:37 GMT */
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"0", 0},
        {"1", 1000},
        {"120", 120000},
        {"  120\t", 120000},
        {"-5", 0},
        {"+5", 0},
        {"1.5", 0},
        {"1e3", 0},
        {"12 0", 0},
        {"", 0},
        {"   ", 0},
        {"soon", 0},
        {"9223372036854774", INT64_C(9223372036854774000)},
        {"9223372036854775", 0},    /* would not fit in ms */
        {"9223372036854775807", 0}, /* nor this */
        {"99999999999999999999999", 0},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 0},     /* now */
        {"Sun, 06 Nov 1994 08:49:36 GMT", 0},     /* gone by */
        {"Sun, 06 Nov 1994 08:50:37 GMT", 60000}, /* the three forms of RFC 9110 */
        {"Sunday, 06-Nov-94 08:50:37 GMT", 60000},
        {"Sun Nov  6 08:50:37 1994", 60000},
        {"Mon, 07 Nov 1994 08:49:37 GMT", 86400000},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Fri, 31 Dec 9999 23:59:59 GMT", INT64_C(252618189022000)},
        {"Sun, 06 Nov 1994 08:50:37", 0},
        {"Sun, 06 Nov 1994 08:50:37 CET", 0},
        {"Sun, 06 Nov 1994 08:50:37 GMT, now", 0},
        {"Sun, 06 Xyz 1994 08:50:37 GMT", 0},
        {"Sun, 06 Nov 1994 25:50:37 GMT", 0},
        {"1994-11-06T08:50:37Z", 0},
        {"Sun, 06 Nov 199444444444444444444 08:50:37 GMT", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ms = retry_after_parse(rows[i].text, strlen(rows[i].text), now);
        if (rows[i].ms != ms) {
            fail_msg("\"%s\": %lld, not %lld", rows[i].text, (long long)ms, (long long)rows[i].ms);
        }
    }
    assert_int_equal(0, retry_after_parse(NULL, 0, now)); /* no header */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retry__every_error_then_what_its_class_says),
        cmocka_unit_test(test_retry__given_some_errors_then_their_verdicts_are_fixed),
        cmocka_unit_test(test_retry__given_an_attempt_then_full_jitter_below_a_doubling_ceiling),
        cmocka_unit_test(test_retry__given_a_cap_between_two_doublings_then_the_last_one_is_the_cap),
        cmocka_unit_test(test_retry__given_a_conflict_then_the_base_delay_only),
        cmocka_unit_test(test_retry__given_our_own_trouble_then_released_whatever_was_charged),
        cmocka_unit_test(test_retry__given_the_last_attempt_then_dead_and_the_output_untouched),
        cmocka_unit_test(test_retry__given_hostile_policies_then_no_overflow),
        cmocka_unit_test(test_retry__asked_to_wait_then_honoured_within_bounds),
        cmocka_unit_test(test_retry_after__given_a_header_then_ms_from_now),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
