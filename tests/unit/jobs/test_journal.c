/* Jobs into the journal and from there to Redis; what Redis missed, by the relay. */
#include "../../../jobs/src/journal_rows.h"
#include "journal_db.h"

/* --- writing --- */

static void test_write__new_jobs_then_placed_in_their_shards_and_marked(void **state) {
    (void)state;
    struct journal_job jobs[LIMIT_BATCH];
    for (unsigned i = 0; i < LIMIT_BATCH; i++) {
        jobs[i] = i % 4 == 3 ? job_in("default", 0) : job_in("wide", i % 4);
    }
    assert_ok(write_jobs(jobs, LIMIT_BATCH));
    assert_int_equal(LIMIT_BATCH, count_rows("state = 'waiting' AND epoch = 4711"));
    assert_int_equal(LIMIT_BATCH / 4, entries("default", 0));
    for (unsigned s = 0; s < WIDE_SHARDS; s++) {
        assert_int_equal(LIMIT_BATCH / 4, entries("wide", s));
    }
    assert_int_equal(LIMIT_BATCH / 4, count_rows("queue = 'wide' AND shard = 2"));
}

static void test_write__nothing_then_nothing(void **state) {
    (void)state;
    assert_ok(write_jobs(NULL, 0));
    assert_int_equal(0, count_rows("true"));
}

struct seen {
    bool done;
    size_t n;
    struct envelope job;
    char payload[1024], tenant[65], type[65];
};

static void on_claimed(void *arg, struct err err, const struct claimed *entries_, size_t n) {
    struct seen *s = arg;
    assert_ok(err);
    s->done = true;
    s->n = n;
    if (n > 0) {
        assert_ok(envelope_decode(entries_[0].header, &s->job));
        assert_true(str_copy_c(entries_[0].payload, s->payload, sizeof s->payload));
        assert_true(str_copy_c(s->job.tenant, s->tenant, sizeof s->tenant));
        assert_true(str_copy_c(s->job.type, s->type, sizeof s->type));
        assert_int_equal(0, s->job.errors.n);
    }
}

static bool has_seen(void *arg) { return ((struct seen *)arg)->done; }

static struct seen claim_one(const struct shard *shard) {
    struct seen s = {0};
    queue_claim(&redis.broker, &shard, 1, STR("me"), 1, 0, on_claimed, &s);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, has_seen, &s));
    assert_int_equal(1, s.n);
    return s;
}

static void assert_is_job(const struct journal_job *j, const struct seen *s) {
    assert_memory_equal(j->id.b, s->job.id.b, 16);
    assert_memory_equal(j->root.b, s->job.root.b, 16);
    assert_int_equal(j->generation, s->job.generation);
    assert_int_equal(0, s->job.attempt);
    assert_int_equal(j->type_version, s->job.schema_version);
    assert_int_equal(j->deadline.ms, s->job.deadline.ms);
    assert_memory_equal(&j->trace, &s->job.trace, sizeof j->trace);
    assert_str(s->payload, j->payload);
    assert_str(s->tenant, j->tenant);
    assert_str(s->type, j->type);
}

static void test_write__a_job_then_its_entry_says_all_of_it(void **state) {
    (void)state;
    struct journal_job j = job_in("wide", 1);
    j.root = id_new(&db.ids);
    j.generation = 7;
    j.payload = STR("\x01\xff{'\"\\");
    j.deadline.ms = loop_wall(db.loop).ms + 60000;
    assert_ok(write_jobs(&j, 1));
    struct seen s = claim_one(queue("wide")->shards[1]);
    assert_is_job(&j, &s);
}

/* The row is what the relay has: nothing of a job may be lost on the way through it. */
static void test_relay__a_job_then_its_entry_says_all_of_it(void **state) {
    (void)state;
    struct journal_job j = job_in("wide", 1);
    j.generation = 7;
    j.payload = STR("\x01\xff{'\"\\");
    j.deadline.ms = loop_wall(db.loop).ms + 60000;
    assert_ok(write_jobs(&j, 1));
    (void)queue_redis_ask(&redis, "FLUSHALL");
    make_all_ready();
    sql_run(db.admin, "UPDATE platform.job SET epoch = NULL");
    age_rows();
    assert_int_equal(1, relay().moved);
    struct seen s = claim_one(queue("wide")->shards[1]);
    assert_is_job(&j, &s);
}

static void test_write__due_later_then_delayed(void **state) {
    (void)state;
    struct journal_job jobs[2] = {job_in("default", 0), job_in("default", 0)};
    jobs[0].due.ms = loop_wall(db.loop).ms + 60000;
    jobs[1].due.ms = loop_wall(db.loop).ms - 60000;
    assert_ok(write_jobs(jobs, 2));
    assert_int_equal(1, delayed("default", 0));
    assert_int_equal(1, entries("default", 0));
    assert_int_equal(2, count_rows("epoch = 4711 AND due_at IS NOT NULL"));
}

static void test_write__ids_that_exist_then_left_alone(void **state) {
    (void)state;
    struct journal_job jobs[3] = {job_in("default", 0), job_in("default", 0), job_in("default", 0)};
    assert_ok(write_jobs(&jobs[1], 1));
    jobs[1].payload = STR("{\"other\":true}");
    assert_ok(write_jobs(jobs, 3));
    assert_int_equal(3, entries("default", 0)); /* not one more for the second writing */
    assert_int_equal(3, count_rows("payload = '{\"a\":1}'"));
    run_for_id(db.admin, jobs[0].id, "UPDATE platform.job SET state = 'done', finished_at = now() WHERE id = ", "");
    assert_ok(write_jobs(jobs, 3));
    assert_int_equal(1, count_rows("state = 'done'")); /* what has ended stays ended */
    assert_int_equal(3, entries("default", 0));
}

static void test_write__twice_in_one_batch_then_once(void **state) {
    (void)state;
    struct journal_job jobs[2] = {job_in("default", 0)};
    jobs[1] = jobs[0];
    assert_ok(write_jobs(jobs, 2));
    assert_int_equal(1, count_rows("epoch = 4711"));
}

static void test_write__a_row_that_postgres_refuses_then_none_and_an_error(void **state) {
    (void)state;
    struct journal_job jobs[2] = {job_in("default", 0), job_in("default", 0)};
    jobs[1].queue = STR("nowhere");
    assert_err(ERR_PG_CHECK, write_jobs(jobs, 2));
    assert_int_equal(0, count_rows("true"));
    assert_int_equal(0, entries("default", 0));
}

static void test_write__redis_down_then_ok_and_left_to_the_relay(void **state) {
    (void)state;
    struct journal_job jobs[2] = {job_in("default", 0), job_in("wide", 2)};
    server_kill(redis.server);
    queue_redis_wait_down(&redis);
    assert_ok(write_jobs(jobs, 2));
    assert_int_equal(2, count_rows("epoch IS NULL"));
    age_rows();
    struct answer a = relay();
    assert_int_equal(ERR_CLASS_INFRA, err_class(a.err.code)); /* still away */
    assert_true(server_restart(redis.server));
    queue_redis_wait_up(&redis);
    queue_redis_load(&redis);
    make_all_ready();
    a = relay();
    assert_ok(a.err);
    assert_int_equal(2, a.moved);
    assert_false(a.more);
    assert_int_equal(2, count_rows("epoch = 4711"));
    assert_int_equal(1, entries("default", 0));
    assert_int_equal(1, entries("wide", 2));
    assert_int_equal(0, relay().moved);
}

/* --- the relay --- */

static void test_relay__rows_of_this_second_then_not_yet(void **state) {
    (void)state;
    struct journal_job j = job_in("default", 0);
    assert_ok(write_jobs(&j, 1));
    sql_run(db.admin, "UPDATE platform.job SET epoch = NULL, created_at = now()");
    assert_int_equal(0, relay().moved);
    age_rows();
    assert_int_equal(1, relay().moved);
}

/* Nobody else would place it, and nobody has checked it. */
static void test_relay__a_row_of_penstock_enqueue_then_at_once_and_unchecked(void **state) {
    (void)state;
    sql_run(db.admin, "INSERT INTO platform.job_type VALUES ('unit.job', 3, 'default', false) ON CONFLICT DO NOTHING");
    sql_run(db.admin, "SELECT penstock.enqueue('unit.job', '{\"a\": 1}')");
    assert_int_equal(1, relay().moved);
    struct seen s = claim_one(queue("default")->shards[0]);
    assert_true(s.job.unchecked);
    assert_int_equal(3, s.job.schema_version);
    assert_string_equal("{\"a\": 1}", s.payload);
    assert_string_equal("default unit.job", sql_text(db.admin, "SELECT tenant || ' ' || type FROM platform.job"));
    assert_int_equal(0, relay().moved);
}

static void test_relay__a_row_that_tells_of_an_end_then_at_once_in_its_trace(void **state) {
    (void)state;
    struct journal_job j = job_in("default", 0);
    assert_ok(write_jobs(&j, 1));
    (void)claim_one(queue("default")->shards[0]);
    sql_run(db.admin, "UPDATE platform.job SET callback_url = 'https://a.example/', state = 'done', finished_at = now()");
    assert_int_equal(1, relay().moved);
    struct seen s = claim_one(queue("notifications")->shards[0]);
    assert_false(s.job.unchecked);
    assert_memory_equal(j.trace.trace_id, s.job.trace.trace_id, sizeof j.trace.trace_id);
    assert_int_equal(0, relay().moved);
}

static void test_relay__more_than_a_batch_then_lowest_first_and_says_so(void **state) {
    (void)state;
    struct journal_job jobs[LIMIT_BATCH + 5];
    for (size_t i = 0; i < LIMIT_BATCH + 5; i++) {
        jobs[i] = job_in("default", 0);
    }
    assert_ok(write_jobs(jobs, LIMIT_BATCH));
    assert_ok(write_jobs(jobs + LIMIT_BATCH, 5));
    sql_run(db.admin, "UPDATE platform.job SET epoch = NULL");
    age_rows();
    struct answer a = relay();
    assert_ok(a.err);
    assert_int_equal(LIMIT_BATCH, a.moved);
    assert_true(a.more);
    assert_string_equal("4711", epoch_of(jobs[LIMIT_BATCH - 1].id));
    assert_string_equal("none", epoch_of(jobs[LIMIT_BATCH].id));
    a = relay();
    assert_int_equal(5, a.moved);
    assert_false(a.more);
}

/* Its mark would not wait for the row: it would be added at every pass, as fast as passes go. */
static void test_relay__a_row_that_somebody_holds_then_not_placed_yet(void **state) {
    (void)state;
    struct journal_job j = job_in("default", 0);
    assert_ok(write_jobs(&j, 1));
    sql_run(db.admin, "UPDATE platform.job SET epoch = NULL");
    age_rows();
    sql_run(db.admin, "BEGIN");
    run_for_id(db.admin, j.id, "SELECT 1 FROM platform.job WHERE id = ", " FOR NO KEY UPDATE");
    size_t moved = relay().moved;
    sql_run(db.admin, "ROLLBACK");
    assert_int_equal(0, moved);
    assert_int_equal(1, relay().moved);
}

static void test_relay__ended_rows_then_not_placed(void **state) {
    (void)state;
    struct journal_job j = job_in("default", 0);
    assert_ok(write_jobs(&j, 1));
    sql_run(db.admin, "UPDATE platform.job SET epoch = NULL, state = 'cancelled', finished_at = now()");
    age_rows();
    assert_int_equal(0, relay().moved);
}

/* Without an epoch a row cannot be marked: the relay must not go round and round over the same ones. */
static void test_relay__shard_without_an_epoch_then_an_error_and_no_mark(void **state) {
    (void)state;
    struct journal_job j = job_in("default", 0);
    (void)queue_redis_ask(&redis, "DEL %s", queue("default")->shards[0]->key_text[KEY_EPOCH]);
    assert_ok(write_jobs(&j, 1));
    assert_string_equal("none", epoch_of(j.id));
    age_rows();
    assert_err(ERR_BUSY, relay().err);
    make_all_ready();
    assert_ok(relay().err);
    assert_string_equal("4711", epoch_of(j.id));
}

static void test_relay__a_queue_not_known_here_yet_then_when_it_is(void **state) {
    (void)state;
    sql_run(db.admin, "INSERT INTO platform.queue (name, number) VALUES ('new', 77)");
    struct journal_job j = job_in("default", 0);
    j.queue = STR("new");
    j.id = id_in(77, 0);
    assert_ok(write_jobs(&j, 1));
    assert_string_equal("none", epoch_of(j.id));
    age_rows();
    assert_err(ERR_BUSY, relay().err); /* so that it does not go round and round */
    assert_string_equal("none", epoch_of(j.id));
    load_table();
    make_all_ready();
    assert_int_equal(1, relay().moved);
    assert_string_equal("4711", epoch_of(j.id));
}

/* Somebody wrote a row by hand whose header cannot be made: it must not keep the others from Redis. */
static void test_relay__a_row_that_makes_no_header_then_the_others_are_placed(void **state) {
    (void)state;
    struct journal_job jobs[3] = {job_in("default", 0), job_in("default", 0), job_in("default", 0)};
    assert_ok(write_jobs(jobs, 3));
    (void)queue_redis_ask(&redis, "FLUSHALL");
    make_all_ready();
    sql_run(db.admin, "UPDATE platform.job SET epoch = NULL");
    run_for_id(db.admin, jobs[1].id, "UPDATE platform.job SET tenant = 'no name!' WHERE id = ", "");
    age_rows();
    assert_err(ERR_INVALID, relay().err);
    assert_int_equal(2, count_rows("epoch = 4711"));
    assert_int_equal(2, entries("default", 0));
    assert_err(ERR_INVALID, relay().err); /* alone in its batch */
    assert_int_equal(2, entries("default", 0));
}

static void on_marked(void *arg, struct err err, const PGresult *res) {
    (void)res;
    on_answer(arg, err);
}

static void test_mark__a_row_that_ended_or_was_replayed_meanwhile_then_left_alone(void **state) {
    (void)state;
    struct journal_job jobs[3] = {job_in("default", 0), job_in("default", 0), job_in("default", 0)};
    assert_ok(write_jobs(jobs, 3));
    run_for_id(db.admin, jobs[0].id, "UPDATE platform.job SET state = 'done', finished_at = now() WHERE id = ", "");
    run_for_id(db.admin, jobs[1].id, "UPDATE platform.job SET generation = 1, epoch = NULL WHERE id = ", "");
    struct answer a = {0};
    const struct journal_mark marks[] = {{jobs[0].id, 0}, {jobs[1].id, 0}, {jobs[2].id, 0}};
    journal_mark(db.platform, 99, marks, 3, on_marked, &a);
    wait_answer(&a);
    assert_ok(a.err);
    assert_string_equal("4711", epoch_of(jobs[0].id));
    assert_string_equal("none", epoch_of(jobs[1].id)); /* the relay's: its new generation is not in Redis yet */
    assert_string_equal("99", epoch_of(jobs[2].id));
}

/* Who ends rows locks them in an order of his own: a mark that waited for him would be a deadlock now and then. */
static void test_mark__a_row_that_somebody_holds_then_not_waited_for(void **state) {
    (void)state;
    struct journal_job jobs[2] = {job_in("default", 0), job_in("default", 0)};
    assert_ok(write_jobs(jobs, 2));
    sql_run(db.admin, "BEGIN");
    run_for_id(db.admin, jobs[0].id, "UPDATE platform.job SET state = 'done', finished_at = now() WHERE id = ", "");
    struct answer a = {0};
    const struct journal_mark marks[] = {{jobs[0].id, 0}, {jobs[1].id, 0}};
    journal_mark(db.platform, 99, marks, 2, on_marked, &a);
    wait_answer(&a);
    sql_run(db.admin, "ROLLBACK");
    assert_ok(a.err);
    assert_string_equal("4711", epoch_of(jobs[0].id));
    assert_string_equal("99", epoch_of(jobs[1].id));
}

/* --- without memory --- */

enum { TORTURED_MAX = 2000 };
static struct uuid tortured[TORTURED_MAX];
static bool written[TORTURED_MAX];
static int tortured_n;

static void scenario(void *arg) {
    (void)arg;
    struct journal_job jobs[2] = {job_in("default", 0), job_in("wide", 2)};
    struct journal_end ends[2] = {{.id = jobs[0].id, .status = 200}, {.id = jobs[1].id, .outcome = OUTCOME_DEAD}};
    struct answer a = {0}, b = {0}, c = {0};
    assert_in_range(tortured_n, 0, TORTURED_MAX - 2);
    int first = tortured_n;
    tortured[tortured_n++] = jobs[0].id;
    tortured[tortured_n++] = jobs[1].id;
    journal_write(&journal, jobs, 2, on_answer, &a);
    wait_answer(&a);
    assert_true(!err_is_set(a.err) || torture_is_failing());
    written[first] = written[first + 1] = !err_is_set(a.err);
    journal_relay(&journal, on_moved, &b);
    wait_answer(&b);
    assert_true(!err_is_set(b.err) || torture_is_failing());
    journal_finish(&journal, ends, 1, on_answer, &c);
    wait_answer(&c);
    assert_true(!err_is_set(c.err) || torture_is_failing());
}

static void test_journal__any_allocation_fails_then_what_was_written_is_placed_in_the_end(void **state) {
    (void)state;
    torture(scenario, NULL);
    assert_true(tortured_n > 100);
    queue_redis_wait_up(&redis);
    age_rows();
    for (int i = 0; i < 100 && count_rows("state = 'waiting' AND epoch IS NULL") > 0; i++) {
        assert_ok(relay().err);
    }
    assert_int_equal(0, count_rows("state = 'waiting' AND epoch IS NULL"));
    for (int i = 0; i < tortured_n; i++) {
        bool there = strcmp("", of_id(tortured[i], "SELECT state FROM platform.job WHERE id = ", "")) != 0;
        assert_true(there || !written[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_write__new_jobs_then_placed_in_their_shards_and_marked, journal_db_reset),
        cmocka_unit_test_setup(test_write__nothing_then_nothing, journal_db_reset),
        cmocka_unit_test_setup(test_write__a_job_then_its_entry_says_all_of_it, journal_db_reset),
        cmocka_unit_test_setup(test_write__due_later_then_delayed, journal_db_reset),
        cmocka_unit_test_setup(test_write__ids_that_exist_then_left_alone, journal_db_reset),
        cmocka_unit_test_setup(test_write__twice_in_one_batch_then_once, journal_db_reset),
        cmocka_unit_test_setup(test_write__a_row_that_postgres_refuses_then_none_and_an_error, journal_db_reset),
        cmocka_unit_test_setup(test_write__redis_down_then_ok_and_left_to_the_relay, journal_db_reset),
        cmocka_unit_test_setup(test_relay__a_job_then_its_entry_says_all_of_it, journal_db_reset),
        cmocka_unit_test_setup(test_relay__rows_of_this_second_then_not_yet, journal_db_reset),
        cmocka_unit_test_setup(test_relay__a_row_of_penstock_enqueue_then_at_once_and_unchecked, journal_db_reset),
        cmocka_unit_test_setup(test_relay__a_row_that_tells_of_an_end_then_at_once_in_its_trace, journal_db_reset),
        cmocka_unit_test_setup(test_relay__more_than_a_batch_then_lowest_first_and_says_so, journal_db_reset),
        cmocka_unit_test_setup(test_relay__a_row_that_somebody_holds_then_not_placed_yet, journal_db_reset),
        cmocka_unit_test_setup(test_relay__ended_rows_then_not_placed, journal_db_reset),
        cmocka_unit_test_setup(test_relay__shard_without_an_epoch_then_an_error_and_no_mark, journal_db_reset),
        cmocka_unit_test_setup(test_relay__a_queue_not_known_here_yet_then_when_it_is, journal_db_reset),
        cmocka_unit_test_setup(test_relay__a_row_that_makes_no_header_then_the_others_are_placed, journal_db_reset),
        cmocka_unit_test_setup(test_mark__a_row_that_ended_or_was_replayed_meanwhile_then_left_alone, journal_db_reset),
        cmocka_unit_test_setup(test_mark__a_row_that_somebody_holds_then_not_waited_for, journal_db_reset),
        cmocka_unit_test_setup(test_journal__any_allocation_fails_then_what_was_written_is_placed_in_the_end, journal_db_reset),
    };
    return cmocka_run_group_tests(tests, journal_db_setup, journal_db_teardown);
}
