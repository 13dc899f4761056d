/* The negative control of the call gate: with the switch on, what was sent is sent again without asking, and the provider, which
 * ignores keys, books it twice. The tests of the gate are worth something because this one finds that. */
#include <base/fault.h>

#include "payments_db.h"

static void test_gate_off__given_a_lost_answer_then_it_is_booked_twice(void **state) {
    (void)state;
    struct payment_request r = request_new();
    fake->script[0] = FAKE_DROP_AFTER;
    struct service_call c = authorize(&r);
    assert_int_equal(PAYMENT_PENDING, c.answer.outcome);
    c = authorize(&r);
    assert_int_equal(PAYMENT_OK, c.answer.outcome);
    assert_int_equal(2, fake->booked);
    assert_true(uuid_eq(fake->book[0].reference, fake->book[1].reference));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate_off__given_a_lost_answer_then_it_is_booked_twice),
    };
#ifndef PENSTOCK_FAULTS
    (void)tests;
    (void)payments_db_setup;
    (void)payments_db_teardown;
    return 0; /* there is no such switch */
#else
    assert_int_equal(0, setenv("PENSTOCK_FAULT", "switch:no_call_gate", 1));
    fault_setup();
    return cmocka_run_group_tests(tests, payments_db_setup, payments_db_teardown);
#endif
}
