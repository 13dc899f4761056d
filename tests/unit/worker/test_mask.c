#include <base/json.h>
#include <base/schema.h>

#include "../../../worker/src/mask.h"
#include "unit.h"

static const char masking[] =
    "{\"type\":\"object\",\"properties\":{\"to\":{\"$ref\":\"#/$defs/secret\"},\"subject\":{\"type\":\"string\"},"
    "\"n\":{\"x-masked\":true},\"phone\":{\"x-masked\":true},\"deep\":{\"properties\":{\"list\":{"
    "\"items\":{\"properties\":{\"name\":{\"x-masked\":true}}}}}},\"card\":{\"x-masked\":true,\"properties\":{\"token\":{}}}},"
    "\"$defs\":{\"secret\":{\"type\":\"string\",\"x-masked\":true}}}";
static const char payload[] =
    "{\"to\":\"c1@example.com\",\"subject\":\"hello\",\"n\":5,\"phone\":4930123,\"deep\":{\"list\":[{\"name\":\"c1@\"},{\"name\":\"xy\"},"
    "{\"name\":\"example.community\"}]},\"card\":{\"token\":[\"tok_ok\"],\"bob@example.org\":12.5}}";

static void assert_said(struct kind *k, const char *text, const char *detail, const char *expected) {
    struct arena a;
    arena_init(&a, 4096, 65536);
    struct err e = mask_err(&a, k, str_c(text), (struct err){ERR_REFUSED, detail});
    assert_err(ERR_REFUSED, e);
    assert_string_equal(expected, e.detail);
    arena_free(&a);
}

static void test_mask__given_what_the_schema_calls_masked_then_the_error_does_not_say_it(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"550 <c1@example.com>: no such user", "550 <***>: no such user"},
        {"550 <C1@EXAMPLE.com> c1@example.com", "550 <***> ***"},
        {"hello Ann, xy 5", "hello Ann, xy 5"}, /* what is short is everywhere */
        {"c1@example.community", "***"},        /* one text over the other */
        {"c1@, c1@example.com", "***, ***"},    /* one within the other */
        {"+4930123 does not answer", "+*** does not answer"},
        {"tok_ok for bob@example.org: 12.5 is too much", "*** for ***: *** is too much"},
        {"token: tok_bad", "token: tok_bad"}, /* a name that stands in the schema is none of theirs */
        {"550 <c1@exampl", "550 <***"},       /* cut where a detail ends */
        {"550 <c1", "550 <c1"},
        {"", ""},
    };
    static const struct job_type with = {.schema = masking}, without = {.schema = "{\"type\":\"object\"}"},
                                 bad = {.schema = "{\"x-masked\""};
    struct kind masks = {.type = &with}, open = {.type = &without}, unknown = {.type = &bad};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_said(&masks, payload, cases[i][0], cases[i][1]);
        assert_said(&open, payload, cases[i][0], cases[i][0]);
    }
    assert_said(&masks, "{\"to\":", "550 <c1@example.com>", ""); /* no JSON: rather nothing than that */
    assert_said(&open, "{\"to\":", "550 <c1@example.com>", "550 <c1@example.com>");
    assert_said(&unknown, payload, "550 <c1@example.com>", "");
    schema_free(open.schema);
    schema_free(masks.schema);
}

static void scenario(void *arg) {
    static const struct job_type type = {.schema = masking};
    struct kind k = {.type = &type};
    struct arena a;
    (void)arg;
    arena_init(&a, 4096, 65536);
    struct err e = mask_err(&a, &k, str_c(payload), (struct err){ERR_REFUSED, "c1@example.com"});
    assert_true(strcmp(e.detail, "***") == 0 || (torture_is_failing() && e.detail[0] == '\0'));
    arena_free(&a);
    schema_free(k.schema);
}

static void test_mask__without_memory_then_it_says_nothing(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mask__given_what_the_schema_calls_masked_then_the_error_does_not_say_it),
        cmocka_unit_test(test_mask__without_memory_then_it_says_nothing),
    };
    json_setup();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
