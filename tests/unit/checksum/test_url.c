/* checksum.url: what is asked, what the answer comes to, and that a repetition leaves one row. */
#include <checksum/checksum.h>

#include "hook_sink.h"
#include "module_db.h"
#include "payload_schema.h"

static struct module_db db;
static char payload[96];

static int setup(void **state) {
    (void)state;
    module_db_open(&db, &checksum_module, 2);
    const struct http_client_options o = {
        .max_in_flight = 8, .max_waiting = 8, .allow_cidr = "127.0.0.0/8", .user_agent = "test"};
    assert_ok(http_client_new(db.loop, &o, &db.env.http));
    sink_start(db.loop);
    (void)snprintf(payload, sizeof payload, "{\"url\":\"http://127.0.0.1:%d/a?b\"}", sink.port);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    sink_stop();
    http_client_close(db.env.http);
    module_db_close(&db);
    return 0;
}

static const char *run(struct uuid root) {
    static struct module_run r;
    static char text[256];
    module_run_start(&db, &r, "checksum.url", root, 0, payload);
    module_run_wait(&db, &r);
    if (r.end.kind == END_FINISHED) {
        (void)snprintf(text, sizeof text, "%s %d %.*s%s", job_outcome_name(r.end.outcome), r.end.status, STR_ARG(r.end.result),
                       r.end.absorbed ? " absorbed" : "");
    } else {
        (void)snprintf(text, sizeof text, "failed %s %lld", err_name(r.end.err.code), (long long)r.end.delay_ms);
    }
    module_run_free(&r);
    return text;
}

#define HELLO "HTTP/1.1 200 X\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
#define HELLO_SHA256 "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

static void test_url__given_an_answer_then_its_checksum_once(void **state) {
    (void)state;
    struct uuid root = module_job_id(&db, "default");
    sink.answer = HELLO;
    assert_string_equal("done 200 {\"sha256\":\"" HELLO_SHA256 "\",\"bytes\":5}", run(root));
    assert_int_equal(0, strncmp(sink.text, "GET /a?b HTTP/1.1\r\n", 19));
    assert_string_equal("done 200 {\"sha256\":\"" HELLO_SHA256 "\",\"bytes\":5} absorbed", run(root));
    assert_int_equal(1, sql_int(db.admin, "SELECT count(*) FROM checksum.found WHERE sha256 = '" HELLO_SHA256
                                          "' AND bytes = 5 AND tenant = 'default' AND url LIKE 'http://127.0.0.1:%/a?b'"));
}

static void test_url__given_no_good_answer_then_the_attempts_end(void **state) {
    (void)state;
    static const struct {
        const char *answer, *ended;
    } rows[] = {
        {ANSWER("503", "Retry-After: 7\r\n"), "failed transient 7000"},
        {ANSWER("429", ""), "failed transient 0"},
        {ANSWER("404", ""), "failed refused 0"},
        {ANSWER("301", "Location: /\r\n"), "failed refused 0"},
        {"HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\nhel", "failed net_unknown 0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        sink.answer = rows[i].answer;
        assert_string_equal(rows[i].ended, run(module_job_id(&db, "default")));
    }
}

static void scenario(void *arg) {
    (void)arg;
    (void)run(module_job_id(&db, "default"));
}

static void test_url__given_no_memory_then_it_ends_and_nothing_leaks(void **state) {
    (void)state;
    sink.answer = HELLO;
    torture(scenario, NULL);
}

static void test_url__types_and_payloads(void **state) {
    (void)state;
    static const struct payload_row rows[] = {
        {"checksum.url", "{\"url\":\"https://example.com/a\"}", true},
        {"checksum.url", "{\"url\":\"ftp://example.com/a\"}", false},
        {"checksum.url", "{}", false},
        {"checksum.url", "{\"url\":\"https://a/\",\"b\":1}", false},
    };
    assert_types_are_sound(&checksum_module);
    assert_payloads(&checksum_module, rows, sizeof rows / sizeof rows[0]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_url__given_an_answer_then_its_checksum_once),
        cmocka_unit_test(test_url__given_no_good_answer_then_the_attempts_end),
        cmocka_unit_test(test_url__given_no_memory_then_it_ends_and_nothing_leaks),
        cmocka_unit_test(test_url__types_and_payloads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
