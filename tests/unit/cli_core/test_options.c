#include <options.h>

#include "unit.h"

enum { WORDS_MAX = 12 };

static int act(const struct options *o) {
    (void)o;
    return 0;
}

static int run(int argc, char **argv) {
    (void)argv;
    return argc;
}

static const struct command list = {"job", "list", NULL, act, "", "state limit", "list jobs"};
static const struct command get = {"job", "get", NULL, act, "ID", "", "show a job"};
static const struct command retry = {"dlq", "retry", NULL, act, "[ID...]", "queue all limit", "run dead jobs again"};
static const struct command enqueue = {"enqueue", "", NULL, act, "TYPE", "data key wait", "put a job"};
static const struct command role = {"api", "", run, NULL, "", "", "role: the HTTP API"};

struct words {
    char text[WORDS_MAX][64];
    char *argv[WORDS_MAX + 1];
    int argc;
};

/* getopt reorders what it is given, so each reading has its own. line: words with spaces between. */
static void split(struct words *w, const char *line) {
    struct str rest = str_c(line), word;
    w->argc = 1;
    (void)str_copy_c(STR("verb"), w->text[0], sizeof w->text[0]);
    while (w->argc < WORDS_MAX && str_cut(&rest, ' ', &word)) {
        assert_true(str_copy_c(word, w->text[w->argc++], sizeof w->text[0]));
    }
    for (int i = 0; i < w->argc; i++) {
        w->argv[i] = w->text[i];
    }
    w->argv[w->argc] = NULL;
}

static bool reads(const struct command *c, const char *line, struct words *w, struct options *o, char why[256]) {
    struct buf text;
    split(w, line);
    buf_init(&text, 4096);
    struct options read = *o;
    bool ok =
        options_read(c, w->argc, w->argv, &read, &text) && (read.value[OPTION_HELP] != NULL || options_settle(&read, &text));
    *o = ok ? read : *o;
    assert_true(ok == (text.n == 0));
    assert_true(str_copy_c(buf_str(&text), why, 256));
    buf_free(&text);
    return ok;
}

static void test_options__given_none_then_the_defaults(void **state) {
    (void)state;
    struct words w;
    struct options o = {0};
    char why[256];
    assert_true(reads(&list, "", &w, &o, why));
    assert_ptr_equal(&list, o.command);
    assert_false(o.json);
    assert_true(o.headers);
    assert_false(o.quiet);
    assert_int_equal(30000, o.timeout_ms);
    assert_int_equal(0, o.args_n);
    assert_null(o.value[OPTION_STATE]);
}

static void test_options__given_all_forms_then_they_mean_the_same(void **state) {
    (void)state;
    static const char *const lines[] = {"-ojson -q x --timeout 5m", "x -o json --quiet --timeout=300",
                                        "--output=json x -q --timeout 300s", "--out json -q --timeo 5m -- x"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct words w;
        struct options o = {0};
        char why[256];
        assert_true(reads(&get, lines[i], &w, &o, why));
        assert_true(o.json && o.quiet);
        assert_int_equal(300000, o.timeout_ms);
        assert_int_equal(1, o.args_n);
        assert_string_equal("x", o.args[0]);
    }
}

static void test_options__given_values_then_the_command_has_them(void **state) {
    (void)state;
    struct words w;
    struct options o = {0};
    char why[256];
    assert_true(reads(&enqueue, "demo.note -d {} --key k-1 --wait 30s", &w, &o, why));
    assert_string_equal("{}", o.value[OPTION_DATA]);
    assert_string_equal("k-1", o.value[OPTION_KEY]);
    assert_string_equal("30s", o.value[OPTION_WAIT]);
    assert_string_equal("demo.note", o.args[0]);
    assert_true(reads(&enqueue, "demo.note -d -", &w, &o, why));
    assert_string_equal("-", o.value[OPTION_DATA]);
    assert_true(reads(&retry, "a b c", &w, &o, why));
    assert_int_equal(3, o.args_n);
    assert_true(reads(&retry, "--all --queue q", &w, &o, why));
    assert_string_equal("", o.value[OPTION_ALL]);
    assert_int_equal(0, o.args_n);
}

static void test_options__given_each_form_of_output_then_what_it_means(void **state) {
    (void)state;
    static const struct {
        const char *line;
        enum output output;
        bool json;
    } rows[] = {{"x", OUTPUT_TABLE, false},       {"-o table x", OUTPUT_TABLE, false}, {"-o wide x", OUTPUT_WIDE, false},
                {"-o json x", OUTPUT_JSON, true}, {"-o jsonl x", OUTPUT_JSONL, true},  {"-o name x", OUTPUT_NAME, false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct words w;
        struct options o = {0};
        char why[256];
        assert_true(reads(&get, rows[i].line, &w, &o, why));
        assert_int_equal(rows[i].output, o.output);
        assert_true(rows[i].json == o.json);
        assert_null(o.field);
    }
}

static void test_options__given_a_field_a_watch_and_a_dry_run_then_the_command_has_them(void **state) {
    (void)state;
    static const struct command both = {"q", "get", NULL, act, "ID", "watch dry-run", "show"};
    struct words w;
    struct options o = {0};
    char why[256];
    assert_true(reads(&both, "--field .depth.waiting -w x --dry-run", &w, &o, why));
    assert_string_equal("depth.waiting", o.field);
    assert_true(o.watch && o.dry_run);
}

static void test_options__given_a_mistake_then_one_line_says_which(void **state) {
    (void)state;
    static const struct {
        const struct command *command;
        const char *line, *why;
    } rows[] = {
        {&list, "-x", "there is no option -x"},
        {&list, "--frob", "there is no option --frob, or it is short for several"},
        {&list, "--queue q", "there is no option --queue, or it is short for several"},
        {&list, "-d x", "there is no option -d"},
        {&list, "--quiet=yes", "--quiet takes no value"},
        {&list, "--state", "--state needs a value, waiting|done|dead|cancelled|expired"},
        {&list, "-o", "--output needs a value, table|wide|json|jsonl|name"},
        {&list, "-o yaml", "--output must be one of table|wide|json|jsonl|name, not \"yaml\""},
        {&list, "--timeout 0", "--timeout must be a time like 500ms or 30s, at most 1h, not \"0\""},
        {&list, "--timeout 2h", "--timeout must be a time like 500ms or 30s, at most 1h, not \"2h\""},
        {&list, "--field state", "--field must begin with a dot, as .state, not \"state\""},
        {&list, "--field .", "--field must begin with a dot, as .state, not \".\""},
        {&list, "-w", "there is no option -w"},
        {&list, "--dry-run", "there is no option --dry-run, or it is short for several"},
        {&list, "x", "wants no arguments, not 1 argument"},
        {&get, "", "wants ID, not 0 arguments"},
        {&get, "a b", "wants ID, not 2 arguments"},
        {&enqueue, "a b", "wants TYPE, not 2 arguments"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct words w;
        struct options o = {.args_n = 77};
        char why[256];
        assert_false(reads(rows[i].command, rows[i].line, &w, &o, why));
        assert_string_equal(rows[i].why, why);
        assert_int_equal(77, o.args_n);
    }
}

static void test_options__given_help_then_nothing_else_is_checked(void **state) {
    (void)state;
    struct words w;
    struct options o = {0};
    char why[256];
    assert_true(reads(&get, "--help", &w, &o, why));
    assert_non_null(o.value[OPTION_HELP]);
    assert_true(reads(&get, "a b c -h", &w, &o, why));
    assert_non_null(o.value[OPTION_HELP]);
}

static void test_options__given_a_command_then_its_help_has_its_options_alone(void **state) {
    (void)state;
    struct buf page;
    buf_init(&page, 1 << 16);
    options_describe(&list, &page);
    buf_add_char(&page, '\0');
    assert_ok(buf_status(&page));
    assert_non_null(strstr(page.p, "usage: penstock job list [options]\n\nlist jobs\n"));
    assert_non_null(strstr(page.p, "  -o, --output table|wide|json|jsonl|name "));
    assert_non_null(strstr(page.p, "      --state waiting|done|dead|cancelled|expired "));
    assert_null(strstr(page.p, "--data"));
    buf_clear(&page);
    options_describe(&role, &page);
    assert_str("usage: penstock api\n\nrole: the HTTP API\n", buf_str(&page));
    buf_free(&page);
}

static void scenario(void *arg) {
    (void)arg;
    struct words w;
    struct options o;
    struct buf page, why;
    buf_init(&page, 1 << 16);
    buf_init(&why, 4096);
    split(&w, "--frob");
    assert_false(options_read(&list, w.argc, w.argv, &o, &why));
    options_describe(&enqueue, &page);
    assert_true(torture_is_failing() || (!err_is_set(buf_status(&page)) && !err_is_set(buf_status(&why))));
    buf_free(&page);
    buf_free(&why);
}

static void test_options__given_no_memory_then_the_verdict_stands(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options__given_none_then_the_defaults),
        cmocka_unit_test(test_options__given_all_forms_then_they_mean_the_same),
        cmocka_unit_test(test_options__given_values_then_the_command_has_them),
        cmocka_unit_test(test_options__given_each_form_of_output_then_what_it_means),
        cmocka_unit_test(test_options__given_a_field_a_watch_and_a_dry_run_then_the_command_has_them),
        cmocka_unit_test(test_options__given_a_mistake_then_one_line_says_which),
        cmocka_unit_test(test_options__given_help_then_nothing_else_is_checked),
        cmocka_unit_test(test_options__given_a_command_then_its_help_has_its_options_alone),
        cmocka_unit_test(test_options__given_no_memory_then_the_verdict_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
