#include "../../../api/src/card.h"

#include "unit.h"

static void test_card__given_a_text_then_only_what_a_card_may_have_is_hidden(void **state) {
    (void)state;
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"/v1/orders/4111111111111111", "/v1/orders/****************"},
        {"/4111-1111-1111-1111/x", "/****-****-****-****/x"},
        {"4111%201111%201111%201111,%204222222222222", "****%20****%20****%20****,%20*************"},
        {"4111+1111 1111-1111", "****+**** ****-****"},
        {"378282246310005,4222222222222", "***************,*************"},
        {"1-4111111111111111", "1-****************"},
        {"tok4111111111111111x", "tok****************x"},
        {"/v1/orders/4111111111111112", "/v1/orders/4111111111111112"}, /* no card: the check digit is wrong */
        {"424242424242", "424242424242"},                               /* 12 digits */
        {"00000000000000000000", "00000000000000000000"},               /* 20 */
        {"0000000000000000000", "*******************"},                 /* 19 */
        {"4111-1111-1111-1111-123", "****-****-****-****-123"},         /* what stands behind it on the card */
        {"4111%201111%201111%201111%2012%2027", "****%20****%20****%20****%2012%2027"},
        {"4111--1111-1111-1111", "4111--1111-1111-1111"},
        {"/v1/jobs/01a225b9-f4a6-776b-8008-4cbbc1ca4624", "/v1/jobs/01a225b9-f4a6-776b-8008-4cbbc1ca4624"},
        {"4111111111111111-", "****************-"},
        {"4111111111111111%2", "****************%2"},
        {"", ""},
    };
    struct arena a;
    arena_init(&a, 1024, 4096);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str shown = card_hidden(str_c(cases[i].text), &a);
        if (!str_is(shown, cases[i].shown)) {
            fail_msg("%s is shown as %.*s", cases[i].text, STR_ARG(shown));
        }
    }
    arena_free(&a);
}

static void scenario(void *arg) {
    (void)arg;
    struct arena a;
    arena_init(&a, 16, 1024);
    struct str shown = card_hidden(STR("4111111111111111"), &a);
    assert_true(str_is(shown, "****************") || (torture_is_failing() && str_is(shown, "?")));
    arena_free(&a);
}

static void test_card__an_allocation_fails_then_nothing_is_shown(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_card__given_a_text_then_only_what_a_card_may_have_is_hidden),
        cmocka_unit_test(test_card__an_allocation_fails_then_nothing_is_shown),
    };
    return cmocka_run_group_tests_name("card", tests, NULL, NULL);
}
