#include <base/json.h>
#include <jobs/refusal.h>
#include <string.h>

#include "unit.h"

static void assert_refusal(const char *expected, const struct refusal *r) {
    struct arena a;
    json_t *doc = NULL;
    arena_init(&a, 1024, 1 << 20);
    struct str text = refusal_json(&a, r);
    assert_str(expected, text);
    assert_ok(json_read(text, &doc));
    json_decref(doc);
    arena_free(&a);
}

static void test_refusal__given_one_then_a_problem_of_rfc_9457(void **state) {
    (void)state;
    assert_refusal("{\"type\":\"/problems/payment-declined\",\"title\":\"Payment declined\",\"status\":402,"
                   "\"code\":\"payment_declined\",\"detail\":\"card_expired\"}",
                   &(struct refusal){402, "payment_declined", "Payment declined", STR("card_expired"), NULL});
    assert_refusal(
        "{\"type\":\"/problems/x\",\"title\":\"\",\"status\":409,\"code\":\"x\",\"detail\":\"\",\"allowed\":[\"void\"]}",
        &(struct refusal){409, "x", "", STR_NONE, ",\"allowed\":[\"void\"]"});
}

static void test_refusal__given_text_from_outside_then_escaped(void **state) {
    (void)state;
    assert_refusal("{\"type\":\"/problems/a-b\",\"title\":\"T \\\"q\\\"\",\"status\":422,\"code\":\"a_b\","
                   "\"detail\":\"\\\"}{\\\\ \\n\\u0001\"}",
                   &(struct refusal){422, "a_b", "T \"q\"", STR("\"}{\\ \n\x01"), NULL});
}

static void test_refusal__given_a_detail_that_is_too_long_then_none(void **state) {
    (void)state;
    static char much[70 * 1024];
    struct arena a;
    memset(much, 'x', sizeof much);
    arena_init(&a, 1024, 1 << 20);
    assert_null(refusal_json(&a, &(struct refusal){400, "x", "X", str_of(much, sizeof much), NULL}).p);
    arena_free(&a);
}

static void scenario(void *arg) {
    (void)arg;
    struct arena a;
    arena_init(&a, 64, 1 << 20);
    struct str s = refusal_json(&a, &(struct refusal){409, "not_now", "Not now", STR("later"), NULL});
    assert_true(s.p != NULL || torture_is_failing());
    assert_true(s.p == NULL || s.p[s.n - 1] == '}'); /* whole or not at all */
    arena_free(&a);
}

static void test_refusal__without_memory_then_none(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusal__given_one_then_a_problem_of_rfc_9457),
        cmocka_unit_test(test_refusal__given_text_from_outside_then_escaped),
        cmocka_unit_test(test_refusal__given_a_detail_that_is_too_long_then_none),
        cmocka_unit_test(test_refusal__without_memory_then_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
