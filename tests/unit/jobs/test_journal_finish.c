/* Jobs end in the journal, many in a statement. */
#include "journal_db.h"

static struct err finish(const struct journal_end *ends, size_t n) {
    struct answer a = {0};
    journal_finish(&journal, ends, n, on_answer, &a);
    wait_answer(&a);
    return a.err;
}

static const char *row_of(struct uuid id) {
    return of_id(id,
                 "SELECT concat_ws(' ', state, generation, result_status, convert_from(result, 'UTF8'), finished_at IS NOT NULL) "
                 "FROM platform.job WHERE id = ",
                 "");
}

static const char *dead_of(struct uuid id) {
    return of_id(
        id,
        "SELECT concat_ws(' ', class, generation, attempts, errors, fingerprint, tenant, queue, type, type_version, "
        "convert_from(payload, 'UTF8'), replayed_at IS NULL AND discarded_at IS NULL) FROM platform.dead_job WHERE id = ",
        "");
}

static void test_finish__every_outcome_then_in_the_row_and_the_dead_in_their_table(void **state) {
    (void)state;
    struct journal_job jobs[OUTCOME_MAX];
    struct journal_end ends[OUTCOME_MAX];
    for (int i = 0; i < OUTCOME_MAX; i++) {
        jobs[i] = job_in("default", 0);
        ends[i] = (struct journal_end){.id = jobs[i].id,
                                       .outcome = (enum job_outcome)i,
                                       .status = 200 + i,
                                       .result = STR("{\"b\":\"\\\\\"}"),
                                       .attempts = 3,
                                       .errors = STR("[{\"code\":\"x\"}]"),
                                       .fingerprint = STR("unit.job: x")};
    }
    assert_ok(write_jobs(jobs, OUTCOME_MAX));
    assert_ok(finish(ends, OUTCOME_MAX));
    assert_string_equal("done 0 200 {\"b\":\"\\\\\"} t", row_of(jobs[OUTCOME_DONE].id));
    assert_string_equal("dead 0 201 {\"b\":\"\\\\\"} t", row_of(jobs[OUTCOME_DEAD].id));
    assert_string_equal("cancelled 0 202 {\"b\":\"\\\\\"} t", row_of(jobs[OUTCOME_CANCELLED].id));
    assert_string_equal("expired 0 203 {\"b\":\"\\\\\"} t", row_of(jobs[OUTCOME_EXPIRED].id));
    assert_string_equal("journal 0 3 [{\"code\": \"x\"}] unit.job: x acme default unit.job 3 {\"a\":1} t",
                        dead_of(jobs[OUTCOME_DEAD].id));
    assert_int_equal(1, sql_int(db.admin, "SELECT count(*) FROM platform.dead_job"));
}

static void test_finish__of_another_generation_then_left_alone(void **state) {
    (void)state;
    struct journal_job j = job_in("default", 0);
    j.generation = 2;
    assert_ok(write_jobs(&j, 1));
    static const uint32_t others[] = {0, 1, 3};
    for (size_t i = 0; i < 3; i++) {
        const struct journal_end e = {.id = j.id, .generation = others[i], .outcome = OUTCOME_DEAD, .status = 500};
        assert_ok(finish(&e, 1));
        assert_string_equal("waiting 2 f", row_of(j.id));
        assert_string_equal("", dead_of(j.id));
    }
    const struct journal_end e = {.id = j.id, .generation = 2, .outcome = OUTCOME_DONE, .status = 200};
    assert_ok(finish(&e, 1));
    assert_string_equal("done 2 200  t", row_of(j.id));
}

static void test_finish__terminal_already_then_left_alone(void **state) {
    (void)state;
    struct journal_job j = job_in("default", 0);
    assert_ok(write_jobs(&j, 1));
    struct journal_end e = {.id = j.id, .outcome = OUTCOME_DONE, .status = 201, .result = STR("first")};
    assert_ok(finish(&e, 1));
    e = (struct journal_end){.id = j.id, .outcome = OUTCOME_DEAD, .status = 500, .result = STR("second")};
    assert_ok(finish(&e, 1));
    assert_string_equal("done 0 201 first t", row_of(j.id));
    assert_string_equal("", dead_of(j.id));
}

static void test_finish__an_id_that_is_nobodys_then_the_others(void **state) {
    (void)state;
    struct journal_job j = job_in("default", 0);
    assert_ok(write_jobs(&j, 1));
    const struct journal_end ends[] = {{.id = id_in(0, 0), .outcome = OUTCOME_DEAD}, {.id = j.id, .status = 200}};
    assert_ok(finish(ends, 2));
    assert_string_equal("done 0 200  t", row_of(j.id));
    assert_int_equal(0, sql_int(db.admin, "SELECT count(*) FROM platform.dead_job"));
}

static void test_finish__dead_again_after_a_replay_then_the_row_is_open_again(void **state) {
    (void)state;
    struct journal_job j = job_in("default", 0);
    assert_ok(write_jobs(&j, 1));
    struct journal_end e = {.id = j.id, .outcome = OUTCOME_DEAD, .status = 500, .attempts = 5, .fingerprint = STR("one")};
    assert_ok(finish(&e, 1));
    assert_string_equal("journal 0 5 [] one acme default unit.job 3 {\"a\":1} t", dead_of(j.id));
    sql_run(db.admin, "UPDATE platform.dead_job SET replayed_at = now(), discarded_at = now()");
    sql_run(db.admin, "UPDATE platform.job SET state = 'waiting', finished_at = NULL, generation = 1");
    e.generation = 1;
    e.fingerprint = STR("two");
    assert_ok(finish(&e, 1));
    assert_string_equal("journal 1 5 [] two acme default unit.job 3 {\"a\":1} t", dead_of(j.id));
}

/* A job that was put again has two entries; both may end in one batch. */
static void test_finish__twice_in_one_batch_then_once(void **state) {
    (void)state;
    struct journal_job jobs[2] = {job_in("default", 0), job_in("default", 0)};
    assert_ok(write_jobs(jobs, 2));
    const struct journal_end dead = {.id = jobs[0].id, .outcome = OUTCOME_DEAD, .status = 500, .fingerprint = STR("x")};
    const struct journal_end twice[] = {dead, dead, {.id = jobs[1].id, .outcome = OUTCOME_DONE, .status = 200}};
    assert_ok(finish(twice, 3));
    assert_string_equal("dead 0 500  t", row_of(jobs[0].id));
    assert_string_equal("done 0 200  t", row_of(jobs[1].id));
    assert_int_equal(1, sql_int(db.admin, "SELECT count(*) FROM platform.dead_job"));
}

static void test_finish__two_generations_in_one_batch_then_the_rows_own(void **state) {
    (void)state;
    struct journal_job j = job_in("default", 0);
    j.generation = 1;
    assert_ok(write_jobs(&j, 1));
    const struct journal_end both[] = {{.id = j.id, .generation = 0, .outcome = OUTCOME_DEAD, .status = 500},
                                       {.id = j.id, .generation = 1, .outcome = OUTCOME_DONE, .status = 200}};
    assert_ok(finish(both, 2));
    assert_string_equal("done 1 200  t", row_of(j.id));
    assert_int_equal(0, sql_int(db.admin, "SELECT count(*) FROM platform.dead_job"));
}

/* One for each end, whoever ends it and however often he tries. */
static void test_finish__a_job_with_a_callback_then_one_job_that_tells(void **state) {
    (void)state;
    struct journal_job jobs[OUTCOME_MAX + 1];
    struct journal_end ends[OUTCOME_MAX + 1];
    for (int i = 0; i <= OUTCOME_MAX; i++) {
        jobs[i] = job_in("default", 0);
        ends[i] = (struct journal_end){.id = jobs[i].id,
                                       .outcome = (enum job_outcome)(i % OUTCOME_MAX),
                                       .status = 200 + i,
                                       .result = STR("{\"b\":\"\\\\\"}"),
                                       .errors = STR("[{\"code\":\"x\",\"detail\":\"first\"},{\"code\":\"y\"}]"),
                                       .fingerprint = STR("y")};
    }
    assert_ok(write_jobs(jobs, OUTCOME_MAX + 1));
    for (int i = 0; i < OUTCOME_MAX; i++) { /* the last one names nobody */
        run_for_id(db.admin, jobs[i].id, "UPDATE platform.job SET callback_url = 'https://a.example/\"x' WHERE id = ", "");
    }
    assert_ok(finish(ends, OUTCOME_MAX + 1));
    assert_ok(finish(ends, OUTCOME_MAX + 1));
    assert_int_equal(OUTCOME_MAX, sql_int(db.admin, "SELECT count(*) FROM platform.job WHERE callback_of IS NOT NULL"));
    for (int i = 0; i < OUTCOME_MAX; i++) {
        char want[256];
        const char *state_name = job_outcome_name((enum job_outcome)i);
        (void)snprintf(want, sizeof want, "acme notifications notify.webhook waiting job.%s %s %d {\"b\":\"\\\\\"} %s",
                       state_name, state_name, 200 + i, i == OUTCOME_DEAD ? "{\"code\":\"y\"}" : "-");
        assert_string_equal(
            want,
            of_id(
                jobs[i].id,
                "SELECT concat_ws(' ', tenant, queue, type, state, p->>'event_type', p->'data'->>'state', p->'data'->>'status', "
                "p->'data'->>'result', coalesce(p->'data'->>'error', '-')) FROM (SELECT *, convert_from(payload, "
                "'UTF8')::json AS p FROM platform.job WHERE callback_url IS NULL) t WHERE p->>'url' = "
                "'https://a.example/\"x' AND root_id = id AND callback_of = ",
                ""));
    }
    sql_run(db.admin, "UPDATE platform.job SET state = 'waiting', finished_at = NULL, generation = 1 WHERE state = 'dead'");
    ends[OUTCOME_DEAD].generation = 1;
    assert_ok(finish(&ends[OUTCOME_DEAD], 1));
    assert_int_equal(2, sql_int(db.admin, "SELECT count(*) FROM platform.job WHERE callback_of = (SELECT id FROM platform.job "
                                          "WHERE generation = 1)"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_finish__every_outcome_then_in_the_row_and_the_dead_in_their_table, journal_db_reset),
        cmocka_unit_test_setup(test_finish__of_another_generation_then_left_alone, journal_db_reset),
        cmocka_unit_test_setup(test_finish__terminal_already_then_left_alone, journal_db_reset),
        cmocka_unit_test_setup(test_finish__an_id_that_is_nobodys_then_the_others, journal_db_reset),
        cmocka_unit_test_setup(test_finish__dead_again_after_a_replay_then_the_row_is_open_again, journal_db_reset),
        cmocka_unit_test_setup(test_finish__twice_in_one_batch_then_once, journal_db_reset),
        cmocka_unit_test_setup(test_finish__a_job_with_a_callback_then_one_job_that_tells, journal_db_reset),
        cmocka_unit_test_setup(test_finish__two_generations_in_one_batch_then_the_rows_own, journal_db_reset),
    };
    return cmocka_run_group_tests(tests, journal_db_setup, journal_db_teardown);
}
