/* The k-th allocation fails, in the middle of charging and giving back: everything ends exactly once, and afterwards each request
 * can be brought to its end with one booking of each kind. */
#include "payments_db.h"

enum { REQUESTS_MAX = 4000 };

static struct {
    char key[64];
    struct uuid order, root;
} requests[REQUESTS_MAX];
static int requests_n;

static struct payment_request request_at(int i) {
    return (struct payment_request){.key = str_c(requests[i].key),
                                    .tenant = STR("default"),
                                    .order_id = requests[i].order,
                                    .amount = {1000, "EUR"},
                                    .token = STR("tok"),
                                    .give_up = {loop_now(db.loop).us + 10000000}};
}

static void on_answered(void *arg, struct err err, const struct payment_answer *answer) {
    struct service_call *c = arg;
    assert_false(c->done);
    assert_int_equal(err_is_set(err), answer == NULL);
    assert_true(!err_is_set(err) || torture_is_failing());
    c->err = err;
    c->answer = answer != NULL ? *answer : (struct payment_answer){0};
    c->done = true;
}

static struct service_call authorize_at(int i) {
    struct service_call c = {0};
    struct payment_request r = request_at(i);
    db.services.payments.authorize(db.services.payments.self, &r, on_answered, &c);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, service_is_done, &c));
    return c;
}

static struct service_call release_at(int i) {
    struct service_call c = {0};
    struct payment_request r = request_at(i);
    char key[64];
    (void)snprintf(key, sizeof key, "%d:release", i);
    db.services.payments.release(db.services.payments.self, &r, str_c(key), on_answered, &c);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, service_is_done, &c));
    return c;
}

/* Until it is known. */
static struct service_call repeat(struct service_call (*call)(int i), int i) {
    struct service_call c = {0};
    for (int k = 0; k < 40; k++) {
        c = call(i);
        if (c.answer.outcome != PAYMENT_PENDING) {
            break;
        }
        wait_ms(db.loop, c.answer.delay_ms);
    }
    return c;
}

static void scenario(void *arg) {
    (void)arg;
    struct module_run run;
    assert_in_range(requests_n, 0, REQUESTS_MAX - 1);
    int i = requests_n++;
    char text[UUID_TEXT_BYTES];
    requests[i].order = module_job_id(&db, "orders");
    requests[i].root = module_job_id(&db, "payments");
    uuid_text(requests[i].order, text);
    (void)snprintf(requests[i].key, sizeof requests[i].key, "%s:authorize", text);
    struct service_call c = authorize_at(i);
    if (err_is_set(c.err) || c.answer.outcome != PAYMENT_OK) {
        return;
    }
    module_run_start(&db, &run, "payment.capture", requests[i].root, 0, payload_of(c.answer.payment_id, ""));
    module_run_wait(&db, &run);
    assert_true(run.end.kind == END_FINISHED || torture_is_failing());
    bool captured = run.end.kind == END_FINISHED;
    module_run_free(&run);
    if (captured) {
        (void)release_at(i);
    }
}

static void test_memory__given_any_allocation_that_fails_then_every_request_still_ends_with_one_booking(void **state) {
    (void)state;
    db.conf.payments_call_ms = 60;
    torture(scenario, NULL);
    assert_true(requests_n > 50);
    for (int i = 0; i < requests_n; i++) {
        struct module_run run;
        struct service_call c = repeat(authorize_at, i);
        assert_int_equal(PAYMENT_OK, c.answer.outcome);
        job_run(&run, "payment.capture", requests[i].root, payload_of(c.answer.payment_id, ""));
        assert_int_equal(200, run.end.status);
        module_run_free(&run);
        assert_int_equal(PAYMENT_OK, repeat(release_at, i).answer.outcome);
        assert_payment("captured 1000 1000 0 1000 0 0", c.answer.payment_id);
    }
    assert_int_equal(3 * requests_n, fake->booked);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory__given_any_allocation_that_fails_then_every_request_still_ends_with_one_booking),
    };
    return cmocka_run_group_tests(tests, payments_db_setup, payments_db_teardown);
}
