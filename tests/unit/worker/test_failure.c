/* The list of the last errors, whatever is in it, and the groups of the dead. */
#include <base/json.h>
#include <base/limits.h>
#include <queues/envelope.h>
#include <stdio.h>

#include "../../../worker/src/failure.h"
#include "unit.h"

static struct arena arena;

static int setup(void **state) {
    (void)state;
    arena_init(&arena, 4096, 1 << 22);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    arena_free(&arena);
    return 0;
}

static struct str add(struct str errors, const char *detail, int64_t at_ms) {
    return failure_add(&arena, errors, (struct err){ERR_TRANSIENT, detail}, at_ms, NULL);
}

/* How many errors the list has; it must parse and fit an envelope. */
static size_t length(struct str errors) {
    json_t *list;
    assert_ok(json_read(errors, &list));
    assert_true(json_is_array(list) && errors.n <= ENVELOPE_ERRORS_MAX);
    size_t n = json_array_size(list);
    json_decref(list);
    return n;
}

static void test_add__one_then_a_list_of_one(void **state) {
    (void)state;
    assert_str("[{\"at_ms\":1700000000123,\"code\":\"transient\",\"detail\":\"no\"}]", add(STR_NONE, "no", 1700000000123));
    assert_str("[{\"at_ms\":-5,\"code\":\"transient\",\"detail\":\"\"}]", add(STR(""), "", -5));
}

static void test_add__many_then_the_last_five_in_their_order(void **state) {
    (void)state;
    struct str errors = STR_NONE;
    for (int i = 1; i <= 12; i++) {
        errors = add(errors, "no", i);
        assert_int_equal(i < LIMIT_ERRORS_KEPT ? i : LIMIT_ERRORS_KEPT, length(errors));
    }
    assert_str("[{\"at_ms\":8,\"code\":\"transient\",\"detail\":\"no\"},{\"at_ms\":9,\"code\":\"transient\",\"detail\":\"no\"},"
               "{\"at_ms\":10,\"code\":\"transient\",\"detail\":\"no\"},{\"at_ms\":11,\"code\":\"transient\",\"detail\":\"no\"},"
               "{\"at_ms\":12,\"code\":\"transient\",\"detail\":\"no\"}]",
               errors);
}

static void test_add__details_from_outside_then_still_a_list_of_five(void **state) {
    (void)state;
    static const char *const details[] = {
        "}{",
        "},{\"x\":[",
        "\"",
        "\\",
        "\"}],\"a\":\"",
        "[[[[[[[[{{{{{{{{",
        "\x01\x02\n",
        "\xff\xfe",
        "\xc3\xbc",
        "\xc3",
        "]}],[{\"detail\":1}",
        "%s%n%.*s",
        "{}",
        "</script>",
        "'",
        "\xed\xa0\x80",
        "\x7f",
        "",
    };
    struct str errors = STR_NONE;
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof details / sizeof details[0]; i++) {
            size_t before = errors.n > 0 ? length(errors) : 0;
            errors = add(errors, details[i], 1);
            assert_int_equal(before < LIMIT_ERRORS_KEPT ? before + 1 : LIMIT_ERRORS_KEPT, length(errors));
        }
    }
    json_t *list;
    struct str last;
    errors = add(errors, "\"}],\"a\":\"", 1);
    assert_ok(json_read(errors, &list));
    assert_ok(json_get_str(json_array_get(list, LIMIT_ERRORS_KEPT - 1), "detail", &last));
    assert_str("\"}],\"a\":\"", last); /* as it was */
    json_decref(list);
}

static void test_add__long_details_then_cut_and_five_of_them_fit(void **state) {
    (void)state;
    char detail[256];
    struct str errors = STR_NONE;
    memset(detail, 'x', sizeof detail);
    detail[255] = '\0';
    for (int i = 0; i < 7; i++) {
        errors = add(errors, detail, INT64_C(1700000000000));
    }
    assert_int_equal(LIMIT_ERRORS_KEPT, length(errors));
    assert_null(memmem(errors.p, errors.n, detail, 121));
    assert_non_null(memmem(errors.p, errors.n, detail, 120));
}

/* Control characters need six bytes each: fewer errors fit, and the newest is always among them. */
static void test_add__details_that_grow_then_the_newest_that_fit(void **state) {
    (void)state;
    char detail[121];
    struct str errors = STR_NONE;
    memset(detail, 1, sizeof detail);
    detail[120] = '\0';
    for (int i = 1; i <= 4; i++) {
        errors = add(errors, "short", i);
    }
    errors = add(errors, detail, 5);
    assert_int_equal(5, length(errors)); /* one of them */
    errors = add(errors, detail, 6);
    assert_int_equal(1, length(errors));
    assert_non_null(memmem(errors.p, errors.n, "\"at_ms\":6", 9));
    errors = add(errors, "short", 7);
    assert_int_equal(2, length(errors));
}

/* Entries may have been retried by another client, in its own spelling, or by one that writes nonsense. */
static void test_add__a_list_that_others_wrote_then_kept_if_it_is_one(void **state) {
    (void)state;
    static const struct {
        const char *errors;
        size_t length;
    } rows[] = {
        {"[]", 1},
        {"[ { \"at_ms\" : 1 , \"code\" : \"x}\" , \"detail\" : \"{\" } , {} ]", 3},
        {"[1,2,3,4,5,6,7,8]", LIMIT_ERRORS_KEPT},
        {"[[],{\"a\":{\"b\":[]}},null,true,1.5]", LIMIT_ERRORS_KEPT},
        {"{\"a\":1}", 1},
        {"[", 1},
        {"]", 1},
        {"[{]", 1},
        {"nonsense", 1},
        {"\"text\"", 1},
        {"[\"\\u0000\"]", 1},
        {"[\"\xff\"]", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(rows[i].length, length(add(str_c(rows[i].errors), "no", 1)));
    }
    assert_int_equal(1, length(add(str_of("[1\0]", 4), "no", 1)));
    static char long_list[ENVELOPE_ERRORS_MAX + 1] = "[\"";
    memset(long_list + 2, 'x', ENVELOPE_ERRORS_MAX - 4);
    (void)snprintf(long_list + ENVELOPE_ERRORS_MAX - 2, 3, "\"]");
    assert_int_equal(1, length(add(str_c(long_list), "no", 1))); /* there is no room for both */
}

static void scenario(void *arg) {
    (void)arg;
    struct arena a;
    arena_init(&a, 256, 1 << 20);
    struct str errors = failure_add(&a, STR("[{\"a\":1},{\"b\":2}]"), (struct err){ERR_TRANSIENT, "no"}, 1, NULL);
    assert_true(errors.n > 0 || torture_is_failing());
    assert_true(errors.n == 0 || (errors.p[0] == '[' && memcmp(errors.p + errors.n - 2, "}]", 2) == 0));
    struct str group = failure_group(&a, STR("unit.job"), (struct err){ERR_TRANSIENT, "no"});
    assert_true(group.p != NULL || torture_is_failing());
    arena_free(&a);
}

static void test_failure__any_allocation_fails_then_a_whole_list_or_none(void **state) {
    (void)state;
    torture(scenario, NULL);
}

/* --- groups --- */

static void test_group__given_an_error_then_numbers_do_not_tell_apart(void **state) {
    (void)state;
    static const struct {
        const char *detail, *group;
    } rows[] = {
        {"the endpoint answered 500", "unit.job: transient: the endpoint answered #"},
        {"the endpoint answered 5", "unit.job: transient: the endpoint answered #"},
        {"1 of 2000 failed at 10:30", "unit.job: transient: # of # failed at #:#"},
        {"12345678901234567890", "unit.job: transient: #"},
        {"#1", "unit.job: transient: #"},
        {"a##b", "unit.job: transient: a#b"},
        {"", "unit.job: transient: "},
        {"say \"no\\yes\"\n", "unit.job: transient: say  no yes  "},
        {"\xc3\xbc\x7f", "unit.job: transient:    "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_str(rows[i].group, failure_group(&arena, STR("unit.job"), (struct err){ERR_TRANSIENT, rows[i].detail}));
    }
}

static void test_group__given_types_and_codes_then_told_apart(void **state) {
    (void)state;
    assert_str("a.b: postgres_check: no", failure_group(&arena, STR("a.b"), (struct err){ERR_PG_CHECK, "no"}));
    assert_str("a.c: refused: no", failure_group(&arena, STR("a.c"), (struct err){ERR_REFUSED, "no"}));
}

static void test_group__a_long_detail_then_cut(void **state) {
    (void)state;
    char detail[256], digits[256];
    memset(detail, 'x', sizeof detail);
    detail[255] = '\0';
    struct str group = failure_group(&arena, STR("t"), (struct err){ERR_TRANSIENT, detail});
    assert_int_equal(strlen("t: transient: ") + 96, group.n);
    memset(digits, '7', sizeof digits);
    digits[255] = '\0';
    assert_str("t: transient: #", failure_group(&arena, STR("t"), (struct err){ERR_TRANSIENT, digits}));
}

/* It is pasted into JSON, and into a log. */
static void test_group__given_any_byte_then_printable_and_without_quotes(void **state) {
    (void)state;
    for (int c = 1; c < 256; c++) {
        char detail[4] = {'a', (char)c, 'b', '\0'};
        struct str group = failure_group(&arena, STR("t"), (struct err){ERR_TRANSIENT, detail});
        for (size_t i = 0; i < group.n; i++) {
            assert_true(group.p[i] >= ' ' && group.p[i] <= '~' && group.p[i] != '"' && group.p[i] != '\\');
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_add__one_then_a_list_of_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_add__many_then_the_last_five_in_their_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_add__details_from_outside_then_still_a_list_of_five, setup, teardown),
        cmocka_unit_test_setup_teardown(test_add__long_details_then_cut_and_five_of_them_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_add__details_that_grow_then_the_newest_that_fit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_add__a_list_that_others_wrote_then_kept_if_it_is_one, setup, teardown),
        cmocka_unit_test(test_failure__any_allocation_fails_then_a_whole_list_or_none),
        cmocka_unit_test_setup_teardown(test_group__given_an_error_then_numbers_do_not_tell_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_group__given_types_and_codes_then_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_group__a_long_detail_then_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_group__given_any_byte_then_printable_and_without_quotes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
