/* Which attempts of traces that nobody samples are recorded all the same: those that are slow for their type. */
#include <base/span.h>

#include "../../../worker/src/record.h"
#include "../../../worker/src/throttle.h"
#include "unit.h"

static size_t recorded;

static void on_span(void *arg, const struct span *s) {
    (void)arg;
    (void)s;
    recorded++;
}

static const struct queue_info queue = {.name = "q"};
static const struct shard shard = {.number = 0};

/* Whether one of so many milliseconds is recorded. */
static bool is_recorded(struct process *p, struct kind *k, int kind_of_end, int64_t ms) {
    struct held h = {.process = p, .kind = k, .shard = &shard, .label = kind_of_end == END_LATER ? LABEL_RELEASED : LABEL_DONE};
    struct attempt_end end = {0};
    size_t before = recorded;
    end.kind = (unsigned)kind_of_end;
    arena_init(&h.arena, 4096, 65536);
    h.attempt.job.type = STR("t");
    h.attempt.job.tenant = STR("default");
    h.attempt.job.trace = span_root();
    k->running++;
    record_begin(&h);
    record_attempt(&h, &end, 1, ms * 1000);
    throttle_left(&h, &end, ms * 1000);
    arena_free(&h.arena);
    return recorded > before;
}

static void test_record__given_what_a_type_usually_takes_then_what_takes_four_times_as_long(void **state) {
    (void)state;
    struct runtime rt = {0};
    struct process p = {.rt = &rt, .queue = &queue, .consumer = "c"};
    struct kind slow = {.name = STR("t")}, quick = {.name = STR("t")};
    assert_ok(loop_new(&rt.loop));
    span_setup(0, on_span, NULL);
    for (int i = 0; i < 50; i++) {
        assert_true(is_recorded(&p, &slow, END_FINISHED, 600) == (i == 0)); /* nothing is known of a first one */
        assert_false(is_recorded(&p, &quick, END_FINISHED, 10));
    }
    assert_false(is_recorded(&p, &slow, END_FINISHED, 2000));
    assert_true(is_recorded(&p, &slow, END_FINISHED, 4000));
    assert_false(is_recorded(&p, &quick, END_FINISHED, 400)); /* too short to matter */
    assert_true(is_recorded(&p, &quick, END_FINISHED, 500));
    for (int i = 0; i < 200; i++) {
        assert_false(is_recorded(&p, &slow, END_LATER, 0)); /* refused: that says nothing of what it takes */
    }
    assert_false(is_recorded(&p, &slow, END_FINISHED, 2000));
    span_setup(0, NULL, NULL);
    loop_free(rt.loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record__given_what_a_type_usually_takes_then_what_takes_four_times_as_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
