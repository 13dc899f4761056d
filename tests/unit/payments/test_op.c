#include <base/json.h>
#include <base/schema.h>
#include <payments/payments.h>
#include <string.h>

#include "../../../jobs/payments/src/op.h"
#include "unit.h"

static void test_op__given_a_row_then_what_to_do_next(void **state) {
    (void)state;
    static const struct {
        struct op_row row;
        bool no_sending;
        enum op_act act;
    } rows[] = {
        {{.state = OP_INIT}, false, OP_ACT_GATE},
        {{.state = OP_ERRORED}, false, OP_ACT_GATE},
        {{.state = OP_SENT}, false, OP_ACT_ASK},
        {{.state = OP_UNKNOWN}, false, OP_ACT_ASK},
        {{.state = OP_SUCCEEDED}, false, OP_ACT_NONE},
        {{.state = OP_DECLINED}, false, OP_ACT_NONE},
        {{.state = OP_CANCELED}, false, OP_ACT_NONE},
        /* to be undone: what left is asked for, what did not is canceled */
        {{.state = OP_INIT}, true, OP_ACT_CANCEL},
        {{.state = OP_ERRORED}, true, OP_ACT_CANCEL},
        {{.state = OP_SENT}, true, OP_ACT_ASK},
        {{.state = OP_UNKNOWN}, true, OP_ACT_ASK},
        /* frozen, not to be sent, dead */
        {{.state = OP_INIT, .frozen = true}, false, OP_ACT_CANCEL},
        {{.state = OP_SENT, .frozen = true}, false, OP_ACT_ASK},
        {{.state = OP_ERRORED, .must_not_send = true}, false, OP_ACT_CANCEL},
        {{.state = OP_SENT, .must_not_send = true}, false, OP_ACT_ASK},
        {{.state = OP_ERRORED, .must_not_send = true, .dead = true}, false, OP_ACT_NONE},
        {{.state = OP_UNKNOWN, .must_not_send = true, .dead = true}, false, OP_ACT_ASK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(rows[i].act, op_next(&rows[i].row, rows[i].no_sending));
    }
}

#define BOOKED(n, k, a, c)                                                                      \
    {                                                                                           \
        .outcome = PROVIDER_OK, .count = (n), .kind = (k), .amount = (a), .currency = {(c), 3 } \
    }

static void test_op__given_an_answer_then_what_it_means(void **state) {
    (void)state;
    static const struct {
        struct provider_answer answer;
        int64_t late_in_ms;
        enum op_record called, asked;
    } rows[] = {
        {BOOKED(1, OP_CAPTURE, 100, "EUR"), 5, OP_RECORD_SUCCEEDED, OP_RECORD_SUCCEEDED},
        {BOOKED(1, OP_CAPTURE, 99, "EUR"), 5, OP_RECORD_FROZEN, OP_RECORD_FROZEN},
        {BOOKED(1, OP_CAPTURE, 100, "USD"), 5, OP_RECORD_FROZEN, OP_RECORD_FROZEN},
        {BOOKED(1, OP_REFUND, 100, "EUR"), 5, OP_RECORD_FROZEN, OP_RECORD_FROZEN},
        {BOOKED(2, OP_CAPTURE, 100, "EUR"), 5, OP_RECORD_FROZEN, OP_RECORD_FROZEN},
        {{.outcome = PROVIDER_DECLINED}, 5, OP_RECORD_DECLINED, OP_RECORD_DECLINED},
        {{.outcome = PROVIDER_TOO_LATE}, 5, OP_RECORD_ERRORED, OP_RECORD_NOTHING},
        {{.outcome = PROVIDER_REFUSED}, 5, OP_RECORD_ERRORED, OP_RECORD_NOTHING},
        {{.outcome = PROVIDER_NOT_SENT}, 5, OP_RECORD_ERRORED, OP_RECORD_NOTHING},
        {{.outcome = PROVIDER_UNKNOWN}, 5, OP_RECORD_UNKNOWN, OP_RECORD_NOTHING},
        {{.outcome = PROVIDER_NOT_SENT},
         -1,
         OP_RECORD_ERRORED,
         OP_RECORD_NOTHING}, /* a question that did not leave says nothing */
        {{.outcome = PROVIDER_NOT_FOUND}, 1, OP_RECORD_NOTHING, OP_RECORD_NOTHING},
        {{.outcome = PROVIDER_NOT_FOUND}, 0, OP_RECORD_NOTHING, OP_RECORD_NOTHING},
        {{.outcome = PROVIDER_NOT_FOUND}, -1, OP_RECORD_ERRORED, OP_RECORD_ERRORED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct op_row o = {.kind = OP_CAPTURE, .amount = 100, .currency = "EUR", .late_in_ms = rows[i].late_in_ms};
        assert_int_equal(rows[i].asked, op_judge(&o, &rows[i].answer, true));
        if (rows[i].answer.outcome != PROVIDER_NOT_FOUND) {
            assert_int_equal(rows[i].called, op_judge(&o, &rows[i].answer, false));
        }
    }
}

static void test_op__given_a_mismatch_then_its_field(void **state) {
    (void)state;
    static const struct {
        struct provider_answer answer;
        const char *field;
    } rows[] = {
        {BOOKED(1, OP_CAPTURE, 100, "EUR"), NULL},     {BOOKED(2, OP_CAPTURE, 100, "EUR"), "count"},
        {BOOKED(0, OP_CAPTURE, 100, "EUR"), "count"},  {BOOKED(1, OP_VOID, 100, "EUR"), "kind"},
        {BOOKED(1, OP_CAPTURE, 101, "EUR"), "amount"}, {BOOKED(1, OP_CAPTURE, 100, "EU"), "currency"},
    };
    const struct op_row o = {.kind = OP_CAPTURE, .amount = 100, .currency = "EUR"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *field = op_mismatch(&o, &rows[i].answer);
        assert_true(field == rows[i].field || (field != NULL && rows[i].field != NULL && strcmp(field, rows[i].field) == 0));
    }
}

static void test_op__given_how_late_then_asks_again_soon_but_not_too_soon(void **state) {
    (void)state;
    static const struct {
        int64_t late_in_ms, again_ms;
    } rows[] = {{5000, 1000}, {999, 1000}, {500, 501}, {10, 100}, {0, 100}, {-50, 100}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct op_row o = {.late_in_ms = rows[i].late_in_ms};
        assert_int_equal(rows[i].again_ms, op_ask_again_ms(&o));
    }
}

static void test_op__given_a_payment_then_how_to_release_it(void **state) {
    (void)state;
    static const struct {
        struct payment_sums sums;
        bool has_op;
        enum release_act act;
    } rows[] = {
        {{.status = STR("canceled")}, false, RELEASE_DONE},
        {{.status = STR("failed")}, false, RELEASE_DONE},
        {{.status = STR("voided"), .authorized = 10, .voided = 10}, false, RELEASE_DONE},
        {{.status = STR("created")}, true, RELEASE_DECIDE_OP},
        {{.status = STR("authorizing")}, true, RELEASE_DECIDE_OP},
        {{.status = STR("unknown_capture"), .authorized = 10, .capture_pending = 10}, true, RELEASE_DECIDE_OP},
        {{.status = STR("authorized"), .authorized = 10}, false, RELEASE_VOID},
        {{.status = STR("partially_captured"), .authorized = 10, .captured = 4}, false, RELEASE_VOID},
        {{.status = STR("closed"), .authorized = 10, .captured = 4, .voided = 6}, false, RELEASE_REFUND},
        {{.status = STR("captured"), .authorized = 10, .captured = 10}, false, RELEASE_REFUND},
        {{.status = STR("captured"), .authorized = 10, .captured = 10, .refund_pending = 4}, true, RELEASE_DECIDE_OP},
        {{.status = STR("captured"), .authorized = 10, .captured = 10, .refunded = 6, .refund_pending = 4},
         true,
         RELEASE_DECIDE_OP},
        {{.status = STR("captured"), .authorized = 10, .captured = 10, .refunded = 10}, false, RELEASE_DONE},
        {{.status = STR("requires_action")}, false, RELEASE_WAIT},
        {{.status = STR("frozen"), .authorized = 10}, false, RELEASE_REFUSE},
        {{.status = STR("frozen"), .authorized = 10}, true, RELEASE_REFUSE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(rows[i].act, payment_release_next(&rows[i].sums, rows[i].has_op));
    }
}

static void test_op__given_what_was_asked_then_why_it_was_not_opened(void **state) {
    (void)state;
    static const struct {
        struct payment_sums sums;
        struct open_request want;
        enum open_verdict verdict;
    } rows[] = {
        {{.status = STR("authorized"), .authorized = 10}, {.kind = OP_CAPTURE, .amount = 10}, OPEN_AGAIN},
        {{.status = STR("authorized"), .authorized = 10}, {.kind = OP_CAPTURE, .amount = 11}, OPEN_TOO_MUCH},
        {{.status = STR("authorized"), .authorized = 10}, {.kind = OP_CAPTURE, .amount = 11, .if_version = 6}, OPEN_STALE},
        {{.status = STR("authorized"), .authorized = 10}, {.kind = OP_CAPTURE, .if_version = 7}, OPEN_AGAIN},
        {{.status = STR("authorized"), .authorized = 10}, {.kind = OP_REFUND, .amount = 1}, OPEN_ILLEGAL},
        {{.status = STR("unknown_capture"), .authorized = 10}, {.kind = OP_CAPTURE}, OPEN_ILLEGAL},
        {{.status = STR("unknown_void"), .authorized = 10}, {.kind = OP_VOID}, OPEN_ILLEGAL},
        {{.status = STR("captured"), .authorized = 10, .captured = 10}, {.kind = OP_VOID}, OPEN_ILLEGAL},
        {{.status = STR("captured"), .authorized = 10, .captured = 10, .refunded = 3, .refund_pending = 3},
         {.kind = OP_REFUND, .amount = 5},
         OPEN_TOO_MUCH},
        {{.status = STR("captured"), .authorized = 10, .captured = 10, .refunded = 3, .refund_pending = 3},
         {.kind = OP_REFUND, .amount = 4},
         OPEN_AGAIN},
        {{.status = STR("frozen"), .authorized = 10, .captured = 10}, {.kind = OP_REFUND, .amount = 4}, OPEN_ILLEGAL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(rows[i].verdict, op_open_judge(true, &rows[i].sums, 7, &rows[i].want));
    }
    assert_int_equal(OPEN_NOT_FOUND, op_open_judge(false, &rows[0].sums, 0, &rows[0].want));
}

static void test_op__given_the_edges_then_every_state_is_reached_and_none_twice(void **state) {
    (void)state;
    for (size_t i = 0; i < payment_edges_n; i++) {
        const struct edge *e = &payment_edges[i];
        bool reached = strcmp(e->from, "new") == 0;
        for (size_t k = 0; k < payment_edges_n; k++) {
            const struct edge *f = &payment_edges[k];
            bool same_machine = strcmp(f->machine, e->machine) == 0;
            reached |= same_machine && strcmp(f->to, e->from) == 0;
            assert_true(k == i || !same_machine || strcmp(f->from, e->from) != 0 || strcmp(f->to, e->to) != 0);
        }
        assert_true(reached);
    }
    for (enum op_state s = OP_INIT; s < OP_STATE_MAX; s++) { /* a decided operation has no way out, and the others have one */
        bool leaves = false;
        for (enum op_state t = OP_INIT; t < OP_STATE_MAX; t++) {
            leaves |= payment_edge_exists("payment_op", str_c(op_state_name(s)), op_state_name(t));
        }
        assert_int_equal(!leaves, op_state_is_decided(s));
    }
}

#define ID "\"0197a000-0000-7000-8000-000000000000\""

static void test_op__given_payloads_then_the_schemas_take_the_good_and_refuse_the_bad(void **state) {
    (void)state;
    static const struct {
        const char *type, *payload;
        bool good;
    } rows[] = {
        {"payment.capture", "{\"payment_id\":" ID "}", true},
        {"payment.capture", "{\"payment_id\":" ID ",\"amount_minor\":5,\"if_version\":2}", true},
        {"payment.capture", "{\"payment_id\":" ID ",\"amount_minor\":0}", false},
        {"payment.capture", "{\"payment_id\":" ID ",\"amount_minor\":1.5}", false},
        {"payment.capture", "{\"payment_id\":\"x\"}", false},
        {"payment.void", "{\"payment_id\":" ID "}", true},
        {"payment.void", "{\"payment_id\":" ID ",\"amount_minor\":5}", false},
        {"payment.refund", "{\"payment_id\":" ID ",\"amount_minor\":5,\"reason\":\"broken\"}", true},
        {"payment.refund", "{\"payment_id\":" ID "}", false},
        {"payment.refund", "{\"payment_id\":" ID ",\"amount_minor\":9007199254740992}", false},
        {"payment.refund", "{\"payment_id\":" ID ",\"amount_minor\":5,\"reason\":\"card 4111 1111 1111 1111\"}", false},
        {"payment.sync", "{\"op_id\":" ID "}", true},
        {"payment.sync", "{}", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct schema *schema;
        struct schema_error error;
        json_t *doc, *payload;
        size_t t = 0;
        while (strcmp(payments_module.types[t].name, rows[i].type) != 0) {
            t++;
        }
        assert_ok(json_read(str_c(payments_module.types[t].schema), &doc));
        assert_ok(schema_compile(doc, &schema));
        assert_ok(json_read(str_c(rows[i].payload), &payload));
        if (rows[i].good != (schema_check(schema, payload, &error, 1) == 0)) {
            fail_msg("%s", rows[i].payload);
        }
        json_decref(payload);
        json_decref(doc);
        schema_free(schema);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_op__given_a_row_then_what_to_do_next),
        cmocka_unit_test(test_op__given_an_answer_then_what_it_means),
        cmocka_unit_test(test_op__given_a_mismatch_then_its_field),
        cmocka_unit_test(test_op__given_how_late_then_asks_again_soon_but_not_too_soon),
        cmocka_unit_test(test_op__given_a_payment_then_how_to_release_it),
        cmocka_unit_test(test_op__given_what_was_asked_then_why_it_was_not_opened),
        cmocka_unit_test(test_op__given_the_edges_then_every_state_is_reached_and_none_twice),
        cmocka_unit_test(test_op__given_payloads_then_the_schemas_take_the_good_and_refuse_the_bad),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
