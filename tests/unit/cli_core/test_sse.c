#include <sse.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

struct told {
    char text[512];
    int most;
};

static bool on_event(void *arg, struct str name, struct str data) {
    struct told *t = arg;
    size_t n = strlen(t->text);
    (void)snprintf(t->text + n, sizeof t->text - n, "[%.*s|%.*s]", STR_ARG(name), STR_ARG(data));
    return --t->most > 0;
}

static const char STREAM[] = "retry: 1000\n\nevent: running\nid: a1\ndata: {\"x\":1}\n\n: nobody reads this\n\r\n"
                             "data: one\r\ndata:two\r\nid: a2\r\n\r\nevent: lost\nid\n\ndata: begun";

static void test_sse__given_any_cuts_then_the_same_events(void **state) {
    (void)state;
    for (size_t size = 1; size < sizeof STREAM; size++) {
        struct told told = {.most = 99};
        struct sse s;
        sse_init(&s, on_event, &told);
        for (size_t at = 0; at < sizeof STREAM - 1; at += size) {
            size_t n = sizeof STREAM - 1 - at < size ? sizeof STREAM - 1 - at : size;
            assert_true(sse_feed(&s, str_of(STREAM + at, n)));
        }
        assert_string_equal("[running|{\"x\":1}][message|one\ntwo]", told.text);
        assert_string_equal("", s.id);
        sse_free(&s);
    }
}

static void test_sse__given_another_connection_then_what_was_begun_is_dropped_and_the_id_stays(void **state) {
    (void)state;
    struct told told = {.most = 99};
    struct sse s;
    sse_init(&s, on_event, &told);
    assert_true(sse_feed(&s, STR("id: 7\ndata: x\n\nevent: y\ndata: beg")));
    sse_begin(&s);
    assert_true(sse_feed(&s, STR("data: z\n\n")));
    assert_string_equal("[message|x][message|z]", told.text);
    assert_string_equal("7", s.id);
    sse_free(&s);
}

static void test_sse__given_who_has_enough_then_no_more(void **state) {
    (void)state;
    struct told told = {.most = 1};
    struct sse s;
    sse_init(&s, on_event, &told);
    assert_false(sse_feed(&s, STR("data: x\n\ndata: y\n\n")));
    assert_string_equal("[message|x]", told.text);
    sse_free(&s);
}

static void test_sse__given_a_line_without_an_end_then_it_is_refused(void **state) {
    (void)state;
    char *text = calloc(1, SSE_LINE_BYTES_MAX + 1);
    struct told told = {.most = 99};
    struct sse s;
    assert_non_null(text);
    memset(text, 'x', SSE_LINE_BYTES_MAX + 1);
    sse_init(&s, on_event, &told);
    assert_false(sse_feed(&s, str_of(text, SSE_LINE_BYTES_MAX + 1)));
    sse_free(&s);
    free(text);
}

static void scenario(void *arg) {
    struct told told = {.most = 99};
    struct sse s;
    (void)arg;
    sse_init(&s, on_event, &told);
    assert_true(sse_feed(&s, str_of(STREAM, sizeof STREAM - 1)) || torture_is_failing());
    sse_free(&s);
}

static void test_sse__given_no_memory_then_it_says_so(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sse__given_any_cuts_then_the_same_events),
        cmocka_unit_test(test_sse__given_another_connection_then_what_was_begun_is_dropped_and_the_id_stays),
        cmocka_unit_test(test_sse__given_who_has_enough_then_no_more),
        cmocka_unit_test(test_sse__given_a_line_without_an_end_then_it_is_refused),
        cmocka_unit_test(test_sse__given_no_memory_then_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
