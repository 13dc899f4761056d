/* Follow-ups from a module's job_outbox into the journal: once, whatever dies in between. */
#include <base/fault.h>
#include <sys/wait.h>
#include <unistd.h>

#include "journal_db.h"

static struct uuid add_follow_up(const char *columns) {
    struct uuid id = id_in(queue("wide")->number, 1);
    char sql[512], text[UUID_TEXT_BYTES];
    uuid_text(id, text);
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO unit.job_outbox (id, root_id, tenant, queue, type, type_version, payload, traceparent, due_at) "
                   "VALUES ('%s', '%s', %s)",
                   text, text, columns);
    sql_run(db.admin, sql);
    return id;
}

#define PLAIN "'acme', 'wide', 'unit.job', 2, '{\"a\":1}', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', NULL"

static struct answer copy(void) {
    struct answer a = {0};
    outbox_copy(&journal, &db.env, on_moved, &a);
    wait_answer(&a);
    return a;
}

static int left(void) { return sql_int(db.admin, "SELECT count(*) FROM unit.job_outbox"); }

static void test_copy__rows_then_jobs_in_the_journal_and_in_redis(void **state) {
    (void)state;
    struct uuid id = add_follow_up(PLAIN);
    (void)add_follow_up("'acme', 'wide', 'unit.job', 2, '\\x00ff', 'not a trace', now() + interval '1 hour'");
    struct answer a = copy();
    assert_ok(a.err);
    assert_int_equal(2, a.moved);
    assert_false(a.more);
    assert_int_equal(0, left());
    assert_string_equal(
        "waiting acme wide 1 unit.job 2 {\"a\":1} 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 4711",
        of_id(
            id,
            "SELECT concat_ws(' ', state, tenant, queue, shard, type, type_version, convert_from(payload, 'UTF8'), traceparent, epoch) "
            "FROM platform.job WHERE id = ",
            ""));
    assert_int_equal(
        1, count_rows("payload = '\\x00ff' AND due_at > now() AND traceparent ~ '^00-[0-9a-f]{32}-[0-9a-f]{16}-0[0-9]$'"));
    assert_int_equal(1, entries("wide", 1));
    assert_int_equal(1, delayed("wide", 1));
}

static void test_copy__an_empty_outbox_then_nothing(void **state) {
    (void)state;
    struct answer a = copy();
    assert_ok(a.err);
    assert_int_equal(0, a.moved);
    assert_false(a.more);
}

static void test_copy__more_than_a_batch_then_says_so(void **state) {
    (void)state;
    for (int i = 0; i < LIMIT_BATCH + 3; i++) {
        (void)add_follow_up(PLAIN);
    }
    struct answer a = copy();
    assert_ok(a.err);
    assert_int_equal(LIMIT_BATCH, a.moved);
    assert_true(a.more);
    assert_int_equal(3, left());
    a = copy();
    assert_int_equal(3, a.moved);
    assert_false(a.more);
    assert_int_equal(LIMIT_BATCH + 3, entries("wide", 1));
}

static void test_copy__the_job_is_there_and_has_ended_then_only_dropped(void **state) {
    (void)state;
    struct uuid id = add_follow_up(PLAIN);
    (void)copy();
    run_for_id(db.admin, id, "UPDATE platform.job SET state = 'done', finished_at = now() WHERE id = ", "");
    run_for_id(db.admin, id,
               "INSERT INTO unit.job_outbox SELECT id, root_id, tenant, queue, type, type_version, payload, traceparent, due_at "
               "FROM platform.job WHERE id = ",
               "");
    assert_int_equal(1, copy().moved);
    assert_int_equal(0, left());
    assert_int_equal(1, count_rows("state = 'done'"));
    assert_int_equal(1, entries("wide", 1));
}

static void test_copy__the_journal_refuses_then_the_outbox_keeps_them(void **state) {
    (void)state;
    (void)add_follow_up("'acme', 'nowhere', 'unit.job', 2, '{}', '', NULL");
    struct answer a = copy();
    assert_err(ERR_PG_CHECK, a.err);
    assert_int_equal(0, a.moved);
    assert_false(a.more);
    assert_int_equal(1, left());
}

static void test_copy__redis_down_then_copied_and_left_to_the_relay(void **state) {
    (void)state;
    struct uuid id = add_follow_up(PLAIN);
    server_kill(redis.server);
    queue_redis_wait_down(&redis);
    assert_ok(copy().err);
    assert_int_equal(0, left());
    assert_string_equal("none", epoch_of(id));
    assert_true(server_restart(redis.server));
    queue_redis_wait_up(&redis);
    queue_redis_load(&redis);
}

#ifdef PENSTOCK_FAULTS

/* A process of its own that begins to copy, and dies at the failpoint. */
static _Noreturn void die_copying(const char *failpoint) {
    char spec[64];
    (void)snprintf(spec, sizeof spec, "%s=kill@1", failpoint);
    (void)setenv("PENSTOCK_FAULT", spec, 1);
    struct module_db own = db; /* the parent's connections are left alone */
    struct queue_redis own_redis = redis;
    assert_ok(loop_new(&own.loop));
    own.db = module_db_pool_(&own, "penstock_unit", 1);
    own.platform = module_db_pool_(&own, "postgres", 1);
    own.env.db = own.db;
    own_redis.loop = own.loop;
    queue_redis_connect(&own_redis);
    const struct journal own_journal = {own.platform, &own_redis.broker, db.queues};
    struct answer a = {0};
    fault_setup();
    outbox_copy(&own_journal, &own.env, on_moved, &a);
    (void)wait_until(own.loop, MODULE_DB_WAIT_MS, is_answered, &a);
    _exit(0); /* it should not have come so far */
}

static void copy_dying(const char *failpoint) {
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        die_copying(failpoint);
    }
    assert_true(pid > 0);
    assert_int_equal(pid, waitpid(pid, &status, 0));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void test_copy__killed_between_two_steps_then_done_again_without_a_second_job(void **state) {
    static const struct {
        const char *failpoint, *epoch; /* of the row after the crash */
        int entries;                   /* in Redis in the end: one more where the mark was lost */
    } rows[] = {{"place.after_enqueue", "none", 2}, {"place.after_mark", "4711", 1}, {"outbox.after_copy", "4711", 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)journal_db_reset(state);
        struct uuid id = add_follow_up(PLAIN);
        copy_dying(rows[i].failpoint);
        assert_int_equal(1, left());
        assert_string_equal(rows[i].epoch, epoch_of(id));
        assert_int_equal(1, entries("wide", 1));
        copy_dying("outbox.after_copy"); /* once more, and killed once more */
        assert_int_equal(1, copy().moved);
        assert_int_equal(0, left());
        age_rows();
        assert_ok(relay().err);
        assert_int_equal(1, count_rows("state = 'waiting' AND epoch = 4711"));
        assert_int_equal(1, count_rows("true"));
        assert_int_equal(rows[i].entries, entries("wide", 1)); /* two entries of one job: its effect is one */
    }
}

#endif

/* --- without memory --- */

static void scenario(void *arg) {
    (void)arg;
    struct answer a = copy();
    assert_true(!err_is_set(a.err) || torture_is_failing());
}

static void test_copy__any_allocation_fails_then_nothing_is_lost(void **state) {
    (void)state;
    for (int i = 0; i < LIMIT_BATCH; i++) {
        (void)add_follow_up(PLAIN);
    }
    sql_run(db.admin, "CREATE FUNCTION unit.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'");
    sql_run(db.admin, "CREATE TRIGGER keep BEFORE DELETE ON unit.job_outbox FOR EACH ROW EXECUTE FUNCTION unit.keep()");
    torture(scenario, NULL); /* again and again over the same rows */
    sql_run(db.admin, "DROP TRIGGER keep ON unit.job_outbox");
    queue_redis_wait_up(&redis);
    while (left() > 0) {
        assert_ok(copy().err);
    }
    assert_int_equal(LIMIT_BATCH, count_rows("true"));
    age_rows();
    while (count_rows("epoch IS NULL") > 0) {
        assert_ok(relay().err);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_copy__rows_then_jobs_in_the_journal_and_in_redis, journal_db_reset),
        cmocka_unit_test_setup(test_copy__an_empty_outbox_then_nothing, journal_db_reset),
        cmocka_unit_test_setup(test_copy__more_than_a_batch_then_says_so, journal_db_reset),
        cmocka_unit_test_setup(test_copy__the_job_is_there_and_has_ended_then_only_dropped, journal_db_reset),
        cmocka_unit_test_setup(test_copy__the_journal_refuses_then_the_outbox_keeps_them, journal_db_reset),
        cmocka_unit_test_setup(test_copy__redis_down_then_copied_and_left_to_the_relay, journal_db_reset),
#ifdef PENSTOCK_FAULTS
        cmocka_unit_test(test_copy__killed_between_two_steps_then_done_again_without_a_second_job),
#endif
        cmocka_unit_test_setup(test_copy__any_allocation_fails_then_nothing_is_lost, journal_db_reset),
    };
    return cmocka_run_group_tests(tests, journal_db_setup, journal_db_teardown);
}
