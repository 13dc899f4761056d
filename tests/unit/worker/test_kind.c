/* Job types as a process meets them: found by name, and their series are those that everybody would get by the labels. */
#include <base/buf.h>
#include <base/metrics.h>
#include <stdlib.h>
#include <string.h>

#include "../../../worker/src/kind.h"
#include "unit.h"

static const struct job_type types_a[] = {{.name = "a.one", .queue = "q", .schema = "{\"required\":[\"n\"]}"},
                                          {.name = "a.two", .queue = "other"}},
                             types_b[] = {{.name = "b.one", .queue = "other"}};
static const struct module a = {.name = "a", .types = types_a, .types_n = 2}, b = {.name = "b", .types = types_b, .types_n = 1};
static const struct module *const modules[] = {&a, &b};
static const struct registry registry = {.modules = modules, .modules_n = 2};

static void runtime_fill(struct runtime *rt) {
    *rt = (struct runtime){.registry = &registry};
    rt->modules[0].module = &a;
    rt->modules[1].module = &b;
}

static void assert_shown(const char *series) {
    struct buf text;
    buf_init(&text, 1 << 20);
    metrics_snapshot(&text);
    buf_add_char(&text, '\0');
    assert_ok(buf_status(&text));
    if (strstr(text.p, series) == NULL) {
        fail_msg("no %s in %s", series, text.p);
    }
    buf_free(&text);
}

static void test_kind__given_a_name_then_its_type_and_module(void **state) {
    (void)state;
    struct runtime rt;
    struct kinds *kinds;
    runtime_fill(&rt);
    assert_ok(kinds_new(&rt, "q", &kinds));
    assert_ptr_equal(&types_a[1], kinds_find(kinds, STR("a.two"))->type);
    assert_ptr_equal(&rt.modules[0], kinds_find(kinds, STR("a.two"))->env);
    assert_ptr_equal(&types_b[0], kinds_find(kinds, STR("b.one"))->type);
    assert_ptr_equal(&rt.modules[1], kinds_find(kinds, STR("b.one"))->env);
    const struct str unknown[] = {STR(""), STR("a"), STR("a.on"), STR("a.one2"), STR("unknown"), STR_NONE};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        assert_null(kinds_find(kinds, unknown[i])->type);
        assert_str("unknown", kinds_find(kinds, unknown[i])->name);
    }
    kinds_free(kinds);
}

static void test_kind__given_a_queue_then_the_server_that_all_its_types_share(void **state) {
    (void)state;
    static const struct job_type types[] = {
        {.name = "t.1", .queue = "shared", .dependency = "x"},
        {.name = "t.2", .queue = "shared", .dependency = "x"},
        {.name = "t.3", .queue = "two", .dependency = "x"},
        {.name = "t.4", .queue = "two", .dependency = "y"},
        {.name = "t.5", .queue = "some", .dependency = "x"},
        {.name = "t.6", .queue = "some"},
        {.name = "t.7", .queue = "none"},
    };
    static const struct module m = {.name = "m", .types = types, .types_n = sizeof types / sizeof types[0]};
    static const struct module *const one[] = {&m};
    static const struct registry r = {.modules = one, .modules_n = 1};
    static const char *const queues[] = {"shared", "two", "some", "none", "empty"};
    struct runtime rt = {.registry = &r};
    assert_ok(dependencies_new(&rt.dependencies));
    for (size_t i = 0; i < sizeof queues / sizeof queues[0]; i++) {
        struct kinds *kinds;
        assert_ok(kinds_new(&rt, queues[i], &kinds));
        const struct dependency *d = kinds_dependency(kinds);
        assert_true((d != NULL) == (i == 0));
        assert_true(d == NULL || d == dependencies_find(rt.dependencies, STR(""), STR("x")));
        assert_ptr_equal(kinds_find(kinds, STR("t.1"))->dependency, kinds_find(kinds, STR("t.5"))->dependency);
        assert_null(kinds_find(kinds, STR("t.6"))->dependency);
        kinds_free(kinds);
    }
    dependencies_free(rt.dependencies);
}

static void check_payloads(void *arg) {
    (void)arg;
    struct runtime rt;
    struct kinds *kinds;
    runtime_fill(&rt);
    struct err e = kinds_new(&rt, "q", &kinds);
    if (err_is_set(e)) {
        assert_err(ERR_NOMEM, e);
        return;
    }
    static const struct {
        const char *payload;
        enum err_code code;
    } rows[] = {{"{\"n\":1}", ERR_NONE}, {"{}", ERR_INVALID}, {"{", ERR_INVALID}, {"{\"n\":null}", ERR_NONE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        e = kind_check(kinds_find(kinds, STR("a.one")), str_c(rows[i].payload));
        assert_true(e.code == rows[i].code || (torture_is_failing() && e.code == ERR_NOMEM));
    }
    kinds_free(kinds);
}

static void test_kind__given_a_payload_that_nobody_has_checked_then_it_is(void **state) {
    (void)state;
    check_payloads(NULL);
    torture(check_payloads, NULL);
}

static void test_kind__what_is_counted_is_shown_under_queue_and_type(void **state) {
    (void)state;
    struct runtime rt;
    struct kinds *kinds;
    runtime_fill(&rt);
    assert_ok(kinds_new(&rt, "q", &kinds));
    struct kind *one = kinds_find(kinds, STR("a.one"));
    struct trace trace = trace_new();
    char exemplar[128], id[TRACE_ID_HEX_BYTES];
    kinds_show_zeros(kinds);
    assert_shown("penstock_jobs_finished_total{queue=\"q\",type=\"a.one\",outcome=\"dead\"} 0\n");
    for (int i = 0; i < 2; i++) {
        kind_attempt(one, LABEL_RETRY);
        kind_finished(one, OUTCOME_EXPIRED);
        kind_waited(one, 1500, &trace, (struct wall){2000});
        kind_ran(one, 250000, &trace, (struct wall){2000});
    }
    kind_attempt(one, attempt_label_of(OUTCOME_DEAD));
    kind_attempt(kinds_find(kinds, STR("?")), LABEL_LOST);
    metric_inc(M_ATTEMPTS, "q", "a.one", "retry");
    assert_shown("penstock_attempts_total{queue=\"q\",type=\"a.one\",outcome=\"retry\"} 3\n");
    assert_shown("penstock_attempts_total{queue=\"q\",type=\"a.one\",outcome=\"dead\"} 1\n");
    assert_shown("penstock_attempts_total{queue=\"q\",type=\"unknown\",outcome=\"lost\"} 1\n");
    assert_shown("penstock_jobs_finished_total{queue=\"q\",type=\"a.one\",outcome=\"expired\"} 2\n");
    assert_shown("penstock_job_queue_wait_seconds_sum{queue=\"q\",type=\"a.one\"} 3\n");
    assert_shown("penstock_job_duration_seconds_sum{queue=\"q\",type=\"a.one\"} 0.5\n");
    trace_id_text(&trace, id);
    (void)snprintf(exemplar, sizeof exemplar, "{trace_id=\"%s\"} 1.5 2.000\n", id);
    assert_shown(exemplar);
    (void)snprintf(exemplar, sizeof exemplar, "{trace_id=\"%s\"} 0.25 2.000\n", id);
    assert_shown(exemplar);
    kinds_free(kinds);
}

static void make_kinds(void *arg) {
    struct kinds *kinds = NULL;
    struct err e = kinds_new(arg, "q", &kinds);
    assert_int_equal(err_is_set(e), kinds == NULL);
    kinds_free(kinds);
}

static void test_kind__given_no_memory_then_an_error(void **state) {
    (void)state;
    struct runtime rt;
    runtime_fill(&rt);
    torture(make_kinds, &rt);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kind__given_a_name_then_its_type_and_module),
        cmocka_unit_test(test_kind__given_a_queue_then_the_server_that_all_its_types_share),
        cmocka_unit_test(test_kind__given_a_payload_that_nobody_has_checked_then_it_is),
        cmocka_unit_test(test_kind__what_is_counted_is_shown_under_queue_and_type),
        cmocka_unit_test(test_kind__given_no_memory_then_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
