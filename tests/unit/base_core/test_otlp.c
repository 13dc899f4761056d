#include <base/json.h>
#include <base/metrics.h>
#include <base/otlp.h>

#include <math.h>
#include <stdio.h>

#include "unit.h"

enum { TEXT_MAX = 1 << 20 };

static const struct otlp_resource resource = {STR("worker"), STR("h\"ost:7"), STR("h\"ost"), 7};

static json_t *parsed(struct buf *b) {
    json_t *o = NULL;
    assert_ok(buf_status(b));
    struct err e = json_read(buf_str(b), &o);
    if (err_is_set(e)) {
        fail_msg("%s: %.*s", e.detail, STR_ARG(buf_str(b)));
    }
    buf_free(b);
    return o;
}

static json_t *at(const json_t *o, const char *name, size_t i) { return json_array_get(json_object_get(o, name), i); }

/* The value of an attribute as text; "" when there is none. */
static const char *attribute(const json_t *of, const char *name) {
    static char text[64];
    size_t i;
    json_t *a;
    json_array_foreach(json_object_get(of, "attributes"), i, a) {
        json_t *v = json_object_get(a, "value");
        if (strcmp(name, json_string_value(json_object_get(a, "key"))) == 0) {
            if (json_object_get(v, "doubleValue") != NULL) {
                (void)snprintf(text, sizeof text, "%g", json_number_value(json_object_get(v, "doubleValue")));
                return text;
            }
            if (json_object_get(v, "boolValue") != NULL) {
                return json_is_true(json_object_get(v, "boolValue")) ? "true" : "false";
            }
            const char *s = json_string_value(json_object_get(v, "stringValue"));
            return s != NULL ? s : json_string_value(json_object_get(v, "intValue"));
        }
    }
    return "";
}

static struct trace trace_of(const char *traceparent) {
    struct trace t;
    assert_true(trace_parse(str_c(traceparent), &t));
    return t;
}

static void add_spans(struct buf *b) {
    const struct trace links[] = {trace_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")};
    struct span s = {.trace = trace_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
                     .parent = {0x01, 2, 3, 4, 5, 6, 7, 0xff},
                     .kind = SPAN_CONSUMER,
                     .name = STR("process \"q\""),
                     .began = {clock_mono(&clock_system).us - 1500},
                     .error = "transient",
                     .message = STR("no\n"),
                     .links = links,
                     .links_n = 1,
                     SPAN_ATTRS(SA_C("a.text", "x"), SA_INT("a.number", INT64_MIN), SA_STR("a.none", STR_NONE))};
    struct span bare = {.trace = s.trace, .kind = SPAN_SERVER, .name = STR("bare"), .began = s.began, .ended = s.began};
    s.ended = (struct mono){s.began.us + 1500};
    otlp_begin(b, OTLP_TRACES, &resource);
    otlp_add_span(b, &s);
    buf_add_char(b, ',');
    otlp_add_span(b, &bare);
    buf_add(b, OTLP_END);
}

static void test_otlp__given_spans_then_they_are_written_by_the_protocol(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, TEXT_MAX);
    add_spans(&b);
    json_t *o = parsed(&b), *of = at(o, "resourceSpans", 0), *span = at(at(of, "scopeSpans", 0), "spans", 0);
    assert_string_equal("penstock", attribute(json_object_get(of, "resource"), "service.name"));
    assert_string_equal("h\"ost:7", attribute(json_object_get(of, "resource"), "service.instance.id"));
    assert_string_equal("worker", attribute(json_object_get(of, "resource"), "penstock.role"));
    assert_str("0af7651916cd43dd8448eb211c80319c", json_opt_str(span, "traceId", STR("")));
    assert_str("b7ad6b7169203331", json_opt_str(span, "spanId", STR("")));
    assert_str("01020304050607ff", json_opt_str(span, "parentSpanId", STR("")));
    assert_str("process \"q\"", json_opt_str(span, "name", STR("")));
    assert_int_equal(5, json_opt_i64(span, "kind", 0));
    int64_t began = 0, ended = 0;
    assert_true(str_to_i64(json_opt_str(span, "startTimeUnixNano", STR("")), &began));
    assert_true(str_to_i64(json_opt_str(span, "endTimeUnixNano", STR("")), &ended));
    assert_int_equal(1500000, ended - began);
    assert_in_range(began / 1000000, clock_wall(&clock_system).ms - 60000, clock_wall(&clock_system).ms);
    assert_string_equal("x", attribute(span, "a.text"));
    assert_string_equal("-9223372036854775808", attribute(span, "a.number"));
    assert_string_equal("transient", attribute(span, "error.type"));
    assert_int_equal(3, json_array_size(json_object_get(span, "attributes")));
    assert_str("00f067aa0ba902b7", json_opt_str(at(span, "links", 0), "spanId", STR("")));
    assert_int_equal(2, json_opt_i64(json_object_get(span, "status"), "code", 0));
    assert_str("no\n", json_opt_str(json_object_get(span, "status"), "message", STR("")));
    span = at(at(of, "scopeSpans", 0), "spans", 1);
    assert_null(json_object_get(span, "parentSpanId"));
    assert_null(json_object_get(span, "status"));
    assert_null(json_object_get(span, "links"));
    json_decref(o);
}

static void test_otlp__given_a_log_line_then_it_is_a_record_of_its_span(void **state) {
    (void)state;
    struct buf b;
    struct uuid id;
    struct trace trace = trace_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    assert_true(uuid_parse(STR("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"), &id));
    const struct log_field fields[] = {LF_C("s", "\x01"),  LF_INT("i", -1),     LF_REAL("r", 0.5), LF_REAL("nan", NAN),
                                       LF_BOOL("b", true), LF_UUID("job", &id), LF_TRACE(&trace)};
    const struct log_record r = {{1700000000123}, LOG_LEVEL_ERROR, "a.failed", fields, sizeof fields / sizeof fields[0], &trace};
    buf_init(&b, TEXT_MAX);
    otlp_begin(&b, OTLP_LOGS, &resource);
    otlp_add_log(&b, &r);
    buf_add(&b, OTLP_END);
    json_t *o = parsed(&b), *record = at(at(at(o, "resourceLogs", 0), "scopeLogs", 0), "logRecords", 0);
    assert_str("1700000000123000000", json_opt_str(record, "timeUnixNano", STR("")));
    assert_int_equal(17, json_opt_i64(record, "severityNumber", 0));
    assert_str("ERROR", json_opt_str(record, "severityText", STR("")));
    assert_str("a.failed", json_opt_str(record, "eventName", STR("")));
    assert_str("b7ad6b7169203331", json_opt_str(record, "spanId", STR("")));
    static const char *const want[][2] = {{"s", "\x01"},
                                          {"i", "-1"},
                                          {"r", "0.5"},
                                          {"b", "true"},
                                          {"messaging.message.id", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        assert_string_equal(want[i][1], attribute(record, want[i][0]));
    }
    json_decref(o);
}

static const json_t *metric(const json_t *o, const char *name) {
    size_t i;
    json_t *m;
    json_array_foreach(json_object_get(at(at(o, "resourceMetrics", 0), "scopeMetrics", 0), "metrics"), i, m) {
        if (strcmp(name, json_string_value(json_object_get(m, "name"))) == 0) {
            return m;
        }
    }
    fail_msg("no metric %s", name);
    return NULL;
}

static void add_metrics(struct buf *b) {
    otlp_begin(b, OTLP_METRICS, &resource);
    otlp_add_metrics(b, (struct mono){1}, clock_mono(&clock_system));
    buf_add(b, OTLP_END);
}

static void test_otlp__given_series_then_each_kind_has_its_points(void **state) {
    (void)state;
    struct buf b;
    metric_inc(M_CRASHES, "q", "exit \"1\"\\", NULL);
    series_set(metric_series(M_QUEUE_DEPTH, "q", "waiting", NULL), 2.5);
    series_set(metric_series(M_QUEUE_DRAIN_ETA, "q", NULL, NULL), INFINITY);
    struct series *s = metric_series(M_LOOP_LAG, NULL, NULL, NULL);
    series_observe(s, 0.0005);
    series_observe(s, 7);
    series_observe(s, 10000);
    struct trace trace = trace_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), other = trace;
    other.flags = 0; /* nobody has it */
    series_observe_traced(metric_series(M_JOB_DURATION, "q", "t", NULL), 0.5, &trace, (struct wall){1700000000123});
    series_observe_traced(metric_series(M_JOB_QUEUE_WAIT, "q", "t", NULL), 0.5, &other, (struct wall){1700000000123});
    buf_init(&b, TEXT_MAX);
    add_metrics(&b);
    json_t *o = parsed(&b);
    const json_t *sum = json_object_get(metric(o, "penstock.worker_crashes"), "sum"), *point = at(sum, "dataPoints", 0);
    assert_true(json_is_true(json_object_get(sum, "isMonotonic")));
    assert_int_equal(2, json_opt_i64(sum, "aggregationTemporality", 0));
    assert_string_equal("exit \"1\"\\", attribute(point, "signature"));
    assert_true(json_number_value(json_object_get(point, "asDouble")) == 1);
    point = at(json_object_get(metric(o, "penstock.queue_depth"), "gauge"), "dataPoints", 0);
    assert_string_equal("waiting", attribute(point, "state"));
    assert_true(json_number_value(json_object_get(point, "asDouble")) == 2.5);
    point = at(json_object_get(metric(o, "penstock.queue_drain_eta"), "gauge"), "dataPoints", 0);
    assert_str("Infinity", json_opt_str(point, "asDouble", STR("")));
    const json_t *lag = metric(o, "penstock.loop_lag");
    assert_str("s", json_opt_str(lag, "unit", STR("")));
    point = at(json_object_get(lag, "histogram"), "dataPoints", 0);
    assert_str("3", json_opt_str(point, "count", STR("")));
    const json_t *counts = json_object_get(point, "bucketCounts"), *bounds = json_object_get(point, "explicitBounds");
    assert_int_equal(json_array_size(bounds) + 1, json_array_size(counts));
    int64_t all = 0, n = 0;
    for (size_t i = 0; i < json_array_size(counts); i++) {
        assert_true(str_to_i64(str_c(json_string_value(json_array_get(counts, i))), &n));
        all += n;
    }
    assert_int_equal(3, all);
    assert_int_equal(1, n); /* above the last bound */
    point = at(json_object_get(metric(o, "penstock.job_duration"), "histogram"), "dataPoints", 0);
    assert_str("b7ad6b7169203331", json_opt_str(at(point, "exemplars", 0), "spanId", STR("")));
    assert_str("1700000000123000000", json_opt_str(at(point, "exemplars", 0), "timeUnixNano", STR("")));
    point = at(json_object_get(metric(o, "penstock.job_queue_wait"), "histogram"), "dataPoints", 0);
    assert_null(json_object_get(point, "exemplars"));
    json_decref(o);
}

static void test_otlp__given_an_answer_then_what_it_refused_is_known(void **state) {
    (void)state;
    static const struct {
        enum otlp_signal signal;
        const char *answer, *why;
        int64_t n;
    } cases[] = {
        {OTLP_TRACES, "{}", "", 0},
        {OTLP_TRACES, "", "", 0},
        {OTLP_TRACES, "\x0a\x00", "", 0}, /* protobuf after all */
        {OTLP_TRACES, "[1]", "", 0},
        {OTLP_TRACES, "{\"partialSuccess\":{}}", "", 0},
        {OTLP_TRACES, "{\"partialSuccess\":{\"rejectedSpans\":\"3\",\"errorMessage\":\"three are bad\"}}", "three a", 3},
        {OTLP_TRACES, "{\"partialSuccess\":{\"rejectedSpans\":4}}", "", 4},
        {OTLP_TRACES, "{\"partialSuccess\":{\"rejectedSpans\":\"-1\"}}", "", 0},
        {OTLP_TRACES, "{\"partialSuccess\":{\"rejectedLogRecords\":\"3\"}}", "", 0},
        {OTLP_LOGS, "{\"partialSuccess\":{\"rejectedLogRecords\":\"5\"}}", "", 5},
        {OTLP_METRICS, "{\"partialSuccess\":{\"rejectedDataPoints\":\"6\"}}", "", 6},
        {OTLP_TRACES, "{\"partialSuccess\":{\"errorMessage\":\"a word\"}}", "a word", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char why[8];
        assert_int_equal(cases[i].n, otlp_rejected(cases[i].signal, str_c(cases[i].answer), why, sizeof why));
        assert_string_equal(cases[i].why, why);
    }
}

static void scenario(void *arg) {
    struct buf b;
    (void)arg;
    buf_init(&b, TEXT_MAX);
    add_spans(&b);
    add_metrics(&b);
    if (!torture_is_failing()) {
        assert_ok(buf_status(&b));
    }
    buf_free(&b);
}

static void test_otlp__without_memory_then_the_buffer_says_so(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_otlp__given_spans_then_they_are_written_by_the_protocol),
        cmocka_unit_test(test_otlp__given_a_log_line_then_it_is_a_record_of_its_span),
        cmocka_unit_test(test_otlp__given_series_then_each_kind_has_its_points),
        cmocka_unit_test(test_otlp__given_an_answer_then_what_it_refused_is_known),
        cmocka_unit_test(test_otlp__without_memory_then_the_buffer_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
