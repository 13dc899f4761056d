/* What may be forgotten, and what must not: nothing open, nothing young, no job before its key. */
#include "scheduler_db.h"

/* An id of that many days ago. */
static const char *id_of(int days, unsigned n) {
    static char texts[4][UUID_TEXT_BYTES];
    static unsigned next;
    struct uuid id = id_new(&scheduler.rt->ids);
    int64_t ms = loop_wall(scheduler.rt->loop).ms - INT64_C(86400000) * days;
    for (int i = 0; i < 6; i++) {
        id.b[i] = (uint8_t)(ms >> (40 - 8 * i));
    }
    id.b[14] = (uint8_t)(n >> 8);
    id.b[15] = (uint8_t)n;
    char *text = texts[next++ % 4];
    uuid_text(id, text);
    return text;
}

static const char *add_old_job(int days, const char *state, int finished_days_ago) {
    const char *id = id_of(days, 0);
    char sql[512], finished[64];
    (void)snprintf(finished, sizeof finished, "now() - interval '%d days'", finished_days_ago);
    (void)snprintf(
        sql, sizeof sql,
        "INSERT INTO platform.job (id, root_id, tenant, queue, shard, type, type_version, payload, traceparent, state, finished_at) "
        "VALUES ('%s', '%s', 'acme', 'default', 0, 'unit.job', 1, '', '', '%s', %s)",
        id, id, state, strcmp(state, "waiting") == 0 ? "NULL" : finished);
    sql_run(db.admin, sql);
    return id;
}

static void add_key(const char *job, const char *key) {
    char sql[320];
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO platform.idempotency (tenant, key, fingerprint, job_id) VALUES ('acme', '%s', '', '%s')", key,
                   job);
    sql_run(db.admin, sql);
}

static int exists(const char *table, const char *column, const char *id) {
    char sql[320];
    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM %s WHERE %s = '%s'", table, column, id);
    return sql_int(db.admin, sql);
}

static int reset(void **state) {
    (void)state;
    sql_run(
        db.admin,
        "TRUNCATE platform.job, platform.job_progress, platform.idempotency, platform.dead_job, src.effect, src.event_outbox, src.inbox");
    return 0;
}

/* One statement after the other through the pools: a second tick's answer proves that the first one's is there. */
static void forget(void) {
    retain_tick(&scheduler);
    struct pg_pool *pools[] = {scheduler.rt->platform, scheduler.rt->modules[0].db, scheduler.rt->modules[1].db,
                               scheduler.rt->modules[2].db};
    for (int i = 0; i < 20000; i++) {
        size_t waiting = 0;
        for (size_t k = 0; k < 4; k++) {
            waiting += pg_pool_waiting(pools[k]);
        }
        if (waiting == 0) {
            return;
        }
        wait_ms(scheduler.rt->loop, 1);
    }
    fail_msg("it goes on and on");
}

static void test_retain__jobs_then_the_finished_old_ones_go(void **state) {
    (void)state;
    static const struct {
        int days, finished_days_ago;
        const char *state;
        int left;
    } rows[] = {
        {40, 35, "done", 0},   {40, 35, "dead", 0},    {40, 35, "cancelled", 0}, {40, 10, "done", 1}, /* ended not long ago */
        {40, 0, "waiting", 1},                                                                        /* however old */
        {10, 5, "done", 1},    {29, 29, "expired", 1},
    };
    char ids[sizeof rows / sizeof rows[0]][UUID_TEXT_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)snprintf(ids[i], sizeof ids[i], "%s", add_old_job(rows[i].days, rows[i].state, rows[i].finished_days_ago));
    }
    sql_run(db.admin, "INSERT INTO platform.job_progress SELECT id, '{\"percent\":1}' FROM platform.job");
    forget();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(rows[i].left, exists("platform.job", "id", ids[i]));
        assert_int_equal(rows[i].left, exists("platform.job_progress", "job_id", ids[i]));
    }
}

static void test_retain__keys_then_seven_days_after_the_job_and_the_job_after_its_key(void **state) {
    (void)state;
    char old[UUID_TEXT_BYTES], young[UUID_TEXT_BYTES], open[UUID_TEXT_BYTES], ancient[UUID_TEXT_BYTES];
    (void)snprintf(old, sizeof old, "%s", add_old_job(10, "done", 8));
    (void)snprintf(young, sizeof young, "%s", add_old_job(10, "done", 6));
    (void)snprintf(open, sizeof open, "%s", add_old_job(40, "waiting", 0));
    (void)snprintf(ancient, sizeof ancient, "%s", add_old_job(40, "done", 40));
    add_key(old, "old");
    add_key(young, "young");
    add_key(open, "open");
    add_key(ancient, "ancient");
    add_key(id_of(10, 1), "of a job that is gone");
    forget();
    assert_string_equal("open young", sql_text(db.admin, "SELECT string_agg(key, ' ' ORDER BY key) FROM platform.idempotency"));
    assert_int_equal(1, exists("platform.job", "id", old));
    forget();
    assert_int_equal(0, exists("platform.job", "id", ancient));
}

static void test_retain__keys_are_kept_longer_than_jobs_then_the_job_stays_with_its_key(void **state) {
    (void)state;
    const char *id = add_old_job(40, "done", 40);
    int64_t before = conf.retention_key_days;
    add_key(id, "kept");
    conf.retention_key_days = 60;
    forget();
    forget();
    conf.retention_key_days = before;
    assert_int_equal(1, exists("platform.job", "id", id));
}

static void test_retain__dead_jobs_effects_events_and_inboxes_then_the_old_ones_go(void **state) {
    (void)state;
    for (int days = 5; days <= 35; days += 30) {
        char sql[1024];
        const char *id = id_of(days, 0);
        (void)snprintf(
            sql, sizeof sql,
            "INSERT INTO platform.dead_job (id, root_id, generation, class, tenant, queue, type, type_version, payload, attempts, errors, "
            "fingerprint, traceparent, died_at) VALUES ('%s', '%s', 0, 'stream', '', '', '', 1, '', 1, '[]', '', '', now() - interval '%d days'); "
            "INSERT INTO src.effect VALUES ('%s', '', 0, 'done', 200, NULL), ('%s', 'step', 0, 'done', 0, NULL); "
            "INSERT INTO src.inbox VALUES ('%s'); "
            "INSERT INTO src.event_outbox (id, type, aggregate_id, aggregate_version, tenant, traceparent, data, published_at) "
            "VALUES ('%s', 't', '%s', 1, '', '', '{}', now())",
            id, id, days, id, id, id, id, id);
        sql_run(db.admin, sql);
    }
    char unpublished[512];
    const char *id = id_of(35, 7);
    (void)snprintf(
        unpublished, sizeof unpublished,
        "INSERT INTO src.event_outbox (id, type, aggregate_id, aggregate_version, tenant, traceparent, data) VALUES ('%s', 't', '%s', 1, '', '', '{}')",
        id, id);
    sql_run(db.admin, unpublished);
    forget();
    assert_int_equal(1, sql_int(db.admin, "SELECT count(*) FROM platform.dead_job"));
    assert_int_equal(2, sql_int(db.admin, "SELECT count(*) FROM src.effect"));
    assert_int_equal(1, sql_int(db.admin, "SELECT count(*) FROM src.inbox"));
    assert_int_equal(2, sql_int(db.admin, "SELECT count(*) FROM src.event_outbox")); /* one of them old, and not delivered yet */
}

static void test_retain__more_than_one_statement_takes_then_goes_on(void **state) {
    (void)state;
    sql_run(
        db.admin,
        "INSERT INTO src.effect SELECT ('00000000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, '', 0, 'done', 200, NULL "
        "FROM generate_series(1, 12000) n");
    forget();
    assert_int_equal(0, sql_int(db.admin, "SELECT count(*) FROM src.effect"));
}

static void test_retain__changes_of_scale_and_supervisors_then_the_old_ones_go(void **state) {
    (void)state;
    sql_run(
        db.admin,
        "INSERT INTO platform.scale_change (queue, workers, before, pinned, reason, author, at) "
        "SELECT 'default', 1, 2, false, '', '', now() - make_interval(days => d) FROM unnest(ARRAY[5, 35]) d; "
        "INSERT INTO platform.supervisor SELECT 'h:' || d, 1, 1, '', '[]', now() - make_interval(hours => d) FROM unnest(ARRAY[1, 30]) d; "
        "INSERT INTO platform.worker_order (consumer, supervisor, wish, at) SELECT 'c', 'h', 'quiet', now() - make_interval(hours => d) "
        "FROM unnest(ARRAY[1, 30]) d");
    forget();
    assert_int_equal(1, sql_int(db.admin, "SELECT count(*) FROM platform.scale_change"));
    assert_int_equal(1, sql_int(db.admin, "SELECT count(*) FROM platform.supervisor"));
    assert_int_equal(1, sql_int(db.admin, "SELECT count(*) FROM platform.worker_order"));
}

static void test_retain__what_was_counted_for_objectives_then_a_year_stays(void **state) {
    (void)state;
    sql_run(
        db.admin,
        "TRUNCATE platform.slo_day, platform.slo_process; "
        "INSERT INTO platform.slo_day SELECT (now() AT TIME ZONE 'UTC')::date - n, 'x', n, n FROM unnest('{0,400,401,500}'::int[]) n; "
        "INSERT INTO platform.slo_process SELECT n::text, 1, now() - make_interval(hours => n) FROM unnest('{0,23,25}'::int[]) n");
    forget();
    assert_string_equal("0 400", sql_text(db.admin, "SELECT string_agg(good::text, ' ' ORDER BY good) FROM platform.slo_day"));
    assert_string_equal("0 23", sql_text(db.admin, "SELECT string_agg(process, ' ' ORDER BY process) FROM platform.slo_process"));
}

static void test_retain__not_the_leader_then_nothing(void **state) {
    (void)state;
    const char *id = add_old_job(40, "done", 40);
    scheduler.ready = false;
    forget();
    scheduler.ready = true;
    assert_int_equal(1, exists("platform.job", "id", id));
}

static void scenario(void *arg) {
    (void)arg;
    (void)add_old_job(60, "done", 60);
    forget();
}

static void test_retain__any_allocation_fails_then_a_later_tick_takes_the_rest(void **state) {
    (void)state;
    torture(scenario, NULL);
    forget();
    assert_int_equal(0, sql_int(db.admin, "SELECT count(*) FROM platform.job"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_retain__jobs_then_the_finished_old_ones_go, reset),
        cmocka_unit_test_setup(test_retain__keys_then_seven_days_after_the_job_and_the_job_after_its_key, reset),
        cmocka_unit_test_setup(test_retain__keys_are_kept_longer_than_jobs_then_the_job_stays_with_its_key, reset),
        cmocka_unit_test_setup(test_retain__dead_jobs_effects_events_and_inboxes_then_the_old_ones_go, reset),
        cmocka_unit_test_setup(test_retain__more_than_one_statement_takes_then_goes_on, reset),
        cmocka_unit_test_setup(test_retain__changes_of_scale_and_supervisors_then_the_old_ones_go, reset),
        cmocka_unit_test_setup(test_retain__what_was_counted_for_objectives_then_a_year_stays, reset),
        cmocka_unit_test_setup(test_retain__not_the_leader_then_nothing, reset),
        cmocka_unit_test_setup(test_retain__any_allocation_fails_then_a_later_tick_takes_the_rest, reset),
    };
    return cmocka_run_group_tests(tests, scheduler_db_setup, scheduler_db_teardown);
}
