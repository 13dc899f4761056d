/* What calls of the provider show of it, and which of them its retry budget holds back (jobs/dependency.h). */
#include <jobs/dependency.h>

#include "payments_db.h"

static struct dependency server;

static int reset(void **state) {
    (void)state;
    fake_forget(fake);
    dependency_init(&server, STR("payments"), 8);
    ((struct payments *)db.env.state)->dependency = &server;
    return 0;
}

static void begin(struct module_run *run, struct uuid root, struct uuid payment) {
    module_run_start(&db, run, "payment.capture", root, 0, payload_of(payment, ""));
    module_run_wait(&db, run);
    module_run_free(run);
}

static void test_guard__given_what_came_of_a_call_then_that_is_known_of_the_provider(void **state) {
    (void)state;
    static const struct {
        enum fake_script script;
        unsigned failures;
    } rows[] = {{FAKE_BOOK, 0}, {FAKE_DECLINE, 0}, {FAKE_NOT_SENT, 1}, {FAKE_DROP_BEFORE, 1}, {FAKE_DROP_AFTER, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct payment_request r = request_new();
        (void)reset(NULL);
        fake->script[0] = rows[i].script;
        (void)authorize(&r);
        assert_true(server.failures == rows[i].failures);
        assert_true(TAILQ_EMPTY(&server.calls));
        assert_int_equal(rows[i].failures == 0, server.usual_n);
    }
}

static void test_guard__given_a_question_then_its_answer_says_nothing(void **state) {
    (void)state;
    struct payment_request r = request_new();
    fake->script[0] = FAKE_DROP_AFTER;
    (void)authorize(&r);
    assert_int_equal(PAYMENT_OK, authorize(&r).answer.outcome);
    assert_int_equal(1, fake->lookups);
    assert_int_equal(0, server.usual_n);
    assert_int_equal(0, server.retried);
}

static void test_guard__no_budget_then_first_calls_alone_and_the_others_wait(void **state) {
    (void)state;
    struct module_run run;
    struct uuid p = authorized(NULL), root = module_job_id(&db, "payments");
    fake->script[1] = FAKE_NOT_SENT;
    begin(&run, root, p);
    assert_int_equal(END_FAILED, run.end.kind);
    assert_int_equal(2, fake->calls);
    server.retries = 0;
    server.filled_us = loop_now(db.loop).us + 3600LL * 1000000; /* and none comes */
    begin(&run, root, p);
    assert_int_equal(END_LATER, run.end.kind);
    assert_true(run.end.delay_ms > 0);
    assert_int_equal(2, fake->calls);
    (void)authorized(NULL);
    assert_int_equal(3, fake->calls);
    server.retries = 1;
    server.filled_us = loop_now(db.loop).us;
    begin(&run, root, p);
    assert_int_equal(END_FINISHED, run.end.kind);
    assert_int_equal(4, fake->calls);
    assert_int_equal(1, server.retried);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_guard__given_what_came_of_a_call_then_that_is_known_of_the_provider, reset),
        cmocka_unit_test_setup(test_guard__given_a_question_then_its_answer_says_nothing, reset),
        cmocka_unit_test_setup(test_guard__no_budget_then_first_calls_alone_and_the_others_wait, reset),
    };
    return cmocka_run_group_tests_name("guard", tests, payments_db_setup, payments_db_teardown);
}
