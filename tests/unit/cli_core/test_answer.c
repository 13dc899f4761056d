#include <answer.h>
#include <exits.h>

#include "unit.h"

static void assert_judged(int code, const char *why, int status, const char *text) {
    struct buf line;
    json_t *json = NULL;
    buf_init(&line, 4096);
    if (text != NULL) {
        assert_ok(json_read(str_c(text), &json));
    }
    assert_int_equal(code, answer_judge(status, json, &line));
    assert_str(why, buf_str(&line));
    json_decref(json);
    buf_free(&line);
}

static void test_status__given_each_then_its_exit_code(void **state) {
    (void)state;
    static const struct {
        int status, code;
    } rows[] = {
        {200, 0},
        {202, 0},
        {304, 0},
        {400, EXIT_BAD_INPUT},
        {401, EXIT_DENIED},
        {403, EXIT_DENIED},
        {404, EXIT_NO_INPUT},
        {405, EXIT_BAD_INPUT},
        {408, EXIT_AGAIN},
        {409, EXIT_FAILED},
        {412, EXIT_FAILED},
        {413, EXIT_BAD_INPUT},
        {415, EXIT_BAD_INPUT},
        {422, EXIT_BAD_INPUT},
        {429, EXIT_AGAIN},
        {431, EXIT_BAD_INPUT},
        {500, EXIT_INTERNAL},
        {502, EXIT_AGAIN},
        {503, EXIT_AGAIN},
        {504, EXIT_AGAIN},
        {501, EXIT_INTERNAL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(rows[i].code, exit_of_status(rows[i].status));
    }
}

static void test_judge__given_a_problem_then_one_line_of_it(void **state) {
    (void)state;
    assert_judged(0, "", 202, "{\"id\":1}");
    assert_judged(EXIT_NO_INPUT, "No such job: It is not there; Check the id", 404,
                  "{\"title\":\"No such job\",\"detail\":\"It is not there\",\"hint\":\"Check the id\"}");
    assert_judged(EXIT_BAD_INPUT, "Bad", 400, "{\"title\":\"Bad\"}");
    assert_judged(EXIT_AGAIN, "Busy (Retry-After: 7 s) (trace ab)", 503,
                  "{\"title\":\"Busy\",\"retry_after_seconds\":7,\"retryable\":true,\"trace_id\":\"ab\"}");
    assert_judged(EXIT_BAD_INPUT, "A  B: c [2J   d", 422, "{\"title\":\"A\\n\\tB\",\"detail\":\"c\\u001b[2J\\u009b\\r d\"}");
}

static void test_judge__given_a_retryable_problem_then_try_again_whatever_its_status(void **state) {
    (void)state;
    assert_judged(EXIT_AGAIN, "Undecided", 409, "{\"title\":\"Undecided\",\"retryable\":true}");
    assert_judged(EXIT_FAILED, "Ended", 409, "{\"title\":\"Ended\",\"retryable\":false}");
    assert_judged(EXIT_AGAIN, "Oops", 500, "{\"title\":\"Oops\",\"retryable\":true}");
    assert_judged(EXIT_INTERNAL, "Oops", 500, "{\"title\":\"Oops\"}");
}

static void test_judge__given_something_else_than_our_api_then_it_says_so(void **state) {
    (void)state;
    static const char why[] = "the answer, %d, is not that of a Penstock API; is PENSTOCK_URL right?";
    static const struct {
        int status, code;
        const char *text;
    } rows[] = {
        {200, EXIT_PROTOCOL, NULL}, {301, EXIT_PROTOCOL, NULL},
        {404, EXIT_PROTOCOL, NULL}, {404, EXIT_PROTOCOL, "{\"error\":\"x\"}"},
        {500, EXIT_PROTOCOL, NULL}, {502, EXIT_AGAIN, NULL},
        {503, EXIT_AGAIN, "[]"},    {401, EXIT_DENIED, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char line[128];
        (void)snprintf(line, sizeof line, why, rows[i].status);
        assert_judged(rows[i].code, line, rows[i].status, rows[i].text);
    }
}

static void test_job_end__given_each_state_then_whether_and_how_it_ended(void **state) {
    (void)state;
    static const struct {
        const char *job, *why;
        int code;
        bool ended, kept;
    } rows[] = {
        {"{\"state\":\"waiting\"}", "", 0, false, false},
        {"{\"state\":\"running\",\"tracked\":true}", "", 0, false, false},
        {"{\"state\":\"delayed\"}", "", 0, false, false},
        {"{\"state\":\"parked\"}", "", 0, false, false},
        {"{\"state\":\"cancel_requested\"}", "", 0, false, false},
        {"{\"state\":\"done\",\"status\":200}", "", 0, true, true},
        {"{\"state\":\"done\",\"status\":201,\"tracked\":true}", "", 0, true, true},
        {"{\"state\":\"done\",\"status\":402,\"result\":{\"title\":\"Declined\",\"detail\":\"no funds\"}}",
         "the job is done: Declined: no funds", EXIT_FAILED, true, true},
        {"{\"state\":\"dead\",\"status\":500,\"result\":{\"title\":\"Job is dead\",\"error\":\"refused\"}}",
         "the job is dead: refused", EXIT_FAILED, true, true},
        {"{\"state\":\"dead\"}", "the job is dead", EXIT_FAILED, true, true},
        {"{\"state\":\"cancelled\",\"result\":[]}", "the job is cancelled", EXIT_FAILED, true, true},
        {"{\"state\":\"expired\"}", "the job is expired", EXIT_FAILED, true, true},
        {"{\"tracked\":false}", "", 0, true, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct job_end end = {0, false};
        struct buf why;
        json_t *job;
        buf_init(&why, 4096);
        assert_ok(json_read(str_c(rows[i].job), &job));
        assert_true(rows[i].ended == answer_job_end(job, &end, &why));
        assert_int_equal(rows[i].code, end.code);
        assert_true(rows[i].kept == end.kept);
        assert_str(rows[i].why, buf_str(&why));
        json_decref(job);
        buf_free(&why);
    }
}

static void scenario(void *arg) {
    struct buf why, page;
    struct job_end end;
    buf_init(&why, 4096);
    buf_init(&page, 1 << 16);
    assert_int_equal(EXIT_NO_INPUT, answer_judge(404, arg, &why));
    assert_false(answer_job_end(arg, &end, &why));
    exits_describe(&page);
    assert_true(torture_is_failing() || (!err_is_set(buf_status(&why)) && !err_is_set(buf_status(&page))));
    buf_free(&why);
    buf_free(&page);
}

static void test_judge__given_no_memory_then_the_code_stands(void **state) {
    (void)state;
    json_t *json;
    assert_ok(json_read(STR("{\"title\":\"No such job\",\"detail\":\"It is not there\"}"), &json));
    torture(scenario, json);
    json_decref(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status__given_each_then_its_exit_code),
        cmocka_unit_test(test_judge__given_a_problem_then_one_line_of_it),
        cmocka_unit_test(test_judge__given_a_retryable_problem_then_try_again_whatever_its_status),
        cmocka_unit_test(test_judge__given_something_else_than_our_api_then_it_says_so),
        cmocka_unit_test(test_job_end__given_each_state_then_whether_and_how_it_ended),
        cmocka_unit_test(test_judge__given_no_memory_then_the_code_stands),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
