#include "../../../api/src/figures.h"

#include <math.h>

#include "unit.h"

static void assert_near(double wanted, double v) { assert_true(fabs(wanted - v) < 1e-9); }

static void test_figures__given_buckets_then_quantiles_lie_within_them(void **state) {
    (void)state;
    const struct spread s = {.n = 4, .bound = {0.1, 1, 10, INFINITY}, .below = {50, 90, 99, 100}};
    assert_near(0.1, spread_quantile(&s, 0.5));
    assert_near(0.02, spread_quantile(&s, 0.1));
    assert_near(1, spread_quantile(&s, 0.9));
    assert_near(10, spread_quantile(&s, 0.99));
    assert_near(10, spread_quantile(&s, 1)); /* longer than the last bound: by how much is not known */
}

static void test_figures__given_nothing_observed_then_no_quantile(void **state) {
    (void)state;
    const struct spread nothing = {0}, none = {.n = 2, .bound = {1, INFINITY}};
    assert_near(-1, spread_quantile(&nothing, 0.5));
    assert_near(-1, spread_quantile(&none, 0.5));
}

/* Two processes: windows add up, and the worst circuit is shown. Lines that are cut or none of ours say nothing. */
static void test_figures__given_servers_of_two_processes_then_their_windows_add_up(void **state) {
    (void)state;
    static struct figures f;
    f = (struct figures){0};
    figures_add(
        &f, NULL,
        STR("penstock_provider_window{provider=\"payments\"} 12.5\npenstock_provider_circuit_state{provider=\"payments\"} 0\n"
            "penstock_provider_window{provider=\"mail\"} 3\npenstock_provider_window{provider=\"\"} 1\n"));
    figures_add(
        &f, NULL,
        STR("penstock_provider_window{provider=\"payments\"} 7.5\npenstock_provider_circuit_state{provider=\"payments\"} 2\n"
            "penstock_provider_window{provider=\"payments\npenstock_provider_window{provider=\"mail\"} x\nnonsense\n"));
    assert_int_equal(2, f.dependencies_n);
    assert_string_equal("payments", f.dependencies[0].name);
    assert_near(20, f.dependencies[0].window);
    assert_int_equal(2, f.dependencies[0].circuit);
    assert_near(3, f.dependencies[1].window);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_figures__given_buckets_then_quantiles_lie_within_them),
        cmocka_unit_test(test_figures__given_nothing_observed_then_no_quantile),
        cmocka_unit_test(test_figures__given_servers_of_two_processes_then_their_windows_add_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
