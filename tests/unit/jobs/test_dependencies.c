#include <base/metrics.h>
#include <jobs/dependencies.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

enum { KNOWN_MAX = 256, MOST = 8 };

static struct dependencies *made(void) {
    struct dependencies *t = NULL;
    assert_ok(dependencies_new(&t));
    return t;
}

static struct dependency *host(struct dependencies *t, int i) {
    char name[32];
    (void)snprintf(name, sizeof name, "https://host-%d", i);
    return dependencies_find(t, STR("acme"), str_c(name));
}

static void test_origin__of_a_url(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"https://a.example/x?y#z", "https://a.example"},
        {"https://a.example:8443", "https://a.example:8443"},
        {"http://a.example?x=/", "http://a.example"},
        {"http://[::1]:9/x", "http://[::1]:9"},
        {"mail", "mail"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_str(rows[i][1], dependency_origin(str_c(rows[i][0])));
    }
}

static void test_find__the_same_name_then_the_same_one(void **state) {
    (void)state;
    struct dependencies *t = made();
    struct dependency *a = dependencies_find(t, STR("acme"), STR("https://A.example"));
    assert_non_null(a);
    assert_string_equal("https://a.example", a->name);
    assert_ptr_equal(a, dependencies_find(t, STR("acme"), STR("https://a.EXAMPLE")));
    assert_ptr_not_equal(a, dependencies_find(t, STR("acme"), STR("https://b.example")));
    assert_null(dependencies_find(NULL, STR("acme"), STR("x")));
    dependencies_free(t);
    dependencies_free(NULL);
}

static void break_it(struct dependency *d, int64_t now_us) {
    for (int i = 0; i < 10; i++) {
        struct dependency_call c = {0};
        dependency_call_begin(d, &c, true, now_us);
        dependency_call_why(&c, "it \"broke\"");
        dependency_call_end(&c, CALL_FAILED, now_us, 0);
    }
}

/* One tenant's broken endpoint, or its flood of jobs for it, must not cut off another's at the same host. */
static void test_find__the_same_host_of_two_tenants_then_each_has_its_own(void **state) {
    (void)state;
    struct dependencies *t = made();
    struct dependency *a = dependencies_find(t, STR("acme"), STR("https://hooks.example"));
    struct dependency *b = dependencies_find(t, STR("Acme"), STR("https://hooks.example"));
    const struct dependency *shared = dependencies_find(t, STR(""), STR("https://hooks.example"));
    assert_true(a != b && a != shared && b != shared);
    break_it(a, 1);
    assert_int_equal(CIRCUIT_OPEN, a->circuit);
    assert_int_equal(CIRCUIT_CLOSED, b->circuit);
    dependencies_free(t);
}

static void test_find__too_many_then_the_one_is_forgotten_that_nobody_used_for_longest(void **state) {
    (void)state;
    struct dependencies *t = made();
    struct dependency_place place = {0};
    int64_t wait_ms;
    const struct dependency *named = dependencies_find(t, STR(""), STR("mail"));
    assert_true(dependency_enter(host(t, 0), &place, 0, &wait_ms));
    const struct dependency *oldest = host(t, 1);
    for (int i = 2; i < KNOWN_MAX - 1; i++) {
        assert_non_null(host(t, i));
    }
    assert_ptr_equal(oldest, host(t, KNOWN_MAX)); /* its place */
    assert_string_equal("https://host-256", oldest->name);
    assert_ptr_equal(named, dependencies_find(t, STR(""), STR("mail")));
    assert_ptr_equal(place.dependency, host(t, 0));
    dependencies_free(t);
}

static void test_find__all_in_use_then_not_watched(void **state) {
    (void)state;
    struct dependencies *t = made();
    static struct dependency_place places[KNOWN_MAX];
    int64_t wait_ms;
    for (int i = 0; i < KNOWN_MAX; i++) {
        assert_true(dependency_enter(host(t, i), &places[i], 0, &wait_ms));
    }
    assert_null(host(t, KNOWN_MAX));
    dependency_leave(&places[7]);
    assert_non_null(host(t, KNOWN_MAX));
    dependencies_free(t);
}

static bool shows(const char *line) {
    struct buf b;
    buf_init(&b, 1 << 20);
    metrics_snapshot(&b);
    buf_add_char(&b, '\0');
    bool found = strstr(b.p, line) != NULL;
    if (!found) {
        print_message("no %s in\n%s\n", line, b.p);
    }
    buf_free(&b);
    return found;
}

static void test_beat__then_bounds_series_and_names(void **state) {
    (void)state;
    struct dependencies *t = made();
    struct dependency_place place = {0};
    struct buf names;
    int64_t wait_ms;
    struct dependency *mail = dependencies_find(t, STR(""), STR("mail"));
    (void)dependencies_find(t, STR(""), STR("payments"));
    buf_init(&names, 100);
    dependencies_list_open(t, &names);
    dependencies_list_why(t, &names);
    assert_int_equal(0, names.n);
    break_it(mail, 1);
    break_it(host(t, 1), 1);
    (void)host(t, 2);
    assert_false(dependency_enter(mail, &place, 1, &wait_ms));
    assert_true(dependency_retry(mail, 1, &wait_ms));
    for (int twice = 0; twice < 2; twice++) { /* counters are told once */
        dependencies_beat(t, MOST, 1);
    }
    assert_true(shows("provider_circuit_state{provider=\"mail\"} 2\n"));
    assert_true(shows("provider_circuit_state{provider=\"payments\"} 0\n"));
    assert_true(shows("provider_circuit_state{provider=\"webhooks\"} 2\n"));
    assert_true(shows("provider_window{provider=\"payments\"} 4\n"));
    assert_true(shows("provider_window{provider=\"webhooks\"} 1\n"));
    assert_true(shows("provider_refused_total{provider=\"mail\",reason=\"circuit\"} 1\n"));
    assert_true(shows("provider_refused_total{provider=\"mail\",reason=\"budget\"} 0\n"));
    assert_true(shows("provider_retries_total{provider=\"mail\"} 1\n"));
    dependencies_list_open(t, &names);
    assert_str("mail,webhooks", buf_str(&names));
    buf_clear(&names);
    dependencies_list_why(t, &names);
    assert_str("{\"mail\":\"it \\\"broke\\\"\"}", buf_str(&names)); /* of tenants' hosts it is their own business */
    buf_free(&names);
    dependencies_free(t);
}

static void scenario(void *arg) {
    (void)arg;
    struct dependencies *t = NULL;
    if (!err_is_set(dependencies_new(&t))) {
        (void)dependencies_find(t, STR(""), STR("mail"));
        (void)host(t, 1);
        dependencies_beat(t, MOST, 1);
    }
    dependencies_free(t);
}

static void test_memory__out_of_it_anywhere_then_not_watched(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_origin__of_a_url),
        cmocka_unit_test(test_find__the_same_name_then_the_same_one),
        cmocka_unit_test(test_find__the_same_host_of_two_tenants_then_each_has_its_own),
        cmocka_unit_test(test_find__too_many_then_the_one_is_forgotten_that_nobody_used_for_longest),
        cmocka_unit_test(test_find__all_in_use_then_not_watched),
        cmocka_unit_test(test_beat__then_bounds_series_and_names),
        cmocka_unit_test(test_memory__out_of_it_anywhere_then_not_watched),
    };
    return cmocka_run_group_tests_name("dependencies", tests, NULL, NULL);
}
