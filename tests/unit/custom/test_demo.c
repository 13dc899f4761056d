/* The demo types, each to its end. */
#include <base/json.h>
#include <custom/custom.h>

#include "module_db.h"

static struct module_db db;

static int setup(void **state) {
    (void)state;
    module_db_open(&db, &custom_module, 2);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    module_db_close(&db);
    return 0;
}

static int reset(void **state) {
    (void)state;
    sql_run(db.admin, "TRUNCATE custom.effect, custom.note");
    return 0;
}

static struct uuid new_root(void) { return module_job_id(&db, "default"); }

/* What a run ended with, as text. */
static const char *ended(struct module_run *r) {
    static char text[256];
    module_run_wait(&db, r);
    if (r->end.kind == END_FINISHED) {
        (void)snprintf(text, sizeof text, "%s %d %.*s%s", job_outcome_name(r->end.outcome), r->end.status, STR_ARG(r->end.result),
                       r->end.absorbed ? " absorbed" : "");
    } else {
        (void)snprintf(text, sizeof text, "%s %s", r->end.kind == END_FAILED ? "failed" : "later", err_name(r->end.err.code));
    }
    module_run_free(r);
    return text;
}

static const char *run(const char *type, struct uuid root, const char *payload) {
    static struct module_run r;
    module_run_start(&db, &r, type, root, 0, payload);
    return ended(&r);
}

static void test_noop_and_echo__then_done_at_once(void **state) {
    (void)state;
    assert_string_equal("done 200 {}", run("demo.noop", new_root(), "{\"a\":1}"));
    assert_string_equal("done 200 {\"a\":1}", run("demo.echo", new_root(), "{\"a\":1}"));
    assert_int_equal(0, sql_int(db.admin, "SELECT count(*) FROM custom.effect")); /* the stream class has no arbiter */
}

static void test_note__run_twice_then_noted_once(void **state) {
    (void)state;
    struct uuid root = new_root();
    assert_string_equal("done 200 {\"noted\":true}", run("demo.note", root, "{\"text\":\"it's \\\"so\\\"\"}"));
    assert_string_equal("done 200 {\"noted\":true} absorbed", run("demo.note", root, "{\"text\":\"again\"}"));
    assert_string_equal("it's \"so\"", sql_text(db.admin, "SELECT string_agg(text, ',') FROM custom.note"));
}

static void test_fail__until_attempts_were_charged_then_done(void **state) {
    (void)state;
    static struct module_run r;
    static const struct {
        const char *payload, *ended;
        uint32_t attempt;
    } rows[] = {
        {"{}", "failed transient", 1000},
        {"{\"until\":2}", "failed transient", 0},
        {"{\"until\":2}", "failed transient", 1},
        {"{\"until\":2}", "done 200 {\"failed\":false}", 2},
        {"{\"until\":0}", "done 200 {\"failed\":false}", 0},
        {"{\"until\":2,\"permanent\":true}", "failed refused", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        module_run_prepare(&db, &r, "demo.fail", new_root(), 0, rows[i].payload);
        r.attempt.job.attempt = rows[i].attempt;
        r.attempt.type->start(&r.attempt);
        assert_string_equal(rows[i].ended, ended(&r));
    }
}

static void test_fail__its_effect_is_there_then_absorbed(void **state) {
    (void)state;
    struct uuid root = new_root();
    assert_string_equal("done 200 {\"failed\":false}", run("demo.fail", root, "{\"until\":0}"));
    assert_string_equal("done 200 {\"failed\":false} absorbed", run("demo.fail", root, "{\"until\":0}"));
}

static void test_sleep__then_done_when_the_time_has_passed(void **state) {
    (void)state;
    int64_t before = loop_now(db.loop).us;
    assert_string_equal("done 200 {\"slept\":true}", run("demo.sleep", new_root(), "{\"ms\":30}"));
    assert_true(loop_now(db.loop).us - before >= 29000); /* timers count whole milliseconds */
    assert_string_equal("done 200 {\"slept\":true}", run("demo.sleep", new_root(), "{}"));
    assert_string_equal("failed refused", run("demo.sleep", new_root(), "{\"ms\":30,\"fail\":true}"));
}

static void test_sleep__stopped_then_ends_at_once(void **state) {
    (void)state;
    for (int timed_out = 0; timed_out < 2; timed_out++) {
        static struct module_run r;
        module_run_start(&db, &r, "demo.sleep", new_root(), 0, "{\"ms\":60000}");
        assert_int_equal(0, r.ends);
        assert_non_null(r.attempt.on_stop);
        r.attempt.on_stop(&r.attempt, timed_out != 0);
        assert_int_equal(1, r.ends);
        assert_string_equal(timed_out ? "failed timeout"
                                      : "cancelled 409 {\"title\":\"Cancelled\",\"status\":409,\"code\":\"cancelled\"}",
                            ended(&r));
    }
}

static void test_tally__every_run_then_a_note_more(void **state) {
    (void)state;
    struct uuid root = new_root();
    assert_string_equal("done 200 {\"slept\":true}", run("demo.tally", root, "{\"ms\":1}"));
    assert_string_equal("done 200 {\"slept\":true}", run("demo.tally", root, "{\"ms\":1}"));
    assert_int_equal(2, sql_int(db.admin, "SELECT count(*) FROM custom.note WHERE text = 'tally'"));
}

static void test_demo__a_payload_that_is_none_then_invalid(void **state) {
    (void)state;
    static const char *const types[] = {"demo.note", "demo.fail", "demo.sleep", "demo.tally"};
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal("failed invalid", run(types[i], new_root(), "{"));
    }
}

static void scenario(void *arg) {
    static const char *const payloads[][2] = {{"demo.note", "{\"text\":\"torture\"}"},
                                              {"demo.fail", "{\"until\":0}"},
                                              {"demo.sleep", "{\"ms\":0}"},
                                              {"demo.tally", "{\"ms\":0}"},
                                              {"demo.echo", "{}"}};
    (void)arg;
    for (size_t i = 0; i < 5; i++) {
        static struct module_run r;
        module_run_start(&db, &r, payloads[i][0], new_root(), 0, payloads[i][1]);
        module_run_wait(&db, &r);
        assert_true(r.end.kind == END_FINISHED || (torture_is_failing() && err_class(r.end.err.code) == ERR_CLASS_INFRA));
        module_run_free(&r);
    }
}

static void test_demo__any_allocation_fails_then_ended_once_and_nothing_charged(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_noop_and_echo__then_done_at_once, reset),
        cmocka_unit_test_setup(test_note__run_twice_then_noted_once, reset),
        cmocka_unit_test_setup(test_fail__until_attempts_were_charged_then_done, reset),
        cmocka_unit_test_setup(test_fail__its_effect_is_there_then_absorbed, reset),
        cmocka_unit_test_setup(test_sleep__then_done_when_the_time_has_passed, reset),
        cmocka_unit_test_setup(test_sleep__stopped_then_ends_at_once, reset),
        cmocka_unit_test_setup(test_tally__every_run_then_a_note_more, reset),
        cmocka_unit_test_setup(test_demo__a_payload_that_is_none_then_invalid, reset),
        cmocka_unit_test_setup(test_demo__any_allocation_fails_then_ended_once_and_nothing_charged, reset),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
