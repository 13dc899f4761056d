#include <base/err.h>
#include <base/str.h>

#include "unit.h"

static void test_str__equality_ignores_termination_and_takes_empty_strings(void **state) {
    (void)state;
    assert_true(str_eq(str_of("abcd", 3), STR("abc")));
    assert_false(str_eq(STR("abc"), STR("abd")));
    assert_false(str_eq(STR("abc"), STR("ab")));
    assert_true(str_eq(STR_NONE, STR("")));
    assert_true(str_is(STR_NONE, ""));
    assert_true(str_eq_nocase(STR("Content-TYPE"), STR("content-type")));
    assert_false(str_eq_nocase(STR("["), STR("{"))); /* 0x20 apart, but no letters */
    assert_false(str_eq_nocase(STR("ab"), STR("abc")));
}

static void test_str__prefix_and_trim(void **state) {
    (void)state;
    assert_true(str_starts(STR("cron:x"), STR("cron:")));
    assert_true(str_starts(STR_NONE, STR_NONE));
    assert_false(str_starts(STR("cron"), STR("cron:")));
    assert_str("a b", str_trim(STR(" \ta b\t ")));
    assert_str("", str_trim(STR(" \t ")));
    assert_str("", str_trim(STR_NONE));
    assert_str("\n", str_trim(STR("\n")));
}

static void test_str__distance_counts_changes(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
        size_t distance;
    } rows[] = {{"", "", 0},       {"", "abc", 3},           {"abc", "", 3},
                {"abc", "abc", 0}, {"handlr", "handler", 1}, {"kitten", "sitting", 3},
                {"ab", "ba", 2}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(rows[i].distance, str_distance(str_c(rows[i].a), str_c(rows[i].b)));
    }
    static const char longest[200] = {0};
    assert_int_equal(STR_DISTANCE_MAX, str_distance(str_of(longest, sizeof longest), STR_NONE));
}

static void test_str__cut_gives_every_piece_once(void **state) {
    (void)state;
    struct str s = STR("a,,b");
    struct str piece = STR_NONE;
    assert_true(str_cut(&s, ',', &piece));
    assert_str("a", piece);
    assert_true(str_cut(&s, ',', &piece));
    assert_str("", piece);
    assert_true(str_cut(&s, ',', &piece));
    assert_str("b", piece);
    assert_false(str_cut(&s, ',', &piece));
    assert_str("b", piece);
    struct str tail = STR("k=");
    assert_true(str_cut(&tail, '=', &piece));
    assert_str("k", piece);
    assert_str("", tail);
}

static void test_str__numbers_are_whole_strings_within_range(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool i64, u64;
        int64_t value;
    } cases[] = {
        {"0", true, true, 0},
        {"42", true, true, 42},
        {"-42", true, false, -42},
        {"9223372036854775807", true, true, INT64_MAX},
        {"9223372036854775808", false, true, 0},
        {"-9223372036854775808", true, false, INT64_MIN},
        {"-9223372036854775809", false, false, 0},
        {"18446744073709551615", false, true, -1},
        {"18446744073709551616", false, false, 0},
        {"99999999999999999999", false, false, 0},
        {"100000000000000000000", false, false, 0},
        {"", false, false, 0},
        {"-", false, false, 0},
        {"--1", false, false, 0},
        {"+1", false, false, 0},
        {" 1", false, false, 0},
        {"1 ", false, false, 0},
        {"1.0", false, false, 0},
        {"0x1", false, false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t s = 77;
        uint64_t u = 77;
        assert_int_equal(cases[i].i64, str_to_i64(str_c(cases[i].text), &s));
        assert_int_equal(cases[i].u64, str_to_u64(str_c(cases[i].text), &u));
        assert_int_equal(cases[i].i64 ? cases[i].value : 77, s);
        if (!cases[i].u64) {
            assert_int_equal(77, u);
        }
    }
}

static void test_str__numbers_become_decimal_text(void **state) {
    (void)state;
    static const struct {
        int64_t value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {7, "7"},
        {10, "10"},
        {-1, "-1"},
        {1730406023291, "1730406023291"},
        {INT64_MAX, "9223372036854775807"},
        {INT64_MIN, "-9223372036854775808"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char room[I64_TEXT_BYTES];
        struct str s = str_from_i64(cases[i].value, room);
        assert_str(cases[i].text, s);
        assert_int_equal('\0', s.p[s.n]);
        assert_true(s.p >= room && s.p + s.n < room + sizeof room);
    }
    char digits[U64_DIGITS];
    assert_ptr_equal(digits, str_put_u64(digits + sizeof digits, UINT64_MAX));
    assert_memory_equal("18446744073709551615", digits, sizeof digits);
}

static void test_str__names_are_bounded_and_safe_in_a_key(void **state) {
    (void)state;
    assert_true(str_is_name(STR("order.place_2-A"), 64));
    assert_true(str_is_name(STR("abc"), 3));
    assert_false(str_is_name(STR("abcd"), 3));
    assert_false(str_is_name(STR(""), 3));
    static const char bad[] = " {}:/\n\"\x80";
    for (size_t i = 0; i < sizeof bad; i++) { /* the NUL too */
        assert_false(str_is_name(str_of(&bad[i], 1), 3));
    }
}

static void test_str__copy_fits_with_its_nul_or_is_empty(void **state) {
    (void)state;
    char to[4] = "xxx";
    assert_true(str_copy_c(STR("abc"), to, sizeof to));
    assert_string_equal("abc", to);
    assert_false(str_copy_c(STR("abcd"), to, sizeof to));
    assert_string_equal("", to);
    assert_true(str_copy_c(STR_NONE, to, sizeof to));
    assert_string_equal("", to);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_str__equality_ignores_termination_and_takes_empty_strings),
        cmocka_unit_test(test_str__prefix_and_trim),
        cmocka_unit_test(test_str__distance_counts_changes),
        cmocka_unit_test(test_str__cut_gives_every_piece_once),
        cmocka_unit_test(test_str__numbers_are_whole_strings_within_range),
        cmocka_unit_test(test_str__numbers_become_decimal_text),
        cmocka_unit_test(test_str__names_are_bounded_and_safe_in_a_key),
        cmocka_unit_test(test_str__copy_fits_with_its_nul_or_is_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
