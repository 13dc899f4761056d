#include <base/err.h>

#include <errno.h>
#include <string.h>

#include "unit.h"

static void test_err__every_code_has_a_class_and_a_name_of_its_own(void **state) {
    (void)state;
    for (int i = 0; i < ERR_MAX; i++) {
        const char *name = err_name((enum err_code)i);
        assert_true(strlen(name) > 0 && strspn(name, "abcdefghijklmnopqrstuvwxyz_") == strlen(name));
        assert_true(err_class((enum err_code)i) < ERR_CLASS_MAX);
        assert_int_equal(i == ERR_NONE, err_class((enum err_code)i) == ERR_CLASS_OK);
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(name, err_name((enum err_code)j));
        }
    }
    assert_string_equal("?", err_name(ERR_MAX));
    assert_string_equal("?", err_name((enum err_code) - 1));
    assert_int_equal(ERR_CLASS_PERMANENT, err_class((enum err_code)1000)); /* what nobody knows is not tried again */
    assert_int_equal(ERR_CLASS_UNKNOWN, err_class(ERR_NET_UNKNOWN));
    assert_int_equal(ERR_CLASS_TRANSIENT, err_class(ERR_NET_NOT_SENT));
}

static void test_err__details_are_formatted_wrapped_and_cut(void **state) {
    (void)state;
    struct err e = err_make(ERR_INVALID, "%s %d", "line", 7);
    assert_err(ERR_INVALID, e);
    assert_string_equal("line 7", e.detail);
    e = err_wrap(err_wrap(e, "parse"), "load");
    assert_err(ERR_INVALID, e);
    assert_string_equal("load: parse: line 7", e.detail);
    assert_int_equal(255, strlen(err_make(ERR_INVALID, "%1000d", 1).detail));
    e = err_errno(ENOENT, "open x");
    assert_err(ERR_SYSTEM, e);
    assert_string_equal("open x: No such file or directory", e.detail);
    assert_false(err_is_set(OK));
    assert_string_equal("", OK.detail);
}

static void test_err__a_detail_outlives_the_next_31_errors(void **state) {
    (void)state;
    struct err first = err_make(ERR_INVALID, "first");
    for (int i = 0; i < 31; i++) {
        (void)err_make(ERR_BUSY, "later %d", i);
    }
    assert_string_equal("first", first.detail);
}

static struct err try_it(struct err e, int *out) {
    TRY(e);
    *out = 1;
    return OK;
}

static void test_err__try_leaves_with_the_error_and_outputs_stay(void **state) {
    (void)state;
    int reached = 0;
    assert_err(ERR_BUSY, try_it(err_make(ERR_BUSY, "full"), &reached));
    assert_int_equal(0, reached);
    assert_ok(try_it(OK, &reached));
    assert_int_equal(1, reached);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err__every_code_has_a_class_and_a_name_of_its_own),
        cmocka_unit_test(test_err__details_are_formatted_wrapped_and_cut),
        cmocka_unit_test(test_err__a_detail_outlives_the_next_31_errors),
        cmocka_unit_test(test_err__try_leaves_with_the_error_and_outputs_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
