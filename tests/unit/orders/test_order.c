#include <base/json.h>
#include <base/schema.h>
#include <orders/orders.h>
#include <stdlib.h>
#include <string.h>

#include "../../../jobs/orders/src/order.h"
#include "unit.h"

static void test_order__given_lines_then_totals_are_exact_or_refused(void **state) {
    (void)state;
    static const struct {
        struct order_line lines[2];
        int64_t total; /* -1: refused */
    } rows[] = {
        {{{.qty = 2, .unit_minor = 1250}, {.qty = 1, .unit_minor = 99}}, 2599},
        {{{.qty = 1, .unit_minor = ORDER_MONEY_MAX}, {.qty = 1, .unit_minor = 0}}, ORDER_MONEY_MAX},
        {{{.qty = 1, .unit_minor = ORDER_MONEY_MAX}, {.qty = 1, .unit_minor = 1}}, -1},
        {{{.qty = 1000000, .unit_minor = ORDER_MONEY_MAX}, {.qty = 1, .unit_minor = 1}}, -1}, /* past int64 */
        {{{.qty = 1, .unit_minor = 1}, {.qty = INT64_MAX, .unit_minor = 2}}, -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t total = -1;
        struct err e = order_total(rows[i].lines, 2, &total);
        assert_int_equal(rows[i].total < 0 ? ERR_TOO_LARGE : ERR_NONE, e.code);
        assert_int_equal(rows[i].total, total);
    }
}

static void test_order__given_a_row_then_the_next_step_of_placing(void **state) {
    (void)state;
    static const struct {
        struct order_row row;
        enum place_act act;
    } rows[] = {
        {{.exists = false}, PLACE_INSERT},
        {{.exists = false, .cancel_requested = true}, PLACE_CANCEL_UNPLACED},
        {{.exists = false, .closed = true}, PLACE_TAKE_OVER},
        {{.exists = true, .status = STR("placed")}, PLACE_TO_AUTHORIZING},
        {{.exists = true, .status = STR("reserving")}, PLACE_TO_AUTHORIZING},
        {{.exists = true, .status = STR("authorizing")}, PLACE_AUTHORIZE},
        {{.exists = true, .status = STR("placed"), .cancel_requested = true}, PLACE_TO_CANCELING},
        {{.exists = true, .status = STR("authorizing"), .cancel_requested = true}, PLACE_TO_CANCELING},
        {{.exists = true, .status = STR("canceling")}, PLACE_RELEASE},
        {{.exists = true, .status = STR("canceling"), .closed = true}, PLACE_TAKE_OVER},
        {{.exists = true, .status = STR("canceled")}, PLACE_ENDED},
        {{.exists = true, .status = STR("expired")}, PLACE_ENDED},
        {{.exists = true, .status = STR("confirmed"), .closed = true}, PLACE_TAKE_OVER},
        /* past its deadline */
        {{.exists = false, .late = true}, PLACE_EXPIRE},
        {{.exists = false, .late = true, .cancel_requested = true}, PLACE_CANCEL_UNPLACED},
        {{.exists = false, .late = true, .closed = true}, PLACE_TAKE_OVER},
        {{.exists = true, .late = true, .status = STR("placed")}, PLACE_EXPIRE},
        {{.exists = true, .late = true, .status = STR("placed"), .cancel_requested = true}, PLACE_TO_CANCELING},
        {{.exists = true, .late = true, .status = STR("reserving")}, PLACE_EXPIRE},
        {{.exists = true, .late = true, .status = STR("authorizing")}, PLACE_AUTHORIZE},
        {{.exists = true, .late = true, .status = STR("canceling")}, PLACE_RELEASE},
        {{.exists = true, .late = true, .status = STR("canceled")}, PLACE_ENDED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(rows[i].act, order_place_next(&rows[i].row));
    }
}

static void test_order__given_a_row_then_the_next_step_of_canceling(void **state) {
    (void)state;
    static const struct {
        struct order_row row;
        int64_t if_version;
        enum cancel_act act;
    } rows[] = {
        {{.exists = false}, 0, CANCEL_NOT_FOUND},
        {{.exists = true, .status = STR("confirmed"), .version = 3}, 0, CANCEL_TO_CANCELING},
        {{.exists = true, .status = STR("confirmed"), .version = 3}, 3, CANCEL_TO_CANCELING},
        {{.exists = true, .status = STR("confirmed"), .version = 3}, 2, CANCEL_STALE},
        {{.exists = true, .status = STR("canceling"), .version = 4, .own = true}, 3, CANCEL_RELEASE},
        {{.exists = true, .status = STR("canceling"), .version = 4}, 3, CANCEL_STALE},
        {{.exists = true, .status = STR("canceling"), .version = 4}, 0, CANCEL_RELEASE},
        {{.exists = true, .status = STR("canceled"), .own = true}, 0, CANCEL_DONE},
        {{.exists = true, .status = STR("canceled")}, 0, CANCEL_ILLEGAL},
        {{.exists = true, .status = STR("authorizing")}, 0, CANCEL_REQUEST},
        {{.exists = true, .status = STR("authorizing"), .place_is_over = true}, 0, CANCEL_TO_CANCELING},
        {{.exists = true, .status = STR("payment_failed")}, 0, CANCEL_ILLEGAL},
        {{.exists = true, .status = STR("fulfilling")}, 0, CANCEL_ILLEGAL},
        {{.exists = true, .status = STR("expired")}, 0, CANCEL_ILLEGAL},
        {{.exists = true, .status = STR("confirmed"), .closed = true}, 0, CANCEL_TAKE_OVER},
        {{.exists = true, .late = true, .status = STR("confirmed")}, 0, CANCEL_EXPIRE},
        {{.exists = true, .late = true, .status = STR("canceling"), .own = true}, 0, CANCEL_RELEASE},
        {{.exists = true, .late = true, .status = STR("canceled"), .own = true}, 0, CANCEL_DONE},
        {{.exists = true, .late = true, .status = STR("confirmed"), .closed = true}, 0, CANCEL_TAKE_OVER},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(rows[i].act, order_cancel_next(&rows[i].row, rows[i].if_version));
    }
}

static void test_order__given_the_edges_then_every_state_is_reached_and_none_twice(void **state) {
    (void)state;
    assert_int_equal(17, order_edges_n);
    for (size_t i = 0; i < order_edges_n; i++) {
        bool reached = strcmp(order_edges[i].from, "new") == 0;
        for (size_t k = 0; k < order_edges_n; k++) {
            reached |= strcmp(order_edges[k].to, order_edges[i].from) == 0;
            assert_true(k == i || strcmp(order_edges[k].from, order_edges[i].from) != 0 ||
                        strcmp(order_edges[k].to, order_edges[i].to) != 0);
        }
        assert_true(reached);
    }
}

#define LINE "{\"sku\":\"a\",\"title\":\"T\",\"qty\":1,\"unit_minor\":5}"
#define PLACE(currency, lines, payment, rest) \
    "{\"customer_id\":\"c\",\"currency\":\"" currency "\",\"lines\":[" lines "],\"payment\":" payment rest "}"

static void test_order__given_payloads_then_the_schemas_take_the_good_and_refuse_the_bad(void **state) {
    (void)state;
    static const struct {
        const char *type, *payload;
        bool good;
    } rows[] = {
        {"order.place", PLACE("EUR", LINE, "{\"token\":\"tok_1\"}", ""), true},
        {"order.place",
         PLACE("EUR", LINE "," LINE, "{\"token\":\"tok_1\",\"capture\":true}",
               ",\"notify\":{\"email\":\"a@b.example\",\"webhook_url\":\"https://x.example/h\"}"),
         true},
        {"order.place", PLACE("eur", LINE, "{\"token\":\"t\"}", ""), false},
        {"order.place", PLACE("EUR", "", "{\"token\":\"t\"}", ""), false},
        {"order.place", PLACE("EUR", LINE, "{}", ""), false},
        {"order.place", PLACE("EUR", LINE, "{\"token\":\"4111111111111111\"}", ""), false},
        {"order.place", PLACE("EUR", LINE, "{\"token\":\"4111 1111 1111 1111\"}", ""), false},
        {"order.place", PLACE("EUR", LINE, "{\"token\":\"tok-4111-1111-1111-1111\"}", ""), false},
        {"order.place", PLACE("EUR", LINE, "{\"token\":\"tok_0123456789abcdef0123456789\"}", ""), true},
        {"order.place",
         PLACE("EUR", "{\"sku\":\"a\",\"title\":\"EAN 4006381333931\",\"qty\":1,\"unit_minor\":5}", "{\"token\":\"t\"}", ""),
         true},
        {"order.place",
         PLACE("EUR", "{\"sku\":\"a\",\"title\":\"4111111111111111\",\"qty\":1,\"unit_minor\":5}", "{\"token\":\"t\"}", ""),
         false},
        {"order.place", PLACE("EUR", "{\"sku\":\"a\",\"title\":\"T\",\"qty\":0,\"unit_minor\":5}", "{\"token\":\"t\"}", ""),
         false},
        {"order.place", PLACE("EUR", "{\"sku\":\"a\",\"title\":\"T\",\"qty\":1.5,\"unit_minor\":5}", "{\"token\":\"t\"}", ""),
         false},
        {"order.place", PLACE("EUR", "{\"sku\":\"a\",\"title\":\"T\",\"qty\":2.0,\"unit_minor\":5}", "{\"token\":\"t\"}", ""),
         true},
        {"order.place", PLACE("EUR", LINE, "{\"token\":\"t\"}", ",\"x\":1"), false},
        {"order.cancel", "{\"order_id\":\"0197a000-0000-7000-8000-000000000000\",\"if_version\":1}", true},
        {"order.cancel", "{\"order_id\":\"x\"}", false},
        {"order.release", "{\"order_id\":\"0197a000-0000-7000-8000-000000000000\"}", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct schema *schema;
        struct schema_error error;
        json_t *doc, *payload;
        size_t t = 0;
        while (strcmp(orders_module.types[t].name, rows[i].type) != 0) {
            t++;
        }
        assert_ok(json_read(str_c(orders_module.types[t].schema), &doc));
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

static void test_order__given_a_payload_then_it_is_read_whole(void **state) {
    (void)state;
    struct order_request *r = calloc(1, sizeof *r);
    json_t *payload;
    assert_non_null(r);
    assert_ok(json_read(STR(PLACE("EUR", LINE "," LINE, "{\"token\":\"tok\",\"capture\":true}", "")), &payload));
    assert_ok(order_read(payload, r));
    assert_int_equal(2, r->lines_n);
    assert_int_equal(10, r->total);
    assert_true(r->capture);
    assert_str("tok", r->token);
    json_decref(payload);
    assert_ok(json_read(STR(PLACE("EUR", "{\"sku\":\"a\"}", "{\"token\":\"tok\"}", "")), &payload));
    assert_err(ERR_INVALID, order_read(payload, r));
    json_decref(payload);
    free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order__given_lines_then_totals_are_exact_or_refused),
        cmocka_unit_test(test_order__given_a_row_then_the_next_step_of_placing),
        cmocka_unit_test(test_order__given_a_row_then_the_next_step_of_canceling),
        cmocka_unit_test(test_order__given_the_edges_then_every_state_is_reached_and_none_twice),
        cmocka_unit_test(test_order__given_payloads_then_the_schemas_take_the_good_and_refuse_the_bad),
        cmocka_unit_test(test_order__given_a_payload_then_it_is_read_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
