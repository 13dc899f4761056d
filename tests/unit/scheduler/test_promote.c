/* Delayed jobs: when they are due, neither before nor much after, however the timer came to be set. */
#include "scheduler_db.h"

static struct shard_watch *w;

static int entries(void) { return queue_redis_entries(&redis, w->shard); }
static int delayed(void) { return queue_redis_delayed(&redis, w->shard); }

static bool has_promoted(void *arg) {
    (void)arg;
    return w->promote_at_us == 0 && !w->promoting;
}

/* Places a job in ms milliseconds from now, by the relay. */
static void add_delayed(int ms) {
    char due[64];
    (void)snprintf(due, sizeof due, "now() + interval '%d milliseconds'", ms);
    (void)add_job("NULL", due);
}

static void place_all(void) {
    relay_tick(&scheduler);
    for (int i = 0; i < 5000 && (scheduler.relaying || count_jobs("epoch IS NULL") > 0); i++) {
        wait_ms(scheduler.rt->loop, 1);
    }
}

static int reset(void **state) {
    (void)state;
    w = watch_of("default");
    timer_stop(w->promote_timer);
    w->promote_at_us = 0;
    sql_run(db.admin, "TRUNCATE platform.job");
    (void)queue_redis_ask(&redis, "FLUSHALL");
    queue_redis_load(&redis);
    w->depth.epoch[0] = '\0';
    for (int i = 0; i < 10 && strncmp(w->depth.epoch, "ready ", 6) != 0; i++) {
        look(w);
    }
    return 0;
}

static void wait_entries(int n) {
    for (int64_t end = loop_now(scheduler.rt->loop).us + 5000000; entries() != n || w->promoting;
         wait_ms(scheduler.rt->loop, 1)) {
        assert_true(loop_now(scheduler.rt->loop).us < end);
    }
}

static void test_promote__seen_by_a_look_then_moved_when_due(void **state) {
    (void)state;
    add_delayed(600);
    place_all();
    look(w);
    assert_int_equal(1, delayed());
    assert_true(timer_is_active(w->promote_timer));
    int64_t before = loop_now(scheduler.rt->loop).us;
    wait_entries(1);
    assert_in_range(loop_now(scheduler.rt->loop).us - before, 100000, 2900000);
    assert_int_equal(0, delayed());
}

static void test_promote__more_than_a_batch_is_due_then_one_batch_after_the_other(void **state) {
    (void)state;
    for (int i = 0; i < 470; i++) {
        add_delayed(3600000);
    }
    while (count_jobs("epoch IS NULL") > 0) {
        place_all();
    }
    assert_int_equal(470, delayed());
    (void)queue_redis_ask(&redis, "COPY %s tmp", w->shard->key_text[KEY_DELAYED]);
    (void)queue_redis_ask(&redis, "ZUNIONSTORE %s 1 tmp WEIGHTS 0", w->shard->key_text[KEY_DELAYED]); /* all due since 1970 */
    int64_t before = loop_now(scheduler.rt->loop).us;
    promote_now(w);
    wait_entries(470);
    assert_true(loop_now(scheduler.rt->loop).us - before > 80000); /* ten batches, ten milliseconds between two of them */
    assert_int_equal(0, delayed());
    assert_false(timer_is_active(w->promote_timer)); /* nothing is delayed: nothing to wake up for */
}

static void test_promote__after_one_then_armed_for_the_next(void **state) {
    (void)state;
    add_delayed(-10);
    add_delayed(400);
    place_all();
    promote_now(w);
    wait_entries(2);
    assert_int_equal(0, delayed());
}

static void test_arm__an_earlier_head_then_moved_forward_and_never_back(void **state) {
    (void)state;
    promote_arm(w, 60000);
    int64_t late = w->promote_at_us;
    promote_arm(w, 50000);
    int64_t early = w->promote_at_us;
    assert_true(early < late);
    promote_arm(w, 55000);
    assert_int_equal(early, w->promote_at_us);
    promote_arm(w, -5); /* due already */
    assert_true(wait_until(scheduler.rt->loop, 1000, has_promoted, NULL));
}

/* No leader is needed: promotion is one atomic Function. */
static void test_promote__not_the_leader_then_promoted_all_the_same(void **state) {
    (void)state;
    add_delayed(200);
    place_all();
    scheduler.ready = false;
    look(w);
    wait_entries(1);
    scheduler.ready = true;
}

static void test_watch__a_queue_made_later_then_a_watch_for_each_shard(void **state) {
    (void)state;
    bool loaded = false;
    size_t before = scheduler.watches_n;
    struct shard_watch *first = scheduler.watches[0];
    watch_sync(&scheduler);
    assert_int_equal(before, scheduler.watches_n);
    sql_run(db.admin, "INSERT INTO platform.queue (name, number, shards) VALUES ('wide', 9, 3)");
    queue_table_load(scheduler.rt->queues, module_db_queues_loaded_, &loaded);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, module_db_flag_, &loaded));
    watch_sync(&scheduler);
    assert_int_equal(before + 3, scheduler.watches_n);
    assert_ptr_equal(first, scheduler.watches[0]);
    for (unsigned s = 0; s < 3; s++) {
        assert_string_equal("wide", scheduler.watches[before + s]->queue->name);
        assert_int_equal(s, scheduler.watches[before + s]->shard->number);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_promote__seen_by_a_look_then_moved_when_due, reset),
        cmocka_unit_test_setup(test_promote__more_than_a_batch_is_due_then_one_batch_after_the_other, reset),
        cmocka_unit_test_setup(test_promote__after_one_then_armed_for_the_next, reset),
        cmocka_unit_test_setup(test_arm__an_earlier_head_then_moved_forward_and_never_back, reset),
        cmocka_unit_test_setup(test_promote__not_the_leader_then_promoted_all_the_same, reset),
        cmocka_unit_test_setup(test_watch__a_queue_made_later_then_a_watch_for_each_shard, reset),
    };
    return cmocka_run_group_tests(tests, scheduler_db_setup, scheduler_db_teardown);
}
