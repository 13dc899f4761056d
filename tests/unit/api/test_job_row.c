#include "../../../api/src/job_row.h"

#include <base/json.h>

#include "../../../api/src/outcome.h"
#include "unit.h"

static const struct uuid id = {{0x01, 0xa2, 0x24, 0x3d, 0x89, 0xd2, 0x73, 0xf2, 0x80, 0x00, 0x76, 0x79, 0x26, 0xa6, 0x9b, 0x7a}};
static const struct trace trace = {.trace_id = {0xab, 0xcd}};

static void test_job_row__given_an_acceptance_then_its_body_is_made_of_what_the_row_keeps(void **state) {
    (void)state;
    struct accepted a = {.id = id, .queue = STR("orders"), .class = CLASS_JOURNAL, .estimate_s = 12.34, .trace = &trace};
    struct buf b;
    buf_init(&b, 4096);
    accepted_write(&b, &a);
    assert_str(
        "{\"id\":\"01a2243d-89d2-73f2-8000-767926a69b7a\",\"state\":\"waiting\",\"queue\":\"orders\",\"durability\":\"journal\","
        "\"estimated_start_seconds\":12.3,\"trace_id\":\"abcd0000000000000000000000000000\",\"links\":{"
        "\"self\":\"/v1/jobs/01a2243d-89d2-73f2-8000-767926a69b7a\","
        "\"wait\":\"/v1/jobs/01a2243d-89d2-73f2-8000-767926a69b7a?wait=30s\","
        "\"cancel\":\"/v1/jobs/01a2243d-89d2-73f2-8000-767926a69b7a\"}}",
        buf_str(&b));
    a.due = (struct wall){1};
    buf_clear(&b);
    accepted_write(&b, &a);
    json_t *v;
    assert_ok(json_read(buf_str(&b), &v));
    assert_str("delayed", json_opt_str(v, "state", STR("")));
    json_decref(v);
    buf_free(&b);
}

static void test_job_row__given_a_row_then_what_it_does_not_have_is_left_out(void **state) {
    (void)state;
    struct job_row j = {.id = id,
                        .root = id,
                        .tenant = STR("t"),
                        .queue = STR("q\"x"),
                        .type = STR("demo.note"),
                        .type_version = 1,
                        .trace = trace,
                        .created = {1795900414123},
                        .state = STR("waiting")};
    struct buf b;
    json_t *v;
    buf_init(&b, 4096);
    job_write(&b, &j, STR("running"), (struct wall){1795900414124});
    assert_ok(json_read(buf_str(&b), &v));
    assert_str("running", json_opt_str(v, "state", STR("")));
    assert_str("q\"x", json_opt_str(v, "queue", STR("")));
    assert_str("2026-11-28T21:13:34.124Z", json_opt_str(v, "started_at", STR("")));
    static const char *const absent[] = {"due_at", "deadline_at", "finished_at", "status", "result"};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        assert_null(json_object_get(v, absent[i]));
    }
    json_decref(v);
    j.status = 409;
    j.result = STR("{\"code\":\"x\"}");
    buf_clear(&b);
    job_write(&b, &j, STR("done"), (struct wall){0});
    assert_ok(json_read(buf_str(&b), &v));
    assert_int_equal(409, json_opt_i64(v, "status", 0));
    assert_str("x", json_opt_str(json_object_get(v, "result"), "code", STR("")));
    json_decref(v);
    buf_free(&b);
}

static void test_outcome__given_what_a_worker_wrote_then_it_is_read_and_nothing_else(void **state) {
    (void)state;
    struct job_row row;
    assert_true(outcome_parse(STR("done 200 {\"a\": 1}"), id, &row));
    assert_str("done", row.state);
    assert_int_equal(200, row.status);
    assert_str("{\"a\": 1}", row.result);
    assert_true(outcome_parse(STR("cancelled 409 "), id, &row));
    assert_int_equal(0, row.result.n);
    static const char *const bad[] = {"", "done", "done 200x {}", "done -1 {}", "done 1000 {}", "waiting 200 {}", " 200 {}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(outcome_parse(str_c(bad[i]), id, &row));
    }
}

static void write_both(void *arg) {
    (void)arg;
    const struct accepted a = {.id = id, .queue = STR("orders"), .class = CLASS_JOURNAL, .trace = &trace};
    const struct job_row j = {.id = id, .root = id, .state = STR("done"), .status = 200, .result = STR("{}"), .trace = trace};
    struct buf b;
    buf_init(&b, 4096);
    accepted_write(&b, &a);
    job_write(&b, &j, STR("done"), (struct wall){0});
    struct err e = buf_status(&b);
    assert_true(err_is_set(e) == (torture_is_failing() != 0));
    buf_free(&b);
}

static void test_job_row__an_allocation_fails_then_the_buffer_says_so(void **state) {
    (void)state;
    torture(write_both, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_job_row__given_an_acceptance_then_its_body_is_made_of_what_the_row_keeps),
        cmocka_unit_test(test_job_row__given_a_row_then_what_it_does_not_have_is_left_out),
        cmocka_unit_test(test_outcome__given_what_a_worker_wrote_then_it_is_read_and_nothing_else),
        cmocka_unit_test(test_job_row__an_allocation_fails_then_the_buffer_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
