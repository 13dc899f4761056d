/* What did not reach Redis, and follow-ups that nobody copied: by the leader, and until there is no more. */
#include "scheduler_db.h"

static struct shard_watch *w;

static bool is_idle(void *arg) {
    (void)arg;
    bool busy = scheduler.relaying;
    for (size_t m = 0; m < registry.modules_n; m++) {
        busy |= scheduler.outbox_running[m];
    }
    return !busy;
}

static void tick(void) {
    relay_tick(&scheduler);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, is_idle, NULL));
}

static int reset(void **state) {
    (void)state;
    w = watch_of("default");
    sql_run(db.admin, "TRUNCATE platform.job, src.job_outbox, two.job_outbox");
    (void)queue_redis_ask(&redis, "FLUSHALL");
    queue_redis_load(&redis);
    queue_redis_make_ready(&redis, w->shard, 815);
    return 0;
}

static void add_follow_up(const char *schema) {
    char sql[320], text[UUID_TEXT_BYTES];
    uuid_text(id_in(0, false), text);
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO %s.job_outbox (id, root_id, tenant, queue, type, type_version, payload, traceparent) "
                   "VALUES ('%s', '%s', 'acme', 'default', 'unit.job', 1, '{}', '')",
                   schema, text, text);
    sql_run(db.admin, sql);
}

static void test_relay__unmarked_rows_then_all_placed_in_one_tick(void **state) {
    (void)state;
    for (int i = 0; i < LIMIT_BATCH + 5; i++) {
        (void)add_job("NULL", "NULL");
    }
    tick();
    assert_int_equal(LIMIT_BATCH + 5, count_jobs("epoch = 815"));
    assert_int_equal(LIMIT_BATCH + 5, queue_redis_entries(&redis, w->shard));
    tick();
    assert_int_equal(LIMIT_BATCH + 5, queue_redis_entries(&redis, w->shard));
}

static void test_relay__follow_ups_of_several_modules_then_copied_placed_and_dropped(void **state) {
    (void)state;
    for (int i = 0; i < LIMIT_BATCH + 5; i++) {
        add_follow_up("src");
    }
    add_follow_up("two");
    tick();
    assert_int_equal(LIMIT_BATCH + 6, count_jobs("epoch = 815"));
    assert_int_equal(0,
                     sql_int(db.admin, "SELECT (SELECT count(*) FROM src.job_outbox) + (SELECT count(*) FROM two.job_outbox)"));
}

static void test_relay__not_the_leader_then_nothing(void **state) {
    (void)state;
    (void)add_job("NULL", "NULL");
    add_follow_up("src");
    scheduler.ready = false;
    tick();
    assert_int_equal(1, count_jobs("epoch IS NULL"));
    scheduler.ready = true;
    tick();
    assert_int_equal(2, count_jobs("epoch = 815"));
}

/* What could not be marked would be put there again and again. */
static void test_relay__no_epoch_then_nothing_is_placed(void **state) {
    (void)state;
    for (int i = 0; i < LIMIT_BATCH; i++) {
        (void)add_job("NULL", "NULL");
    }
    (void)queue_redis_ask(&redis, "DEL %s", w->shard->key_text[KEY_EPOCH]);
    tick();
    assert_int_equal(0, queue_redis_entries(&redis, w->shard));
    assert_int_equal(LIMIT_BATCH, count_jobs("epoch IS NULL"));
}

static void scenario(void *arg) {
    (void)arg;
    if (!redis_is_known_(NULL)) {
        (void)wait_until(scheduler.rt->loop, 5000, redis_is_known_, NULL);
    }
    (void)add_job("NULL", "NULL");
    add_follow_up("src");
    tick();
}

static void test_relay__any_allocation_fails_then_a_later_tick_places_the_rest(void **state) {
    (void)state;
    torture(scenario, NULL);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, redis_is_known_, NULL));
    struct mono began = clock_mono(&clock_system); /* it takes rows that are a second old */
    while (count_jobs("epoch IS NULL") > 0 && mono_ms_since(clock_mono(&clock_system), began) < MODULE_DB_WAIT_MS) {
        tick();
    }
    tick();
    assert_int_equal(0, sql_int(db.admin, "SELECT count(*) FROM src.job_outbox"));
    assert_int_equal(0, count_jobs("epoch IS NULL"));
    assert_true(queue_redis_entries(&redis, w->shard) >= count_jobs("true")); /* more: of a mark that failed */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_relay__unmarked_rows_then_all_placed_in_one_tick, reset),
        cmocka_unit_test_setup(test_relay__follow_ups_of_several_modules_then_copied_placed_and_dropped, reset),
        cmocka_unit_test_setup(test_relay__not_the_leader_then_nothing, reset),
        cmocka_unit_test_setup(test_relay__no_epoch_then_nothing_is_placed, reset),
        cmocka_unit_test_setup(test_relay__any_allocation_fails_then_a_later_tick_places_the_rest, reset),
    };
    return cmocka_run_group_tests(tests, scheduler_db_setup, scheduler_db_teardown);
}
