/* A Redis that lost something: Functions, groups, entries, everything. Afterwards each open journal job is there once, and the epoch says
 * whose Redis was checked. */
#include <base/fault.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scheduler_db.h"

static struct shard_watch *w;

static const char *epoch(void) { return queue_redis_ask(&redis, "GET %s", w->shard->key_text[KEY_EPOCH]); }
static int64_t nonce(void) { return queue_epoch_nonce(str_c(epoch())); }

static void assert_ready(void) {
    char ready[EPOCH_BYTES];
    (void)snprintf(ready, sizeof ready, "ready %s %lld", scheduler.run_id, (long long)nonce());
    assert_string_equal(ready, epoch());
    assert_true(nonce() > 0);
}

/* Looks until nothing is to be done any more; how many looks that took. */
static int look_until_ready(void) {
    for (int i = 1; i <= 10; i++) {
        look(w);
        if (strncmp(epoch(), "ready ", 6) == 0 && strncmp(w->depth.epoch, "ready ", 6) == 0) {
            return i;
        }
    }
    fail_msg("not ready: %s", epoch());
    return 0;
}

static int entries(void) { return queue_redis_entries(&redis, w->shard); }
static int delayed(void) { return queue_redis_delayed(&redis, w->shard); }

static int of_this_epoch(void) {
    char where[64];
    (void)snprintf(where, sizeof where, "epoch = %lld", (long long)nonce());
    return count_jobs(where);
}

static int reset(void **state) {
    (void)state;
    w = watch_of("default");
    sql_run(db.admin, "TRUNCATE platform.job");
    (void)queue_redis_ask(&redis, "FLUSHALL");
    (void)queue_redis_ask(&redis, "FUNCTION FLUSH SYNC");
    look(w);
    (void)look_until_ready();
    return 0;
}

static void test_epoch__a_redis_that_knows_nothing_then_functions_group_and_epoch(void **state) {
    (void)state;
    (void)queue_redis_ask(&redis, "FLUSHALL");
    (void)queue_redis_ask(&redis, "FUNCTION FLUSH SYNC");
    look(w);
    (void)look_until_ready();
    assert_ready();
    assert_string_equal("1", queue_redis_ask(&redis, "EXISTS %s", w->shard->key_text[KEY_STREAM]));
    assert_string_equal("",
                        queue_redis_ask(&redis, "XREADGROUP GROUP g me COUNT 1 STREAMS %s >", w->shard->key_text[KEY_STREAM]));
}

static void test_epoch__ready_and_of_this_run_then_left_alone(void **state) {
    (void)state;
    int64_t before = nonce();
    look(w);
    look(w);
    assert_int_equal(before, nonce());
}

static void test_epoch__redis_was_flushed_then_every_open_job_is_placed_again(void **state) {
    (void)state;
    (void)add_job("4711", "NULL");
    (void)add_job("4711", "now() + interval '1 hour'");
    (void)add_job("4711", "now() - interval '1 hour'");
    sql_run(db.admin, "UPDATE platform.job SET state = 'done', finished_at = now() WHERE due_at < now()");
    struct uuid unseen = add_job("NULL", "NULL"); /* the relay's, not ours */
    (void)queue_redis_ask(&redis, "FLUSHALL");
    (void)look_until_ready();
    assert_ready();
    assert_int_equal(1, entries());
    assert_int_equal(1, delayed());
    assert_int_equal(2, of_this_epoch());
    assert_string_equal("none", of_id(unseen, "SELECT coalesce(epoch::text, 'none') FROM platform.job WHERE id = ", ""));
}

static void test_epoch__many_pages_then_each_once(void **state) {
    (void)state;
    for (int i = 0; i < 2 * LIMIT_BATCH + 7; i++) {
        (void)add_job("4711", "NULL");
    }
    (void)queue_redis_ask(&redis, "FLUSHALL");
    (void)look_until_ready();
    assert_int_equal(2 * LIMIT_BATCH + 7, entries());
    assert_int_equal(2 * LIMIT_BATCH + 7, of_this_epoch());
    assert_int_equal(2 * LIMIT_BATCH + 7, w->healed);
}

/* Only the epoch is gone, or another run's: what is there is marked, and nothing put twice. */
static void test_epoch__the_jobs_are_still_there_then_marked_only(void **state) {
    (void)state;
    (void)add_job("4711", "NULL");
    (void)add_job("4711", "now() + interval '1 hour'");
    (void)queue_redis_ask(&redis, "FLUSHALL");
    (void)look_until_ready();
    int64_t before = nonce();
    for (int i = 0; i < 2; i++) {
        if (i == 0) {
            (void)queue_redis_ask(&redis, "DEL %s", w->shard->key_text[KEY_EPOCH]);
        } else {
            queue_redis_make_ready(&redis, w->shard, 5); /* of another run */
        }
        look(w);
        (void)look_until_ready();
        assert_ready();
        assert_int_not_equal(before, nonce());
        assert_int_equal(1, entries());
        assert_int_equal(1, delayed());
        assert_int_equal(2, of_this_epoch());
        assert_int_equal(0, w->healed);
        before = nonce();
    }
}

static void test_epoch__one_entry_was_lost_then_that_one_is_placed(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        (void)add_job("4711", "NULL");
    }
    (void)queue_redis_ask(&redis, "FLUSHALL");
    (void)look_until_ready();
    (void)queue_redis_ask(&redis, "XTRIM %s MAXLEN = 2", w->shard->key_text[KEY_STREAM]);
    (void)queue_redis_ask(&redis, "DEL %s", w->shard->key_text[KEY_EPOCH]);
    (void)look_until_ready();
    assert_int_equal(3, entries());
    assert_int_equal(1, w->healed);
}

static bool is_another_run(void *arg) { return redis_is_known_(NULL) && strcmp(arg, scheduler.run_id) != 0; }

static void test_epoch__another_run_of_redis_then_the_pass_is_for_it(void **state) {
    (void)state;
    char run[64];
    (void)add_job("4711", "NULL");
    (void)queue_redis_ask(&redis, "FLUSHALL");
    (void)look_until_ready();
    (void)snprintf(run, sizeof run, "%s", scheduler.run_id);
    server_kill(redis.server); /* it keeps nothing */
    queue_redis_wait_down(&redis);
    assert_true(server_restart(redis.server));
    queue_redis_wait_up(&redis);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, is_another_run, run));
    look(w);
    (void)look_until_ready();
    assert_ready();
    assert_int_equal(1, entries());
    assert_int_equal(1, of_this_epoch());
}

/* A step torn between its two commands: the entries are acknowledged and still there. */
static void test_epoch__acknowledged_but_not_deleted_then_put_anew(void **state) {
    (void)state;
    const int n = LIMIT_BATCH + 6; /* more than a page */
    for (int i = 0; i < n; i++) {
        (void)add_job("4711", "NULL");
    }
    (void)queue_redis_ask(&redis, "FLUSHALL");
    (void)look_until_ready();
    const char *s = w->shard->key_text[KEY_STREAM];
    (void)queue_redis_ask(&redis, "XGROUP SETID %s g $", s); /* delivered, as the group sees it, and pending nowhere */
    (void)queue_redis_ask(&redis, "DEL %s", w->shard->key_text[KEY_EPOCH]);
    (void)look_until_ready();
    assert_int_equal(n, w->mended);
    assert_int_equal(0, w->healed);
    assert_int_equal(n, entries());
    (void)queue_redis_ask(&redis, "XREADGROUP GROUP g me STREAMS %s >", s);
    look(w);
    assert_int_equal(n, w->depth.running); /* they could be claimed again */
}

/* --- two of them --- */

static void test_epoch__another_scheduler_was_first_then_this_pass_stops(void **state) {
    (void)state;
    (void)add_job("4711", "NULL");
    (void)queue_redis_ask(&redis, "DEL %s", w->shard->key_text[KEY_EPOCH]);
    watch_look(w); /* sees none, and while it is at it … */
    struct str argv[] = {STR("SET"), w->shard->key[KEY_EPOCH], STR("rebuilding 99")};
    struct queue_redis_answer_ a = {0};
    broker_call(&scheduler.rt->redis, 3, argv, queue_redis_on_reply_, &a); /* … another one begins */
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, is_settled_, w));
    assert_string_equal("rebuilding 99", epoch());
    assert_int_equal(0, entries()); /* the other one's to place */
    (void)look_until_ready();       /* that one died: a pass of ours takes over */
    assert_ready();
}

static void test_epoch__not_the_leader_then_nothing(void **state) {
    (void)state;
    (void)queue_redis_ask(&redis, "DEL %s", w->shard->key_text[KEY_EPOCH]);
    scheduler.ready = false;
    look(w);
    assert_string_equal("", epoch());
    scheduler.ready = true;
    (void)look_until_ready();
}

/* --- crashes and want --- */

#ifdef PENSTOCK_FAULTS

static void die_at(const char *failpoint) {
    int status = 0;
    scheduler_end();
    pid_t pid = fork();
    if (pid == 0) {
        char spec[64];
        (void)snprintf(spec, sizeof spec, "%s=kill@1", failpoint);
        (void)setenv("PENSTOCK_FAULT", spec, 1);
        scheduler_start();
        fault_setup();
        w = watch_of("default");
        look(w);
        look(w);
        _exit(0); /* it should not have come so far */
    }
    assert_true(pid > 0);
    assert_int_equal(pid, waitpid(pid, &status, 0));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    scheduler_start();
    w = watch_of("default");
}

static void test_killed__in_the_middle_of_a_pass_then_the_next_one_ends_it(void **state) {
    static const struct {
        const char *failpoint;
        int most; /* entries in the end: those it placed without marking them are placed again */
    } rows[] = {{"epoch.after_rebuilding", 2}, {"place.after_enqueue", 4}, {"place.after_mark", 2}, {"epoch.before_ready", 2}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)reset(state);
        (void)add_job("4711", "NULL");
        (void)add_job("4711", "NULL");
        (void)queue_redis_ask(&redis, "FLUSHALL");
        die_at(rows[i].failpoint);
        assert_int_equal(0, strncmp(epoch(), "rebuilding ", 11));
        (void)look_until_ready();
        assert_ready();
        assert_in_range(entries(), 2, rows[i].most);
        assert_int_equal(2, of_this_epoch());
    }
}

#endif

static void scenario(void *arg) {
    (void)arg;
    if (!redis_is_known_(NULL)) {
        (void)wait_until(scheduler.rt->loop, 5000, redis_is_known_, NULL); /* a reply that found no memory broke the connection */
    }
    w->depth.epoch[0] = '\0';
    w->heal_wanted = true;
    watch_look(w);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, is_settled_, w));
}

static void test_epoch__any_allocation_fails_then_ready_only_when_all_are_there(void **state) {
    (void)state;
    for (int i = 0; i < 5; i++) {
        (void)add_job("4711", "NULL");
    }
    (void)queue_redis_ask(&redis, "FLUSHALL");
    (void)look_until_ready();
    torture(scenario, NULL);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, redis_is_known_, NULL));
    (void)look_until_ready();
    assert_ready();
    assert_int_equal(5, entries());
    assert_int_equal(5, of_this_epoch());
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_epoch__a_redis_that_knows_nothing_then_functions_group_and_epoch, reset),
        cmocka_unit_test_setup(test_epoch__ready_and_of_this_run_then_left_alone, reset),
        cmocka_unit_test_setup(test_epoch__redis_was_flushed_then_every_open_job_is_placed_again, reset),
        cmocka_unit_test_setup(test_epoch__many_pages_then_each_once, reset),
        cmocka_unit_test_setup(test_epoch__the_jobs_are_still_there_then_marked_only, reset),
        cmocka_unit_test_setup(test_epoch__one_entry_was_lost_then_that_one_is_placed, reset),
        cmocka_unit_test_setup(test_epoch__another_run_of_redis_then_the_pass_is_for_it, reset),
        cmocka_unit_test_setup(test_epoch__acknowledged_but_not_deleted_then_put_anew, reset),
        cmocka_unit_test_setup(test_epoch__another_scheduler_was_first_then_this_pass_stops, reset),
        cmocka_unit_test_setup(test_epoch__not_the_leader_then_nothing, reset),
#ifdef PENSTOCK_FAULTS
        cmocka_unit_test(test_killed__in_the_middle_of_a_pass_then_the_next_one_ends_it),
#endif
        cmocka_unit_test_setup(test_epoch__any_allocation_fails_then_ready_only_when_all_are_there, reset),
    };
    return cmocka_run_group_tests(tests, scheduler_db_setup, scheduler_db_teardown);
}
