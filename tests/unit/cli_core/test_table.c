#include <table.h>

#include "unit.h"

#define ID "01932c3a-7b00-7000-8000-000000000000" /* made at ID_MS */
static const int64_t ID_MS = 0x01932c3a7b00;

static const struct column columns[] = {
    {"NAME", "id", COLUMN_TEXT, 0},
    {"TYPE", "type", COLUMN_TEXT, COLUMN_CUT},
    {"QUEUE", "queue", COLUMN_TEXT, COLUMN_CUT},
    {"WAITING", "depth.waiting", COLUMN_TEXT, 0},
    {"AGE", "id", COLUMN_AGE, 0},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

static json_t *read(const char *text) {
    json_t *v;
    assert_ok(json_read(str_c(text), &v));
    return v;
}

static void assert_table(const char *expected, const char *json, bool headers) {
    struct buf out;
    json_t *rows = read(json);
    buf_init(&out, 1 << 20);
    table_write(&out, columns, COLUMNS, rows, (struct wall){ID_MS + 5000}, (struct table_form){.headers = headers});
    assert_ok(buf_status(&out));
    assert_str(expected, buf_str(&out));
    buf_free(&out);
    json_decref(rows);
}

static void test_table__given_rows_then_columns_are_as_wide_as_their_texts(void **state) {
    (void)state;
    assert_table("NAME                                  TYPE       QUEUE   WAITING  AGE\n" ID "  demo.note  orders  12       5s\n"
                 "x                                     -          -       -        -\n",
                 "[{\"id\":\"" ID "\",\"type\":\"demo.note\",\"queue\":\"orders\",\"depth\":{\"waiting\":12}},{\"id\":\"x\"}]",
                 true);
}

static void test_table__given_no_rows_or_no_headers_then_only_what_there_is(void **state) {
    (void)state;
    assert_table("NAME  TYPE  QUEUE  WAITING  AGE\n", "[]", true);
    assert_table("", "[]", false);
    assert_table("a  -  -  -  -\n", "{\"id\":\"a\"}", false);
    assert_table("a  x,?  b: c, d: e  -  -\n", "{\"id\":\"a\",\"type\":[\"x\",1],\"queue\":{\"b\":\"c\",\"n\":1,\"d\":\"e\"}}",
                 false);
}

static void test_table__given_long_texts_then_it_fits_80_columns_and_names_stay_whole(void **state) {
    (void)state;
    struct buf out;
    json_t *rows = read("[{\"id\":\"" ID "\",\"type\":\"a.type.with.a.very.long.name.that.nobody.should.choose\","
                        "\"queue\":\"a-queue-with-a-very-long-name-too\",\"depth\":{\"waiting\":1000000}}]");
    buf_init(&out, 1 << 20);
    table_write(&out, columns, COLUMNS, rows, (struct wall){ID_MS}, (struct table_form){.headers = true});
    assert_ok(buf_status(&out));
    struct str text = buf_str(&out), line;
    for (int n = 0; str_cut(&text, '\n', &line); n++) {
        assert_true(line.n <= TABLE_WIDTH);
        assert_true(n == 0 || str_starts(line, STR(ID "  a.type")));
    }
    buf_add_char(&out, '\0');
    assert_non_null(strstr(out.p, "..  a-queue"));
    assert_non_null(strstr(out.p, "..  1000000"));
    buf_free(&out);
    json_decref(rows);
}

static void test_cell__given_any_value_then_its_text(void **state) {
    (void)state;
    static const struct {
        const char *json, *path, *text;
        enum column_kind kind;
    } rows[] = {
        {"{\"a\":true}", "a", "true", COLUMN_TEXT},
        {"{\"a\":false}", "a", "false", COLUMN_TEXT},
        {"{\"a\":null}", "a", "-", COLUMN_TEXT},
        {"{\"a\":\"\"}", "a", "-", COLUMN_TEXT},
        {"{\"a\":1.25}", "a", "1.2", COLUMN_TEXT},
        {"{\"a\":-7}", "a", "-7", COLUMN_TEXT},
        {"{\"a\":{\"b\":{\"c\":1}}}", "a.b.c", "1", COLUMN_TEXT},
        {"{\"a\":[\"x\",\"y\"]}", "a", "x,y", COLUMN_TEXT},
        {"{\"a\":[]}", "a", "-", COLUMN_TEXT},
        {"{\"a\":[{\"b\":1},{\"b\":2}]}", "a.last.b", "2", COLUMN_TEXT},
        {"{\"a\":[]}", "a.last.b", "-", COLUMN_TEXT},
        {"{\"a\":[{\"b\":1}]}", "a.first.b", "-", COLUMN_TEXT},
        {"{\"a\":\"red\\u001b[31m\\n\\u007f\\u009b\"}", "a", "red?[31m????", COLUMN_TEXT},
        {"{\"a\":\"caf\\u00e9\"}", "a", "caf\xc3\xa9", COLUMN_TEXT},
        {"{\"a\":90.9}", "a", "90s", COLUMN_SECONDS},
        {"{\"a\":1e300}", "a", "106751991167d", COLUMN_SECONDS},
        {"{\"a\":\"soon\"}", "a", "-", COLUMN_SECONDS},
        {"{\"a\":0.9999}", "a", "99.99%", COLUMN_PERCENT},
        {"{\"a\":1}", "a", "100%", COLUMN_PERCENT},
        {"{\"a\":-2.5}", "a", "-250%", COLUMN_PERCENT},
        {"{\"a\":null}", "a", "-", COLUMN_PERCENT},
        {"{\"a\":0.25}", "a", "0.25", COLUMN_NUMBER},
        {"{\"a\":60}", "a", "60", COLUMN_NUMBER},
        {"{\"a\":\"1970-01-01T00:00:10Z\"}", "a", "90s", COLUMN_AGE},
        {"{\"a\":40000}", "a", "60s", COLUMN_AGE},
        {"{\"a\":200000}", "a", "0s", COLUMN_AGE},
        {"{\"a\":\"no id\"}", "a", "-", COLUMN_AGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct column c = {"A", rows[i].path, rows[i].kind, false};
        char cell[TABLE_CELL_BYTES];
        json_t *v = read(rows[i].json);
        table_cell(v, &c, (struct wall){100000}, cell);
        assert_string_equal(rows[i].text, cell);
        json_decref(v);
    }
}

static void test_cell__given_too_long_a_text_then_it_ends_between_characters(void **state) {
    (void)state;
    static const struct column c = {"A", "a", COLUMN_TEXT, 0};
    for (size_t lead = 0; lead < 4; lead++) {
        char cell[TABLE_CELL_BYTES];
        struct buf text;
        buf_init(&text, 4096);
        buf_add(&text, str_of("{\"a\":\"xxx", 6 + lead));
        for (int i = 0; i < 200; i++) {
            buf_add(&text, STR("\xe2\x82\xac"));
        }
        buf_add(&text, STR("\"}\0"));
        json_t *v = read(text.p);
        table_cell(v, &c, (struct wall){0}, cell);
        size_t n = strlen(cell);
        assert_true(n >= TABLE_CELL_BYTES - 4 && n < TABLE_CELL_BYTES);
        assert_int_equal(lead % 3, n % 3);
        json_decref(v);
        buf_free(&text);
    }
}

static void scenario(void *arg) {
    struct buf out;
    buf_init(&out, 1 << 20);
    table_write(&out, columns, COLUMNS, arg, (struct wall){ID_MS}, (struct table_form){.headers = true});
    assert_true(torture_is_failing() || !err_is_set(buf_status(&out)));
    buf_free(&out);
}

static void test_table__given_no_memory_then_the_buffer_says_so(void **state) {
    (void)state;
    json_t *rows = read("[{\"id\":\"a\"},{\"id\":\"b\"}]");
    torture(scenario, rows);
    json_decref(rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table__given_rows_then_columns_are_as_wide_as_their_texts),
        cmocka_unit_test(test_table__given_no_rows_or_no_headers_then_only_what_there_is),
        cmocka_unit_test(test_table__given_long_texts_then_it_fits_80_columns_and_names_stay_whole),
        cmocka_unit_test(test_cell__given_any_value_then_its_text),
        cmocka_unit_test(test_cell__given_too_long_a_text_then_it_ends_between_characters),
        cmocka_unit_test(test_table__given_no_memory_then_the_buffer_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
