#include <custom/custom.h>

#include "payload_schema.h"

static const struct payload_row rows[] = {
    {"demo.noop", "{}", true},
    {"demo.noop", "{\"anything\":[1,2,{}]}", true},
    {"demo.noop", "[]", false},
    {"demo.echo", "{\"a\":\"b\"}", true},
    {"demo.note", "{\"text\":\"\"}", true},
    {"demo.note", "{\"text\":\"hello\"}", true},
    {"demo.note", "{}", false},
    {"demo.note", "{\"text\":1}", false},
    {"demo.note", "{\"text\":null}", false},
    {"demo.note", "{\"text\":\"a\",\"more\":1}", false},
    {"demo.fail", "{}", true},
    {"demo.fail", "{\"until\":3}", true},
    {"demo.fail", "{\"until\":3.0}", true}, /* 3.0 is 3 */
    {"demo.fail", "{\"until\":0,\"permanent\":true}", true},
    {"demo.fail", "{\"until\":-1}", false},
    {"demo.fail", "{\"until\":2.5}", false},
    {"demo.fail", "{\"until\":\"3\"}", false},
    {"demo.fail", "{\"permanent\":1}", false},
    {"demo.fail", "{\"Until\":1}", false},
    {"demo.sleep", "{\"ms\":60000}", true},
    {"demo.sleep", "{}", true},
    {"demo.sleep", "{\"ms\":60001}", false},
    {"demo.sleep", "{\"ms\":-1}", false},
    {"demo.sleep", "{\"ms\":1,\"fail\":true}", true},
    {"demo.sleep", "{\"ms\":1,\"fail\":\"yes\"}", false},
    {"demo.tally", "{\"ms\":5}", true},
    {"demo.tally", "{\"note\":5}", false},
    {"event.deliver", "{\"consumer\":\"notifications\"}", true},
};

static void test_schema__given_payloads_then_taken_or_refused(void **state) {
    (void)state;
    assert_payloads(&custom_module, rows, sizeof rows / sizeof rows[0]);
}

static void test_schema__a_text_at_its_limit_then_taken_and_past_it_refused(void **state) {
    (void)state;
    static char payload[10100];
    for (size_t n = 10000; n <= 10001; n++) {
        char *at = payload + snprintf(payload, sizeof payload, "{\"text\":\"");
        memset(at, 'x', n);
        (void)snprintf(at + n, 8, "\"}");
        const struct payload_row row = {"demo.note", payload, n == 10000};
        assert_payloads(&custom_module, &row, 1);
    }
}

static void test_types__then_sound(void **state) {
    (void)state;
    assert_types_are_sound(&custom_module);
    assert_true(payload_type_(&custom_module, "event.deliver")->internal); /* nobody posts an event by hand */
    assert_true(payload_type_(&custom_module, "event.deliver")->class == CLASS_JOURNAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema__given_payloads_then_taken_or_refused),
        cmocka_unit_test(test_schema__a_text_at_its_limit_then_taken_and_past_it_refused),
        cmocka_unit_test(test_types__then_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
