/* The k-th allocation fails, in the middle of charging: everything ends exactly once, and afterwards each request can be brought
 * to its end with one booking. */
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
                                    .give_up = {loop_wall(db.loop).ms + 10000}};
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
    module_run_free(&run);
}

static void test_memory__given_any_allocation_that_fails_then_every_request_still_ends_with_one_booking(void **state) {
    (void)state;
    db.conf.payments_call_ms = 60;
    torture(scenario, NULL);
    assert_true(requests_n > 50);
    for (int i = 0; i < requests_n; i++) {
        struct service_call c = {0};
        struct module_run run;
        for (int k = 0; k < 40; k++) {
            c = authorize_at(i);
            if (c.answer.outcome != PAYMENT_PENDING) {
                break;
            }
            wait_ms(db.loop, c.answer.delay_ms);
        }
        assert_int_equal(PAYMENT_OK, c.answer.outcome);
        job_run(&run, "payment.capture", requests[i].root, payload_of(c.answer.payment_id, ""));
        assert_int_equal(200, run.end.status);
        module_run_free(&run);
        assert_payment("captured 1000 1000 0 0 0 0", c.answer.payment_id);
    }
    assert_int_equal(2 * requests_n, fake->booked);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory__given_any_allocation_that_fails_then_every_request_still_ends_with_one_booking),
    };
    return cmocka_run_group_tests(tests, payments_db_setup, payments_db_teardown);
}
