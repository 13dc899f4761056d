/* Attempts of a declared type, posted to a handler: what is sent, what the answer comes to, and what is not sent at all. */
#include <base/json.h>
#include <custom/custom.h>
#include <jobs/signature.h>

#include "../../../jobs/custom/src/custom.h"
#include "../../../jobs/custom/src/types_conf.h"
#include "hook_sink.h"
#include "module_db.h"

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

static struct module_db db;
static struct declared declared;
static struct job_type type = {.name = "t.handled", .version = 1, .start = handler_post, .declared = &declared};

static int setup(void **state) {
    (void)state;
    (void)setenv("PENSTOCK_HANDLER_SECRET", SECRET, 1);
    module_db_open(&db, &custom_module, 2);
    const struct http_client_options o = {
        .max_in_flight = 8, .max_waiting = 8, .allow_cidr = "127.0.0.0/8", .user_agent = "test"};
    assert_ok(http_client_new(db.loop, &o, &db.env.handlers));
    sink_start(db.loop);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    sink_stop();
    http_client_close(db.env.handlers);
    module_db_close(&db);
    return 0;
}

static int reset(void **state) {
    static char url[64];
    (void)state;
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/handle?a=1", sink.port);
    declared = (struct declared){.name = "t.handled", .handler = url};
    type.class = CLASS_JOURNAL;
    sink.requests = 0;
    sink.answer = ANSWER("200", "");
    return 0;
}

static struct uuid new_root(void) { return module_job_id(&db, "default"); }

static void begin(struct module_run *r, struct uuid root, const char *payload) {
    module_run_prepare(&db, r, "demo.note", root, 0, payload);
    r->attempt.type = &type;
    r->attempt.job.type = str_c(type.name);
    r->attempt.job.attempt = 2;
    type.start(&r->attempt);
}

static const char *ended(struct module_run *r) {
    static char text[512];
    module_run_wait(&db, r);
    if (r->end.kind == END_FINISHED) {
        (void)snprintf(text, sizeof text, "%s %d %.*s%s", job_outcome_name(r->end.outcome), r->end.status, STR_ARG(r->end.result),
                       r->end.absorbed ? " absorbed" : "");
    } else {
        static const char *const kinds[] = {[END_FAILED] = "failed", [END_LATER] = "later", [END_SNOOZED] = "snoozed"};
        (void)snprintf(text, sizeof text, "%s %s %lld", kinds[r->end.kind], err_name(r->end.err.code),
                       (long long)r->end.delay_ms);
    }
    module_run_free(r);
    assert_int_equal(0, declared.throttle.running);
    return text;
}

static const char *run(struct uuid root) {
    static struct module_run r;
    begin(&r, root, "{\"n\":1.0}");
    return ended(&r);
}

static void test_handler__then_sent_signed_as_it_was_accepted(void **state) {
    (void)state;
    struct uuid root = new_root();
    char id[UUID_TEXT_BYTES];
    struct trace trace;
    struct buf signature;
    assert_string_equal("done 200 {}", run(root));
    assert_int_equal(1, sink.requests);
    assert_int_equal(0, strncmp(sink.text, "POST /handle?a=1 HTTP/1.1\r\n", 27));
    uuid_text(root, id);
    assert_string_equal(id, sink_header("webhook-id"));
    assert_string_equal(id, sink_header("penstock-job"));
    assert_string_equal("t.handled", sink_header("penstock-type"));
    assert_string_equal("default", sink_header("penstock-tenant"));
    assert_string_equal("3", sink_header("penstock-attempt"));
    assert_int_equal(24, strlen(sink_header("penstock-deadline")));
    assert_true(trace_parse(str_c(sink_header("traceparent")), &trace));
    assert_string_equal("{\"n\":1.0}", sink_body());
    buf_init(&signature, 128);
    assert_ok(signature_add(&signature, STR(SECRET), str_c(id), str_c(sink_header("webhook-timestamp")), str_c(sink_body())));
    assert_str(sink_header("webhook-signature"), buf_str(&signature));
    buf_free(&signature);
}

#define BODY(status, length, body) "HTTP/1.1 " status " X\r\nContent-Length: " length "\r\nConnection: close\r\n\r\n" body

static void test_handler__given_an_answer_then_the_attempt_ends(void **state) {
    (void)state;
    static const struct {
        const char *answer, *ended;
    } rows[] = {
        {BODY("200", "9", "{\"a\": 1 }"), "done 200 {\"a\": 1 }"},
        {BODY("202", "2", "ok"), "done 200 \"ok\""},
        {ANSWER("202", "Retry-After: 7\r\n"), "snoozed ok 7000"},
        {ANSWER("202", "Retry-After: 0\r\n"), "snoozed ok 1000"},
        {ANSWER("202", "Retry-After: soon\r\n"), "snoozed ok 1000"},
        {ANSWER("201", "Retry-After: 7\r\n"), "done 200 {}"},
        {BODY("200", "4", "1 \"\xff"), "done 200 \"1 \\\"\xef\xbf\xbd\""},
        {ANSWER("204", ""), "done 200 {}"},
        {ANSWER("301", "Location: http://127.0.0.1:1/\r\n"), "failed refused 0"},
        {ANSWER("400", "Retry-After: 9\r\n"), "failed refused 0"},
        {ANSWER("401", ""), "failed refused 0"},
        {ANSWER("410", ""), "failed refused 0"},
        {ANSWER("422", ""), "failed refused 0"},
        {ANSWER("408", ""), "failed transient 0"},
        {ANSWER("429", "Retry-After: 7\r\n"), "failed transient 7000"},
        {ANSWER("500", ""), "failed transient 0"},
        {ANSWER("503", "Retry-After: 9\r\n"), "failed transient 9000"},
        {NULL, "failed net_unknown 0"},
    };
    for (int stream = 0; stream < 2; stream++) {
        type.class = stream ? CLASS_STREAM : CLASS_JOURNAL;
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            sink.answer = rows[i].answer;
            assert_string_equal(rows[i].ended, run(new_root()));
        }
    }
}

static void test_handler__run_again_after_its_effect_then_not_asked_again(void **state) {
    (void)state;
    struct uuid root = new_root();
    sink.answer = BODY("200", "7", "{\"a\":1}");
    assert_string_equal("done 200 {\"a\":1}", run(root));
    sink.answer = BODY("200", "7", "{\"a\":2}");
    assert_string_equal("done 200 {\"a\":1} absorbed", run(root));
    assert_int_equal(1, sink.requests);
}

static void test_handler__where_it_cannot_be_asked_then_nothing_is_charged(void **state) {
    (void)state;
    char *secret = db.conf.handler_secret;
    static char none[] = "";
    db.conf.handler_secret = none;
    assert_string_equal("failed system 0", run(new_root()));
    db.conf.handler_secret = secret;
    declared.handler = "https://10.1.2.3/";
    assert_string_equal("failed system 0", run(new_root()));
    declared.handler = "http://127.0.0.1:1/";
    assert_string_equal("failed net_not_sent 0", run(new_root()));
    assert_int_equal(0, sink.requests);
}

static void test_handler__stopped_at_any_time_then_ends_soon(void **state) {
    (void)state;
    static struct module_run r;
    for (int sent = 0; sent < 2; sent++) {
        for (int timed_out = 0; timed_out < 2; timed_out++) {
            type.class = sent ? CLASS_STREAM : CLASS_JOURNAL; /* the journal's asks Postgres first */
            begin(&r, new_root(), "{}");
            assert_non_null(r.attempt.on_stop);
            r.attempt.on_stop(&r.attempt, timed_out != 0);
            assert_string_equal(timed_out ? "failed net_unknown 0"
                                          : "cancelled 409 {\"title\":\"Cancelled\",\"status\":409,\"code\":\"cancelled\"}",
                                ended(&r));
        }
    }
}

static void test_handler__at_its_limit_then_later_and_nothing_charged(void **state) {
    (void)state;
    static struct module_run first, second;
    declared.concurrency = 1;
    begin(&first, new_root(), "{}");
    begin(&second, new_root(), "{}");
    assert_int_equal(END_LATER, second.end.kind);
    assert_true(second.end.delay_ms >= 20);
    module_run_free(&second);
    assert_string_equal("done 200 {}", ended(&first));
    assert_string_equal("done 200 {}", run(new_root()));
}

static void scenario(void *arg) {
    static struct module_run r;
    (void)arg;
    begin(&r, new_root(), "{}");
    module_run_wait(&db, &r);
    if (r.end.kind == END_FINISHED) {
        assert_str("{\"a\":1}", r.end.result);
    } else {
        enum err_class class = err_class(r.end.err.code);
        assert_true(torture_is_failing());
        assert_true(class == ERR_CLASS_INFRA || class == ERR_CLASS_TRANSIENT ||
                    class == ERR_CLASS_UNKNOWN); /* dead of it: never */
    }
    assert_int_equal(0, declared.throttle.running);
    module_run_free(&r);
}

static void test_handler__any_allocation_fails_then_ended_once_and_not_dead_of_it(void **state) {
    (void)state;
    sink.answer = BODY("200", "7", "{\"a\":1}");
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_handler__then_sent_signed_as_it_was_accepted, reset),
        cmocka_unit_test_setup(test_handler__given_an_answer_then_the_attempt_ends, reset),
        cmocka_unit_test_setup(test_handler__run_again_after_its_effect_then_not_asked_again, reset),
        cmocka_unit_test_setup(test_handler__where_it_cannot_be_asked_then_nothing_is_charged, reset),
        cmocka_unit_test_setup(test_handler__stopped_at_any_time_then_ends_soon, reset),
        cmocka_unit_test_setup(test_handler__at_its_limit_then_later_and_nothing_charged, reset),
        cmocka_unit_test_setup(test_handler__any_allocation_fails_then_ended_once_and_not_dead_of_it, reset),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
