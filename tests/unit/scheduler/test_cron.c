/* Ticks of schedules on a real Postgres and Redis: made once whoever makes them, placed, and nobody held up by a schedule that is broken. */
#include "scheduler_db.h"

static struct shard_watch *w;

static int reset(void **state) {
    (void)state;
    w = watch_of("default");
    sql_run(db.admin, "TRUNCATE platform.job, platform.idempotency, platform.schedule");
    (void)queue_redis_ask(&redis, "FLUSHALL");
    queue_redis_load(&redis);
    queue_redis_make_ready(&redis, w->shard, 815);
    return 0;
}

static void on_timer(void *arg) { (void)arg; /* the tests tick */ }

static int setup(void **state) {
    int rc = scheduler_db_setup(state);
    assert_ok(timer_new(scheduler.rt->loop, on_timer, NULL, &scheduler.cron_timer));
    return rc;
}

static int teardown(void **state) {
    timer_free(scheduler.cron_timer);
    return scheduler_db_teardown(state);
}

/* Ticks at minute 0 of each hour; the first that is to be made was hours ago, and some. */
static void add(const char *name, int hours, const char *missed, const char *cron) {
    char sql[640], text[UUID_TEXT_BYTES];
    uuid_text(id_new(&scheduler.rt->ids), text);
    (void)snprintf(
        sql, sizeof sql,
        "INSERT INTO platform.schedule (id, tenant, name, cron, timezone, missed, queue, type, type_version, payload, next_at) "
        "VALUES ('%s', 'acme', '%s', '%s', 'UTC', '%s', 'default', 'unit.job', 1, '{\"n\":1}', "
        "date_trunc('hour', now()) - interval '%d hours')",
        text, name, cron, missed, hours - 1);
    sql_run(db.admin, sql);
}

static bool is_idle(void *arg) {
    (void)arg;
    return !scheduler.cron_running;
}

static void tick(void) {
    cron_tick(&scheduler);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, is_idle, NULL));
}

static int count_keys(void) { return sql_int(db.admin, "SELECT count(*) FROM platform.idempotency WHERE tenant = '_system'"); }
static int count_due(void) { return sql_int(db.admin, "SELECT count(*) FROM platform.schedule WHERE next_at <= now()"); }

static void test_cron__ticks_due_then_jobs_with_keys_in_redis(void **state) {
    (void)state;
    add("hourly", 3, "all", "0 * * * *");
    tick();
    assert_int_equal(3, count_keys());
    assert_int_equal(
        3, count_jobs("epoch = 815 AND tenant = 'acme' AND type = 'unit.job' AND convert_from(payload, 'UTF8') = '{\"n\":1}'"));
    assert_int_equal(3, queue_redis_entries(&redis, w->shard));
    assert_int_equal(0, count_due());
    assert_int_equal(1, sql_int(db.admin, "SELECT count(*) FROM platform.schedule WHERE last_at = date_trunc('hour', now()) AND "
                                          "next_at = last_at + interval '1 hour' AND version = 1"));
    assert_int_equal(1, sql_int(db.admin, "SELECT count(*) FROM platform.schedule s JOIN platform.idempotency i "
                                          "ON i.key = 'cron:' || s.id || ':' || extract(epoch FROM s.last_at)::bigint"));
    tick();
    assert_int_equal(3, count_keys());
}

static bool are_placed(void *arg) {
    (void)arg;
    return !scheduler.cron_running && pg_pool_waiting(scheduler.rt->platform) == 0 && count_jobs("epoch = 815") == 100;
}

/* As if two were leaders: both have looked before either of them writes. */
static void test_cron__two_at_once_then_each_tick_once(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "s%d", i);
        add(name, 5, "all", "0 * * * *");
    }
    cron_tick(&scheduler);
    scheduler.cron_running = false;
    cron_tick(&scheduler);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, are_placed, NULL));
    tick();
    assert_int_equal(100, count_keys());
    assert_int_equal(100, count_jobs("true"));
    assert_int_equal(0, count_due());
}

static void test_cron__more_than_a_look_and_than_a_batch_then_all_in_one_tick(void **state) {
    (void)state;
    for (int i = 0; i < 70; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "s%d", i);
        add(name, 1, "once", "0 * * * *");
    }
    add("many", 100, "all", "0 * * * *");
    tick();
    assert_int_equal(170, count_jobs("epoch = 815"));
    assert_int_equal(0, count_due());
}

/* A look is 64 schedules: these stand in front of all others. */
static void test_cron__broken_schedules_then_the_others_are_made(void **state) {
    (void)state;
    for (int i = 0; i < 66; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "broken%d", i);
        add(name, 9, "all", i % 2 == 0 ? "0 * * *" : "0 0 30 2 *");
    }
    add("whole", 2, "all", "0 * * * *");
    tick();
    assert_int_equal(2, count_jobs("true"));
    assert_int_equal(66, count_due());
}

static void test_cron__paused_or_not_the_leader_then_nothing(void **state) {
    (void)state;
    add("hourly", 3, "all", "0 * * * *");
    sql_run(db.admin, "UPDATE platform.schedule SET paused = true");
    tick();
    assert_int_equal(0, count_jobs("true"));
    sql_run(db.admin, "UPDATE platform.schedule SET paused = false");
    scheduler.ready = false;
    tick();
    assert_int_equal(0, count_jobs("true"));
    scheduler.ready = true;
    tick();
    assert_int_equal(3, count_jobs("true"));
}

/* Redis is away or does not take them: the rows stand, unmarked, for the relay. */
static void test_cron__no_epoch_then_rows_for_the_relay(void **state) {
    (void)state;
    add("hourly", 3, "all", "0 * * * *");
    (void)queue_redis_ask(&redis, "DEL %s", w->shard->key_text[KEY_EPOCH]);
    tick();
    assert_int_equal(3, count_jobs("epoch IS NULL"));
    assert_int_equal(0, count_due());
}

static size_t most_jobs, most_bytes;

static bool is_idle_watched(void *arg) {
    most_jobs = scheduler.cron_jobs > most_jobs ? scheduler.cron_jobs : most_jobs;
    most_bytes = scheduler.cron_bytes > most_bytes ? scheduler.cron_bytes : most_bytes;
    return is_idle(arg);
}

static void tick_watched(void) {
    most_jobs = most_bytes = 0;
    cron_tick(&scheduler);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, is_idle_watched, NULL));
    assert_int_equal(0, scheduler.cron_jobs);
    assert_int_equal(0, scheduler.cron_bytes);
}

static void test_cron__much_to_catch_up_with_then_little_on_its_way_at_once(void **state) {
    (void)state;
    for (int i = 0; i < 10; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "s%d", i);
        add(name, 64, "all", "0 * * * *");
    }
    tick_watched();
    assert_int_equal(640, count_jobs("epoch = 815"));
    assert_in_range(most_jobs, LIMIT_BATCH, 4 * LIMIT_BATCH);
    assert_int_equal(0, reset(state));
    for (int i = 0; i < 3; i++) {
        char name[24];
        (void)snprintf(name, sizeof name, "s%d", i);
        add(name, 64, "all", "0 * * * *");
    }
    sql_run(db.admin, "UPDATE platform.schedule SET payload = convert_to('{\"t\":\"' || repeat('x', 65000) || '\"}', 'UTF8')");
    tick_watched();
    assert_int_equal(192, count_jobs("epoch = 815"));
    assert_in_range(most_bytes, 65000, LIMIT_BATCH * LIMIT_PAYLOAD_BYTES);
}

static void reload_queues(const char *sql) {
    bool loaded = false;
    sql_run(db.admin, sql);
    queue_table_load(scheduler.rt->queues, module_db_queues_loaded_, &loaded);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, module_db_flag_, &loaded));
}

/* On time is not catching up; and what is held stands in front of no other queue's. */
static void test_cron__a_full_queue_then_missed_ticks_wait_for_room(void **state) {
    (void)state;
    reload_queues("UPDATE platform.queue SET max_open = 2 WHERE name = 'default'");
    add("missed", 5, "all", "0 * * * *");
    add("on-time", 1, "all", "* * * * *");
    add("elsewhere", 3, "all", "0 * * * *");
    sql_run(db.admin, "SELECT pg_sleep(60 - s) FROM extract(second FROM now()) s WHERE s > 55"); /* in one minute, all of it */
    sql_run(db.admin, "UPDATE platform.schedule SET next_at = date_trunc('minute', now()) WHERE name = 'on-time'");
    sql_run(db.admin, "UPDATE platform.schedule SET queue = 'orders' WHERE name = 'elsewhere'");
    w->depth.waiting = 2;
    tick();
    assert_int_equal(1, count_jobs("queue = 'default'"));
    sql_run(db.admin, "UPDATE platform.schedule SET paused = true WHERE name = 'on-time'");
    assert_int_equal(3, count_jobs("queue = 'orders'"));
    assert_int_equal(1, count_due());
    look(w); /* one is there, which leaves room for one; what has been made since a look counts, too */
    tick();
    assert_in_range(count_jobs("queue = 'default'"), 2, 6);
    int made = count_jobs("queue = 'default'");
    add("missed-too", 5, "all", "0 * * * *");
    tick();
    assert_int_equal(made, count_jobs("queue = 'default'"));
    reload_queues("UPDATE platform.queue SET max_open = 1000000 WHERE name = 'default'");
    tick();
    assert_int_equal(11, count_jobs("queue = 'default'"));
    assert_int_equal(0, count_due());
}

static int added;

static void scenario(void *arg) {
    (void)arg;
    char name[32];
    if (!redis_is_known_(NULL)) {
        (void)wait_until(scheduler.rt->loop, 5000, redis_is_known_, NULL);
    }
    (void)snprintf(name, sizeof name, "s%d", added++);
    add(name, 2, "all", "0 * * * *");
    tick();
}

static void test_cron__any_allocation_fails_then_each_tick_once_in_the_end(void **state) {
    (void)state;
    torture(scenario, NULL);
    for (int i = 0; i < 20 && count_due() > 0; i++) {
        tick();
    }
    assert_int_equal(0, count_due());
    assert_int_equal(2 * added, count_keys());
    assert_int_equal(2 * added, count_jobs("true"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_cron__ticks_due_then_jobs_with_keys_in_redis, reset),
        cmocka_unit_test_setup(test_cron__two_at_once_then_each_tick_once, reset),
        cmocka_unit_test_setup(test_cron__more_than_a_look_and_than_a_batch_then_all_in_one_tick, reset),
        cmocka_unit_test_setup(test_cron__broken_schedules_then_the_others_are_made, reset),
        cmocka_unit_test_setup(test_cron__paused_or_not_the_leader_then_nothing, reset),
        cmocka_unit_test_setup(test_cron__no_epoch_then_rows_for_the_relay, reset),
        cmocka_unit_test_setup(test_cron__much_to_catch_up_with_then_little_on_its_way_at_once, reset),
        cmocka_unit_test_setup(test_cron__a_full_queue_then_missed_ticks_wait_for_room, reset),
        cmocka_unit_test_setup(test_cron__any_allocation_fails_then_each_tick_once_in_the_end, reset),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
