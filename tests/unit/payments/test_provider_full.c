/* The adapter when the HTTP client has not even the memory to refuse: then its callback never comes. */
#include <io/http_client.h>

static int sends;

static struct http_call *send_nothing(struct http_client *c, const struct http_spec *spec, http_cb *cb, void *arg) {
    (void)c;
    (void)spec;
    (void)cb;
    (void)arg;
    sends++;
    return NULL;
}

#define http_send send_nothing
#include "../../../jobs/payments/src/provider_sim.c" // NOLINT(bugprone-suspicious-include): with its http_send put aside

#include "unit.h" /* after it: cmocka has a macro fail */

static void on_answer(void *arg, const struct provider_answer *a) {
    assert_int_equal(PROVIDER_NOT_SENT, a->outcome);
    assert_err(ERR_NOMEM, a->err);
    ++*(int *)arg;
}

static void test_provider_full__given_no_memory_to_send_then_the_caller_is_told_that_nothing_left(void **state) {
    (void)state;
    struct conf conf;
    struct module_env env = {.conf = &conf};
    struct provider *p;
    int answers = 0;
    const struct provider_call c = {.kind = OP_VOID, .currency = "EUR", .deadline_ms = 100};
    assert_ok(conf_load(NULL, &conf));
    assert_ok(provider_sim_new(&env, &p));
    p->call(p, &c, on_answer, &answers);
    p->lookup(p, c.reference, 100, on_answer, &answers);
    assert_int_equal(2, answers);
    assert_int_equal(2, sends);
    p->close(p);
    conf_free(&conf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_provider_full__given_no_memory_to_send_then_the_caller_is_told_that_nothing_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
