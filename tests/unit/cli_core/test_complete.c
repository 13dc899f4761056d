#include <complete.h>
#include <man.h>

#include "unit.h"

static int act(const struct options *o) {
    (void)o;
    return 0;
}

static int run(int argc, char **argv) {
    (void)argv;
    return argc;
}

static const struct command table[] = {
    {"job", "list", NULL, act, "", "state limit", "list jobs"},
    {"job", "get", NULL, act, "ID", "watch", "show a job"},
    {"queue", "pause", NULL, act, "QUEUE", "reason dry-run", "stop"},
    {"scale", "", NULL, act, "QUEUE[=N|auto]", "", ".scale"},
    {"dlq", "retry", NULL, act, "[ID...]", "queue all", "run again"},
    {"completion", "", NULL, act, "bash|zsh|fish", "", "print it"},
    {"api", "", run, NULL, "", "", "role: the HTTP API"},
};
enum { TABLE = sizeof table / sizeof table[0], WORDS_MAX = 8, QUEUES = 2 };

/* line: words with spaces between; one that ends with a space has an empty last word. */
static void complete(const char *line, struct buf *out) {
    static const char *const queues[QUEUES] = {"orders", "payments"};
    char text[WORDS_MAX][64];
    char *words[WORDS_MAX];
    struct str rest = str_c(line), word;
    size_t n = 0;
    while (str_cut(&rest, ' ', &word)) {
        assert_true(str_copy_c(word, text[n], sizeof text[0]));
        words[n] = text[n];
        n++;
    }
    if (line[0] == '\0' || line[strlen(line) - 1] == ' ') {
        text[n][0] = '\0';
        words[n] = text[n];
        n++;
    }
    const struct complete c = {table, TABLE, words, n};
    if (complete_add(&c, out)) {
        for (size_t i = 0; i < QUEUES; i++) {
            complete_add_queue(&c, queues[i], out);
        }
    }
}

static void test_complete__given_a_line_then_what_may_stand_at_its_end(void **state) {
    (void)state;
    static const struct {
        const char *line, *wanted;
    } rows[] = {
        {"", "job\nqueue\nscale\t.scale\ndlq\ncompletion\tprint it\napi\trole: the HTTP API\n"},
        {"qu", "queue\n"},
        {"x", ""},
        {"job ", "list\tlist jobs\nget\tshow a job\n"},
        {"job l", "list\tlist jobs\n"},
        {"job frob ", ""},
        {"job get ", ""},
        {"job list --st", "--state\twaiting is every open one\n"},
        {"job list --state d", "done\ndead\n"},
        {"job list --state=d", "--state=done\n--state=dead\n"},
        {"job list --state = d", "done\ndead\n"},
        {"job list --state =", "waiting\ndone\ndead\ncancelled\nexpired\n"},
        {"job list -o js", "json\njsonl\n"},
        {"job list --limit ", ""},
        {"job list --queue ", ""},
        {"queue pause ", "orders\npayments\n"},
        {"queue pause o", "orders\n"},
        {"queue pause --reason x p", "payments\n"},
        {"queue pause --reason = x p", "payments\n"},
        {"queue pause orders ", ""},
        {"scale p", "payments\n"},
        {"dlq retry --queue ", "orders\npayments\n"},
        {"dlq retry --queue=p", "--queue=payments\n"},
        {"completion z", "zsh\n"},
        {"api ", ""},
        {"api --", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out;
        buf_init(&out, 1 << 16);
        complete(rows[i].line, &out);
        assert_ok(buf_status(&out));
        assert_str(rows[i].wanted, buf_str(&out));
        buf_free(&out);
    }
}

static void test_complete__given_a_minus_then_the_options_of_the_command_alone(void **state) {
    (void)state;
    struct buf out;
    buf_init(&out, 1 << 16);
    complete("queue pause -", &out);
    buf_add_char(&out, '\0');
    assert_ok(buf_status(&out));
    assert_non_null(strstr(out.p, "--dry-run\t"));
    assert_non_null(strstr(out.p, "--output\t"));
    assert_null(strstr(out.p, "--state"));
    buf_free(&out);
}

static void test_man__given_the_table_then_every_command_and_no_text_is_a_request(void **state) {
    (void)state;
    struct buf page;
    buf_init(&page, 1 << 20);
    man_write(table, TABLE, &page);
    buf_add_char(&page, '\0');
    assert_ok(buf_status(&page));
    assert_non_null(strstr(page.p, "\n\\fBpenstock queue pause\\fR \\fIQUEUE\\fR\n"));
    assert_non_null(strstr(page.p, "Options: \\fB\\-\\-dry\\-run\\fR, \\fB\\-\\-reason\\fR.\n"));
    assert_non_null(strstr(page.p, "\n\\&.scale.\n"));
    buf_free(&page);
}

static void scenario(void *arg) {
    (void)arg;
    struct buf out;
    buf_init(&out, 1 << 20);
    complete("dlq retry --queue ", &out);
    man_write(table, TABLE, &out);
    assert_true(torture_is_failing() || !err_is_set(buf_status(&out)));
    buf_free(&out);
}

static void test_complete__given_no_memory_then_it_says_so(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_complete__given_a_line_then_what_may_stand_at_its_end),
        cmocka_unit_test(test_complete__given_a_minus_then_the_options_of_the_command_alone),
        cmocka_unit_test(test_man__given_the_table_then_every_command_and_no_text_is_a_request),
        cmocka_unit_test(test_complete__given_no_memory_then_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
