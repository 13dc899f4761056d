#include <queues/stream_id.h>

#include "unit.h"

static void test_stream_id__given_an_id_then_text_and_parse_are_inverse(void **state) {
    (void)state;
    static const struct {
        struct stream_id id;
        const char *text;
    } rows[] = {
        {{0, 0}, "0-0"},
        {{0, 1}, "0-1"},
        {{1, 0}, "1-0"},
        {{1730406023291, 17}, "1730406023291-17"},
        {{UINT64_MAX, UINT64_MAX}, "18446744073709551615-18446744073709551615"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char room[STREAM_ID_BYTES];
        struct stream_id back;
        memset(room, 'x', sizeof room);
        assert_str(rows[i].text, stream_id_text(rows[i].id, room));
        assert_string_equal(rows[i].text, stream_id_text(rows[i].id, room).p); /* with a NUL behind it */
        assert_true(stream_id_parse(str_c(rows[i].text), &back));
        assert_true(stream_id_eq(rows[i].id, back));
    }
}

static void test_stream_id__given_anything_else_then_it_does_not_parse(void **state) {
    (void)state;
    static const char *const rows[] = {
        "",
        "-",
        "1",
        "1-",
        "-1",
        "1-1-1",
        "1--1",
        " 1-1",
        "1-1 ",
        "+1-1",
        "a-1",
        "1-b",
        "1.5-1",
        "18446744073709551616-0",
        "0-18446744073709551616",
        "1-\x31\xff",
        "(1-1",
        "$",
        "*",
        ">",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct stream_id id = {7, 7};
        assert_false(stream_id_parse(str_c(rows[i]), &id));
        assert_true(id.ms == 7 && id.seq == 7);
    }
    struct stream_id id;
    assert_false(stream_id_parse(STR_NONE, &id));
    assert_false(stream_id_parse(str_of("1-1\0", 4), &id));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stream_id__given_an_id_then_text_and_parse_are_inverse),
        cmocka_unit_test(test_stream_id__given_anything_else_then_it_does_not_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
