#include <base/err.h>
#include <base/trace.h>

#include "unit.h"

#define IDS "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"

static void test_trace__given_a_traceparent_then_only_the_standards_form_is_taken(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool valid;
        unsigned flags;
    } cases[] = {
        {"00-" IDS "-01", true, 1},
        {"00-" IDS "-00", true, 0},
        {"00-" IDS "-03", true, 3},
        {"00-" IDS "-ff", true, 3}, /* bits that no version defines yet are not passed on */
        {"01-" IDS "-01", true, 1},
        {"cc-" IDS "-01-what.the.future.brings", true, 1},
        {"cc-" IDS "-01-", true, 1},
        {"00-" IDS "-01-x", false, 0},
        {"cc-" IDS "-01x", false, 0},
        {"cc-" IDS "-012", false, 0},
        {"ff-" IDS "-01", false, 0},
        {"00-" IDS "-0", false, 0},
        {"00-" IDS "-0g", false, 0},
        {"00-" IDS "", false, 0},
        {"", false, 0},
        {"0-" IDS "-01x", false, 0},
        {"0x-" IDS "-01", false, 0},
        {"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", false, 0},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00F067AA0BA902B7-01", false, 0},
        {"00-" IDS "-0A", false, 0},
        {"0A-" IDS "-01", false, 0},
        {"00-00000000000000000000000000000000-00f067aa0ba902b7-01", false, 0},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false, 0},
        {"00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false, 0},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01", false, 0},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7_01", false, 0},
        {" 00-" IDS "-01", false, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct trace t = {.flags = 77};
        if (trace_parse(str_c(cases[i].text), &t) != cases[i].valid) {
            fail_msg("%s", cases[i].text);
        }
        assert_int_equal(cases[i].valid ? cases[i].flags : 77, t.flags);
    }
}

static void test_trace__text_goes_there_and_back(void **state) {
    (void)state;
    struct trace t;
    char text[TRACEPARENT_BYTES];
    char id[TRACE_ID_HEX_BYTES];
    assert_true(trace_parse(STR("00-" IDS "-01"), &t));
    trace_text(&t, text);
    assert_string_equal("00-" IDS "-01", text);
    trace_id_text(&t, id);
    assert_string_equal("4bf92f3577b34da6a3ce929d0e0e4736", id);
}

static void test_trace__a_child_keeps_the_trace_and_has_a_new_span(void **state) {
    (void)state;
    struct trace a = trace_new();
    struct trace b = trace_new();
    struct trace child = trace_child(&a);
    struct trace back;
    char text[TRACEPARENT_BYTES];
    assert_int_equal(3, a.flags);
    assert_memory_not_equal(a.trace_id, b.trace_id, sizeof a.trace_id);
    assert_memory_equal(a.trace_id, child.trace_id, sizeof a.trace_id);
    assert_memory_not_equal(a.span_id, child.span_id, sizeof a.span_id);
    assert_int_equal(a.flags, child.flags);
    trace_text(&child, text);
    assert_true(trace_parse(str_c(text), &back));
    assert_memory_equal(child.span_id, back.span_id, sizeof back.span_id);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trace__given_a_traceparent_then_only_the_standards_form_is_taken),
        cmocka_unit_test(test_trace__text_goes_there_and_back),
        cmocka_unit_test(test_trace__a_child_keeps_the_trace_and_has_a_new_span),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
