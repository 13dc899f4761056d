#include <base/arena.h>

#include <stdalign.h>

#include "unit.h"

enum { BLOCK = 256, MOST = 2048 };

static void test_arena__given_allocations_then_they_are_zeroed_aligned_and_apart(void **state) {
    (void)state;
    struct arena a;
    unsigned char *got[40];
    arena_init(&a, BLOCK, 64 * BLOCK);
    for (size_t i = 0; i < 40; i++) {
        got[i] = arena_alloc(&a, i + 1);
        assert_non_null(got[i]);
        assert_int_equal(0, (uintptr_t)got[i] % alignof(max_align_t));
        for (size_t j = 0; j <= i; j++) {
            assert_int_equal(0, got[i][j]);
        }
        memset(got[i], (int)i + 1, i + 1);
    }
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(i + 1, got[i][0]);
        assert_int_equal(i + 1, got[i][i]);
    }
    arena_free(&a);
}

static void test_arena__given_a_reset_then_memory_is_reused_and_zeroed_again(void **state) {
    (void)state;
    struct arena a;
    arena_init(&a, BLOCK, MOST);
    char *first = arena_alloc(&a, 100);
    assert_non_null(first);
    memset(first, 'x', 100);
    assert_non_null(arena_alloc(&a, BLOCK * 2)); /* a block of its own, not kept */
    arena_reset(&a);
    assert_int_equal(BLOCK, a.total);
    char *again = arena_alloc(&a, 100);
    assert_ptr_equal(first, again);
    assert_int_equal(0, again[0]);
    assert_int_equal(0, again[99]);
    arena_free(&a);
    assert_int_equal(0, a.total);
    assert_non_null(arena_alloc(&a, 1)); /* usable again */
    arena_free(&a);
}

static void test_arena__given_the_maximum_then_null_and_nothing_lost(void **state) {
    (void)state;
    struct arena a;
    arena_init(&a, BLOCK, MOST);
    assert_null(arena_alloc(&a, MOST + 1));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 3));
    assert_null(ARENA_ARRAY(&a, uint64_t, SIZE_MAX / 4));
    assert_non_null(arena_alloc(&a, MOST - BLOCK / 2)); /* leaves less than an ordinary block */
    assert_non_null(arena_alloc(&a, BLOCK / 2));
    assert_null(arena_alloc(&a, 16));
    assert_int_equal(MOST, a.total);
    arena_free(&a);
}

static void test_arena__strings_are_copies_with_a_nul(void **state) {
    (void)state;
    struct arena a;
    arena_init(&a, BLOCK, MOST);
    char from[] = "abc";
    struct str s = arena_str(&a, str_of(from, 2));
    from[0] = 'x';
    assert_str("ab", s);
    assert_int_equal('\0', s.p[2]);
    struct str none = arena_str(&a, STR_NONE);
    assert_non_null(none.p);
    assert_int_equal(0, none.n);
    struct str f = arena_printf(&a, "%s:%d", "root", 5);
    assert_str("root:5", f);
    assert_int_equal('\0', f.p[f.n]);
    assert_null(arena_printf(&a, "%4000d", 1).p);
    arena_free(&a);
}

struct pair {
    int64_t a;
    char b;
};

static void fill(void *arg) {
    (void)arg;
    struct arena a;
    arena_init(&a, BLOCK, MOST);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 20; i++) {
            struct pair *p = ARENA_NEW(&a, struct pair);
            struct pair *many = ARENA_ARRAY(&a, struct pair, 3);
            struct str s = arena_printf(&a, "%d", i);
            if (!torture_is_failing()) {
                assert_true(p != NULL && many != NULL && s.p != NULL);
            }
        }
        arena_reset(&a);
    }
    arena_free(&a);
}

static void test_arena__given_no_memory_then_null(void **state) {
    (void)state;
    torture(fill, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena__given_allocations_then_they_are_zeroed_aligned_and_apart),
        cmocka_unit_test(test_arena__given_a_reset_then_memory_is_reused_and_zeroed_again),
        cmocka_unit_test(test_arena__given_the_maximum_then_null_and_nothing_lost),
        cmocka_unit_test(test_arena__strings_are_copies_with_a_nul),
        cmocka_unit_test(test_arena__given_no_memory_then_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
