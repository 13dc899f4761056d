#include <stdlib.h>
#include <top_view.h>

#include "unit.h"

static const char SNAPSHOT[] =
    "{\"ready\":true,\"degraded\":[\"redis: away\"],\"queues\":["
    "{\"name\":\"b\",\"paused\":false,\"depth\":{\"waiting\":5,\"running\":1,\"delayed\":0,\"dead\":0},"
    "\"oldest_age_s\":1,\"state\":\"open\",\"workers\":{\"desired\":2,\"running\":2}},"
    "{\"name\":\"a\",\"paused\":true,\"depth\":{\"waiting\":0,\"running\":0,\"delayed\":0,\"dead\":7},"
    "\"oldest_age_s\":90,\"state\":\"closed\",\"workers\":{\"desired\":1,\"running\":0}},"
    "{\"name\":\"c\",\"paused\":false,\"depth\":{\"waiting\":9,\"running\":0,\"delayed\":3,\"dead\":0},"
    "\"oldest_age_s\":0,\"state\":\"closed\",\"workers\":{\"desired\":1,\"running\":0}}]}";

static struct top_view make(void) {
    struct top_view v = {.url = "http://x", .message = "hello"};
    assert_ok(json_read(str_c(SNAPSHOT), &v.snapshot));
    return v;
}

static void drop(struct top_view *v) { json_decref(v->snapshot); }

static const char *selected(const struct top_view *v) { return json_string_value(json_object_get(top_selected(v), "name")); }

static void test_move__given_each_order_then_the_selection_follows_its_queue(void **state) {
    (void)state;
    struct top_view v = make();
    assert_string_equal("a", selected(&v));
    top_move(&v, 1);
    assert_string_equal("b", selected(&v));
    v.sort = TOP_BY_WAITING; /* c b a */
    assert_string_equal("b", selected(&v));
    top_move(&v, 1);
    assert_string_equal("a", selected(&v));
    top_move(&v, 5);
    assert_string_equal("a", selected(&v));
    top_move(&v, -9);
    assert_string_equal("c", selected(&v));
    v.sort = TOP_BY_AGE; /* a b c */
    top_move(&v, -9);
    assert_string_equal("a", selected(&v));
    drop(&v);
}

static void test_move__given_no_queues_then_nothing(void **state) {
    (void)state;
    struct top_view v = {.url = "", .message = ""};
    top_move(&v, 1);
    assert_null(top_selected(&v));
}

/* Without SGR. */
static size_t width(struct str line) {
    size_t n = 0;
    bool escape = false;
    for (size_t i = 0; i < line.n; i++) {
        escape = escape || line.p[i] == '\033';
        n += !escape;
        escape = escape && line.p[i] != 'm';
    }
    return n;
}

static void test_write__given_any_size_then_it_fits(void **state) {
    (void)state;
    struct top_view v = make();
    v.color = true;
    for (int rows = 1; rows < 12; rows++) {
        for (int columns = 1; columns < 130; columns += 7) {
            struct buf out;
            struct str text, line;
            int n = 0;
            buf_init(&out, 1 << 20);
            top_write(&v, rows, columns, (struct wall){0}, &out);
            assert_ok(buf_status(&out));
            text = buf_str(&out);
            while (str_cut(&text, '\n', &line)) {
                assert_true(width(line) <= (size_t)columns);
                n++;
            }
            assert_true(n <= (rows < 4 ? 4 : rows));
            buf_free(&out);
        }
    }
    drop(&v);
}

static void test_write__given_queues_then_their_figures_and_the_selected_one_reversed(void **state) {
    (void)state;
    struct top_view v = make();
    struct buf out;
    buf_init(&out, 1 << 20);
    top_move(&v, 1);
    top_write(&v, 8, 90, (struct wall){0}, &out);
    buf_add_char(&out, '\0');
    assert_ok(buf_status(&out));
    assert_non_null(
        strstr(out.p, "penstock degraded  http://x  waiting 14  running 1  dead 7  degraded: redis: away\nhello\nNAME"));
    assert_non_null(strstr(out.p, "\033[7mb "));
    assert_non_null(strstr(out.p, " 2/2\033[0m\n"));
    assert_non_null(strstr(out.p, " paused "));
    assert_non_null(strstr(out.p, " 0/1\n"));
    assert_null(strstr(out.p, "\033[3"));
    buf_free(&out);
    drop(&v);
}

static void scenario(void *arg) {
    struct buf out;
    buf_init(&out, 1 << 20);
    top_write(arg, 24, 80, (struct wall){0}, &out);
    buf_free(&out);
}

static void test_write__given_no_memory_then_no_harm(void **state) {
    (void)state;
    struct top_view v = make();
    torture(scenario, &v);
    drop(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_move__given_each_order_then_the_selection_follows_its_queue),
        cmocka_unit_test(test_move__given_no_queues_then_nothing),
        cmocka_unit_test(test_write__given_any_size_then_it_fits),
        cmocka_unit_test(test_write__given_queues_then_their_figures_and_the_selected_one_reversed),
        cmocka_unit_test(test_write__given_no_memory_then_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
