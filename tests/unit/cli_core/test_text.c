#include <text.h>

#include "unit.h"

static void test_duration__given_a_number_and_a_unit_then_milliseconds(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"0", 0},        {"90", 90000},     {"90s", 90000},         {"500ms", 500}, {"5m", 300000},
        {"2h", 7200000}, {"7d", 604800000}, {"1000d", 86400000000}, {"007s", 7000}, {"86400000000ms", 86400000000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ms = -1;
        assert_true(text_duration(str_c(rows[i].text), &ms));
        assert_int_equal(rows[i].ms, ms);
    }
}

static void test_duration__given_anything_else_then_it_is_refused(void **state) {
    (void)state;
    static const char *const rows[] = {"",
                                       "s",
                                       "-1",
                                       "-1s",
                                       "+1s",
                                       " 1s",
                                       "1s ",
                                       "1 s",
                                       "1.5s",
                                       "1e3",
                                       "1M",
                                       "1w",
                                       "1ss",
                                       "0x10",
                                       "1001d",
                                       "86400000001ms",
                                       "9223372036854775807d",
                                       "99999999999999999999s",
                                       "ms"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ms = 42;
        assert_false(text_duration(str_c(rows[i]), &ms));
        assert_int_equal(42, ms);
    }
}

static void test_age__given_milliseconds_then_two_or_three_figures_and_a_unit(void **state) {
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } rows[] = {
        {INT64_MIN, "0s"},
        {-1, "0s"},
        {0, "0s"},
        {999, "0s"},
        {1000, "1s"},
        {119999, "119s"},
        {120000, "2m"},
        {7199999, "119m"},
        {7200000, "2h"},
        {172799999, "47h"},
        {172800000, "2d"},
        {31536000000, "365d"},
        {INT64_MAX, "106751991167d"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[TEXT_AGE_BYTES];
        text_age(rows[i].ms, text);
        assert_string_equal(rows[i].text, text);
    }
}

static void test_time__given_the_form_of_the_api_then_its_second(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"1970-01-01T00:00:00.000Z", 0},
        {"1970-01-01T00:00:01Z", 1000},
        {"2026-11-28T21:13:34.123Z", 1795900414000},
        {"2024-02-29T12:00:00.5Z", 1709208000000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wall w = {-1};
        assert_true(text_time(str_c(rows[i].text), &w));
        assert_int_equal(rows[i].ms, w.ms);
    }
}

static void test_time__given_anything_else_then_it_is_refused(void **state) {
    (void)state;
    static const char *const rows[] = {"",
                                       "Z",
                                       "2026-11-28",
                                       "2026-11-28T21:13:34",
                                       "2026-13-28T21:13:34Z",
                                       "2026-11-28 21:13:34Z",
                                       "2026-11-28T21:13:34+01:00",
                                       "yesterday at noon, or so Z"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct wall w = {7};
        assert_false(text_time(str_c(rows[i]), &w));
        assert_int_equal(7, w.ms);
    }
}

static void test_plain__given_a_header_value_then_only_printable_ascii_passes(void **state) {
    (void)state;
    assert_true(text_is_plain("pen_0a_x-y_z", 12));
    assert_false(text_is_plain("pen_0a_x-y_z", 11));
    assert_false(text_is_plain("", 10));
    assert_false(text_is_plain("a b", 10));
    assert_false(text_is_plain("a\r\nX: y", 10));
    assert_false(text_is_plain("\xc3\xa9", 10));
    assert_false(text_is_plain("a\x7f", 10));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_duration__given_a_number_and_a_unit_then_milliseconds),
        cmocka_unit_test(test_duration__given_anything_else_then_it_is_refused),
        cmocka_unit_test(test_age__given_milliseconds_then_two_or_three_figures_and_a_unit),
        cmocka_unit_test(test_time__given_the_form_of_the_api_then_its_second),
        cmocka_unit_test(test_time__given_anything_else_then_it_is_refused),
        cmocka_unit_test(test_plain__given_a_header_value_then_only_printable_ascii_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
