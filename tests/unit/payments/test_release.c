#include "payments_db.h"

static int reset(void **state) {
    (void)state;
    fake_forget(fake);
    return 0;
}

static struct service_call release_until_known(const struct payment_request *r, const char *key) {
    struct service_call c;
    for (int i = 0; i < 40; i++) {
        c = release(r, key);
        assert_ok(c.err);
        if (c.answer.outcome != PAYMENT_PENDING) {
            return c;
        }
        wait_ms(db.loop, c.answer.delay_ms);
    }
    fail_msg("still pending");
    return c;
}

static void test_release__given_nothing_asked_for_then_a_later_authorize_is_declined(void **state) {
    (void)state;
    struct payment_request r = request_new();
    assert_int_equal(PAYMENT_OK, release(&r, "a:release").answer.outcome);
    struct service_call c = authorize(&r);
    assert_int_equal(PAYMENT_DECLINED, c.answer.outcome);
    assert_string_equal("canceled", c.code);
    assert_int_equal(0, fake->calls);
    assert_int_equal(PAYMENT_OK, release(&r, "a:release").answer.outcome);
    assert_payment("canceled 0 0 0 0 0 0", c.answer.payment_id);
}

static void test_release__given_each_state_then_everything_is_given_back(void **state) {
    (void)state;
    static const struct {
        const char *first, *second, *payment;
        int calls;
    } rows[] = {
        {NULL, NULL, "voided 1000 0 1000 0 0 0", 2},
        {",\"amount_minor\":300", NULL, "closed 1000 300 700 300 0 0", 4},
        {"", NULL, "captured 1000 1000 0 1000 0 0", 3},
        {"", ",\"amount_minor\":400", "captured 1000 1000 0 1000 0 0", 4},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct payment_request r;
        char key[64];
        fake_forget(fake);
        struct uuid p = authorized(&r);
        if (rows[i].first != NULL) {
            assert_int_equal(200, job_on("payment.capture", p, rows[i].first, NULL, 0));
        }
        if (rows[i].second != NULL) {
            assert_int_equal(201, job_on("payment.refund", p, rows[i].second, NULL, 0));
        }
        (void)snprintf(key, sizeof key, "b%zu:release", i);
        for (int k = 0; k < 2; k++) {
            assert_int_equal(PAYMENT_OK, release(&r, key).answer.outcome);
        }
        assert_payment(rows[i].payment, p);
        assert_int_equal(rows[i].calls, fake->calls);
        assert_int_equal(fake->calls, fake->booked);
    }
}

static void test_release__given_an_authorize_that_did_not_leave_then_it_never_will(void **state) {
    (void)state;
    struct payment_request r = request_new();
    fake->script[0] = FAKE_NOT_SENT;
    assert_int_equal(ERR_NET_NOT_SENT, authorize(&r).err.code);
    assert_int_equal(PAYMENT_OK, release(&r, "c:release").answer.outcome);
    struct service_call c = authorize(&r);
    assert_int_equal(PAYMENT_DECLINED, c.answer.outcome);
    assert_payment("canceled 0 0 0 0 0 0", c.answer.payment_id);
    assert_int_equal(1, fake->calls);
}

static void test_release__given_an_authorize_nobody_knows_of_then_it_asks_and_voids(void **state) {
    (void)state;
    static const struct {
        enum fake_script script;
        const char *payment;
        int booked;
    } rows[] = {{FAKE_LOSE_LOOKUP, "voided 1000 0 1000 0 0 0", 2}, {FAKE_DROP_BEFORE, "canceled 0 0 0 0 0 0", 0}};
    for (size_t i = 0; i < 2; i++) {
        struct payment_request r = request_new();
        fake_forget(fake);
        fake->script[0] = rows[i].script;
        struct uuid p = authorize(&r).answer.payment_id;
        struct service_call c = release_until_known(&r, i == 0 ? "d0:release" : "d1:release");
        assert_int_equal(PAYMENT_OK, c.answer.outcome);
        assert_payment(rows[i].payment, p);
        assert_int_equal(rows[i].booked, fake->booked);
    }
}

static void test_release__given_a_capture_on_its_way_then_it_is_waited_for_and_refunded(void **state) {
    (void)state;
    struct payment_request r;
    struct module_run run;
    struct uuid p = authorized(&r), root = module_job_id(&db, "payments");
    fake->script[1] = FAKE_HOLD;
    module_run_start(&db, &run, "payment.capture", root, 0, payload_of(p, ""));
    while (fake->calls < 2) {
        wait_ms(db.loop, 1);
    }
    assert_int_equal(PAYMENT_PENDING, release(&r, "e:release").answer.outcome);
    fake_let_go(fake);
    module_run_wait(&db, &run);
    module_run_free(&run);
    assert_int_equal(PAYMENT_OK, release_until_known(&r, "e:release").answer.outcome);
    assert_payment("captured 1000 1000 0 1000 0 0", p);
}

static void test_release__given_a_capture_that_did_not_leave_then_its_job_is_told(void **state) {
    (void)state;
    struct payment_request r;
    struct module_run run;
    struct uuid p = authorized(&r), root = module_job_id(&db, "payments");
    fake->script[1] = FAKE_NOT_SENT;
    module_run_start(&db, &run, "payment.capture", root, 0, payload_of(p, ""));
    module_run_wait(&db, &run);
    module_run_free(&run);
    assert_int_equal(PAYMENT_OK, release(&r, "f:release").answer.outcome);
    assert_payment("voided 1000 0 1000 0 0 0", p);
    job_run(&run, "payment.capture", root, payload_of(p, ""));
    assert_int_equal(409, run.end.status);
    assert_non_null(strstr(run.end.result.p, "operation_canceled"));
    module_run_free(&run);
    assert_string_equal("authorize:succeeded capture:canceled void:succeeded", ops_of(p));
}

static void test_release__given_two_at_once_then_one_void(void **state) {
    (void)state;
    struct payment_request r;
    struct service_call a = {0}, b = {0};
    struct uuid p = authorized(&r);
    db.services.payments.release(db.services.payments.self, &r, STR("g1:release"), on_service, &a);
    db.services.payments.release(db.services.payments.self, &r, STR("g2:release"), on_service, &b);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, service_is_done, &a));
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, service_is_done, &b));
    assert_int_equal(PAYMENT_OK, release_until_known(&r, "g1:release").answer.outcome);
    assert_int_equal(PAYMENT_OK, release_until_known(&r, "g2:release").answer.outcome);
    assert_payment("voided 1000 0 1000 0 0 0", p);
    assert_int_equal(2, fake->booked);
}

static void test_release__given_a_declined_void_then_it_says_so_and_another_key_may_try(void **state) {
    (void)state;
    struct payment_request r;
    struct uuid p = authorized(&r);
    fake->script[1] = FAKE_DECLINE;
    for (int i = 0; i < 2; i++) {
        struct service_call c = release(&r, "h:release:0");
        assert_int_equal(PAYMENT_DECLINED, c.answer.outcome);
        assert_string_equal("card_declined", c.code);
    }
    assert_payment("authorized 1000 0 0 0 0 0", p);
    assert_int_equal(PAYMENT_OK, release(&r, "h:release:1").answer.outcome);
    assert_int_equal(3, fake->calls);
}

static void test_release__given_a_void_of_somebody_else_then_it_is_sent_and_not_replaced(void **state) {
    (void)state;
    struct payment_request r;
    struct uuid p = authorized(&r);
    fake->script[1] = FAKE_NOT_SENT;
    assert_int_equal(ERR_NET_NOT_SENT, release(&r, "j1:release").err.code);
    assert_int_equal(PAYMENT_OK, release(&r, "j2:release").answer.outcome);
    assert_string_equal("authorize:succeeded void:succeeded", ops_of(p));
    assert_int_equal(PAYMENT_OK, release(&r, "j1:release").answer.outcome);
    assert_int_equal(2, fake->booked);
}

#define BY_HAND(set)                                                                                                      \
    "ALTER TABLE payments.payment_op DISABLE TRIGGER guard; UPDATE payments.payment_op SET " set                          \
    " WHERE id = (SELECT id FROM payments.payment_op ORDER BY created_at DESC LIMIT 1); ALTER TABLE payments.payment_op " \
    "ENABLE TRIGGER guard"

/* What a crash, or an answer, can leave behind at each point of an operation that a release opened. */
static const struct crash {
    enum fake_script script; /* of its first call */
    const char *by_hand;     /* what the answer made of the row is taken back; NULL: it is not */
} crashes[] = {
    {FAKE_NOT_SENT, BY_HAND("state = 'init', calls = 0, not_after = NULL")},    /* opened */
    {FAKE_NOT_SENT, BY_HAND("state = 'sent', not_after = now() + '50 ms'")},    /* gate passed, not sent */
    {FAKE_DROP_BEFORE, BY_HAND("state = 'sent', not_after = now() + '50 ms'")}, /* sent, lost */
    {FAKE_DROP_AFTER, BY_HAND("state = 'sent'")},                               /* sent and booked, the answer not recorded */
    {FAKE_DROP_BEFORE, NULL},
    {FAKE_DROP_AFTER, NULL},
    {FAKE_NOT_SENT, NULL},
    {FAKE_REFUSED, NULL},
};

/* key: of the call after the crash. */
static void crash_and_go_on(const struct crash *crash, bool captured, const char *key) {
    struct payment_request r;
    fake_forget(fake);
    struct uuid p = authorized(&r);
    if (captured) {
        assert_int_equal(200, job_on("payment.capture", p, "", NULL, 0));
    }
    fake->script[fake->calls] = crash->script;
    struct service_call c = release(&r, "k1:release");
    assert_true(err_is_set(c.err) || c.answer.outcome == PAYMENT_PENDING);
    if (crash->by_hand != NULL) {
        sql_run(db.admin, crash->by_hand);
    }
    assert_int_equal(PAYMENT_OK, release_until_known(&r, key).answer.outcome);
    assert_payment(captured ? "captured 1000 1000 0 1000 0 0" : "voided 1000 0 1000 0 0 0", p);
    assert_string_equal(
        captured ? "authorize:succeeded capture:succeeded refund:succeeded" : "authorize:succeeded void:succeeded", ops_of(p));
    assert_int_equal(captured ? 3 : 2, fake->booked);
    sql_run(db.admin, "UPDATE payments.payment_op SET key = id::text, version = version + 1 WHERE key LIKE 'k1:%'");
}

static void test_release__given_a_crash_at_any_point_then_the_next_call_goes_on_from_there(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof crashes / sizeof crashes[0]; i++) {
        crash_and_go_on(&crashes[i], false, "k1:release");
        crash_and_go_on(&crashes[i], true, "k1:release");
        crash_and_go_on(&crashes[i], true, "k2:release"); /* whoever comes by */
    }
}

static void test_release__given_what_a_job_has_not_sent_then_it_is_canceled_and_the_job_told(void **state) {
    (void)state;
    static const struct {
        bool captured;
        const char *type, *rest, *payment;
    } rows[] = {{false, "payment.capture", "", "voided 1000 0 1000 0 0 0"},
                {false, "payment.void", "", "voided 1000 0 1000 0 0 0"},
                {true, "payment.refund", ",\"amount_minor\":400", "captured 1000 1000 0 1000 0 0"}};
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        struct payment_request r;
        struct module_run run;
        char key[32];
        bool dead = i % 2 == 0;
        fake_forget(fake);
        struct uuid p = authorized(&r);
        if (rows[i / 2].captured) {
            assert_int_equal(200, job_on("payment.capture", p, "", NULL, 0));
        }
        struct uuid root = job_not_sent(rows[i / 2].type, p, rows[i / 2].rest);
        if (dead) {
            close_job(root, OUTCOME_DEAD);
        }
        (void)snprintf(key, sizeof key, "l%zu:release", i);
        assert_int_equal(PAYMENT_OK, release_until_known(&r, key).answer.outcome);
        assert_payment(rows[i / 2].payment, p);
        module_run_start(&db, &run, rows[i / 2].type, root, dead ? 1 : 0, payload_of(p, rows[i / 2].rest)); /* dead: replayed */
        module_run_wait(&db, &run);
        assert_int_equal(409, run.end.status);
        assert_non_null(strstr(run.end.result.p, "operation_canceled"));
        module_run_free(&run);
        assert_payment(rows[i / 2].payment, p);
    }
}

static void test_release__given_several_refunds_that_hang_then_each_is_taken_back(void **state) {
    (void)state;
    struct payment_request r;
    struct uuid p = authorized(&r);
    assert_int_equal(200, job_on("payment.capture", p, "", NULL, 0));
    for (int i = 0; i < 3; i++) {
        (void)job_not_sent("payment.refund", p, ",\"amount_minor\":300");
    }
    assert_int_equal(PAYMENT_OK, release_until_known(&r, "m:release").answer.outcome);
    assert_payment("captured 1000 1000 0 1000 0 0", p);
    assert_string_equal("authorize:succeeded capture:succeeded refund:canceled refund:canceled refund:canceled refund:succeeded",
                        ops_of(p));
}

static void test_release__given_a_refund_under_way_that_is_declined_then_what_it_leaves_is_refunded_too(void **state) {
    (void)state;
    struct payment_request r;
    struct module_run run;
    struct uuid p = authorized(&r), root = module_job_id(&db, "payments");
    assert_int_equal(200, job_on("payment.capture", p, "", NULL, 0));
    fake->script[2] = FAKE_DROP_BEFORE;
    module_run_start(&db, &run, "payment.refund", root, 0, payload_of(p, ",\"amount_minor\":400"));
    module_run_wait(&db, &run);
    assert_int_equal(END_LATER, run.end.kind);
    module_run_free(&run);
    assert_int_equal(PAYMENT_PENDING, release(&r, "n:release").answer.outcome);
    fake->script[fake->calls] = FAKE_DECLINE;
    job_run(&run, "payment.refund", root, payload_of(p, ",\"amount_minor\":400"));
    assert_int_equal(402, run.end.status);
    module_run_free(&run);
    assert_int_equal(PAYMENT_OK, release_until_known(&r, "n:release").answer.outcome);
    assert_payment("captured 1000 1000 0 1000 0 0", p);
}

static void test_release__given_a_refund_declined_under_a_key_then_another_amount_under_it_is_another_try(void **state) {
    (void)state;
    struct payment_request r;
    struct uuid p = authorized(&r);
    assert_int_equal(200, job_on("payment.capture", p, "", NULL, 0));
    fake->script[2] = FAKE_DECLINE;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(PAYMENT_DECLINED, release(&r, "o:release").answer.outcome);
    }
    assert_int_equal(3, fake->calls);
    assert_int_equal(201, job_on("payment.refund", p, ",\"amount_minor\":300", NULL, 0));
    assert_int_equal(PAYMENT_OK, release(&r, "o:release").answer.outcome);
    assert_payment("captured 1000 1000 0 1000 0 0", p);
}

static int holds(void) {
    int n = 0;
    for (int i = 0; i < fake->booked; i++) {
        n += fake->book[i].kind == OP_AUTHORIZE ? 1 : -1;
    }
    return n;
}

static void test_release__given_an_authorize_at_the_same_time_then_nothing_stays_held(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct payment_request r = request_new();
        struct service_call a = {0};
        char key[32];
        (void)snprintf(key, sizeof key, "i%d:release", i);
        db.services.payments.authorize(db.services.payments.self, &r, on_service, &a);
        wait_ms(db.loop, i % 5);
        assert_int_equal(PAYMENT_OK, release_until_known(&r, key).answer.outcome);
        assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, service_is_done, &a));
        assert_int_equal(0, holds());
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_release__given_nothing_asked_for_then_a_later_authorize_is_declined, reset),
        cmocka_unit_test_setup(test_release__given_each_state_then_everything_is_given_back, reset),
        cmocka_unit_test_setup(test_release__given_an_authorize_that_did_not_leave_then_it_never_will, reset),
        cmocka_unit_test_setup(test_release__given_an_authorize_nobody_knows_of_then_it_asks_and_voids, reset),
        cmocka_unit_test_setup(test_release__given_a_capture_on_its_way_then_it_is_waited_for_and_refunded, reset),
        cmocka_unit_test_setup(test_release__given_a_capture_that_did_not_leave_then_its_job_is_told, reset),
        cmocka_unit_test_setup(test_release__given_two_at_once_then_one_void, reset),
        cmocka_unit_test_setup(test_release__given_a_declined_void_then_it_says_so_and_another_key_may_try, reset),
        cmocka_unit_test_setup(test_release__given_a_void_of_somebody_else_then_it_is_sent_and_not_replaced, reset),
        cmocka_unit_test_setup(test_release__given_a_crash_at_any_point_then_the_next_call_goes_on_from_there, reset),
        cmocka_unit_test_setup(test_release__given_what_a_job_has_not_sent_then_it_is_canceled_and_the_job_told, reset),
        cmocka_unit_test_setup(test_release__given_several_refunds_that_hang_then_each_is_taken_back, reset),
        cmocka_unit_test_setup(test_release__given_a_refund_under_way_that_is_declined_then_what_it_leaves_is_refunded_too,
                               reset),
        cmocka_unit_test_setup(test_release__given_a_refund_declined_under_a_key_then_another_amount_under_it_is_another_try,
                               reset),
        cmocka_unit_test_setup(test_release__given_an_authorize_at_the_same_time_then_nothing_stays_held, reset),
    };
    return cmocka_run_group_tests(tests, payments_db_setup, payments_db_teardown);
}
