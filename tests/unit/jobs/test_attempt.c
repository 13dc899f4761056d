/* The arbiter: whatever runs twice, the first terminal row stands and the business rows are there once. */
#include <base/json.h>

#include "jobs_db.h"

static const struct pg_stmt fact_stmt = {
    "unit.fact",
    EFFECT_GATE("unit") ", f AS (INSERT INTO unit.fact SELECT root_id, $7::text FROM g)" EFFECT_ANSWER("unit"),
    EFFECT_PARAMS + 1,
};

static struct module_db second; /* another process, as far as Postgres can tell */
static struct {
    enum job_outcome outcome;
    struct str result;
    bool follow_ups;
} wanted;

static void commit_fact(struct attempt *a) {
    struct pg_value text = pg_text(a->payload);
    const struct attempt_effect e = {.stmt = &fact_stmt,
                                     .values = &text,
                                     .values_n = 1,
                                     .outcome = wanted.outcome,
                                     .status = 200,
                                     .result = wanted.result,
                                     .follow_ups = wanted.follow_ups};
    attempt_commit(a, &e);
}

static void close_plain(struct attempt *a) { attempt_close(a, wanted.outcome, 201, STR("{\"closed\":true}")); }

static int setup(void **state) {
    (void)jobs_db_setup(state);
    second = db;
    second.env.db = second.db = module_db_pool_(&db, "penstock_unit", 1);
    return 0;
}

static int teardown(void **state) {
    pg_pool_close(second.db);
    return jobs_db_teardown(state);
}

static int reset(void **state) {
    (void)state;
    unit_handler = commit_fact;
    wanted.outcome = OUTCOME_DONE;
    wanted.result = STR("{\"n\":1}");
    wanted.follow_ups = false;
    sql_run(db.admin, "TRUNCATE unit.effect, unit.fact");
    return 0;
}

static struct module_run *begin_in(struct module_db *m, struct uuid root, uint32_t generation, const char *text) {
    struct module_run *r = malloc(sizeof *r);
    assert_non_null(r);
    module_run_start(m, r, "unit.job", root, generation, text);
    return r;
}

static struct module_run *begin(struct uuid root, uint32_t generation, const char *text) {
    return begin_in(&db, root, generation, text);
}

/* What the attempt ended with, as text; releases it. */
static const char *ended(struct module_run *r) {
    static char text[512];
    module_run_wait(&db, r);
    if (r->end.kind == END_FINISHED) {
        (void)snprintf(text, sizeof text, "%s %d %.*s%s%s%s", job_outcome_name(r->end.outcome), r->end.status,
                       STR_ARG(r->end.result), r->end.absorbed ? " absorbed" : "", r->end.stale ? " stale" : "",
                       r->end.follow_ups ? " follow-ups" : "");
    } else {
        (void)snprintf(text, sizeof text, "%s %s", r->end.kind == END_FAILED ? "failed" : "later", err_name(r->end.err.code));
    }
    module_run_free(r);
    free(r);
    return text;
}

static const char *run(struct uuid root, uint32_t generation, const char *text) { return ended(begin(root, generation, text)); }

static const char *effect_of(struct uuid root) {
    return of_id(
        root,
        "SELECT concat_ws(' ', outcome, generation, status, convert_from(result, 'UTF8')) FROM unit.effect WHERE step = '' AND root_id = ",
        "");
}

static int facts_of(struct uuid root) {
    return (int)strtol(of_id(root, "SELECT count(*) FROM unit.fact WHERE root_id = ", ""), NULL, 10);
}

static void add_effect(struct uuid root, const char *rest) {
    run_for_id(db.admin, root, "INSERT INTO unit.effect VALUES (", rest);
}

/* --- attempt_commit --- */

static void test_commit__fresh_then_effect_and_rows_stand(void **state) {
    (void)state;
    struct uuid root = module_job_id(&db, "default");
    wanted.follow_ups = true;
    assert_string_equal("done 200 {\"n\":1} follow-ups", run(root, 0, "hello"));
    assert_string_equal("done 0 200 {\"n\":1}", effect_of(root));
    assert_int_equal(1, facts_of(root));
}

static void test_commit__repeated_then_absorbed_with_the_first_result(void **state) {
    (void)state;
    struct uuid root = module_job_id(&db, "default");
    (void)run(root, 0, "hello");
    wanted.result = STR("{\"n\":2}");
    assert_string_equal("done 200 {\"n\":1} absorbed", run(root, 0, "again"));
    assert_string_equal("done 200 {\"n\":1} absorbed", run(root, 3, "in a later generation"));
    assert_string_equal("done 0 200 {\"n\":1}", effect_of(root));
    assert_int_equal(1, facts_of(root));
}

static void test_commit__another_outcome_was_first_then_taken_over_as_stale(void **state) {
    (void)state;
    static const struct {
        const char *row, *ended;
        uint32_t generation;
    } rows[] = {
        {", '', 0, 'cancelled', 409, '{}')", "cancelled 409 {} absorbed stale", 0},
        {", '', 0, 'expired', 410, '{}')", "expired 410 {} absorbed stale", 1},
        {", '', 2, 'dead', 500, '{}')", "dead 500 {} absorbed stale", 2}, /* no newer generation: stays dead */
        {", '', 3, 'dead', 500, NULL)", "dead 500  absorbed stale", 2},
        {", '', 3, 'done', 201, '{}')", "done 201 {} absorbed stale", 2}, /* the same outcome of a newer generation */
        {", '', 2, 'done', 201, '{}')", "done 201 {} absorbed", 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct uuid root = module_job_id(&db, "default");
        add_effect(root, rows[i].row);
        assert_string_equal(rows[i].ended, run(root, rows[i].generation, "late"));
        assert_int_equal(0, facts_of(root));
    }
}

static void test_commit__replayed_then_the_dead_effect_is_opened_again_once(void **state) {
    (void)state;
    struct uuid root = module_job_id(&db, "default");
    add_effect(root, ", '', 0, 'dead', 500, '{}')");
    assert_string_equal("done 200 {\"n\":1}", run(root, 1, "replayed"));
    assert_string_equal("done 1 200 {\"n\":1}", effect_of(root));
    assert_string_equal("done 200 {\"n\":1} absorbed", run(root, 1, "twice"));
    assert_string_equal("done 200 {\"n\":1} absorbed stale", run(root, 0, "of before the replay"));
    assert_int_equal(1, facts_of(root));
}

static void test_commit__a_step_of_the_flow_is_there_then_no_matter(void **state) {
    (void)state;
    struct uuid root = module_job_id(&db, "default");
    add_effect(root, ", 'cancel_request', 0, 'done', 0, NULL)");
    assert_string_equal("done 200 {\"n\":1}", run(root, 0, "hello"));
    assert_int_equal(1, facts_of(root));
}

static void test_commit__without_a_result_then_an_empty_one(void **state) {
    (void)state;
    struct uuid root = module_job_id(&db, "default");
    wanted.result = STR_NONE;
    assert_string_equal("done 200 ", run(root, 0, "hello"));
    assert_string_equal("done 200  absorbed", run(root, 0, "hello"));
}

static void test_commit__two_at_once_then_one_is_fresh(void **state) {
    (void)state;
    for (int round = 0; round < 30; round++) {
        struct uuid root = module_job_id(&db, "default");
        struct module_run *a = begin(root, 0, "a"), *b = begin_in(&second, root, 0, "b");
        module_run_wait(&db, a);
        module_run_wait(&db, b);
        assert_int_equal(1, a->end.absorbed + b->end.absorbed);
        assert_false(a->end.stale || b->end.stale);
        assert_int_equal(1, facts_of(root));
        (void)ended(a);
        (void)ended(b);
    }
}

/* The other's row is committed after our statement took its snapshot: it neither inserts nor sees, and runs again. */
static void test_commit__lost_a_race_it_could_not_see_then_run_again(void **state) {
    (void)state;
    struct uuid root = module_job_id(&db, "default");
    PGconn *other = module_db_connect(&db, "penstock_unit");
    sql_run(other, "BEGIN");
    run_for_id(other, root, "INSERT INTO unit.effect VALUES (", ", '', 0, 'done', 200, '{\"n\":0}')");
    struct module_run *r = begin(root, 0, "late");
    for (int i = 0; i < 2000 && sql_int(db.admin, "SELECT count(*) FROM pg_locks WHERE NOT granted") == 0; i++) {
        wait_ms(db.loop, 1);
    }
    assert_int_equal(1, sql_int(db.admin, "SELECT count(*) FROM pg_locks WHERE NOT granted"));
    sql_run(other, "COMMIT");
    assert_string_equal("done 200 {\"n\":0} absorbed", ended(r));
    assert_int_equal(0, facts_of(root));
    PQfinish(other);
}

static void test_commit__a_statement_of_the_batch_fails_then_only_that_attempt(void **state) {
    (void)state;
    static const char *const texts[] = {"one", "bad", "two", "bad", "three"};
    struct module_run *runs[5];
    struct uuid roots[5];
    for (size_t i = 0; i < 5; i++) {
        roots[i] = module_job_id(&db, "default");
        runs[i] = begin(roots[i], 0, texts[i]); /* one turn, one transaction */
    }
    for (size_t i = 0; i < 5; i++) {
        bool bad = strcmp(texts[i], "bad") == 0;
        assert_string_equal(bad ? "failed postgres_check" : "done 200 {\"n\":1}", ended(runs[i]));
        assert_string_equal(bad ? "" : "done 0 200 {\"n\":1}", effect_of(roots[i]));
        assert_int_equal(bad ? 0 : 1, facts_of(roots[i]));
    }
}

/* --- closing --- */

struct closed {
    bool done, fresh;
    int status;
    struct err err;
    char text[128];
};

static void on_closed(void *arg, struct err err, const struct effect_row *row) {
    struct closed *c = arg;
    assert_false(c->done);
    assert_int_equal(err_is_set(err), row == NULL);
    c->done = true;
    c->err = err;
    if (row != NULL) {
        c->fresh = row->fresh;
        c->status = row->status;
        (void)snprintf(c->text, sizeof c->text, "%s %u %d %.*s", job_outcome_name(row->outcome), row->generation, row->status,
                       STR_ARG(row->result));
    }
}

static bool is_closed(void *arg) { return ((struct closed *)arg)->done; }

static void test_close__against_a_commit_then_both_hear_of_the_same_row(void **state) {
    (void)state;
    for (int round = 0; round < 30; round++) {
        struct uuid root = module_job_id(&db, "default");
        struct closed c = {0};
        struct module_run *r = NULL;
        if (round % 2 == 0) {
            r = begin(root, 0, "hello");
        }
        effect_close(&second.env, root, 0, OUTCOME_CANCELLED, 409, STR("{}"), on_closed, &c);
        if (r == NULL) {
            r = begin(root, 0, "hello");
        }
        assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, is_closed, &c));
        assert_ok(c.err);
        if (c.fresh) {
            assert_string_equal("cancelled 0 409 {}", c.text);
            assert_string_equal("cancelled 409 {} absorbed stale", ended(r));
        } else {
            assert_string_equal("done 0 200 {\"n\":1}", c.text);
            assert_string_equal("done 200 {\"n\":1}", ended(r));
        }
        assert_int_equal(c.fresh ? 0 : 1, facts_of(root));
    }
}

static void test_close__given_the_row_that_stands_then_first_row_wins(void **state) {
    (void)state;
    static const struct {
        const char *row;
        uint32_t generation;
        const char *text;
        bool fresh;
    } rows[] = {
        {NULL, 0, "dead 0 500 {\"why\":1}", true},
        {", '', 0, 'done', 200, '{}')", 0, "done 0 200 {}", false},
        {", '', 0, 'dead', 500, '{}')", 0, "dead 0 500 {}", false},
        {", '', 0, 'dead', 500, '{}')", 1, "dead 1 500 {\"why\":1}", true}, /* dead again after a replay */
        {", '', 2, 'dead', 500, '{}')", 1, "dead 2 500 {}", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct uuid root = module_job_id(&db, "default");
        struct closed c = {0};
        if (rows[i].row != NULL) {
            add_effect(root, rows[i].row);
        }
        effect_close(&db.env, root, rows[i].generation, OUTCOME_DEAD, 500, STR("{\"why\":1}"), on_closed, &c);
        assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, is_closed, &c));
        assert_ok(c.err);
        assert_int_equal(rows[i].fresh, c.fresh);
        assert_string_equal(rows[i].text, c.text);
        assert_string_equal(rows[i].text, effect_of(root));
    }
}

static void test_attempt_close__then_as_a_commit_without_rows(void **state) {
    (void)state;
    struct uuid root = module_job_id(&db, "default");
    unit_handler = close_plain;
    wanted.outcome = OUTCOME_EXPIRED;
    assert_string_equal("expired 201 {\"closed\":true}", run(root, 0, ""));
    wanted.outcome = OUTCOME_DONE;
    assert_string_equal("expired 201 {\"closed\":true} absorbed stale", run(root, 0, ""));
}

static void note_step(struct uuid root, uint32_t generation, struct closed *out) {
    effect_step(&db.env, root, generation, STR("cancel_request"), on_closed, out);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, is_closed, out));
    assert_ok(out->err);
}

static void test_step__the_job_has_its_effect_then_that_is_told_and_nothing_noted(void **state) {
    (void)state;
    static const struct {
        const char *row;
        uint32_t generation;
        int status;
    } rows[] = {{", '', 0, 'done', 201, '{}')", 0, 201},
                {", '', 0, 'done', 201, '{}')", 1, 201},
                {", '', 1, 'dead', 500, '{}')", 1, 500},
                {", '', 0, 'dead', 500, '{}')", 1, 0}}; /* replayed since: it runs again */
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct uuid root = module_job_id(&db, "default");
        struct closed c = {0};
        add_effect(root, rows[i].row);
        note_step(root, rows[i].generation, &c);
        assert_int_equal(rows[i].status, c.status);
        assert_int_equal(rows[i].status == 0, c.fresh);
        assert_string_equal(rows[i].status == 0 ? "1" : "0",
                            of_id(root, "SELECT count(*) FROM unit.effect WHERE step = 'cancel_request' AND root_id = ", ""));
    }
}

static void test_step__noted_once_then_fresh_once(void **state) {
    (void)state;
    struct uuid root = module_job_id(&db, "default");
    for (int i = 0; i < 2; i++) {
        struct closed c = {0};
        note_step(root, 0, &c);
        assert_int_equal(i == 0, c.fresh);
        assert_int_equal(0, c.status);
    }
    assert_string_equal("1", of_id(root, "SELECT count(*) FROM unit.effect WHERE step = 'cancel_request' AND root_id = ", ""));
    assert_string_equal("", effect_of(root)); /* nothing is decided by it */
}

/* --- the other endings --- */

static void on_plain_end(struct attempt *a, const struct attempt_end *end) { *(struct attempt_end *)a->state = *end; }

static void test_endings__then_told_as_they_are(void **state) {
    (void)state;
    struct arena arena;
    struct attempt_end end = {0};
    arena_init(&arena, 1024, 4096);
    struct attempt a = {.arena = &arena, .env = &db.env, .state = &end, .on_end = on_plain_end};
    char result[] = "{\"a\":1}";
    attempt_finish(&a, OUTCOME_CANCELLED, 409, str_c(result));
    result[1] = 'x'; /* it was copied */
    assert_int_equal(END_FINISHED, end.kind);
    assert_int_equal(OUTCOME_CANCELLED, end.outcome);
    assert_int_equal(409, end.status);
    assert_str("{\"a\":1}", end.result);
    attempt_fail(&a, err_make(ERR_REFUSED, "no"));
    assert_int_equal(END_FAILED, end.kind);
    assert_err(ERR_REFUSED, end.err);
    assert_int_equal(0, end.delay_ms);
    attempt_later(&a, 1234, err_make(ERR_NET_UNKNOWN, "asked"));
    assert_int_equal(END_LATER, end.kind);
    assert_int_equal(1234, end.delay_ms);
    assert_err(ERR_NET_UNKNOWN, end.err);
    static char much[8192];
    attempt_finish(&a, OUTCOME_DONE, 200, str_of(much, sizeof much)); /* past the arena's maximum */
    assert_int_equal(END_FAILED, end.kind);
    assert_err(ERR_NOMEM, end.err);
    arena_free(&arena);
}

static void test_ms_left__then_never_negative(void **state) {
    (void)state;
    struct attempt a = {.env = &db.env, .give_up = {loop_now(db.loop).us + 10000000}};
    assert_in_range(attempt_ms_left(&a), 9000, 10000);
    a.give_up.us -= 20000000;
    assert_int_equal(0, attempt_ms_left(&a));
    a.give_up.us = 0;
    assert_int_equal(0, attempt_ms_left(&a));
}

static void test_parse__given_a_payload_then_the_object_or_a_failed_attempt(void **state) {
    (void)state;
    static const struct {
        const char *payload;
        enum err_code code;
    } rows[] = {{"{\"a\":1}", ERR_NONE}, {"[]", ERR_NONE}, {"{", ERR_INVALID}, {"", ERR_INVALID}, {"3", ERR_INVALID}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct attempt_end end = {.kind = END_LATER};
        struct attempt a = {.payload = str_c(rows[i].payload), .state = &end, .on_end = on_plain_end};
        json_t *doc = NULL;
        bool parsed = attempt_parse(&a, &doc);
        assert_int_equal(rows[i].code == ERR_NONE, parsed);
        assert_int_equal(parsed ? END_LATER : END_FAILED, end.kind);
        assert_int_equal(rows[i].code, parsed ? ERR_NONE : end.err.code);
        json_decref(doc);
    }
}

/* --- without memory --- */

enum { ROOTS_MAX = 400 };
static struct uuid roots[ROOTS_MAX];
static int roots_n;
static char large[6000]; /* a result that needs a block of its own in the arena */

static void scenario(void *arg) {
    (void)arg;
    assert_in_range(roots_n, 0, ROOTS_MAX - 1);
    struct uuid root = roots[roots_n++] = module_job_id(&db, "default");
    for (int i = 0; i < 2; i++) { /* fresh, then absorbed */
        static struct module_run r;
        module_run_start(&db, &r, "unit.job", root, 0, "hello");
        module_run_wait(&db, &r);
        assert_true(r.end.kind == END_FINISHED || torture_is_failing());
        if (r.end.kind == END_FINISHED) {
            assert_str(large, r.end.result); /* never finished with less than what stands */
        } else {
            assert_int_equal(ERR_CLASS_INFRA, err_class(r.end.err.code)); /* nothing is charged for it */
        }
        module_run_free(&r);
    }
    static struct closed c;
    c = (struct closed){0};
    effect_close(&db.env, root, 0, OUTCOME_CANCELLED, 409, STR("{}"), on_closed, &c);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, is_closed, &c));
    assert_true(!err_is_set(c.err) || torture_is_failing());
}

static void test_commit__any_allocation_fails_then_ended_once_and_decided_once(void **state) {
    (void)state;
    memset(large, 'x', sizeof large - 1);
    wanted.result = str_c(large);
    torture(scenario, NULL);
    assert_true(roots_n > 20);
    wanted.result = STR("{}");
    for (int i = 0; i < roots_n; i++) {
        (void)run(roots[i], 0, "hello");
        bool done = strncmp(effect_of(roots[i]), "done", 4) == 0;
        assert_int_equal(done ? 1 : 0, facts_of(roots[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_commit__fresh_then_effect_and_rows_stand, reset),
        cmocka_unit_test_setup(test_commit__repeated_then_absorbed_with_the_first_result, reset),
        cmocka_unit_test_setup(test_commit__another_outcome_was_first_then_taken_over_as_stale, reset),
        cmocka_unit_test_setup(test_commit__replayed_then_the_dead_effect_is_opened_again_once, reset),
        cmocka_unit_test_setup(test_commit__a_step_of_the_flow_is_there_then_no_matter, reset),
        cmocka_unit_test_setup(test_commit__without_a_result_then_an_empty_one, reset),
        cmocka_unit_test_setup(test_commit__two_at_once_then_one_is_fresh, reset),
        cmocka_unit_test_setup(test_commit__lost_a_race_it_could_not_see_then_run_again, reset),
        cmocka_unit_test_setup(test_commit__a_statement_of_the_batch_fails_then_only_that_attempt, reset),
        cmocka_unit_test_setup(test_close__against_a_commit_then_both_hear_of_the_same_row, reset),
        cmocka_unit_test_setup(test_close__given_the_row_that_stands_then_first_row_wins, reset),
        cmocka_unit_test_setup(test_attempt_close__then_as_a_commit_without_rows, reset),
        cmocka_unit_test_setup(test_step__noted_once_then_fresh_once, reset),
        cmocka_unit_test_setup(test_step__the_job_has_its_effect_then_that_is_told_and_nothing_noted, reset),
        cmocka_unit_test_setup(test_endings__then_told_as_they_are, reset),
        cmocka_unit_test_setup(test_ms_left__then_never_negative, reset),
        cmocka_unit_test_setup(test_parse__given_a_payload_then_the_object_or_a_failed_attempt, reset),
        cmocka_unit_test_setup(test_commit__any_allocation_fails_then_ended_once_and_decided_once, reset),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
