/* Webhooks to a receiver: what is sent, what its answer comes to, and what is done when nobody knows whether it arrived. */
#include <base/json.h>

#include "hook_sink.h"
#include "notifications_db.h"
#include <jobs/dependencies.h>
#include <jobs/signature.h>

static char payload_text[70000];

static const char *payload_to(const char *url, const char *data, const char *members) {
    (void)snprintf(payload_text, sizeof payload_text, "{\"url\":\"%s\",\"event_type\":\"order.confirmed\",\"data\":%s%s}", url,
                   data, members);
    return payload_text;
}

static const char *payload(const char *members) {
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/hook?a=1", sink.port);
    return payload_to(url, "{\"n\":1,\"text\":\"\\u00fc\"}", members);
}

static const char *run(struct uuid root, const char *members) { return run_to_end("notify.webhook", root, 0, payload(members)); }

static int setup(void **state) {
    (void)notifications_db_setup(state);
    sink_start(db.loop);
    return 0;
}

static int teardown(void **state) {
    sink_stop();
    return notifications_db_teardown(state);
}

static int reset(void **state) {
    (void)state;
    sink.requests = 0;
    sink.answer = ANSWER("200", "");
    return 0;
}

/* --- what is sent --- */

static void test_webhook__then_signed_and_whole(void **state) {
    (void)state;
    struct uuid root = new_root();
    char id[UUID_TEXT_BYTES], at[WALL_TEXT_BYTES], body[256];
    struct buf signature;
    struct trace trace;
    int64_t timestamp;
    assert_string_equal("done 200", run(root, ""));
    assert_int_equal(1, sink.requests);
    assert_int_equal(0, strncmp(sink.text, "POST /hook?a=1 HTTP/1.1\r\n", 25));
    uuid_text(root, id);
    assert_string_equal(id, sink_header("webhook-id"));
    assert_string_equal("application/json", sink_header("content-type"));
    assert_true(trace_parse(str_c(sink_header("traceparent")), &trace));
    assert_true(str_to_i64(str_c(sink_header("webhook-timestamp")), &timestamp));
    assert_in_range(timestamp, loop_wall(db.loop).ms / 1000 - 5, loop_wall(db.loop).ms / 1000);
    wall_text((struct wall){id_ms(root)}, at);
    (void)snprintf(
        body, sizeof body,
        "{\"type\":\"order.confirmed\",\"timestamp\":\"%s\",\"tenant\":\"default\",\"data\":{\"n\":1,\"text\":\"\xc3\xbc\"}}",
        at);
    assert_string_equal(body, sink_body());
    buf_init(&signature, 128);
    assert_ok(signature_add(&signature, STR(SECRET), str_c(id), str_c(sink_header("webhook-timestamp")), str_c(sink_body())));
    assert_str(sink_header("webhook-signature"), buf_str(&signature));
    buf_free(&signature);
    assert_string_equal("sent 1", status_of(root));
}

/* Whatever a payload may be, it can be sent: 1e15 becomes sixteen digits. */
static void test_webhook__numbers_that_grow_when_written_then_sent(void **state) {
    (void)state;
    static char data[65000];
    char url[64];
    size_t n = (size_t)snprintf(data, sizeof data, "{\"a\":[1");
    while (n < 60000) {
        n += (size_t)snprintf(data + n, sizeof data - n, ",1e15");
    }
    (void)snprintf(data + n, sizeof data - n, "]}");
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", sink.port);
    assert_string_equal("done 200", run_to_end("notify.webhook", new_root(), 0, payload_to(url, data, "")));
    assert_true(sink.n > 150000);
}

/* --- what comes of it --- */

static void test_webhook__given_an_answer_then_the_attempts_end(void **state) {
    (void)state;
    static const struct {
        const char *answer, *ended, *row;
    } rows[] = {
        {ANSWER("200", ""), "done 200", "sent 1"},
        {ANSWER("202", ""), "done 200", "sent 1"},
        {ANSWER("204", ""), "done 200", "sent 1"},
        {ANSWER("299", ""), "done 200", "sent 1"},
        {ANSWER("301", "Location: /elsewhere\r\n"), "failed transient 0", "retrying 1"},
        {ANSWER("400", ""), "failed transient 0", "retrying 1"},
        {ANSWER("404", ""), "failed transient 0", "retrying 1"},
        {ANSWER("410", ""), "failed refused 0", "retrying 1"},
        {ANSWER("429", "Retry-After: 7\r\n"), "failed transient 7000", "retrying 1"},
        {ANSWER("500", ""), "failed transient 0", "retrying 1"},
        {ANSWER("503", "Retry-After: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), "failed transient 0", "retrying 1"},
        {ANSWER("503", "Retry-After: soon\r\n"), "failed transient 0", "retrying 1"},
        {NULL, "failed net_unknown 0", "unknown 1"}, /* hung up: it may have been taken */
        {"HTTP/1.1 200", "failed net_unknown 0", "unknown 1"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct uuid root = new_root();
        sink.answer = rows[i].answer;
        assert_string_equal(rows[i].ended, run(root, ""));
        assert_string_equal(rows[i].row, status_of(root));
        assert_int_equal(i + 1, sink.requests);
    }
}

static void test_webhook__tried_again_then_under_the_same_id(void **state) {
    (void)state;
    struct uuid root = new_root();
    char id[UUID_TEXT_BYTES];
    uuid_text(root, id);
    sink.answer = ANSWER("500", "");
    for (int i = 0; i < 3; i++) {
        assert_string_equal("failed transient 0", run(root, ""));
        assert_string_equal(id, sink_header("webhook-id"));
    }
    assert_string_equal("retrying 3", status_of(root));
    assert_string_equal("the endpoint answered 500", of_message(root, "last_error"));
    sink.answer = ANSWER("200", "");
    assert_string_equal("done 200", run(root, ""));
    assert_string_equal(id, sink_header("webhook-id"));
    assert_string_equal("sent 4", status_of(root));
    assert_string_equal("", of_message(root, "last_error"));
    assert_string_equal("done 200 absorbed", run(root, "")); /* and no more after it */
    assert_int_equal(4, sink.requests);
}

static void test_webhook__not_reached_then_known_not_to_be_sent(void **state) {
    (void)state;
    struct uuid root = new_root();
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", server_free_port());
    for (int i = 0; i < 2; i++) { /* "never" does not keep a message back that cannot have arrived */
        assert_string_equal("failed net_not_sent 0",
                            run_to_end("notify.webhook", root, 0, payload_to(url, "{}", ",\"on_unknown\":\"never\"")));
    }
    assert_string_equal("retrying 2", status_of(root));
    assert_string_equal("done 200", run(root, ",\"on_unknown\":\"never\""));
}

static void test_webhook__an_address_of_ours_then_refused(void **state) {
    (void)state;
    static const char *const urls[] = {"https://10.0.0.1/", "https://169.254.169.254/latest/", "https://[::1]/",
                                       "http://93.184.216.34/", "https://user:password@127.0.0.1/"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        struct uuid root = new_root();
        const char *ended = run_to_end("notify.webhook", root, 0, payload_to(urls[i], "{}", ""));
        assert_true(strcmp(ended, "failed net_address_refused 0") == 0 || strcmp(ended, "failed invalid 0") == 0);
        assert_string_equal("retrying 1", status_of(root));
    }
    assert_int_equal(0, sink.requests);
}

static void test_webhook__without_a_secret_then_nothing_is_sent_and_nothing_charged(void **state) {
    (void)state;
    struct uuid root = new_root();
    char *secret = db.conf.webhook_secret, none[] = "";
    db.conf.webhook_secret = none;
    assert_string_equal("later system 1000", run(root, ""));
    db.conf.webhook_secret = secret;
    assert_int_equal(0, sink.requests);
    assert_string_equal("webhook.secret is not set", of_message(root, "last_error"));
    assert_string_equal("done 200", run(root, ""));
}

static void test_open__a_secret_that_is_none_then_refused_at_start(void **state) {
    (void)state;
    static const struct {
        const char *secret;
        enum err_code code;
    } rows[] = {
        {"whsec_AAAA", ERR_NONE}, {"", ERR_NONE}, {"whsec_", ERR_INVALID}, {"whsec_oops", ERR_NONE}, {"whsec_oop", ERR_INVALID}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char secret[32];
        struct conf conf = {.webhook_secret = secret};
        struct services services = {0};
        struct module_env env = {.conf = &conf};
        assert_true(str_copy_c(str_c(rows[i].secret), secret, sizeof secret));
        struct err e = notifications_module.open(&env, &services);
        assert_err(rows[i].code, e);
        assert_int_equal(rows[i].code != ERR_NONE, strncmp(e.detail, "webhook.secret: ", 16) == 0);
    }
}

/* --- an outcome that nobody knows --- */

static void test_gate__found_as_an_earlier_attempt_left_it_then_the_policy_decides(void **state) {
    (void)state;
    static const struct {
        const char *row, *members, *ended, *status;
        int requests;
    } rows[] = {
        {"sending", "", "done 200", "sent 2", 1}, /* resend, under the same id */
        {"sending", ",\"on_unknown\":\"resend\"", "done 200", "sent 2", 1},
        {"sending", ",\"on_unknown\":\"never\"", "done 200", "unknown 2", 0},
        {"unknown", "", "done 200", "sent 2", 1},
        {"unknown", ",\"on_unknown\":\"never\"", "done 200", "unknown 2", 0},
        {"retrying", "", "done 200", "sent 2", 1}, /* known not to have been taken */
        {"retrying", ",\"on_unknown\":\"never\"", "done 200", "sent 2", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct uuid root = new_root();
        sink.requests = 0;
        add_message(root, "webhook", rows[i].row);
        assert_string_equal(rows[i].ended, run(root, rows[i].members));
        assert_string_equal(rows[i].status, status_of(root));
        assert_int_equal(rows[i].requests, sink.requests);
        assert_string_equal("done 200 absorbed", run(root, rows[i].members)); /* decided for good */
        assert_int_equal(rows[i].requests, sink.requests);
    }
}

static void test_gate__unknown_and_never_then_the_answer_says_so(void **state) {
    (void)state;
    struct uuid root = new_root();
    char sql[160], id[UUID_TEXT_BYTES], result[160];
    uuid_text(root, id);
    add_message(root, "webhook", "sending");
    (void)run(root, ",\"on_unknown\":\"never\"");
    (void)snprintf(sql, sizeof sql, "SELECT convert_from(result, 'UTF8') FROM notifications.effect WHERE root_id = '%s'", id);
    (void)snprintf(result, sizeof result, "{\"notification_id\":\"%s\",\"channel\":\"webhook\",\"status\":\"unknown\"}", id);
    assert_string_equal(result, sql_text(db.admin, sql));
}

/* Taken by the receiver, but the effect did not commit: the next attempt cannot know. */
static void test_gate__dies_between_the_call_and_its_effect_then_unknown(void **state) {
    (void)state;
    struct uuid root = new_root();
    sql_run(db.admin, "ALTER TABLE notifications.effect ADD CONSTRAINT broken CHECK (false) NOT VALID");
    assert_string_equal("failed postgres_check 0", run(root, ""));
    sql_run(db.admin, "ALTER TABLE notifications.effect DROP CONSTRAINT broken");
    assert_string_equal("sending 1", status_of(root));
    assert_string_equal("done 200", run(root, ",\"on_unknown\":\"never\""));
    assert_string_equal("unknown 2", status_of(root));
    assert_int_equal(1, sink.requests);
}

static void test_gate__the_job_has_ended_then_nothing_is_sent(void **state) {
    (void)state;
    static const struct {
        const char *effect, *ended;
        uint32_t generation;
        int requests;
    } rows[] = {
        {"0, 'done', 200, '{}'", "done 200 absorbed", 0, 0},
        {"0, 'cancelled', 409, '{}'", "cancelled 409 absorbed stale", 0, 0},
        {"0, 'expired', 410, '{}'", "expired 410 absorbed stale", 3, 0},
        {"0, 'dead', 500, '{}'", "dead 500 absorbed stale", 0, 0},
        {"0, 'dead', 500, '{}'", "done 200", 1, 1}, /* replayed */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct uuid root = new_root();
        sink.requests = 0;
        add_effect(root, rows[i].effect);
        assert_string_equal(rows[i].ended, run_to_end("notify.webhook", root, rows[i].generation, payload("")));
        assert_int_equal(rows[i].requests, sink.requests);
    }
}

static void test_gate__a_payload_that_is_none_then_invalid_and_no_row(void **state) {
    (void)state;
    struct uuid root = new_root();
    assert_string_equal("failed invalid 0", run_to_end("notify.webhook", root, 0, "{"));
    assert_string_equal("", status_of(root));
}

/* --- a host that is down --- */

static void test_host__ten_failures_then_it_is_left_alone_and_the_message_is_as_it_was(void **state) {
    (void)state;
    struct uuid root = new_root();
    assert_ok(dependencies_new(&db.env.dependencies));
    sink.answer = ANSWER("500", "");
    for (int i = 0; i < 9; i++) {
        assert_string_equal("failed transient 0", run(new_root(), ""));
    }
    assert_int_equal(0, strncmp("later transient", run(new_root(), ""), 15)); /* the tenth: it opens, and charges none any more */
    assert_int_equal(10, sink.requests);
    assert_int_equal(0, strncmp("later busy", run(root, ""), 10));
    assert_int_equal(10, sink.requests);
    assert_string_equal("", status_of(root)); /* not 'sending': it would be believed */
    sink.answer = ANSWER("200", "");
    const char *said = "later";
    while (strncmp(said, "later", 5) == 0) {
        wait_ms(db.loop, 50);
        said = run(root, "");
    }
    assert_string_equal("done 200", said);
    dependencies_free(db.env.dependencies);
    db.env.dependencies = NULL;
}

/* --- without memory --- */

enum { ROOTS_MAX = 1000 };
static struct uuid roots[ROOTS_MAX];
static int roots_n;

static void scenario(void *arg) {
    static struct module_run r;
    (void)arg;
    assert_in_range(roots_n, 0, ROOTS_MAX - 1);
    int before = sink.requests;
    module_run_start(&db, &r, "notify.webhook", roots[roots_n++] = new_root(), 0, payload(""));
    module_run_wait(&db, &r);
    if (r.end.kind == END_FINISHED) {
        assert_int_equal(before + 1, sink.requests);
    } else {
        assert_true(torture_is_failing());
        assert_true(err_class(r.end.err.code) == ERR_CLASS_INFRA || err_class(r.end.err.code) == ERR_CLASS_TRANSIENT ||
                    err_class(r.end.err.code) == ERR_CLASS_UNKNOWN); /* dead of it: never */
    }
    module_run_free(&r);
}

static void test_webhook__any_allocation_fails_then_ended_once_and_sent_in_the_end(void **state) {
    (void)state;
    torture(scenario, NULL);
    assert_true(roots_n > 40);
    for (int i = 0; i < roots_n; i++) {
        assert_int_equal(0, strncmp(run(roots[i], ""), "done 200", 8));
        assert_int_equal(0, strncmp(status_of(roots[i]), "sent", 4));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_webhook__then_signed_and_whole, reset),
        cmocka_unit_test_setup(test_webhook__numbers_that_grow_when_written_then_sent, reset),
        cmocka_unit_test_setup(test_webhook__given_an_answer_then_the_attempts_end, reset),
        cmocka_unit_test_setup(test_webhook__tried_again_then_under_the_same_id, reset),
        cmocka_unit_test_setup(test_webhook__not_reached_then_known_not_to_be_sent, reset),
        cmocka_unit_test_setup(test_webhook__an_address_of_ours_then_refused, reset),
        cmocka_unit_test_setup(test_webhook__without_a_secret_then_nothing_is_sent_and_nothing_charged, reset),
        cmocka_unit_test_setup(test_open__a_secret_that_is_none_then_refused_at_start, reset),
        cmocka_unit_test_setup(test_gate__found_as_an_earlier_attempt_left_it_then_the_policy_decides, reset),
        cmocka_unit_test_setup(test_gate__unknown_and_never_then_the_answer_says_so, reset),
        cmocka_unit_test_setup(test_gate__dies_between_the_call_and_its_effect_then_unknown, reset),
        cmocka_unit_test_setup(test_gate__the_job_has_ended_then_nothing_is_sent, reset),
        cmocka_unit_test_setup(test_gate__a_payload_that_is_none_then_invalid_and_no_row, reset),
        cmocka_unit_test_setup(test_host__ten_failures_then_it_is_left_alone_and_the_message_is_as_it_was, reset),
        cmocka_unit_test_setup(test_webhook__any_allocation_fails_then_ended_once_and_sent_in_the_end, reset),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
