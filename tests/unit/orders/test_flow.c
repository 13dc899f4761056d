#include "orders_db.h"

static struct uuid new_root(void) { return module_job_id(&db, "orders"); }

/* Places an order to its end; its root. */
static struct uuid placed(const char *payload, int status) {
    struct uuid root = new_root();
    struct module_run r = run_once("order.place", root, 0, payload);
    assert_int_equal(END_FINISHED, r.end.kind);
    assert_int_equal(status, r.end.status);
    module_run_free(&r);
    return root;
}

static const char *cancel_payload(struct uuid order, const char *rest) {
    static char text[160];
    char id[UUID_TEXT_BYTES];
    uuid_text(order, id);
    (void)snprintf(text, sizeof text, "{\"order_id\":\"%s\"%s}", id, rest);
    return text;
}

static void test_flow__given_an_order_then_it_is_paid_for_confirmed_and_captured(void **state) {
    (void)state;
    struct uuid root = new_root(), capture;
    char expected[256], order[UUID_TEXT_BYTES], payment[UUID_TEXT_BYTES];
    struct module_run r = run_once("order.place", root, 0, ORDER("true"));
    uuid_text(root, order);
    uuid_text(pay.payment, payment);
    (void)snprintf(expected, sizeof expected,
                   "{\"order_id\":\"%s\",\"payment_id\":\"%s\",\"status\":\"confirmed\",\"version\":3}", order, payment);
    assert_int_equal(201, r.end.status);
    assert_int_equal(OUTCOME_DONE, r.end.outcome);
    assert_str(expected, r.end.result);
    assert_true(r.end.follow_ups);
    module_run_free(&r);
    assert_int_equal(2599, pay.amount);
    (void)snprintf(expected, sizeof expected, "%s:authorize", order);
    assert_string_equal(expected, pay.key);
    assert_string_equal("order.created order.confirmed", events_of(root));
    assert_string_equal("c@example.com 2599",
                        of_order(root, "(SELECT concat_ws(' ', data->'notify'->>'email', data->>'total_minor') "
                                       "FROM orders.event_outbox WHERE aggregate_id = o.id AND type = 'order.confirmed')"));
    assert_ok(id_derive(root, STR("capture"), (struct job_place){.queue_number = 2}, &capture));
    uuid_text(capture, order);
    (void)snprintf(expected, sizeof expected,
                   "SELECT concat_ws(' ', queue, type, convert_from(payload, 'UTF8')) FROM orders.job_outbox WHERE "
                   "id = '%s' AND root_id = id",
                   order);
    char job[256];
    (void)snprintf(job, sizeof job, "payments payment.capture {\"payment_id\":\"%s\"}", payment);
    assert_string_equal(job, sql_text(db.admin, expected));
    assert_string_equal("A \"x\", {y}",
                        of_order(root, "(SELECT title FROM orders.order_line WHERE order_id = o.id AND line_no = 1)"));
}

static void test_flow__given_no_wish_to_capture_then_there_is_no_follow_up(void **state) {
    (void)state;
    int before = sql_int(db.admin, "SELECT count(*) FROM orders.job_outbox");
    (void)placed(ORDER("false"), 201);
    assert_int_equal(before, sql_int(db.admin, "SELECT count(*) FROM orders.job_outbox"));
}

static void test_flow__given_a_repeated_attempt_then_it_takes_the_first_answer_over(void **state) {
    (void)state;
    struct uuid root = placed(ORDER("true"), 201);
    struct module_run r = run_once("order.place", root, 0, ORDER("true"));
    assert_true(r.end.absorbed);
    assert_int_equal(201, r.end.status);
    module_run_free(&r);
    assert_int_equal(1, pay.authorizes);
    assert_string_equal("order.created order.confirmed", events_of(root));
}

/* What a crash right after the insert leaves; by hand. */
static void make_placed(struct uuid order) {
    char sql[256], id[UUID_TEXT_BYTES];
    uuid_text(order, id);
    (void)snprintf(sql, sizeof sql,
                   "ALTER TABLE orders.orders DISABLE TRIGGER guard; UPDATE orders.orders SET status = 'placed', version = 1 "
                   "WHERE id = '%s'; ALTER TABLE orders.orders ENABLE TRIGGER guard",
                   id);
    sql_run(db.admin, sql);
}

static void test_flow__given_a_crash_at_any_step_then_the_next_attempt_goes_on(void **state) {
    (void)state;
    /* The statuses that a crash can leave behind: authorizing, and placed, which is made of it by hand. */
    for (int i = 0; i < 2; i++) {
        struct uuid root = new_root();
        pay.script[pay.calls] = PAY_NOT_SENT;
        struct module_run r = run_once("order.place", root, 0, ORDER("false"));
        assert_int_equal(END_FAILED, r.end.kind);
        module_run_free(&r);
        assert_string_equal("authorizing", of_order(root, "status"));
        if (i == 0) {
            make_placed(root);
        }
        r = run_once("order.place", root, 0, ORDER("false"));
        assert_int_equal(201, r.end.status);
        module_run_free(&r);
        assert_string_equal("confirmed 3", of_order(root, "status || ' ' || version"));
    }
}

static void test_flow__given_a_payment_that_is_not_decided_then_the_attempt_is_put_off_and_nothing_charged(void **state) {
    (void)state;
    static const enum pay_script scripts[] = {PAY_PENDING, PAY_CONFLICT};
    for (size_t i = 0; i < 2; i++) {
        struct uuid root = new_root();
        pay.script[pay.calls] = scripts[i];
        struct module_run r = run_once("order.place", root, 0, ORDER("false"));
        assert_int_equal(END_LATER, r.end.kind);
        assert_true(r.end.delay_ms > 0);
        module_run_free(&r);
        r = run_once("order.place", root, 0, ORDER("false"));
        assert_int_equal(201, r.end.status);
        module_run_free(&r);
    }
}

static void test_flow__given_a_decline_then_the_order_is_refused_with_402(void **state) {
    (void)state;
    struct uuid root = new_root();
    pay.script[0] = PAY_DECLINE;
    struct module_run r = run_once("order.place", root, 0, ORDER("true"));
    assert_int_equal(OUTCOME_DONE, r.end.outcome);
    assert_int_equal(402, r.end.status);
    assert_non_null(
        strstr(r.end.result.p, "\"code\":\"payment_declined\",\"detail\":\"the payment was declined: card_declined\""));
    module_run_free(&r);
    assert_string_equal("payment_failed", of_order(root, "status"));
    assert_string_equal("order.created order.payment_failed", events_of(root));
}

static void test_flow__given_a_total_that_cannot_be_then_422(void **state) {
    (void)state;
    (void)placed("{\"customer_id\":\"c\",\"currency\":\"EUR\",\"lines\":[{\"sku\":\"a\",\"title\":\"A\",\"qty\":2,\"unit_minor\":"
                 "9007199254740991}],\"payment\":{\"token\":\"tok_ok\"}}",
                 422);
    (void)placed(
        "{\"customer_id\":\"c\",\"currency\":\"EUR\",\"lines\":[{\"sku\":\"a\",\"title\":\"A\",\"qty\":2,\"unit_minor\":0}],"
        "\"payment\":{\"token\":\"tok_ok\"}}",
        422);
    assert_int_equal(0, pay.calls);
}

static void test_flow__given_a_cancel_request_before_the_order_then_nothing_is_placed(void **state) {
    (void)state;
    struct uuid root = new_root();
    request_cancel(root);
    struct module_run r = run_once("order.place", root, 0, ORDER("true"));
    assert_int_equal(OUTCOME_CANCELLED, r.end.outcome);
    module_run_free(&r);
    assert_string_equal("", of_order(root, "status"));
    assert_int_equal(0, pay.calls);
}

static void test_flow__given_a_cancel_request_while_it_is_paid_for_then_the_money_goes_back(void **state) {
    (void)state;
    struct uuid root = new_root();
    struct module_run r;
    pay.script[0] = PAY_HOLD;
    module_run_start(&db, &r, "order.place", root, 0, ORDER("true"));
    while (pay.calls == 0) {
        wait_ms(db.loop, 1);
    }
    request_cancel(root);
    pay_answer(NULL); /* authorized: but the order must not be confirmed any more */
    module_run_wait(&db, &r);
    assert_int_equal(END_FAILED, r.end.kind);
    assert_int_equal(ERR_CLASS_CONFLICT, err_class(r.end.err.code));
    module_run_free(&r);
    pay.script[1] = PAY_PENDING;
    r = run_once("order.place", root, 0, ORDER("true"));
    assert_int_equal(END_LATER, r.end.kind);
    module_run_free(&r);
    assert_string_equal("canceling", of_order(root, "status"));
    r = run_once("order.place", root, 0, ORDER("true"));
    assert_int_equal(OUTCOME_CANCELLED, r.end.outcome);
    module_run_free(&r);
    assert_string_equal("canceled", of_order(root, "status"));
    assert_string_equal("order.created order.canceled", events_of(root));
    assert_int_equal(1, pay.authorizes);
    assert_int_equal(2, pay.releases);
}

static void test_flow__given_order_cancel_then_a_confirmed_order_is_canceled(void **state) {
    (void)state;
    struct uuid order = placed(ORDER("true"), 201), root = new_root();
    struct module_run r = run_once("order.cancel", root, 0, cancel_payload(order, ",\"if_version\":3"));
    assert_int_equal(200, r.end.status);
    assert_non_null(strstr(r.end.result.p, "\"status\":\"canceled\",\"version\":5"));
    module_run_free(&r);
    assert_string_equal("canceled 5", of_order(order, "status || ' ' || version"));
    assert_string_equal("order.created order.confirmed order.canceled", events_of(order));
    char key[80], text[UUID_TEXT_BYTES];
    uuid_text(root, text);
    (void)snprintf(key, sizeof key, "%s:release:0", text);
    assert_string_equal(key, pay.release_key);
    r = run_once("order.cancel", root, 0, cancel_payload(order, ",\"if_version\":3"));
    assert_int_equal(200, r.end.status);
    assert_true(r.end.absorbed);
    module_run_free(&r);
    assert_int_equal(1, pay.releases);
}

static int cancel_status(struct uuid order, const char *rest) {
    struct module_run r = run_once("order.cancel", new_root(), 0, cancel_payload(order, rest));
    assert_int_equal(END_FINISHED, r.end.kind);
    assert_int_equal(OUTCOME_DONE, r.end.outcome);
    module_run_free(&r);
    return r.end.status;
}

static void test_flow__given_what_cannot_be_canceled_then_refusals(void **state) {
    (void)state;
    assert_int_equal(404, cancel_status(new_root(), ""));
    pay.script[0] = PAY_DECLINE;
    struct uuid failed = placed(ORDER("true"), 402), order = placed(ORDER("true"), 201);
    assert_int_equal(409, cancel_status(failed, ""));
    assert_int_equal(412, cancel_status(order, ",\"if_version\":2"));
    pay.script[2] = PAY_DECLINE;
    assert_int_equal(409, cancel_status(order, ""));
    assert_string_equal("canceling", of_order(order, "status"));
    assert_int_equal(200, cancel_status(order, "")); /* what was in the way is gone: another one may try */
    assert_int_equal(409, cancel_status(order, ""));
}

static void test_flow__given_order_cancel_while_it_is_placed_then_that_flow_cancels_it(void **state) {
    (void)state;
    struct uuid order = new_root(), root = new_root();
    struct module_run place, cancel;
    pay.script[0] = PAY_HOLD;
    module_run_start(&db, &place, "order.place", order, 0, ORDER("true"));
    while (pay.calls == 0) {
        wait_ms(db.loop, 1);
    }
    cancel = run_once("order.cancel", root, 0, cancel_payload(order, ""));
    assert_int_equal(END_LATER, cancel.end.kind);
    module_run_free(&cancel);
    pay_answer(NULL);
    module_run_wait(&db, &place);
    assert_int_equal(END_FAILED, place.end.kind);
    module_run_free(&place);
    place = run_once("order.place", order, 0, ORDER("true"));
    assert_int_equal(OUTCOME_CANCELLED, place.end.outcome);
    module_run_free(&place);
    cancel = run_once("order.cancel", root, 0, cancel_payload(order, ""));
    assert_int_equal(200, cancel.end.status);
    module_run_free(&cancel);
}

static void on_closed(void *arg, struct err err, const struct effect_row *row) {
    assert_ok(err);
    assert_true(row->fresh);
    *(bool *)arg = true;
}

static void close_job(struct uuid root, enum job_outcome outcome) {
    bool closed = false;
    effect_close(&db.env, root, 0, outcome, 0, STR_NONE, on_closed, &closed);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, module_db_flag_, &closed));
}

static void test_flow__given_a_flow_that_expired_then_order_release_gives_the_money_back(void **state) {
    (void)state;
    struct uuid order = new_root();
    pay.script[0] = PAY_PENDING;
    struct module_run r = run_once("order.place", order, 0, ORDER("true"));
    module_run_free(&r);
    close_job(order, OUTCOME_EXPIRED);
    assert_string_equal("expired", of_order(order, "status"));
    assert_string_equal("order.created order.expired", events_of(order));
    assert_string_equal("true", /* events are kept by the time in their ids */
                        of_order(order, "(SELECT bool_and(left(e.id::text, 5) = left(o.id::text, 5)) FROM orders.event_outbox e "
                                        "WHERE e.aggregate_id = o.id)::text"));
    const char *payload =
        of_order(order, "(SELECT convert_from(payload, 'UTF8') FROM orders.job_outbox j WHERE type = 'order.release' "
                        "AND j.id = orders.sibling_id(o.id, 'release'))");
    r = run_once("order.release", new_root(), 0, payload);
    assert_int_equal(200, r.end.status);
    module_run_free(&r);
    assert_int_equal(1, pay.releases);
    r = run_once("order.place", order, 0, ORDER("true")); /* a runner that comes late */
    assert_int_equal(OUTCOME_EXPIRED, r.end.outcome);
    module_run_free(&r);
    assert_int_equal(1, pay.authorizes);
}

/* One attempt of a job whose deadline has passed. */
static struct module_run run_late(const char *type, struct uuid root, const char *payload) {
    struct module_run *r = calloc(1, sizeof *r), copy;
    assert_non_null(r);
    module_run_prepare(&db, r, type, root, 0, payload);
    r->attempt.job.deadline.ms = loop_wall(db.loop).ms - 1;
    r->attempt.type->start(&r->attempt);
    module_run_wait(&db, r);
    copy = *r;
    free(r);
    return copy;
}

static void test_flow__given_a_deadline_that_passed_then_no_payment_is_asked_for(void **state) {
    (void)state;
    struct uuid fresh = new_root(), order = new_root();
    for (int i = 0; i < 2; i++) { /* the second attempt takes the first one's end over */
        struct module_run r = run_late("order.place", fresh, ORDER("true"));
        assert_int_equal(OUTCOME_EXPIRED, r.end.outcome);
        assert_int_equal(410, r.end.status);
        module_run_free(&r);
    }
    assert_string_equal("", of_order(fresh, "status"));
    pay.script[0] = PAY_NOT_SENT;
    struct module_run r = run_once("order.place", order, 0, ORDER("true"));
    module_run_free(&r);
    make_placed(order);
    r = run_late("order.place", order, ORDER("true"));
    assert_int_equal(OUTCOME_EXPIRED, r.end.outcome);
    module_run_free(&r);
    assert_string_equal("expired", of_order(order, "status"));
    assert_string_equal("order.created order.expired", events_of(order));
    assert_int_equal(1, pay.authorizes); /* that of the attempt in time */
}

static void test_flow__given_a_deadline_that_passed_while_it_is_paid_for_then_it_goes_on(void **state) {
    (void)state;
    struct uuid order = new_root();
    pay.script[0] = PAY_NOT_SENT;
    struct module_run r = run_once("order.place", order, 0, ORDER("false"));
    module_run_free(&r);
    r = run_late("order.place", order, ORDER("false"));
    assert_int_equal(201, r.end.status);
    module_run_free(&r);
}

static void test_flow__given_an_order_cancel_past_its_deadline_then_nothing_is_canceled(void **state) {
    (void)state;
    struct uuid order = placed(ORDER("true"), 201), begun = new_root();
    struct module_run r = run_late("order.cancel", new_root(), cancel_payload(order, ""));
    assert_int_equal(OUTCOME_EXPIRED, r.end.outcome);
    module_run_free(&r);
    assert_string_equal("confirmed", of_order(order, "status"));
    pay.script[pay.calls] = PAY_PENDING;
    r = run_once("order.cancel", begun, 0, cancel_payload(order, ""));
    assert_int_equal(END_LATER, r.end.kind);
    module_run_free(&r);
    r = run_late("order.cancel", begun, cancel_payload(order, ""));
    assert_int_equal(200, r.end.status);
    module_run_free(&r);
}

static void test_flow__given_a_frozen_payment_then_the_order_is_neither_refused_nor_confirmed(void **state) {
    (void)state;
    struct uuid order = new_root();
    char payment[UUID_TEXT_BYTES];
    uuid_text(pay.payment, payment);
    pay.script[0] = PAY_FROZEN;
    struct module_run r = run_once("order.place", order, 0, ORDER("true"));
    assert_int_equal(OUTCOME_DONE, r.end.outcome);
    assert_int_equal(409, r.end.status);
    assert_non_null(strstr(r.end.result.p, "\"code\":\"payment_frozen\""));
    assert_non_null(strstr(r.end.result.p, payment));
    module_run_free(&r);
    assert_string_equal("authorizing", of_order(order, "status"));
    assert_string_equal("order.created", events_of(order));
    pay.script[1] = PAY_FROZEN; /* and a cancellation does not wait for the job that has ended */
    assert_int_equal(409, cancel_status(order, ""));
    assert_string_equal("canceling", of_order(order, "status"));
    assert_int_equal(200, cancel_status(order, "")); /* a person has decided */
    assert_string_equal("canceled", of_order(order, "status"));
}

static void test_flow__given_a_dead_flow_then_a_replay_goes_on_or_order_cancel_ends_it(void **state) {
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct uuid order = new_root();
        pay.script[pay.calls] = PAY_NOT_SENT;
        struct module_run r = run_once("order.place", order, 0, ORDER("true"));
        module_run_free(&r);
        close_job(order, OUTCOME_DEAD);
        if (i == 0) {
            assert_int_equal(200, cancel_status(order, ""));
        }
        r = run_once("order.place", order, 1, ORDER("true"));
        assert_int_equal(i == 0 ? OUTCOME_CANCELLED : OUTCOME_DONE, r.end.outcome);
        assert_int_equal(i == 0 ? 409 : 201, r.end.status);
        module_run_free(&r);
        assert_string_equal(i == 0 ? "canceled" : "confirmed", of_order(order, "status"));
    }
}

static void on_left(void *arg, struct err err) {
    assert_ok(err);
    *(bool *)arg = true;
}

static void test_flow__given_order_place_that_is_to_be_dead_then_payments_hears_of_it(void **state) {
    (void)state;
    char expected[64], text[UUID_TEXT_BYTES];
    struct uuid order = new_root();
    bool left = false;
    uuid_text(order, text);
    (void)snprintf(expected, sizeof expected, "%s:authorize", text);
    assert_string_equal("order.place", orders_module.types[0].name);
    orders_module.types[0].leave(&db.env, order, on_left, &left);
    assert_true(left);
    assert_string_equal(expected, pay.left_key);
}

struct viewing {
    bool done;
    struct err err;
    char json[2048];
    int64_t version;
};
static void on_view(void *arg, struct err err, const struct view *view) {
    struct viewing *v = arg;
    v->err = err;
    if (view != NULL) {
        v->version = view->version;
        (void)snprintf(v->json, sizeof v->json, "%.*s", STR_ARG(view->json));
    }
    v->done = true;
}

static void test_flow__given_get_then_the_view_and_only_for_its_tenant(void **state) {
    (void)state;
    struct uuid order = placed(ORDER("true"), 201);
    struct viewing v = {0}, other = {0};
    db.services.orders.get(db.services.orders.self, STR("default"), order, on_view, &v);
    db.services.orders.get(db.services.orders.self, STR("other"), order, on_view, &other);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, module_db_flag_, &v.done));
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, module_db_flag_, &other.done));
    assert_err(ERR_NOT_FOUND, other.err);
    assert_ok(v.err);
    assert_int_equal(3, v.version);
    assert_non_null(strstr(
        v.json, "\"status\":\"confirmed\",\"version\":3,\"customer_id\":\"c1\",\"currency\":\"EUR\",\"total_minor\":2599"));
    assert_non_null(
        strstr(v.json, "{\"line_no\":2,\"sku\":\"b\",\"title\":\"B\",\"qty\":1,\"unit_minor\":99,\"total_minor\":99}"));
    assert_non_null(strstr(v.json, "\"event\":\"order.confirmed\""));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_flow__given_an_order_then_it_is_paid_for_confirmed_and_captured, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_no_wish_to_capture_then_there_is_no_follow_up, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_a_repeated_attempt_then_it_takes_the_first_answer_over, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_a_crash_at_any_step_then_the_next_attempt_goes_on, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_a_payment_that_is_not_decided_then_the_attempt_is_put_off_and_nothing_charged,
                               orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_a_decline_then_the_order_is_refused_with_402, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_a_total_that_cannot_be_then_422, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_a_cancel_request_before_the_order_then_nothing_is_placed, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_a_cancel_request_while_it_is_paid_for_then_the_money_goes_back, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_order_cancel_then_a_confirmed_order_is_canceled, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_what_cannot_be_canceled_then_refusals, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_order_cancel_while_it_is_placed_then_that_flow_cancels_it, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_a_flow_that_expired_then_order_release_gives_the_money_back, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_a_dead_flow_then_a_replay_goes_on_or_order_cancel_ends_it, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_a_deadline_that_passed_then_no_payment_is_asked_for, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_a_deadline_that_passed_while_it_is_paid_for_then_it_goes_on, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_an_order_cancel_past_its_deadline_then_nothing_is_canceled, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_a_frozen_payment_then_the_order_is_neither_refused_nor_confirmed,
                               orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_order_place_that_is_to_be_dead_then_payments_hears_of_it, orders_db_reset),
        cmocka_unit_test_setup(test_flow__given_get_then_the_view_and_only_for_its_tenant, orders_db_reset),
    };
    return cmocka_run_group_tests(tests, orders_db_setup, orders_db_teardown);
}
