#include "../../../api/src/shares.h"

#include <math.h>
#include <stdio.h>

#include "unit.h"

static void add(struct shares *s, const char *tenant, int jobs) {
    for (int i = 0; i < jobs; i++) {
        shares_add(s, str_c(tenant));
    }
}

static double mine(const struct shares *s, const char *tenant) { return shares_find(s, str_c(tenant)).mine; }

static void test_shares__given_two_tenants_then_each_has_its_own_and_one_who_asks_counts(void **state) {
    (void)state;
    struct shares s = {0};
    assert_int_equal(1, shares_find(&s, STR("a")).tenants);
    add(&s, "a", 30);
    add(&s, "b", 10);
    assert_true(mine(&s, "a") == 30 && mine(&s, "b") == 10 && mine(&s, "c") == 0);
    assert_int_equal(2, shares_find(&s, STR("a")).tenants);
    assert_int_equal(3, shares_find(&s, STR("c")).tenants);
    assert_int_equal(2, shares_tenants(&s));
    shares_free(&s);
    assert_int_equal(0, shares_tenants(&s));
}

static void test_shares__given_ends_then_each_loses_in_proportion_until_it_has_nothing(void **state) {
    (void)state;
    struct shares s = {0};
    add(&s, "a", 30);
    add(&s, "b", 10);
    shares_drain(&s, 20, 20);
    assert_true(fabs(mine(&s, "a") - 15) < 1e-9 && fabs(mine(&s, "b") - 5) < 1e-9);
    shares_drain(&s, 19, 1);
    assert_true(fabs(mine(&s, "a") - 0.75) < 1e-9);
    assert_int_equal(1, shares_tenants(&s)); /* b has a quarter of a job */
    shares_drain(&s, -100, 1);               /* counters that began anew */
    assert_int_equal(1, shares_tenants(&s));
    shares_drain(&s, 1, 0);
    assert_int_equal(0, shares_tenants(&s));
    shares_free(&s);
}

/* Jobs that ended before a reading began, or were never placed, must not count for ever. */
static void test_shares__given_fewer_jobs_than_they_sum_up_to_then_they_are_cut(void **state) {
    (void)state;
    struct shares s = {0};
    add(&s, "a", 90);
    add(&s, "b", 10);
    shares_drain(&s, 0, 50);
    assert_true(fabs(mine(&s, "a") - 45) < 1e-9 && fabs(mine(&s, "b") - 5) < 1e-9);
    shares_free(&s);
}

static void test_shares__given_too_many_tenants_then_the_rest_look_as_if_they_had_nothing(void **state) {
    (void)state;
    struct shares s = {0};
    char name[24];
    for (int i = 0; i < SHARES_MAX + 10; i++) {
        (void)snprintf(name, sizeof name, "tenant-%d", i);
        add(&s, name, 1);
    }
    assert_int_equal(SHARES_MAX, shares_tenants(&s));
    assert_true(mine(&s, "tenant-0") == 1 && mine(&s, name) == 0);
    shares_free(&s);
}

static void scenario(void *context) {
    struct shares s = {0};
    (void)context;
    add(&s, "a", 3);
    add(&s, "b", 3);
    shares_drain(&s, 3, 3);
    shares_free(&s);
}

static void test_shares__given_no_memory_then_a_tenant_is_not_told_apart(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares__given_two_tenants_then_each_has_its_own_and_one_who_asks_counts),
        cmocka_unit_test(test_shares__given_ends_then_each_loses_in_proportion_until_it_has_nothing),
        cmocka_unit_test(test_shares__given_fewer_jobs_than_they_sum_up_to_then_they_are_cut),
        cmocka_unit_test(test_shares__given_too_many_tenants_then_the_rest_look_as_if_they_had_nothing),
        cmocka_unit_test(test_shares__given_no_memory_then_a_tenant_is_not_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
