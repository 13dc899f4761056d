#include <base/crypto.h>
#include <base/json.h>
#include <string.h>

#include "../../../jobs/payments/src/sim_wire.h"
#include "unit.h"

static const struct provider_call capture = {
    .kind = OP_CAPTURE,
    .reference = {{0x01, 0x97, 0xa0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, 1}},
    .amount = 2599,
    .currency = "EUR",
    .token = {"tok", 3},
    .parent = {"auth-\"1\"", 8},
    .not_after = {1764360000123},
};

static void test_sim_wire__given_a_call_then_its_body_and_signature(void **state) {
    (void)state;
    struct buf body;
    char signature[SIM_SIGNATURE_BYTES], expected[SIM_SIGNATURE_BYTES];
    uint8_t mac[SHA256_BYTES];
    buf_init(&body, 1024);
    assert_ok(sim_request(&capture, STR("secret"), &body, signature));
    assert_str(
        "{\"reference\":\"0197a000-0000-7000-8000-000000000001\",\"amount\":2599,\"not_after\":1764360000123,\"currency\":\"EUR\","
        "\"parent\":\"auth-\\\"1\\\"\"}",
        buf_str(&body));
    const struct str part = buf_str(&body);
    assert_ok(hmac_sha256(STR("secret"), &part, 1, mac));
    hex_encode(mac, sizeof mac, expected);
    assert_string_equal(expected, signature);
    buf_clear(&body);
    struct provider_call authorize = capture;
    authorize.kind = OP_AUTHORIZE;
    assert_ok(sim_request(&authorize, STR("secret"), &body, signature));
    buf_add_char(&body, 0);
    assert_non_null(strstr(body.p, "\"token\":\"tok\""));
    assert_null(strstr(body.p, "parent"));
    buf_free(&body);
}

static void test_sim_wire__given_an_answer_to_a_call_then_its_outcome(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum provider_outcome outcome;
    } rows[] = {
        {200, "{\"outcome\":\"ok\",\"provider_ref\":\"r1\",\"amount\":5,\"currency\":\"EUR\"}", PROVIDER_OK},
        {200, "{\"outcome\":\"ok\",\"provider_ref\":\"\",\"amount\":5,\"currency\":\"EUR\"}", PROVIDER_UNKNOWN},
        {200, "{\"outcome\":\"ok\",\"amount\":5,\"currency\":\"EUR\"}", PROVIDER_UNKNOWN},
        {200, "{\"outcome\":\"ok\",\"provider_ref\":\"r1\",\"amount\":\"5\",\"currency\":\"EUR\"}", PROVIDER_UNKNOWN},
        {200, "{\"outcome\":\"declined\",\"code\":\"x\"}", PROVIDER_UNKNOWN},
        {200, "{\"outcome\":\"ok\",\"provi", PROVIDER_UNKNOWN},
        {200, "[]", PROVIDER_UNKNOWN},
        {200, "", PROVIDER_UNKNOWN},
        {402, "{\"outcome\":\"declined\",\"code\":\"card_declined\"}", PROVIDER_DECLINED},
        {409, "{\"outcome\":\"declined\",\"code\":\"voided\"}", PROVIDER_DECLINED},
        {402, "{}", PROVIDER_UNKNOWN},
        {410, "{\"outcome\":\"too_late\"}", PROVIDER_TOO_LATE},
        {410, "gone", PROVIDER_UNKNOWN},
        {401, "", PROVIDER_REFUSED},
        {429, "{}", PROVIDER_REFUSED},
        {500, "{}", PROVIDER_UNKNOWN},
        {503, "", PROVIDER_UNKNOWN},
        {302, "", PROVIDER_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct provider_answer a;
        json_t *body;
        sim_read_call(OP_CAPTURE, rows[i].status, str_c(rows[i].body), &body, &a);
        assert_int_equal(rows[i].outcome, a.outcome);
        if (a.outcome == PROVIDER_OK) {
            assert_str("r1", a.provider_ref);
            assert_int_equal(5, a.amount);
            assert_str("EUR", a.currency);
            assert_int_equal(1, a.count);
            assert_int_equal(OP_CAPTURE, a.kind);
        }
        assert_int_equal(a.outcome == PROVIDER_UNKNOWN || rows[i].status == 429, err_is_set(a.err));
        json_decref(body);
    }
}

#define ENTRY "{\"op\":\"refund\",\"provider_ref\":\"r1\",\"amount\":5,\"currency\":\"EUR\"}"

static void test_sim_wire__given_an_answer_to_a_lookup_then_its_outcome(void **state) {
    (void)state;
    static const struct {
        int status;
        const char *body;
        enum provider_outcome outcome;
        int count;
    } rows[] = {
        {200, "{\"found\":true,\"entries\":[" ENTRY "]}", PROVIDER_OK, 1},
        {200, "{\"found\":true,\"entries\":[" ENTRY "," ENTRY "]}", PROVIDER_OK, 2},
        {200, "{\"found\":false,\"entries\":[]}", PROVIDER_NOT_FOUND, 0},
        {200, "{\"found\":false}", PROVIDER_NOT_FOUND, 0},
        {200, "{\"found\":true,\"entries\":[]}", PROVIDER_UNKNOWN, 0},
        {200, "{\"found\":true,\"entries\":[{\"op\":\"steal\"}]}", PROVIDER_UNKNOWN, 0},
        {200, "{}", PROVIDER_UNKNOWN, 0},
        {200, "{\"found\":\"false\"}", PROVIDER_UNKNOWN, 0},
        {200, "not json", PROVIDER_UNKNOWN, 0},
        {404, "{\"found\":false}", PROVIDER_UNKNOWN, 0}, /* a proxy in between says that too */
        {500, "{\"found\":false}", PROVIDER_UNKNOWN, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct provider_answer a;
        json_t *body;
        sim_read_lookup(rows[i].status, str_c(rows[i].body), &body, &a);
        assert_int_equal(rows[i].outcome, a.outcome);
        if (a.outcome == PROVIDER_OK) {
            assert_int_equal(rows[i].count, a.count);
            assert_int_equal(OP_REFUND, a.kind);
            assert_str("r1", a.provider_ref);
        }
        json_decref(body);
    }
}

static void test_sim_wire__given_an_error_of_the_client_then_whether_it_left(void **state) {
    (void)state;
    static const struct {
        enum err_code code;
        enum provider_outcome outcome;
    } rows[] = {
        {ERR_NET_NOT_SENT, PROVIDER_NOT_SENT}, {ERR_NET_ADDRESS, PROVIDER_NOT_SENT}, {ERR_BUSY, PROVIDER_NOT_SENT},
        {ERR_INVALID, PROVIDER_NOT_SENT},      {ERR_NET_UNKNOWN, PROVIDER_UNKNOWN},  {ERR_CLOSED, PROVIDER_UNKNOWN},
        {ERR_CANCELLED, PROVIDER_UNKNOWN},     {ERR_NOMEM, PROVIDER_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct provider_answer a;
        sim_read_error((struct err){rows[i].code, "x"}, &a);
        assert_int_equal(rows[i].outcome, a.outcome);
    }
}

static void scenario(void *arg) {
    (void)arg;
    struct buf body;
    char signature[SIM_SIGNATURE_BYTES];
    struct provider_answer a;
    json_t *json;
    buf_init(&body, 1024);
    struct err e = sim_request(&capture, STR("secret"), &body, signature);
    assert_true(!err_is_set(e) || torture_is_failing());
    buf_free(&body);
    sim_read_call(OP_CAPTURE, 200, STR("{\"outcome\":\"ok\",\"provider_ref\":\"r1\",\"amount\":5,\"currency\":\"EUR\"}"), &json,
                  &a);
    assert_true(a.outcome == PROVIDER_OK || (a.outcome == PROVIDER_UNKNOWN && torture_is_failing()));
    json_decref(json);
    sim_read_lookup(200, STR("{\"found\":false,\"entries\":[]}"), &json, &a);
    assert_true(a.outcome == PROVIDER_NOT_FOUND || (a.outcome == PROVIDER_UNKNOWN && torture_is_failing()));
    json_decref(json);
}

static void test_sim_wire__given_no_memory_then_the_outcome_is_unknown(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sim_wire__given_a_call_then_its_body_and_signature),
        cmocka_unit_test(test_sim_wire__given_an_answer_to_a_call_then_its_outcome),
        cmocka_unit_test(test_sim_wire__given_an_answer_to_a_lookup_then_its_outcome),
        cmocka_unit_test(test_sim_wire__given_an_error_of_the_client_then_whether_it_left),
        cmocka_unit_test(test_sim_wire__given_no_memory_then_the_outcome_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
