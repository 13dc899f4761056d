#include <base/metrics.h>
#include <base/str.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

enum { TEXT_MAX = 1024 * 1024 };

/* The registry lives as long as the process: each test has families or labels of its own. The caller frees. */
static char *snapshot(void) {
    struct buf b;
    buf_init(&b, TEXT_MAX);
    metrics_snapshot(&b);
    buf_add_char(&b, '\0');
    assert_ok(buf_status(&b));
    return b.p;
}

static char *render(const struct metrics_part *parts, size_t n, bool openmetrics) {
    struct buf b;
    buf_init(&b, TEXT_MAX);
    metrics_render(&b, parts, n, openmetrics);
    buf_add_char(&b, '\0');
    assert_ok(buf_status(&b));
    return b.p;
}

static void assert_line(const char *line) {
    char *text = snapshot();
    const char *at = strstr(text, line);
    if (at == NULL || (at != text && at[-1] != '\n') || at[strlen(line)] != '\n') {
        fail_msg("no line %s in\n%s", line, text);
    }
    free(text);
}

static void test_metrics__given_counters_and_gauges_then_one_line_each(void **state) {
    (void)state;
    struct series *s = metric_series(M_ATTEMPTS, "orders", "order.place", "done");
    series_add(s, 1);
    series_add(s, 2);
    assert_ptr_equal(s, metric_series(M_ATTEMPTS, "orders", "order.place", "done"));
    assert_ptr_not_equal(s, metric_series(M_ATTEMPTS, "orders", "order.place", "retry"));
    assert_ptr_equal(s, metric_series(M_ATTEMPTS, "orders", "order.place", "done"));
    static const char a[] = "a-name-of-more-than-forty-eight-bytes-of-which-there-are-two-a";
    static const char b[] = "a-name-of-more-than-forty-eight-bytes-of-which-there-are-two-b";
    assert_ptr_not_equal(metric_series(M_JOBS_ENQUEUED, a, a, a), metric_series(M_JOBS_ENQUEUED, b, a, a));
    assert_ptr_not_equal(metric_series(M_JOBS_ENQUEUED, "a", "b", a), metric_series(M_JOBS_ENQUEUED, "a", "b", NULL));
    assert_line("penstock_attempts_total{queue=\"orders\",type=\"order.place\",outcome=\"done\"} 3");
    assert_line("penstock_attempts_total{queue=\"orders\",type=\"order.place\",outcome=\"retry\"} 0");
    metric_inc(M_LOG_DROPPED, NULL, NULL, NULL);
    assert_line("penstock_log_lines_dropped_total 1");
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0, "0"},
        {-3, "-3"},
        {0.1, "0.1"},
        {1e15, "1e+15"},
        {123456789012345, "123456789012345"},
        {1.0 / 3, "0.33333333333333331"},
        {NAN, "NaN"},
        {INFINITY, "+Inf"},
        {-INFINITY, "-Inf"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char line[80];
        series_set(metric_series(M_HTTP_CONNECTIONS, NULL, NULL, NULL), cases[i].value);
        (void)snprintf(line, sizeof line, "penstock_http_connections %s", cases[i].text);
        assert_line(line);
    }
}

static void test_metrics__given_observations_then_cumulative_buckets(void **state) {
    (void)state;
    struct series *s = metric_series(M_HTTP_DURATION, "GET /livez", "200", "probe");
    series_observe(s, 0.001); /* on the border: in */
    series_observe(s, 0.25);
    series_observe(s, 0.75);
    series_observe(s, 601);
    assert_line(
        "penstock_http_server_request_duration_seconds_bucket{route=\"GET /livez\",code=\"200\",class=\"probe\",le=\"0.001\"} 1\n"
        "penstock_http_server_request_duration_seconds_bucket{route=\"GET /livez\",code=\"200\",class=\"probe\",le=\"0.0025\"} 1");
    assert_line(
        "penstock_http_server_request_duration_seconds_bucket{route=\"GET /livez\",code=\"200\",class=\"probe\",le=\"0.25\"} 2\n"
        "penstock_http_server_request_duration_seconds_bucket{route=\"GET /livez\",code=\"200\",class=\"probe\",le=\"0.5\"} 2\n"
        "penstock_http_server_request_duration_seconds_bucket{route=\"GET /livez\",code=\"200\",class=\"probe\",le=\"1.0\"} 3");
    assert_line(
        "penstock_http_server_request_duration_seconds_bucket{route=\"GET /livez\",code=\"200\",class=\"probe\",le=\"600.0\"} 3\n"
        "penstock_http_server_request_duration_seconds_bucket{route=\"GET /livez\",code=\"200\",class=\"probe\",le=\"+Inf\"} 4\n"
        "penstock_http_server_request_duration_seconds_sum{route=\"GET /livez\",code=\"200\",class=\"probe\"} 602.001\n"
        "penstock_http_server_request_duration_seconds_count{route=\"GET /livez\",code=\"200\",class=\"probe\"} 4");
    series_observe(metric_series(M_LOOP_LAG, NULL, NULL, NULL), 2);
    assert_line("penstock_loop_lag_seconds_bucket{le=\"1.0\"} 0\npenstock_loop_lag_seconds_bucket{le=\"2.5\"} 1");
    assert_line("penstock_loop_lag_seconds_sum 2\npenstock_loop_lag_seconds_count 1");
}

static void observe(struct series *s, double v, const char *traceparent, int64_t at_ms) {
    struct trace t;
    assert_true(trace_parse(str_c(traceparent), &t));
    series_observe_traced(s, v, &t, (struct wall){at_ms});
}

#define TRACE(digit) "00-" digit "bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
#define EXEMPLAR(digit, rest) "#exemplar {trace_id=\"" digit "bf92f3577b34da6a3ce929d0e0e4736\"} " rest "\n"

/* The slowest of a minute, in front of the bucket that it is in. */
static void test_metrics__given_traces_then_the_slowest_of_a_minute_is_the_exemplar(void **state) {
    (void)state;
    struct series *s = metric_series(M_EVENT_DURATION, "c", "e", NULL);
    observe(s, 0.3, TRACE("1"), 1700000000005);
    assert_line(EXEMPLAR(
        "1", "0.3 1700000000.005") "penstock_event_delivery_duration_seconds_bucket{consumer=\"c\",event=\"e\",le=\"0.5\"} 1");
    observe(s, 0.2, TRACE("2"), 1700000060000); /* faster, and the other is not old */
    assert_line(EXEMPLAR(
        "1", "0.3 1700000000.005") "penstock_event_delivery_duration_seconds_bucket{consumer=\"c\",event=\"e\",le=\"0.5\"} 2");
    observe(s, 0.3, TRACE("3"), 1700000060005);
    assert_line(EXEMPLAR(
        "3", "0.3 1700000060.005") "penstock_event_delivery_duration_seconds_bucket{consumer=\"c\",event=\"e\",le=\"0.5\"} 3");
    observe(s, 0.001, TRACE("4"), 1700000120006); /* faster, but the other is old */
    assert_line(EXEMPLAR(
        "4",
        "0.001 1700000120.006") "penstock_event_delivery_duration_seconds_bucket{consumer=\"c\",event=\"e\",le=\"0.001\"} 1");
    observe(s, 1000, TRACE("5"), 1700000120007);
    assert_line(EXEMPLAR(
        "5", "1000 1700000120.007") "penstock_event_delivery_duration_seconds_bucket{consumer=\"c\",event=\"e\",le=\"+Inf\"} 5");
}

static void test_metrics__given_exemplars_then_only_openmetrics_shows_them(void **state) {
    (void)state;
    static const struct {
        const char *mark, *shown;
    } cases[] = {
        {EXEMPLAR("1", "0.3 1700000000.005"), " # {trace_id=\"1bf92f3577b34da6a3ce929d0e0e4736\"} 0.3 1700000000.005"},
        {EXEMPLAR("1", "0.3 1700000000.005") EXEMPLAR("2", "0.3 1700000000.005"),
         " # {trace_id=\"2bf92f3577b34da6a3ce929d0e0e4736\"} 0.3 1700000000.005"},
        {EXEMPLAR("1", "0.3"), ""},
        {EXEMPLAR("1", "0.3 1 2"), ""},
        {EXEMPLAR("1", "x 1"), ""},
        {EXEMPLAR("1", ""), ""},
        {EXEMPLAR("Z", "0.3 1"), ""},
        {"#exemplar {trace_id=\"1\"} 0.3 1\n", ""},
        {"#exemplar \n", ""},
        {"#exemplar {trace_id=\"1bf92f3577b34da6a3ce929d0e0e4736", ""},
        {EXEMPLAR("1", "0.3 1") "penstock_loop_lag_seconds_sum 1\n", ""}, /* another line's, where there is none */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char snapshot_text[400], want[200];
        (void)snprintf(snapshot_text, sizeof snapshot_text, "%s%spenstock_loop_lag_seconds_bucket{le=\"0.5\"} 1\n", cases[i].mark,
                       cases[i].mark[strlen(cases[i].mark) - 1] == '\n' ? "" : "\n");
        struct metrics_part part = {"p", str_c(snapshot_text)};
        (void)snprintf(want, sizeof want, "penstock_loop_lag_seconds_bucket{process=\"p\",le=\"0.5\"} 1%s\n", cases[i].shown);
        char *text = render(&part, 1, true);
        assert_non_null(strstr(text, want));
        free(text);
        text = render(&part, 1, false);
        assert_null(strstr(text, "trace_id"));
        assert_non_null(strstr(text, "_bucket{process=\"p\",le=\"0.5\"} 1\n"));
        free(text);
    }
}

static void test_metrics__given_labels_then_totals_over_them(void **state) {
    (void)state;
    metric_inc(M_EVENTS_DELIVERED, "total-a", "done", NULL);
    metric_inc(M_EVENTS_DELIVERED, "total-a", "failed", NULL);
    metric_inc(M_EVENTS_DELIVERED, "total-ab", "done", NULL);
    metric_inc(M_EVENTS_DELIVERED, "consumer=\"total-a\"", "done", NULL); /* its quotes are escaped: another value */
    const char *a = "consumer=\"total-a\"";
    assert_true(metric_total(M_EVENTS_DELIVERED, a, NULL, INFINITY) == 2);
    assert_true(metric_total(M_EVENTS_DELIVERED, a, "outcome=\"failed\"", INFINITY) == 1);
    assert_true(metric_total(M_EVENTS_DELIVERED, "consumer=\"total-c\"", NULL, INFINITY) == 0);
    struct series *s = metric_series(M_JOB_DURATION, "total", "t", NULL);
    static const double seen[] = {0.001, 0.2, 0.25, 0.26, 1000};
    for (size_t i = 0; i < sizeof seen / sizeof seen[0]; i++) {
        series_observe(s, seen[i]);
    }
    const char *queue = "queue=\"total\"";
    assert_true(metric_total(M_JOB_DURATION, queue, NULL, 0.25) == 3);
    assert_true(metric_total(M_JOB_DURATION, queue, NULL, 0.001) == 1);
    assert_true(metric_total(M_JOB_DURATION, queue, NULL, 600) == 4);
    assert_true(metric_total(M_JOB_DURATION, queue, NULL, INFINITY) == 5);
    assert_true(isnan(metric_total(M_JOB_DURATION, queue, NULL, 0.3))); /* no bucket ends there */
    assert_true(isnan(metric_total(M_JOB_DURATION, queue, NULL, 601)));
}

static void test_metrics__given_hostile_label_values_then_they_are_escaped_and_cut(void **state) {
    (void)state;
    char value[200];
    memset(value, '"', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    metric_inc(M_PROVIDER_CALLS, "a\"b\\c\nd\xc3\xa9\x7f", "} 1", NULL);
    assert_line("penstock_provider_calls_total{op=\"a\\\"b\\\\c_d___\",outcome=\"} 1\"} 1");
    metric_inc(M_PROVIDER_CALLS, value, value, value); /* the longest that there can be */
    char *text = snapshot();
    size_t longest = 0;
    for (const char *p = strstr(text, "penstock_provider_calls_total{op=\"\\"); p != NULL && *p != '\n'; p++) {
        longest++;
    }
    assert_int_equal(strlen("penstock_provider_calls_total{op=\"\",outcome=\"\"} 1") + 4 * 100, longest);
    free(text);
}

static void test_metrics__given_too_many_series_then_the_rest_is_other(void **state) {
    (void)state;
    struct series *first = metric_series(M_QUEUE_SHED, "q0", "r", NULL);
    for (int i = 0; i < METRIC_SERIES_MAX + 100; i++) {
        char queue[20];
        (void)snprintf(queue, sizeof queue, "q%d", i);
        metric_inc(M_QUEUE_SHED, queue, "r", NULL);
    }
    assert_line("penstock_queue_shed_total{queue=\"q511\",reason=\"r\"} 1");
    assert_line("penstock_queue_shed_total{queue=\"other\",reason=\"other\"} 100");
    assert_ptr_equal(first, metric_series(M_QUEUE_SHED, "q0", "r", NULL)); /* pointers stay */
}

/* A family of its own in each run, so that its hash table has to be made too. */
static void use_new_series(void *arg) {
    static const enum metric families[] = {M_JOBS_FINISHED, M_JOB_DURATION, M_JOB_QUEUE_WAIT, M_QUEUE_DEPTH, M_QUEUE_OLDEST_AGE,
                                           M_QUEUE_PAUSED,  M_DLQ_JOBS,     M_ORPHANS,        M_RELAYED,     M_STALE_REFUSED};
    unsigned *run = arg;
    enum metric family = families[*run % (sizeof families / sizeof families[0])];
    char queue[20];
    (void)snprintf(queue, sizeof queue, "torture%u", ++*run);
    struct series *s = metric_series(family, queue, "x", "x");
    assert_non_null(s);
    series_observe(s, 1);
    struct buf b;
    buf_init(&b, TEXT_MAX);
    struct metrics_part part = {"p", STR("penstock_workers{queue=\"q\",state=\"busy\"} 1\n")};
    metrics_snapshot(&b);
    metrics_render(&b, &part, 1, true);
    if (!torture_is_failing()) {
        assert_ok(buf_status(&b));
    } else if (err_is_set(buf_status(&b))) {
        assert_err(ERR_NOMEM, buf_status(&b));
    }
    buf_free(&b);
}

static void test_metrics__given_no_memory_then_a_series_all_the_same(void **state) {
    (void)state;
    unsigned run = 0;
    torture(use_new_series, &run);
    assert_line("penstock_jobs_finished_total{queue=\"torture1\",type=\"x\",outcome=\"x\"} 1");
    assert_line(
        "penstock_job_duration_seconds_count{queue=\"other\",type=\"other\"} 1"); /* the second run: no memory for torture2 */
}

static void test_metrics__given_parts_then_families_are_together_and_say_their_process(void **state) {
    (void)state;
    const struct metrics_part parts[] = {
        {"api:1", STR("penstock_http_connections 5\n"
                      "penstock_jobs_enqueued_total{queue=\"q\",type=\"t\",source=\"api\"} 3\n")},
        {"w\"1\n", STR("penstock_from_the_future_total{a=\"b\"} 1\n"
                       "penstock_loop_lag_seconds_bucket{le=\"+Inf\"} 1\n"
                       "penstock_loop_lag_seconds_sum 0.5\n"
                       "penstock_loop_lag_seconds_count 1\n"
                       "penstock_http_connections{} 5\n" /* not our form */
                       "penstock_http_connections 6\n")},
    };
    char *text = render(parts, 2, false);
    assert_string_equal("# HELP penstock_http_connections Open client connections\n"
                        "# TYPE penstock_http_connections gauge\n"
                        "penstock_http_connections{process=\"api:1\"} 5\n"
                        "penstock_http_connections{process=\"w\\\"1_\"} 6\n"
                        "# HELP penstock_loop_lag_seconds How late a 100 ms timer of the event loop fires\n"
                        "# TYPE penstock_loop_lag_seconds histogram\n"
                        "penstock_loop_lag_seconds_bucket{process=\"w\\\"1_\",le=\"+Inf\"} 1\n"
                        "penstock_loop_lag_seconds_sum{process=\"w\\\"1_\"} 0.5\n"
                        "penstock_loop_lag_seconds_count{process=\"w\\\"1_\"} 1\n"
                        "# HELP penstock_jobs_enqueued_total Jobs accepted; source: api, outbox, event, cron, replay\n"
                        "# TYPE penstock_jobs_enqueued_total counter\n"
                        "penstock_jobs_enqueued_total{process=\"api:1\",queue=\"q\",type=\"t\",source=\"api\"} 3\n",
                        text);
    free(text);
    text = render(parts, 1, true);
    assert_string_equal("# HELP penstock_http_connections Open client connections\n"
                        "# TYPE penstock_http_connections gauge\n"
                        "penstock_http_connections{process=\"api:1\"} 5\n"
                        "# HELP penstock_jobs_enqueued Jobs accepted; source: api, outbox, event, cron, replay\n"
                        "# TYPE penstock_jobs_enqueued counter\n"
                        "penstock_jobs_enqueued_total{process=\"api:1\",queue=\"q\",type=\"t\",source=\"api\"} 3\n"
                        "# EOF\n",
                        text);
    free(text);
    text = render(NULL, 0, true);
    assert_string_equal("# EOF\n", text);
    free(text);
}

static const char *const malformed[] = {
    "",
    " ",
    "penstock_workers",
    "penstock_workers ",
    "penstock_workers  1",
    "penstock_workers 1 ",
    "penstock_workers 1 2",
    "penstock_workers x",
    "penstock_workers 0x1p3",
    "penstock_workers 1e999",
    "penstock_workers nan",
    "penstock_workers --1",
    "penstock_workers infinity",
    "penstock_workers 1e",
    "penstock_workers 1\r",
    "penstock_workers\t1",
    "penstock_workers_sum 1",
    "penstock_worker 1",
    "workers 1",
    "penstock_loop_lag_seconds 1",
    "penstock_loop_lag_seconds_bucke 1",
    "# EOF",
    "# TYPE penstock_workers counter",
    "penstock_workers{",
    "penstock_workers{}",
    "penstock_workers{} 1",
    "penstock_workers{a} 1",
    "penstock_workers{a=} 1",
    "penstock_workers{a=\"} 1",
    "penstock_workers{a=\"b} 1",
    "penstock_workers{a=\"b\" 1",
    "penstock_workers{a=\"b\",} 1",
    "penstock_workers{,a=\"b\"} 1",
    "penstock_workers{a=\"b\"c=\"d\"} 1",
    "penstock_workers{a=\"b\"}1",
    "penstock_workers{a=\"b\"}",
    "penstock_workers{=\"b\"} 1",
    "penstock_workers{a=\"\\x\"} 1",
    "penstock_workers{a=\"\\\"} 1",
    "penstock_workers{a=\"\\",
    "penstock_workers{a=\"\xff\"} 1",
    "penstock_workers{a=\"\x01\"} 1",
    "penstock_workers{process=\"forged\"} 1",
    "penstock_workers{a=\"b\",process=\"forged\"} 1",
    "penstock_workers{1a=\"b\"} 1",
    "penstock_workers 11111111111111111111111111111111111111111111111111111111111111111111111111",
};

static void test_metrics__given_malformed_lines_then_they_are_left_out(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        char snapshot_text[200];
        (void)snprintf(snapshot_text, sizeof snapshot_text, "%s\n", malformed[i]);
        struct metrics_part part = {"p", str_c(snapshot_text)};
        char *text = render(&part, 1, false);
        if (text[0] != '\0') {
            fail_msg("%s gave %s", malformed[i], text);
        }
        free(text);
    }
    struct metrics_part nul = {"p", str_of("penstock_workers 1\0\n", 20)};
    char *text = render(&nul, 1, false);
    assert_string_equal("", text);
    free(text);
    struct metrics_part torn = {"p", STR("penstock_http_connections 1\npenstock_http_connections 12")}; /* of 123? */
    text = render(&torn, 1, false);
    assert_null(strstr(text, "12"));
    assert_non_null(strstr(text, "penstock_http_connections{process=\"p\"} 1\n"));
    free(text);
    struct metrics_part good = {"p", STR("penstock_workers{a=\"\\\\\\\"\\n} 1\",b=\"\"} -1.5e-3\n")};
    text = render(&good, 1, false);
    assert_non_null(strstr(text, "\npenstock_workers{process=\"p\",a=\"\\\\\\\"\\n} 1\",b=\"\"} -1.5e-3\n"));
    free(text);
}

static void test_metrics__given_any_cut_or_changed_byte_then_no_line_is_forged(void **state) {
    (void)state;
    static const char whole[] = "penstock_workers{queue=\"q\",state=\"busy\"} 1\n" EXEMPLAR(
        "1", "0.3 1.5") "penstock_loop_lag_seconds_bucket{le=\"0.5\"} 1\n";
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        for (int c = 0; c < 256; c++) {
            char text[sizeof whole];
            memcpy(text, whole, sizeof whole);
            text[n] = (char)c;
            /* Of its exact length on the heap, so that the address sanitizer sees a read past the end. */
            char *copy = malloc(n + 1);
            assert_non_null(copy);
            memcpy(copy, text, n + 1);
            const struct metrics_part parts[] = {{"p", str_of(text, sizeof text - 1)}, {"p", str_of(copy, n + 1)}};
            char *out = render(parts, 2, true);
            for (const char *line = out; *line != '\0'; line = strchr(line, '\n') + 1) {
                assert_true(line[0] == '#' || strncmp(strchr(line, '{'), "{process=\"p\"", 12) == 0);
            }
            free(out);
            free(copy);
        }
    }
}

static void test_metrics__given_a_small_buffer_then_it_says_so(void **state) {
    (void)state;
    struct metrics_part part = {"p", STR("penstock_http_connections 1\n")};
    struct buf b;
    buf_init(&b, 60);
    metrics_render(&b, &part, 1, false);
    assert_err(ERR_TOO_LARGE, buf_status(&b));
    buf_free(&b);
    buf_init(&b, 10);
    metrics_render(&b, &part, 1, false);
    assert_err(ERR_TOO_LARGE, buf_status(&b));
    buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics__given_counters_and_gauges_then_one_line_each),
        cmocka_unit_test(test_metrics__given_observations_then_cumulative_buckets),
        cmocka_unit_test(test_metrics__given_traces_then_the_slowest_of_a_minute_is_the_exemplar),
        cmocka_unit_test(test_metrics__given_exemplars_then_only_openmetrics_shows_them),
        cmocka_unit_test(test_metrics__given_labels_then_totals_over_them),
        cmocka_unit_test(test_metrics__given_hostile_label_values_then_they_are_escaped_and_cut),
        cmocka_unit_test(test_metrics__given_too_many_series_then_the_rest_is_other),
        cmocka_unit_test(test_metrics__given_no_memory_then_a_series_all_the_same),
        cmocka_unit_test(test_metrics__given_parts_then_families_are_together_and_say_their_process),
        cmocka_unit_test(test_metrics__given_malformed_lines_then_they_are_left_out),
        cmocka_unit_test(test_metrics__given_any_cut_or_changed_byte_then_no_line_is_forged),
        cmocka_unit_test(test_metrics__given_a_small_buffer_then_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
