#include <base/buf.h>

#include "unit.h"

static void test_buf__given_writes_then_they_are_one_text(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 1024);
    buf_add(&b, STR("ab"));
    buf_add(&b, STR_NONE);
    buf_add_c(&b, "cd");
    buf_add_char(&b, '\0');
    buf_addf(&b, "%d-%s", 7, "x");
    assert_ok(buf_status(&b));
    assert_int_equal(8, b.n);
    assert_memory_equal("abcd\0"
                        "7-x",
                        b.p, 8);
    buf_drop(&b, 5);
    assert_str("7-x", buf_str(&b));
    buf_drop(&b, 3);
    assert_str("", buf_str(&b));
    buf_free(&b);
    assert_null(b.p);
    assert_int_equal(1024, b.max);
}

static void test_buf__given_the_maximum_then_it_is_reached_but_never_passed(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 100);
    for (int i = 0; i < 100; i++) {
        buf_add_char(&b, 'x');
    }
    assert_ok(buf_status(&b));
    assert_int_equal(100, b.n);
    buf_add_char(&b, 'y');
    assert_err(ERR_TOO_LARGE, buf_status(&b));
    assert_int_equal(100, b.n);
    buf_free(&b);
}

static void test_buf__given_a_failure_then_later_writes_do_nothing_until_cleared(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 4);
    buf_add_c(&b, "abcde");
    buf_add_c(&b, "a"); /* would fit */
    buf_addf(&b, "%d", 1);
    assert_int_equal(0, b.n);
    assert_null(buf_reserve(&b, 1));
    assert_err(ERR_TOO_LARGE, buf_status(&b));
    buf_clear(&b);
    buf_add_c(&b, "abcd");
    assert_ok(buf_status(&b));
    assert_str("abcd", buf_str(&b));
    buf_free(&b);
}

static void test_buf__given_a_reservation_then_only_what_is_committed_counts(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 64);
    char *to = buf_reserve(&b, 10);
    assert_non_null(to);
    memcpy(to, "hello", 5);
    assert_int_equal(0, b.n);
    buf_commit(&b, 5);
    assert_str("hello", buf_str(&b));
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_err(ERR_TOO_LARGE, buf_status(&b));
    buf_free(&b);
}

static void grow(void *arg) {
    (void)arg;
    struct buf b;
    buf_init(&b, 100000);
    for (int i = 0; i < 1000; i++) {
        buf_addf(&b, "%d,", i);
    }
    if (!torture_is_failing()) {
        assert_ok(buf_status(&b));
        assert_int_equal(3890, b.n);
    } else if (err_is_set(buf_status(&b))) {
        assert_err(ERR_NOMEM, buf_status(&b));
    }
    buf_free(&b);
}

static void test_buf__given_no_memory_then_it_is_remembered(void **state) {
    (void)state;
    torture(grow, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf__given_writes_then_they_are_one_text),
        cmocka_unit_test(test_buf__given_the_maximum_then_it_is_reached_but_never_passed),
        cmocka_unit_test(test_buf__given_a_failure_then_later_writes_do_nothing_until_cleared),
        cmocka_unit_test(test_buf__given_a_reservation_then_only_what_is_committed_counts),
        cmocka_unit_test(test_buf__given_no_memory_then_it_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
