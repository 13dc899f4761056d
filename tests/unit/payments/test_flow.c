#include "payments_db.h"

#include "../../../jobs/payments/src/statements.h"

static int reset(void **state) {
    (void)state;
    fake_forget(fake);
    return 0;
}

static void test_flow__given_a_request_then_it_is_authorized_once_under_its_key(void **state) {
    (void)state;
    struct payment_request r;
    struct uuid p = authorized(&r);
    struct service_call again = authorize(&r);
    assert_ok(again.err);
    assert_int_equal(PAYMENT_OK, again.answer.outcome);
    assert_true(uuid_eq(p, again.answer.payment_id));
    assert_int_equal(1, fake->booked);
    assert_payment("authorized 1000 0 0 0 0 0", p);
    assert_string_equal("payment.authorized", events_of(p));
}

static void test_flow__given_a_decline_then_the_payment_failed_and_the_key_remembers(void **state) {
    (void)state;
    struct payment_request r = request_new();
    fake->script[0] = FAKE_DECLINE;
    struct service_call c = authorize(&r);
    assert_int_equal(PAYMENT_DECLINED, c.answer.outcome);
    assert_string_equal("card_declined", c.code);
    c = authorize(&r);
    assert_int_equal(PAYMENT_DECLINED, c.answer.outcome);
    assert_int_equal(1, fake->calls);
    assert_payment("failed 0 0 0 0 0 0", c.answer.payment_id);
}

static struct service_call authorize_until_known(const struct payment_request *r) {
    struct service_call c;
    for (int i = 0; i < 40; i++) {
        c = authorize(r);
        assert_ok(c.err);
        if (c.answer.outcome != PAYMENT_PENDING) {
            return c;
        }
        wait_ms(db.loop, c.answer.delay_ms);
    }
    fail_msg("still pending");
    return c;
}

static void test_flow__given_no_answer_but_a_booking_then_asking_finds_it(void **state) {
    (void)state;
    struct payment_request r = request_new();
    fake->script[0] = FAKE_LOSE_LOOKUP;
    struct service_call c = authorize(&r);
    assert_int_equal(PAYMENT_PENDING, c.answer.outcome);
    assert_payment("unknown 0 0 0 0 0 0", c.answer.payment_id);
    c = authorize_until_known(&r);
    assert_int_equal(PAYMENT_OK, c.answer.outcome);
    assert_int_equal(1, fake->booked);
    assert_int_equal(1, fake->calls);
    assert_string_equal("payment.unknown payment.authorized", events_of(c.answer.payment_id));
}

static void test_flow__given_no_answer_and_no_booking_then_it_is_sent_again_only_when_it_is_late(void **state) {
    (void)state;
    struct payment_request r = request_new();
    fake->script[0] = FAKE_DROP_BEFORE;
    struct wall begin = loop_wall(db.loop);
    struct service_call c = authorize_until_known(&r);
    assert_int_equal(PAYMENT_OK, c.answer.outcome);
    assert_int_equal(2, fake->calls);
    assert_int_equal(1, fake->booked);
    assert_true(loop_wall(db.loop).ms - begin.ms >= CALL_MS + LATENESS_MS);
    assert_string_equal("2",
                        of_payment(c.answer.payment_id, "(SELECT calls FROM payments.payment_op o WHERE o.payment_id = p.id)"));
}

static void test_flow__given_an_unknown_outcome_then_a_sync_job_is_left_that_finds_it_out(void **state) {
    (void)state;
    struct payment_request r = request_new();
    struct module_run run;
    fake->script[0] = FAKE_DROP_AFTER;
    struct uuid p = authorize(&r).answer.payment_id;
    const char *op = of_payment(p, "(SELECT id FROM payments.payment_op o WHERE o.payment_id = p.id)");
    char sql[256], payload[128];
    (void)snprintf(payload, sizeof payload, "{\"op_id\":\"%s\"}", op);
    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM payments.job_outbox WHERE type = 'payment.sync' AND due_at > now() AND "
                   "convert_from(payload, 'UTF8') = '%s'",
                   payload);
    assert_int_equal(1, sql_int(db.admin, sql));
    job_run(&run, "payment.sync", module_job_id(&db, "payments"), payload);
    assert_int_equal(END_FINISHED, run.end.kind);
    assert_int_equal(200, run.end.status);
    module_run_free(&run);
    assert_payment("authorized 1000 0 0 0 0 0", p);
    assert_int_equal(1, fake->calls);
}

static void test_flow__given_a_provider_that_cannot_be_reached_then_the_error_says_so_and_nothing_is_undecided(void **state) {
    (void)state;
    static const enum fake_script scripts[] = {FAKE_NOT_SENT, FAKE_REFUSED};
    for (size_t i = 0; i < 2; i++) {
        struct payment_request r = request_new();
        fake_forget(fake);
        fake->script[0] = scripts[i];
        struct service_call c = authorize(&r);
        assert_int_equal(ERR_CLASS_TRANSIENT, err_class(c.err.code));
        c = authorize(&r);
        assert_int_equal(PAYMENT_OK, c.answer.outcome);
        assert_int_equal(2, fake->calls);
        assert_int_equal(0, fake->lookups);
    }
}

static void test_flow__given_a_booking_that_does_not_fit_then_the_payment_is_frozen(void **state) {
    (void)state;
    static const struct {
        enum fake_script script;
        const char *field;
    } rows[] = {{FAKE_WRONG_AMOUNT, "amount"},
                {FAKE_WRONG_CURRENCY, "currency"},
                {FAKE_SAME_REF, "provider_ref"},
                {FAKE_WRONG_SAME_REF, "amount"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct payment_request r = request_new();
        fake->script[fake->calls] = rows[i].script;
        struct service_call c = authorize(&r);
        assert_ok(c.err);
        assert_int_equal(PAYMENT_FROZEN, c.answer.outcome);
        assert_string_equal("integrity_failed", c.code);
        assert_payment("frozen 0 0 0 0 0 0", c.answer.payment_id);
        assert_string_equal(rows[i].field, of_payment(c.answer.payment_id, "(SELECT data->>'field' FROM payments.event_outbox "
                                                                           "WHERE aggregate_id = p.id)"));
        int calls = fake->calls;
        assert_int_equal(409, job_on("payment.capture", c.answer.payment_id, "", NULL, 0));
        assert_int_equal(PAYMENT_FROZEN, release(&r, "x:release").answer.outcome);
        assert_int_equal(calls, fake->calls);
    }
}

static void test_flow__given_captures_and_refunds_then_sums_ledger_and_answers_agree(void **state) {
    (void)state;
    char result[2048];
    struct uuid p = authorized(NULL);
    assert_int_equal(200, job_on("payment.capture", p, ",\"amount_minor\":300", result, sizeof result));
    assert_non_null(strstr(result, "\"status\":\"partially_captured\""));
    assert_non_null(strstr(result, "\"captured_minor\":300"));
    assert_int_equal(422, job_on("payment.capture", p, ",\"amount_minor\":701", NULL, 0));
    assert_int_equal(200, job_on("payment.capture", p, "", NULL, 0));
    assert_payment("captured 1000 1000 0 0 0 0", p);
    assert_int_equal(409, job_on("payment.void", p, "", result, sizeof result));
    assert_non_null(strstr(result, "\"allowed\":[\"refund\"]"));
    assert_int_equal(201, job_on("payment.refund", p, ",\"amount_minor\":400,\"reason\":\"broken\"", result, sizeof result));
    assert_non_null(strstr(result, "\"status\":\"succeeded\",\"amount_minor\":400"));
    assert_int_equal(422, job_on("payment.refund", p, ",\"amount_minor\":601", NULL, 0));
    assert_payment("captured 1000 1000 0 400 0 0", p);
    assert_string_equal("600", of_payment(p, "(SELECT sum(l.amount) FROM payments.ledger_entry l JOIN payments.payment_op o ON "
                                             "o.id = l.op_id WHERE o.payment_id = p.id AND account = 'provider_receivable')"));
    assert_string_equal("payment.authorized payment.captured payment.captured refund.succeeded", events_of(p));
    assert_int_equal(4, fake->booked);
}

static void test_flow__given_a_partial_capture_then_void_gives_the_rest_back(void **state) {
    (void)state;
    struct uuid p = authorized(NULL), q = authorized(NULL);
    assert_int_equal(200, job_on("payment.capture", p, ",\"amount_minor\":300", NULL, 0));
    assert_int_equal(200, job_on("payment.void", p, "", NULL, 0));
    assert_payment("closed 1000 300 700 0 0 0", p);
    assert_int_equal(200, job_on("payment.void", q, "", NULL, 0));
    assert_payment("voided 1000 0 1000 0 0 0", q);
}

static void test_flow__given_what_cannot_be_then_the_job_is_done_with_a_refusal(void **state) {
    (void)state;
    char result[2048];
    struct uuid p = authorized(NULL);
    assert_int_equal(404, job_on("payment.capture", module_job_id(&db, "payments"), "", result, sizeof result));
    assert_non_null(strstr(result, "\"type\":\"/problems/payment-not-found\""));
    assert_int_equal(412, job_on("payment.capture", p, ",\"if_version\":1", NULL, 0));
    assert_int_equal(409, job_on("payment.refund", p, ",\"amount_minor\":1", result, sizeof result));
    assert_non_null(strstr(result, "\"allowed\":[\"capture\",\"void\"]"));
    assert_int_equal(422, job_on("payment.capture", p, ",\"amount_minor\":1001", NULL, 0));
    char version[64];
    (void)snprintf(version, sizeof version, ",\"if_version\":%s", of_payment(p, "version"));
    assert_int_equal(200, job_on("payment.capture", p, version, NULL, 0));
}

static void test_flow__given_a_declined_capture_then_what_was_reserved_is_free_again(void **state) {
    (void)state;
    struct uuid p = authorized(NULL);
    fake->script[1] = FAKE_DECLINE;
    assert_int_equal(402, job_on("payment.capture", p, ",\"amount_minor\":300", NULL, 0));
    assert_payment("authorized 1000 0 0 0 0 0", p);
    fake->script[3] = FAKE_DECLINE;
    assert_int_equal(200, job_on("payment.capture", p, ",\"amount_minor\":300", NULL, 0));
    assert_int_equal(402, job_on("payment.refund", p, ",\"amount_minor\":300", NULL, 0));
    assert_payment("partially_captured 1000 300 0 0 0 0", p);
    fake->script[4] = FAKE_DECLINE;
    assert_int_equal(402, job_on("payment.void", p, "", NULL, 0));
    assert_payment("partially_captured 1000 300 0 0 0 0", p);
}

static void test_flow__given_a_repeated_job_then_it_answers_the_same_and_calls_nobody(void **state) {
    (void)state;
    struct module_run run;
    struct uuid p = authorized(NULL), root = module_job_id(&db, "payments");
    char first[2048], second[2048];
    for (int i = 0; i < 2; i++) {
        job_run(&run, "payment.capture", root, payload_of(p, ""));
        (void)snprintf(i == 0 ? first : second, sizeof first, "%.*s", STR_ARG(run.end.result));
        assert_int_equal(i == 1, run.end.absorbed);
        assert_false(run.end.stale);
        module_run_free(&run);
    }
    assert_string_equal(first, second);
    assert_int_equal(2, fake->calls);
}

/* A worker stopped between gate and call; another asks, waits until it cannot be booked any more, sends; then the first wakes up. */
static void test_flow__given_a_runner_that_sleeps_past_not_after_then_its_call_books_nothing(void **state) {
    (void)state;
    struct module_run sleeper, other;
    struct uuid p = authorized(NULL), root = module_job_id(&db, "payments");
    fake->script[1] = FAKE_HOLD;
    module_run_start(&db, &sleeper, "payment.capture", root, 0, payload_of(p, ""));
    while (fake->calls < 2) {
        wait_ms(db.loop, 1);
    }
    job_run(&other, "payment.capture", root, payload_of(p, ""));
    assert_int_equal(200, other.end.status);
    assert_int_equal(2, fake->booked);
    fake_let_go(fake);
    module_run_wait(&db, &sleeper);
    assert_int_equal(2, fake->booked);
    assert_payment("captured 1000 1000 0 0 0 0", p);
    module_run_free(&sleeper);
    module_run_free(&other);
}

static void test_flow__given_a_cancel_request_then_what_did_not_leave_never_leaves(void **state) {
    (void)state;
    struct module_run run;
    char sql[256], text[UUID_TEXT_BYTES];
    struct uuid p = authorized(NULL), root = module_job_id(&db, "payments");
    fake->script[1] = FAKE_NOT_SENT;
    module_run_start(&db, &run, "payment.capture", root, 0, payload_of(p, ""));
    module_run_wait(&db, &run);
    assert_int_equal(END_FAILED, run.end.kind);
    module_run_free(&run);
    assert_payment("capturing 1000 0 0 0 1000 0", p);
    uuid_text(root, text);
    (void)snprintf(sql, sizeof sql, "INSERT INTO payments.effect VALUES ('%s', 'cancel_request', 0, 'done', 0)", text);
    sql_run(db.admin, sql);
    job_run(&run, "payment.capture", root, payload_of(p, ""));
    assert_int_equal(OUTCOME_CANCELLED, run.end.outcome);
    module_run_free(&run);
    assert_payment("authorized 1000 0 0 0 0 0", p);
    assert_int_equal(2, fake->calls);
    root = module_job_id(&db, "payments"); /* and one that is cancelled before its first attempt */
    uuid_text(root, text);
    (void)snprintf(sql, sizeof sql, "INSERT INTO payments.effect VALUES ('%s', 'cancel_request', 0, 'done', 0)", text);
    sql_run(db.admin, sql);
    job_run(&run, "payment.capture", root, payload_of(p, ""));
    assert_int_equal(OUTCOME_CANCELLED, run.end.outcome);
    module_run_free(&run);
    assert_int_equal(2, fake->calls);
    assert_string_equal("authorize:succeeded capture:canceled", ops_of(p)); /* the second one opened nothing */
}

/* One attempt of a job whose deadline has passed; its status. */
static int late_attempt(const char *type, struct uuid root, struct uuid payment, enum job_outcome *out_outcome) {
    struct module_run run;
    module_run_prepare(&db, &run, type, root, 0, payload_of(payment, ",\"amount_minor\":300"));
    run.attempt.job.deadline.ms = loop_wall(db.loop).ms - 1;
    run.attempt.type->start(&run.attempt);
    module_run_wait(&db, &run);
    assert_int_equal(END_FINISHED, run.end.kind);
    *out_outcome = run.end.outcome;
    int status = run.end.status;
    module_run_free(&run);
    return status;
}

static void test_flow__given_a_deadline_that_passed_then_nothing_is_begun_but_what_was_begun_goes_on(void **state) {
    (void)state;
    enum job_outcome outcome;
    struct uuid p = authorized(NULL), fresh = module_job_id(&db, "payments");
    for (int i = 0; i < 2; i++) { /* the second attempt takes the first one's end over */
        assert_int_equal(410, late_attempt("payment.capture", fresh, p, &outcome));
        assert_int_equal(OUTCOME_EXPIRED, outcome);
    }
    assert_payment("authorized 1000 0 0 0 0 0", p);
    assert_int_equal(1, fake->calls);
    struct uuid begun = job_not_sent("payment.capture", p, ",\"amount_minor\":300");
    assert_int_equal(200, late_attempt("payment.capture", begun, p, &outcome));
    assert_int_equal(OUTCOME_DONE, outcome);
    assert_payment("partially_captured 1000 300 0 0 0 0", p);
    assert_string_equal("authorize:succeeded capture:succeeded", ops_of(p));
}

/* What a statement of another runner does, not committed yet. */
static void other_runner(const struct pg_stmt *stmt, const char *const *values) {
    sql_run(db.admin, "BEGIN");
    PGresult *res = PQexecParams(db.admin, stmt->sql, stmt->params, NULL, values, NULL, NULL, 0);
    assert_int_equal(1, PQntuples(res));
    PQclear(res);
}

/* An attempt that comes upon it, and what it ends with once that is committed. */
static enum err_code loser(struct uuid root, struct uuid payment, int64_t deadline_ms) {
    struct module_run run;
    module_run_prepare(&db, &run, "payment.capture", root, 0, payload_of(payment, ",\"amount_minor\":300"));
    run.attempt.job.deadline.ms = deadline_ms;
    run.attempt.type->start(&run.attempt);
    while (run.ends == 0 && sql_int(db.admin, "SELECT count(*) FROM pg_locks WHERE NOT granted") < 1) {
        wait_ms(db.loop, 1);
    }
    sql_run(db.admin, "COMMIT");
    module_run_wait(&db, &run);
    assert_int_equal(END_FAILED, run.end.kind);
    enum err_code code = run.end.err.code;
    module_run_free(&run);
    return code;
}

static void test_flow__given_one_runner_that_opens_and_one_that_is_late_then_the_first_decides(void **state) {
    (void)state;
    char root[UUID_TEXT_BYTES], op[UUID_TEXT_BYTES], payment[UUID_TEXT_BYTES], key[64];
    const char *const opening[] = {op, key, payment, "default", root, "300", NULL, "-", "fake", "0"};
    const char *const closing[] = {root, "", "0", "expired", "410", NULL, payment};
    for (int i = 0; i < 2; i++) {
        enum job_outcome outcome;
        bool opens = i == 0;
        fake_forget(fake);
        struct uuid p = authorized(NULL), job = module_job_id(&db, "payments");
        uuid_text(p, payment);
        uuid_text(job, root);
        uuid_text(id_new(&db.ids), op);
        (void)snprintf(key, sizeof key, "%s:capture", root);
        other_runner(opens ? &payments_stmt_open_capture : &payments_stmt_close_unopened, opens ? opening : closing);
        assert_int_equal(ERR_PG_CONFLICT, loser(job, p, opens ? loop_wall(db.loop).ms - 1 : 0));
        assert_int_equal(opens ? 200 : 410, late_attempt("payment.capture", job, p, &outcome));
        assert_int_equal(opens ? OUTCOME_DONE : OUTCOME_EXPIRED, outcome);
        assert_int_equal(opens ? 2 : 1, fake->booked);
        assert_payment(opens ? "partially_captured 1000 300 0 0 0 0" : "authorized 1000 0 0 0 0 0", p);
    }
}

static int syncs_of(struct uuid payment) {
    return (int)strtol(of_payment(payment,
                                  "(SELECT count(*) FROM payments.job_outbox j, payments.payment_op o WHERE o.payment_id = p.id "
                                  "AND convert_from(j.payload, 'UTF8') LIKE '%' || o.id || '%')"),
                       NULL, 10);
}

static void test_flow__given_a_job_closed_from_outside_then_its_operation_gets_a_sync(void **state) {
    (void)state;
    static const struct {
        enum job_outcome outcome;
        enum fake_script script;
        int syncs;
    } rows[] = {
        {OUTCOME_EXPIRED, FAKE_NOT_SENT, 1}, /* errored: will never be sent, so that what it reserved must go */
        {OUTCOME_DEAD, FAKE_NOT_SENT, 0},    /* errored: waits for a replay */
        {OUTCOME_DEAD, FAKE_HOLD, 1},        /* sent */
        {OUTCOME_EXPIRED, FAKE_HOLD, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct module_run run;
        fake_forget(fake);
        struct uuid p = authorized(NULL), root = module_job_id(&db, "payments"), expected;
        fake->script[1] = rows[i].script;
        module_run_start(&db, &run, "payment.capture", root, 0, payload_of(p, ""));
        while (fake->calls < 2 || (rows[i].script == FAKE_NOT_SENT && run.ends == 0)) {
            wait_ms(db.loop, 1);
        }
        close_job(root, rows[i].outcome);
        assert_int_equal(rows[i].syncs, syncs_of(p));
        if (rows[i].syncs > 0) { /* the id that C would have made */
            assert_ok(id_derive(root, STR("sync:0"), id_job_place(root), &expected));
            char sql[128], text[UUID_TEXT_BYTES];
            uuid_text(expected, text);
            (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM payments.job_outbox WHERE id = '%s'", text);
            assert_int_equal(1, sql_int(db.admin, sql));
        }
        fake_let_go(fake);
        module_run_wait(&db, &run);
        module_run_free(&run);
    }
}

struct left {
    bool done;
    struct err err;
};
static void on_left(void *arg, struct err err) { *(struct left *)arg = (struct left){true, err}; }
static bool left_is_done(void *arg) { return ((struct left *)arg)->done; }

static void leave(struct str key) {
    struct left l = {0};
    db.services.payments.leave(db.services.payments.self, key, on_left, &l);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, left_is_done, &l));
    assert_ok(l.err);
}

static void test_flow__given_one_who_authorized_and_leaves_then_what_was_sent_gets_a_sync(void **state) {
    (void)state;
    struct payment_request r = request_new();
    struct service_call c = {0};
    leave(r.key); /* nothing is there */
    struct uuid p = authorized(&r);
    leave(r.key);
    assert_int_equal(0, syncs_of(p));
    fake_forget(fake);
    r = request_new();
    fake->script[0] = FAKE_HOLD;
    db.services.payments.authorize(db.services.payments.self, &r, on_service, &c);
    while (fake->calls < 1) {
        wait_ms(db.loop, 1);
    }
    leave(r.key);
    leave(r.key);
    fake_let_go(fake);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, service_is_done, &c));
    assert_int_equal(1, syncs_of(c.answer.payment_id));
}

static void test_flow__given_the_sync_of_an_expired_job_then_what_did_not_leave_is_canceled(void **state) {
    (void)state;
    struct module_run run;
    char payload[128];
    struct uuid p = authorized(NULL), root = module_job_id(&db, "payments");
    fake->script[1] = FAKE_NOT_SENT;
    module_run_start(&db, &run, "payment.capture", root, 0, payload_of(p, ""));
    module_run_wait(&db, &run);
    module_run_free(&run);
    close_job(root, OUTCOME_EXPIRED);
    (void)snprintf(payload, sizeof payload, "{\"op_id\":\"%s\"}",
                   of_payment(p, "(SELECT id FROM payments.payment_op o WHERE o.payment_id = p.id AND kind = 'capture')"));
    job_run(&run, "payment.sync", module_job_id(&db, "payments"), payload);
    assert_int_equal(200, run.end.status);
    module_run_free(&run);
    assert_payment("authorized 1000 0 0 0 0 0", p);
    assert_string_equal("authorize:succeeded capture:canceled", ops_of(p));
}

static void test_flow__given_a_dead_job_that_is_replayed_then_its_operation_goes_on(void **state) {
    (void)state;
    struct module_run run;
    struct uuid p = authorized(NULL), root = module_job_id(&db, "payments");
    fake->script[1] = FAKE_NOT_SENT;
    module_run_start(&db, &run, "payment.capture", root, 0, payload_of(p, ""));
    module_run_wait(&db, &run);
    module_run_free(&run);
    close_job(root, OUTCOME_DEAD);
    module_run_start(&db, &run, "payment.capture", root, 0, payload_of(p, "")); /* of the old generation */
    module_run_wait(&db, &run);
    assert_int_equal(OUTCOME_DEAD, run.end.outcome);
    module_run_free(&run);
    assert_int_equal(2, fake->calls);
    assert_payment("capturing 1000 0 0 0 1000 0", p);
    module_run_start(&db, &run, "payment.capture", root, 1, payload_of(p, ""));
    module_run_wait(&db, &run);
    assert_int_equal(200, run.end.status);
    assert_false(run.end.absorbed);
    module_run_free(&run);
    assert_payment("captured 1000 1000 0 0 0 0", p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_flow__given_a_request_then_it_is_authorized_once_under_its_key, reset),
        cmocka_unit_test_setup(test_flow__given_a_decline_then_the_payment_failed_and_the_key_remembers, reset),
        cmocka_unit_test_setup(test_flow__given_no_answer_but_a_booking_then_asking_finds_it, reset),
        cmocka_unit_test_setup(test_flow__given_no_answer_and_no_booking_then_it_is_sent_again_only_when_it_is_late, reset),
        cmocka_unit_test_setup(test_flow__given_an_unknown_outcome_then_a_sync_job_is_left_that_finds_it_out, reset),
        cmocka_unit_test_setup(test_flow__given_a_provider_that_cannot_be_reached_then_the_error_says_so_and_nothing_is_undecided,
                               reset),
        cmocka_unit_test_setup(test_flow__given_a_booking_that_does_not_fit_then_the_payment_is_frozen, reset),
        cmocka_unit_test_setup(test_flow__given_captures_and_refunds_then_sums_ledger_and_answers_agree, reset),
        cmocka_unit_test_setup(test_flow__given_a_partial_capture_then_void_gives_the_rest_back, reset),
        cmocka_unit_test_setup(test_flow__given_what_cannot_be_then_the_job_is_done_with_a_refusal, reset),
        cmocka_unit_test_setup(test_flow__given_a_declined_capture_then_what_was_reserved_is_free_again, reset),
        cmocka_unit_test_setup(test_flow__given_a_repeated_job_then_it_answers_the_same_and_calls_nobody, reset),
        cmocka_unit_test_setup(test_flow__given_a_runner_that_sleeps_past_not_after_then_its_call_books_nothing, reset),
        cmocka_unit_test_setup(test_flow__given_a_cancel_request_then_what_did_not_leave_never_leaves, reset),
        cmocka_unit_test_setup(test_flow__given_a_deadline_that_passed_then_nothing_is_begun_but_what_was_begun_goes_on, reset),
        cmocka_unit_test_setup(test_flow__given_one_runner_that_opens_and_one_that_is_late_then_the_first_decides, reset),
        cmocka_unit_test_setup(test_flow__given_a_job_closed_from_outside_then_its_operation_gets_a_sync, reset),
        cmocka_unit_test_setup(test_flow__given_one_who_authorized_and_leaves_then_what_was_sent_gets_a_sync, reset),
        cmocka_unit_test_setup(test_flow__given_the_sync_of_an_expired_job_then_what_did_not_leave_is_canceled, reset),
        cmocka_unit_test_setup(test_flow__given_a_dead_job_that_is_replayed_then_its_operation_goes_on, reset),
    };
    return cmocka_run_group_tests(tests, payments_db_setup, payments_db_teardown);
}
