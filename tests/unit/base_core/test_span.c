#include <base/limits.h>
#include <base/span.h>

#include <stdio.h>

#include "unit.h"

enum { SEEN_MAX = 128, DRAWS = 4000 };

static struct {
    size_t n;
    struct span span[SEEN_MAX];
    struct trace links[LIMIT_BATCH];
} seen;

static void on_span(void *arg, const struct span *s) {
    assert_ptr_equal(&seen, arg);
    if (seen.n < SEEN_MAX) {
        seen.span[seen.n] = *s;
        if (s->links_n > 0) {
            memcpy(seen.links, s->links, s->links_n * sizeof seen.links[0]);
        }
    }
    seen.n++;
}

static void on(int64_t per_million) {
    seen.n = 0;
    span_setup(per_million, on_span, &seen);
}

static int off(void **state) {
    (void)state;
    span_setup(0, NULL, NULL);
    span_owners(NULL, NULL);
    return 0;
}

static struct trace trace_of(const char *traceparent) {
    struct trace t;
    assert_true(trace_parse(str_c(traceparent), &t));
    return t;
}

static int sampled_roots(void) {
    int n = 0;
    for (int i = 0; i < DRAWS; i++) {
        struct trace t = span_root();
        n += trace_is_sampled(&t);
        assert_int_equal(2, t.flags & 2);
    }
    return n;
}

static void test_span__given_a_ratio_then_so_many_traces_that_begin_here_are_sampled(void **state) {
    (void)state;
    assert_int_equal(DRAWS, sampled_roots()); /* off: whoever is called may record it */
    on(0);
    assert_int_equal(0, sampled_roots());
    on(1000000);
    assert_int_equal(DRAWS, sampled_roots());
    on(250000);
    assert_in_range(sampled_roots(), DRAWS / 5, DRAWS * 3 / 10);
    assert_int_equal(0, seen.n);
}

/* Its own span, one within it, and a call that was begun by its owner. */
static bool run_scope(const char *traceparent, bool always) {
    struct span_scope scope;
    struct arena arena;
    struct trace own = trace_of(traceparent);
    arena_init(&arena, 4096, 65536);
    span_scope_open(&scope, &own, &arena);
    struct span_mark mark;
    span_begin_in(&mark, &scope);
    struct span call = {.kind = SPAN_CLIENT, .name = STR("call"), SPAN_ATTRS(SA_INT("n", 3))};
    span_end_in(&mark, &scope, &call);
    struct span self = {.trace = own, .kind = SPAN_CONSUMER, .name = STR("own")};
    bool went = span_scope_close(&scope, &self, always);
    span_end_in(&mark, &scope, &call); /* too late */
    arena_free(&arena);
    return went;
}

static void test_span__given_the_flags_of_its_trace_then_a_scope_goes_or_not(void **state) {
    (void)state;
    static const struct {
        const char *traceparent;
        bool always;
        size_t spans;
    } cases[] = {
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false, 2},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", false, 0},
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", true, 2}, /* it failed, or was slow */
        {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03", true, 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        on(0);
        assert_int_equal(cases[i].spans > 0, run_scope(cases[i].traceparent, cases[i].always));
        assert_int_equal(cases[i].spans, seen.n);
        if (seen.n > 0) {
            assert_str("own", seen.span[0].name);
            assert_str("call", seen.span[1].name);
            assert_memory_equal(seen.span[0].trace.span_id, seen.span[1].parent, 8);
            assert_memory_equal(seen.span[0].trace.trace_id, seen.span[1].trace.trace_id, 16);
            assert_memory_not_equal(seen.span[0].trace.span_id, seen.span[1].trace.span_id, 8);
            assert_true(seen.span[1].ended.us >= seen.span[1].began.us && seen.span[1].began.us > 0);
        }
    }
}

static void test_span__switched_off_then_nothing_is_done_for_a_job(void **state) {
    (void)state;
    static const char traceparent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    struct span_mark mark;
    (void)off(NULL);
    seen.n = 0;
    long before = torture_allocations();
    assert_false(run_scope(traceparent, true));
    span_begin(&mark, 7);
    assert_int_equal(before, torture_allocations());
    assert_int_equal(0, mark.scope);
    assert_int_equal(0, seen.n);
}

static void test_span__given_too_many_within_a_scope_then_the_first_ones_go(void **state) {
    (void)state;
    struct span_scope scope;
    struct arena arena;
    struct trace own = trace_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    on(0);
    arena_init(&arena, 4096, 1 << 20);
    span_scope_open(&scope, &own, &arena);
    struct span child = {.kind = SPAN_CLIENT, .name = STR("child")};
    for (int i = 0; i < SPAN_SCOPE_MAX + 10; i++) {
        span_scope_add(&scope, &child);
    }
    struct span self = {.trace = own, .name = STR("own")};
    assert_true(span_scope_close(&scope, &self, false));
    assert_int_equal(1 + SPAN_SCOPE_MAX, seen.n);
    arena_free(&arena);
}

static struct span_scope *find(void *arg, uint32_t owner) {
    struct span_scope *scopes = arg;
    return owner == 7 ? &scopes[0] : NULL;
}

/* Strings for a span are made where its call's mark still finds the scope. */
static void test_span__given_a_full_scope_then_no_call_finds_it(void **state) {
    (void)state;
    struct span_scope scopes[1];
    struct arena arena;
    struct trace own = trace_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    on(0);
    span_owners(find, scopes);
    arena_init(&arena, 4096, 1 << 20);
    span_scope_open(&scopes[0], &own, &arena);
    for (int i = 0; i < 3 * SPAN_SCOPE_MAX; i++) {
        struct span_mark mark;
        struct span call = {.kind = SPAN_CLIENT, .name = STR("call"), .message = STR("")};
        span_begin(&mark, 7);
        assert_true((span_mark_scope(&mark) != NULL) == (i < SPAN_SCOPE_MAX));
        assert_memory_equal(own.trace_id, mark.trace.trace_id, sizeof own.trace_id); /* for the other side, as ever */
        span_end(&mark, &call);
    }
    assert_int_equal(SPAN_SCOPE_MAX, scopes[0].n);
    assert_false(span_scope_takes(NULL));
    arena_free(&arena);
    span_owners(NULL, NULL);
}

static void test_span__given_a_call_that_outlives_its_scope_then_nobody_elses_gets_it(void **state) {
    (void)state;
    struct span_scope scopes[1];
    struct arena arena;
    struct span_mark mark, nobodys;
    struct trace own = trace_of("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    on(0);
    arena_init(&arena, 4096, 65536);
    span_owners(find, scopes);
    span_scope_open(&scopes[0], &own, &arena);
    span_begin(&nobodys, 0);
    assert_int_equal(0, nobodys.scope);
    span_begin(&nobodys, 8);
    assert_int_equal(0, nobodys.scope);
    span_begin(&mark, 7);
    assert_ptr_equal(&scopes[0], span_mark_scope(&mark));
    span_scope_open(&scopes[0], &own, &arena); /* the next job in its place */
    assert_null(span_mark_scope(&mark));
    struct span s = {.name = STR("late")};
    span_end(&mark, &s);
    assert_int_equal(0, scopes[0].n);
    arena_free(&arena);
}

static void test_span__given_a_batch_then_it_is_of_the_first_sampled_and_linked_to_the_others(void **state) {
    (void)state;
    const struct trace t[] = {trace_of("00-0af7651916cd43dd8448eb211c80319c-0000000000000001-00"),
                              trace_of("00-0af7651916cd43dd8448eb211c80319d-0000000000000002-01"),
                              trace_of("00-0af7651916cd43dd8448eb211c80319e-0000000000000003-00"),
                              trace_of("00-0af7651916cd43dd8448eb211c80319f-0000000000000004-01")};
    const struct trace *const all[] = {&t[0], &t[1], &t[2], &t[3]}, *const none[] = {&t[0], &t[2]};
    on(0);
    struct span s = {.name = STR("batch")};
    span_emit_batch(&s, none, 2);
    assert_int_equal(0, seen.n);
    span_emit_batch(&s, all, 4);
    assert_int_equal(1, seen.n);
    assert_memory_equal(t[1].trace_id, seen.span[0].trace.trace_id, 16);
    assert_memory_equal(t[1].span_id, seen.span[0].parent, 8);
    assert_int_equal(1, seen.span[0].links_n);
    assert_memory_equal(&t[3], &seen.links[0], sizeof t[3]);
}

static void scenario(void *arg) {
    (void)arg;
    on(0);
    bool went = run_scope("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", false);
    assert_true(went); /* perhaps with a gap */
    assert_in_range(seen.n, torture_is_failing() ? 1 : 2, 2);
}

static void test_span__without_memory_then_there_is_a_gap(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_span__given_a_ratio_then_so_many_traces_that_begin_here_are_sampled, off),
        cmocka_unit_test_teardown(test_span__given_the_flags_of_its_trace_then_a_scope_goes_or_not, off),
        cmocka_unit_test_teardown(test_span__switched_off_then_nothing_is_done_for_a_job, off),
        cmocka_unit_test_teardown(test_span__given_a_full_scope_then_no_call_finds_it, off),
        cmocka_unit_test_teardown(test_span__given_too_many_within_a_scope_then_the_first_ones_go, off),
        cmocka_unit_test_teardown(test_span__given_a_call_that_outlives_its_scope_then_nobody_elses_gets_it, off),
        cmocka_unit_test_teardown(test_span__given_a_batch_then_it_is_of_the_first_sampled_and_linked_to_the_others, off),
        cmocka_unit_test_teardown(test_span__without_memory_then_there_is_a_gap, off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
