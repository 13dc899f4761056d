/* Which attempts of traces that nobody samples are recorded all the same: those that are slow for their type. And what spans do not say. */
#include <base/json.h>
#include <base/schema.h>
#include <base/span.h>

#include "../../../worker/src/record.h"
#include "../../../worker/src/throttle.h"
#include "unit.h"

static size_t recorded;
static struct buf said; /* the messages */

static void on_span(void *arg, const struct span *s) {
    (void)arg;
    recorded++;
    buf_add(&said, s->message);
    buf_add_char(&said, ';');
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

static void test_record__given_a_call_that_repeats_what_is_personal_then_its_span_has_stars(void **state) {
    (void)state;
    static const struct job_type type = {.schema = "{\"properties\":{\"to\":{\"x-masked\":true}}}"};
    struct runtime rt = {0};
    struct process p = {.rt = &rt, .queue = &queue, .consumer = "c"};
    struct kind k = {.name = STR("t"), .type = &type};
    struct held h = {.process = &p, .kind = &k, .shard = &shard, .label = LABEL_RETRY};
    const struct attempt_end end = {.kind = END_FAILED, .err = {ERR_TRANSIENT, "451 <***>: later"}};
    const struct span call = {.name = STR("send mail"), .message = STR("451 <ann@example.org>: later")},
                      well = {.name = STR("POST")};
    assert_ok(loop_new(&rt.loop));
    span_setup(0, on_span, NULL);
    buf_clear(&said);
    arena_init(&h.arena, 4096, 65536);
    h.attempt.payload = STR("{\"to\":\"ann@example.org\"}");
    h.attempt.job.trace = span_root();
    record_begin(&h);
    span_scope_add(&h.attempt.scope, &call);
    span_scope_add(&h.attempt.scope, &well);
    record_attempt(&h, &end, 1, 1000);
    assert_str("451 <***>: later;451 <***>: later;;", buf_str(&said));
    span_setup(0, NULL, NULL);
    arena_free(&h.arena);
    schema_free(k.schema);
    loop_free(rt.loop);
}

int main(void) {
    buf_init(&said, 4096);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record__given_a_call_that_repeats_what_is_personal_then_its_span_has_stars),
        cmocka_unit_test(test_record__given_what_a_type_usually_takes_then_what_takes_four_times_as_long),
    };
    json_setup();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    buf_free(&said);
    return failed;
}
