#include <base/clock.h>

#include "unit.h"

static void test_clock__given_a_wall_time_then_its_text_is_rfc_3339_in_utc(void **state) {
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {951782400999, "2000-02-29T00:00:00.999Z"},
        {1795986814123, "2026-11-29T21:13:34.123Z"},
        {253402300799999, "9999-12-31T23:59:59.999Z"},
        {253402300800000, "invalid time"},
        {INT64_MAX, "invalid time"},
        {-1, "invalid time"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[WALL_TEXT_BYTES];
        wall_text((struct wall){cases[i].ms}, text);
        assert_string_equal(cases[i].text, text);
    }
}

static void test_clock__given_the_system_then_mono_never_goes_back_and_wall_is_this_century(void **state) {
    (void)state;
    struct mono last = clock_mono(&clock_system);
    for (int i = 0; i < 1000; i++) {
        struct mono now = clock_mono(&clock_system);
        assert_true(now.us >= last.us);
        last = now;
    }
    assert_true(clock_wall(&clock_system).ms > 1700000000000);
    assert_true(clock_wall(&clock_system).ms < 4102444800000);
}

static void test_clock__durations_are_whole_milliseconds(void **state) {
    (void)state;
    assert_int_equal(1, mono_ms_since((struct mono){5999}, (struct mono){4000}));
    assert_int_equal(0, mono_ms_since((struct mono){4999}, (struct mono){4000}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock__given_a_wall_time_then_its_text_is_rfc_3339_in_utc),
        cmocka_unit_test(test_clock__given_the_system_then_mono_never_goes_back_and_wall_is_this_century),
        cmocka_unit_test(test_clock__durations_are_whole_milliseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
