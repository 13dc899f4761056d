#include <base/json.h>

#include "../../../worker/src/mask.h"
#include "unit.h"

static const char schema[] =
    "{\"type\":\"object\",\"properties\":{\"to\":{\"type\":\"string\",\"x-masked\":true},\"subject\":{\"type\":\"string\"},"
    "\"n\":{\"type\":\"integer\",\"x-masked\":true},\"deep\":{\"type\":\"object\",\"properties\":{\"list\":{\"type\":\"array\","
    "\"items\":{\"properties\":{\"name\":{\"x-masked\":true}}}}}}}}";
static const char payload[] =
    "{\"to\":\"c1@example.com\",\"subject\":\"hello\",\"n\":5,\"deep\":{\"list\":[{\"name\":\"Ann\"},{\"name\":\"xy\"}]}}";

static void test_mask__given_what_the_schema_calls_masked_then_the_error_does_not_say_it(void **state) {
    (void)state;
    static const struct {
        const char *schema, *detail, *expected;
    } cases[] = {
        {schema, "550 <c1@example.com>: no such user", "550 <***>: no such user"},
        {schema, "550 <C1@EXAMPLE.com> c1@example.com", "550 <***> ***"},
        {schema, "hello Ann, xy 5", "hello ***, xy 5"}, /* what is short is everywhere */
        {schema, "", ""},
        {"{\"type\":\"object\"}", "550 <c1@example.com>", "550 <c1@example.com>"},
        {NULL, "550 <c1@example.com>", "550 <c1@example.com>"},
        {"{\"x-masked\"", "c1@example.com", ""}, /* no JSON: rather nothing than that */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena a;
        arena_init(&a, 4096, 65536);
        struct err e = mask_err(&a, cases[i].schema, str_c(payload), (struct err){ERR_REFUSED, cases[i].detail});
        assert_err(ERR_REFUSED, e);
        assert_string_equal(cases[i].expected, e.detail);
        arena_free(&a);
    }
}

static void scenario(void *arg) {
    struct arena a;
    (void)arg;
    arena_init(&a, 4096, 65536);
    struct err e = mask_err(&a, schema, str_c(payload), (struct err){ERR_REFUSED, "c1@example.com"});
    assert_true(strcmp(e.detail, "***") == 0 || (torture_is_failing() && e.detail[0] == '\0'));
    arena_free(&a);
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
