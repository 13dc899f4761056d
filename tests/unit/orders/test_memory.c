/* The k-th allocation fails in the middle of placing and canceling: every attempt ends exactly once, and afterwards each order
 * can be brought to its end. */
#include "orders_db.h"

enum { ORDERS_MAX = 1000 };

static struct uuid orders[ORDERS_MAX], cancels[ORDERS_MAX];
static int orders_n;

static const char *cancel_payload(struct uuid order) {
    static char text[80];
    char id[UUID_TEXT_BYTES];
    uuid_text(order, id);
    (void)snprintf(text, sizeof text, "{\"order_id\":\"%s\"}", id);
    return text;
}

static struct attempt_end attempt(const char *type, struct uuid root, const char *payload) {
    static struct module_run run;
    module_run_start(&db, &run, type, root, 0, payload);
    module_run_wait(&db, &run);
    assert_true(run.end.kind == END_FINISHED || torture_is_failing());
    struct attempt_end end = run.end;
    module_run_free(&run);
    return end;
}

static void scenario(void *arg) {
    (void)arg;
    assert_in_range(orders_n, 0, ORDERS_MAX - 1);
    int i = orders_n++;
    orders[i] = module_job_id(&db, "orders");
    cancels[i] = module_job_id(&db, "orders");
    pay.calls = 0;
    if (attempt("order.place", orders[i], ORDER("true")).kind == END_FINISHED) {
        (void)attempt("order.cancel", cancels[i], cancel_payload(orders[i]));
    }
}

static void test_memory__given_any_allocation_that_fails_then_every_order_still_comes_to_its_end(void **state) {
    (void)state;
    torture(scenario, NULL);
    assert_true(orders_n > 30);
    for (int i = 0; i < orders_n; i++) {
        pay.calls = 0;
        assert_int_equal(201, attempt("order.place", orders[i], ORDER("true")).status);
        assert_int_equal(200, attempt("order.cancel", cancels[i], cancel_payload(orders[i])).status);
        assert_string_equal("canceled 5", of_order(orders[i], "status || ' ' || version"));
        assert_string_equal("order.created order.confirmed order.canceled", events_of(orders[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_memory__given_any_allocation_that_fails_then_every_order_still_comes_to_its_end,
                               orders_db_reset),
    };
    return cmocka_run_group_tests(tests, orders_db_setup, orders_db_teardown);
}
