/* event.deliver: an event from a job's payload to the consumer it names. */
#include <base/json.h>
#include <custom/custom.h>
#include <jobs/event.h>
#include <jobs/runtime.h>

#include "module_db.h"

static struct module_db db;

/* A consumer that notes what it was given and answers as it was told. */
static struct {
    int calls;
    struct err err;
    bool repeated;
    const struct module_env *env;
    struct event event;
    char type[32], source[32], tenant[32], data[64];
} heard;

static void hear(struct module_env *env, const struct event *e, event_done_cb *cb, void *arg) {
    heard.calls++;
    heard.env = env;
    heard.event = *e;
    assert_true(str_copy_c(e->type, heard.type, sizeof heard.type));
    assert_true(str_copy_c(e->source, heard.source, sizeof heard.source));
    assert_true(str_copy_c(e->tenant, heard.tenant, sizeof heard.tenant));
    assert_true(str_copy_c(e->data, heard.data, sizeof heard.data));
    cb(arg, heard.err, heard.repeated);
}

static const struct event_consumer consumers[] = {{"order.confirmed", hear}};
static const struct module listener = {.name = "listener", .consumers = consumers, .consumers_n = 1};
static const struct module *const modules[] = {&custom_module, &listener};
static const struct registry registry = {.modules = modules, .modules_n = 2};
static struct runtime rt;

static int setup(void **state) {
    (void)state;
    module_db_open(&db, &custom_module, 1);
    rt.registry = &registry;
    rt.modules[0] = db.env;
    rt.modules[1] = (struct module_env){.module = &listener};
    db.env.runtime = &rt;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    module_db_close(&db);
    return 0;
}

static int reset(void **state) {
    (void)state;
    memset(&heard, 0, sizeof heard);
    heard.err = OK;
    return 0;
}

#define EVENT(consumer, type, id, version)                                                                             \
    "{\"consumer\":\"" consumer "\",\"id\":\"" id "\",\"type\":\"" type "\",\"source\":\"orders\","                    \
    "\"aggregate_id\":\"01890000-0000-7000-8000-000000000002\",\"aggregate_version\":" version ",\"tenant\":\"acme\"," \
    "\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\",\"at_ms\":1700000000123,\"data\":{\"a\":[1,2]}}"
#define ID "01890000-0000-7000-8000-000000000001"
#define GOOD EVENT("listener", "order.confirmed", ID, "7")

static struct attempt_end run(struct uuid root, const char *payload) {
    static struct module_run r;
    module_run_start(&db, &r, "event.deliver", root, 0, payload);
    module_run_wait(&db, &r);
    struct attempt_end end = r.end;
    module_run_free(&r);
    return end;
}

static struct uuid new_root(void) { return module_job_id(&db, "default"); }

static void test_deliver__an_event_then_the_consumer_has_all_of_it(void **state) {
    (void)state;
    char id[UUID_TEXT_BYTES], aggregate[UUID_TEXT_BYTES], trace[TRACEPARENT_BYTES];
    struct attempt_end end = run(new_root(), GOOD);
    assert_int_equal(END_FINISHED, end.kind);
    assert_int_equal(OUTCOME_DONE, end.outcome);
    assert_int_equal(1, heard.calls);
    assert_ptr_equal(&rt.modules[1], heard.env); /* under the consumer's own role */
    uuid_text(heard.event.id, id);
    uuid_text(heard.event.aggregate_id, aggregate);
    trace_text(&heard.event.trace, trace);
    assert_string_equal(ID, id);
    assert_string_equal("01890000-0000-7000-8000-000000000002", aggregate);
    assert_string_equal("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", trace);
    assert_int_equal(7, heard.event.aggregate_version);
    assert_int_equal(1700000000123, heard.event.at.ms);
    assert_string_equal("order.confirmed", heard.type);
    assert_string_equal("orders", heard.source);
    assert_string_equal("acme", heard.tenant);
    assert_string_equal("{\"a\":[1,2]}", heard.data);
}

static void test_deliver__run_again_then_absorbed(void **state) {
    (void)state;
    struct uuid root = new_root();
    (void)run(root, GOOD);
    heard.repeated = true; /* as its inbox says */
    struct attempt_end end = run(root, GOOD);
    assert_int_equal(END_FINISHED, end.kind);
    assert_true(end.absorbed);
    assert_false(end.stale);
}

static void test_deliver__refused_again_then_the_attempt_fails_with_its_error(void **state) {
    (void)state;
    static const enum err_code codes[] = {ERR_INVALID, ERR_PG_DOWN, ERR_TRANSIENT, ERR_PG_CHECK};
    for (size_t i = 0; i < 4; i++) {
        struct uuid root = new_root();
        char sql[128], text[UUID_TEXT_BYTES];
        heard.err = err_make(codes[i], "no");
        struct attempt_end end = run(root, GOOD);
        assert_int_equal(END_FAILED, end.kind);
        assert_err(codes[i], end.err);
        uuid_text(root, text);
        (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM custom.effect WHERE root_id = '%s'", text);
        assert_int_equal(0, sql_int(db.admin, sql)); /* open: the retry delivers */
    }
}

static void test_deliver__what_nobody_can_deliver_then_invalid(void **state) {
    (void)state;
    static const char *const payloads[] = {
        EVENT("nobody", "order.confirmed", ID, "1"),
        EVENT("custom", "order.confirmed", ID, "1"),    /* listens to nothing */
        EVENT("listener", "order.canceled", ID, "1"),   /* not to this */
        EVENT("listener", "order.confirmed", "1", "1"), /* no id */
        EVENT("listener", "order.confirmed", ID, "\"x\""),
        "{}",
        "{\"consumer\":\"listener\",\"type\":\"order.confirmed\"}",
        "[]",
        "",
    };
    for (size_t i = 0; i < sizeof payloads / sizeof payloads[0]; i++) {
        struct attempt_end end = run(new_root(), payloads[i]);
        assert_int_equal(END_FAILED, end.kind);
        assert_err(ERR_INVALID, end.err);
    }
    assert_int_equal(0, heard.calls);
}

static void scenario(void *arg) {
    (void)arg;
    struct attempt_end end = run(new_root(), GOOD);
    assert_true(end.kind == END_FINISHED || (torture_is_failing() && err_class(end.err.code) == ERR_CLASS_INFRA));
}

static void test_deliver__any_allocation_fails_then_nothing_is_charged(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_deliver__an_event_then_the_consumer_has_all_of_it, reset),
        cmocka_unit_test_setup(test_deliver__run_again_then_absorbed, reset),
        cmocka_unit_test_setup(test_deliver__refused_again_then_the_attempt_fails_with_its_error, reset),
        cmocka_unit_test_setup(test_deliver__what_nobody_can_deliver_then_invalid, reset),
        cmocka_unit_test_setup(test_deliver__any_allocation_fails_then_nothing_is_charged, reset),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
