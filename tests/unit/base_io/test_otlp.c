#include <io/otlp.h>

#include <base/json.h>
#include <base/metrics.h>
#include <stdio.h>
#include <zlib.h>

#include "hook_sink.h"
#include "wait.h"

enum { WAIT_MS = 20000, PILE = 4096, TEXT_MAX = 1 << 20, BOUND_MS = 5000 };

static struct {
    struct loop *loop;
    struct otlp *otlp;
} f;

static void open_with(const char *endpoint, const char *headers) {
    const struct otlp_options o = {.endpoint = endpoint,
                                   .headers = headers,
                                   .sample_per_million = 1000000,
                                   .resource = {STR("unit"), STR("h:1"), STR("h"), 1}};
    assert_ok(otlp_new(f.loop, &o, &f.otlp));
    log_also(NULL, NULL); /* what is said of the collector would be one more request */
}

static void set_up(const char *headers) {
    char endpoint[64];
    assert_ok(loop_new(&f.loop));
    memset(&sink, 0, sizeof sink);
    sink_start(f.loop);
    sink.answer = ANSWER("200", "");
    (void)snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d//", sink.port);
    open_with(endpoint, headers);
}

static void tear_down(void) {
    otlp_close(f.otlp);
    f.otlp = NULL;
    sink_stop();
    wait_ms(f.loop, 0);
    loop_free(f.loop);
}

static void emit(const char *name) {
    struct span s = {.trace = trace_new(), .kind = SPAN_INTERNAL, .name = str_c(name), .began = {1}, .ended = {2}};
    span_emit(&s);
}

static double count(const char *metric, const char *labels) {
    struct buf b;
    char wanted[128];
    buf_init(&b, TEXT_MAX);
    metrics_snapshot(&b);
    buf_add_char(&b, '\0');
    assert_ok(buf_status(&b));
    (void)snprintf(wanted, sizeof wanted, "penstock_%s{%s} ", metric, labels);
    const char *at = strstr(b.p, wanted);
    double v = at != NULL ? strtod(at + strlen(wanted), NULL) : 0;
    buf_free(&b);
    return v;
}

static double dropped(const char *reason) {
    char labels[64];
    (void)snprintf(labels, sizeof labels, "signal=\"traces\",reason=\"%s\"", reason);
    return count("telemetry_dropped_total", labels);
}

static double sent(void) { return count("telemetry_sent_total", "signal=\"traces\""); }

/* The body of the last request, unpacked and read; the caller frees. */
static json_t *body(void) {
    static char text[TEXT_MAX];
    const char *head = strstr(sink.text, "\r\n\r\n");
    size_t n = strtoul(sink_header("content-length"), NULL, 10);
    json_t *o = NULL;
    z_stream z = {
        .next_in = (Bytef *)(uintptr_t)(head + 4), .avail_in = (uInt)n, .next_out = (Bytef *)text, .avail_out = sizeof text};
    assert_int_equal(Z_OK, inflateInit2(&z, 15 + 16));
    assert_int_equal(Z_STREAM_END, inflate(&z, Z_FINISH));
    assert_int_equal(0, z.avail_in);
    assert_ok(json_read(str_of(text, z.total_out), &o));
    assert_int_equal(Z_OK, inflateEnd(&z));
    return o;
}

static size_t spans_in(const json_t *o) {
    const json_t *resource = json_array_get(json_object_get(o, "resourceSpans"), 0);
    return json_array_size(json_object_get(json_array_get(json_object_get(resource, "scopeSpans"), 0), "spans"));
}

static bool is_asked(void *arg) { return sink.requests >= *(int *)arg && !sink.open; }

static void await_requests(int n) { assert_true(wait_until(f.loop, WAIT_MS, is_asked, &n)); }

static bool is_sent(void *arg) { return sent() >= *(double *)arg; }

static void await_sent(double n) { assert_true(wait_until(f.loop, WAIT_MS, is_sent, &n)); }

static void test_otlp__given_spans_then_they_leave_packed_with_the_headers_that_were_wanted(void **state) {
    (void)state;
    set_up("Authorization=Bearer%20a%2Cb, x-more = 1");
    double before = sent();
    emit("one");
    emit("two");
    await_sent(before + 2);
    assert_true(strncmp(sink.text, "POST /v1/traces HTTP/1.1\r\n", 26) == 0);
    assert_string_equal("application/json", sink_header("content-type"));
    assert_string_equal("gzip", sink_header("content-encoding"));
    assert_string_equal("Bearer a,b", sink_header("authorization"));
    assert_string_equal("1", sink_header("x-more"));
    json_t *o = body();
    assert_int_equal(2, spans_in(o));
    json_decref(o);
    tear_down();
}

static void test_otlp__given_more_than_the_pile_holds_then_the_rest_is_dropped_and_counted(void **state) {
    (void)state;
    set_up("");
    double before = dropped("full"), were = sent();
    for (int i = 0; i < PILE + 10; i++) {
        emit("one");
    }
    assert_true(dropped("full") - before == 10);
    await_sent(were + PILE);
    emit("after");
    await_sent(were + PILE + 1);
    tear_down();
}

static void test_otlp__given_an_answer_that_says_later_then_the_same_comes_again_then(void **state) {
    (void)state;
    static const char *const later[] = {ANSWER("429", "Retry-After: 1\r\n"), ANSWER("502", "Retry-After: 1\r\n"),
                                        ANSWER("503", "Retry-After: 1\r\n"), ANSWER("504", "Retry-After: 1\r\n"), NULL};
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        static char first[HOOK_SINK_BYTES];
        set_up("");
        double before = sent();
        sink.answer = later[i];
        emit("one");
        await_requests(1);
        size_t n = sink.n;
        struct mono at = loop_now(f.loop);
        memcpy(first, sink.text, n);
        sink.answer = ANSWER("200", "");
        await_sent(before + 1);
        assert_int_equal(2, sink.requests);
        assert_int_equal(n, sink.n);
        assert_memory_equal(first, sink.text, n);
        assert_true(mono_ms_since(loop_now(f.loop), at) >= (later[i] != NULL ? 900 : 400));
        tear_down();
    }
}

static void test_otlp__given_an_answer_that_says_no_then_it_is_dropped(void **state) {
    (void)state;
    static const char *const no[] = {ANSWER("400", ""), ANSWER("401", ""), ANSWER("404", ""), ANSWER("500", ""),
                                     ANSWER("301", "")};
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        set_up("");
        double before = sent(), lost = dropped("refused");
        sink.answer = no[i];
        emit("one");
        emit("two");
        await_requests(1);
        wait_ms(f.loop, 50);
        assert_true(dropped("refused") - lost == 2);
        sink.answer = ANSWER("200", "");
        emit("three");
        await_sent(before + 1); /* that one alone */
        assert_int_equal(2, sink.requests);
        tear_down();
    }
}

static void test_otlp__given_five_answers_that_say_later_then_it_is_given_up(void **state) {
    (void)state;
    set_up("");
    double lost = dropped("unsent");
    sink.answer = ANSWER("503", "Retry-After: 0\r\n");
    emit("one");
    await_requests(5);
    wait_ms(f.loop, 50);
    assert_true(dropped("unsent") - lost == 1);
    assert_int_equal(5, sink.requests);
    tear_down();
}

static void test_otlp__given_a_close_then_what_there_is_leaves(void **state) {
    (void)state;
    set_up("");
    emit("last");
    double before = sent();
    otlp_close(f.otlp);
    f.otlp = NULL;
    assert_true(sent() - before == 1);
    emit("later"); /* nobody takes it */
    assert_false(span_is_on());
    tear_down();
}

/* A listener that never accepts, and nobody at all. */
static void test_otlp__given_a_close_without_a_collector_then_it_comes_to_an_end(void **state) {
    (void)state;
    char endpoint[64];
    for (int listens = 0; listens < 2; listens++) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof a;
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(0, bind(fd, (struct sockaddr *)&a, n));
        assert_int_equal(0, getsockname(fd, (struct sockaddr *)&a, &n));
        if (listens) {
            assert_int_equal(0, listen(fd, 8));
        }
        assert_ok(loop_new(&f.loop));
        (void)snprintf(endpoint, sizeof endpoint, "http://127.0.0.1:%d", ntohs(a.sin_port));
        open_with(endpoint, "");
        double lost = dropped("unsent");
        emit("last");
        struct mono began = loop_now(f.loop);
        otlp_close(f.otlp);
        assert_true(mono_ms_since(loop_now(f.loop), began) < BOUND_MS);
        assert_true(dropped("unsent") - lost == 1);
        loop_free(f.loop);
        (void)close(fd);
    }
    f.otlp = NULL;
}

static void test_otlp__given_bad_settings_then_they_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *endpoint, *headers;
    } bad[] = {{"127.0.0.1:4318", ""}, {"grpc://x", ""}, {"http://x", "name"}, {"http://x", "=value"}, {"http://x", "a=%zz"}};
    assert_ok(loop_new(&f.loop));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct otlp_options o = {.endpoint = bad[i].endpoint, .headers = bad[i].headers};
        assert_err(ERR_INVALID, otlp_new(f.loop, &o, &f.otlp));
        assert_false(span_is_on());
    }
    loop_free(f.loop);
}

static void scenario(void *arg) {
    const struct otlp_options o = {.endpoint = "http://127.0.0.1:1", .headers = "a=b", .sample_per_million = 0};
    (void)arg;
    if (err_is_set(loop_new(&f.loop))) {
        return;
    }
    struct err e = otlp_new(f.loop, &o, &f.otlp);
    if (!err_is_set(e)) {
        emit("one");
        emit("two");
        LOG(WARN, "unit.line", LF_INT("n", 1));
        otlp_close(f.otlp);
    } else {
        assert_true(e.code == ERR_NOMEM || e.code == ERR_INVALID); /* http_decode does not say which */
    }
    wait_ms(f.loop, 0);
    loop_free(f.loop);
}

static void test_otlp__without_memory_then_records_are_lost_and_nothing_else(void **state) {
    (void)state;
    torture(scenario, NULL);
}

static void send_one(void *arg) {
    (void)arg;
    set_up("");
    double before = sent(), lost = dropped("unsent");
    emit("one");
    otlp_close(f.otlp);
    f.otlp = NULL;
    assert_true(sent() - before == 1 || (torture_is_failing() && dropped("unsent") - lost == 1));
    tear_down();
}

static void test_otlp__a_system_call_fails_then_an_error_or_no_difference(void **state) {
    (void)state;
    torture_io(send_one, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_otlp__given_spans_then_they_leave_packed_with_the_headers_that_were_wanted),
        cmocka_unit_test(test_otlp__given_more_than_the_pile_holds_then_the_rest_is_dropped_and_counted),
        cmocka_unit_test(test_otlp__given_an_answer_that_says_later_then_the_same_comes_again_then),
        cmocka_unit_test(test_otlp__given_an_answer_that_says_no_then_it_is_dropped),
        cmocka_unit_test(test_otlp__given_five_answers_that_say_later_then_it_is_given_up),
        cmocka_unit_test(test_otlp__given_a_close_then_what_there_is_leaves),
        cmocka_unit_test(test_otlp__given_a_close_without_a_collector_then_it_comes_to_an_end),
        cmocka_unit_test(test_otlp__given_bad_settings_then_they_are_refused),
        cmocka_unit_test(test_otlp__without_memory_then_records_are_lost_and_nothing_else),
        cmocka_unit_test(test_otlp__a_system_call_fails_then_an_error_or_no_difference),
    };
    json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
