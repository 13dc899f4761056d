/* Sending within a request or an attempt that sends very much: its memory does not grow beyond what is recorded. */
#include <jobs/sending.h>

#include "unit.h"

static size_t recorded, linked;

static void on_span(void *arg, const struct span *s) {
    (void)arg;
    recorded++;
    linked += s->links_n;
}

static void send(struct span_scope *scope, const struct trace *link) {
    const struct sending s = {.trace = trace_child(&scope->trace),
                              .parent = &scope->trace,
                              .link = link,
                              .queue = STR("orders"),
                              .type = STR("order.place"),
                              .tenant = STR("default"),
                              .err = OK};
    sending_record(&s, scope);
}

static void test_sending__given_more_than_a_scope_takes_then_nothing_is_copied_for_the_rest(void **state) {
    (void)state;
    struct arena arena;
    struct span_scope scope;
    span_setup(1000000, on_span, NULL);
    struct trace own = span_root(), link = trace_new();
    arena_init(&arena, 4096, 1 << 20);
    span_scope_open(&scope, &own, &arena);
    for (int i = 0; i < SPAN_SCOPE_MAX; i++) {
        send(&scope, i == 0 ? &link : NULL);
    }
    size_t used = arena.used, total = arena.total;
    for (int i = 0; i < SPAN_SCOPE_MAX; i++) {
        send(&scope, NULL);
    }
    assert_int_equal(used, arena.used);
    assert_int_equal(total, arena.total);
    const struct span self = {.trace = own, .name = STR("own"), .message = STR("")};
    assert_true(span_scope_close(&scope, &self, false));
    assert_int_equal(1 + SPAN_SCOPE_MAX, recorded);
    assert_int_equal(1, linked);
    arena_free(&arena);
    span_setup(0, NULL, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sending__given_more_than_a_scope_takes_then_nothing_is_copied_for_the_rest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
