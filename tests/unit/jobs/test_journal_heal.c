/* The epoch pass over one shard: what a new Redis holds is marked with its epoch, what it does not hold is placed again. */
#include "journal_db.h"

enum { NEW_NONCE = 815, JOBS = 10 };

static struct journal_job jobs[2 * LIMIT_BATCH + JOBS];

/* Every job is written under NONCE; then Redis has forgotten everything and has the new epoch. */
static void lose_redis(size_t n) {
    for (size_t i = 0; i < n; i++) {
        jobs[i] = job_in("default", 0);
    }
    for (size_t i = 0; i < n; i += LIMIT_BATCH) {
        assert_ok(write_jobs(jobs + i, n - i < LIMIT_BATCH ? n - i : LIMIT_BATCH));
    }
    (void)queue_redis_ask(&redis, "FLUSHALL");
    make_all_ready();
    queue_redis_make_ready(&redis, queue("default")->shards[0], NEW_NONCE);
}

static size_t asked;

static bool nothing_is_there(void *arg, struct uuid id) {
    (void)arg;
    (void)id;
    asked++;
    return false;
}

/* Every other job. */
static bool is_even(void *arg, struct uuid id) {
    (void)arg;
    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++) {
        if (uuid_eq(jobs[i].id, id)) {
            return i % 2 == 0;
        }
    }
    fail_msg("asked for a job that is none of ours");
    return false;
}

static void on_healed(void *arg, struct err err, struct uuid last, size_t placed, bool more) {
    on_moved(arg, err, placed, more);
    ((struct answer *)arg)->last = last;
}

static struct answer heal(bool (*present)(void *arg, struct uuid id), struct uuid after) {
    struct answer a = {0};
    const struct journal_heal h = {.queue = "default", .nonce = NEW_NONCE, .after = after, .present = present};
    asked = 0;
    journal_heal(&journal, &h, on_healed, &a);
    wait_answer(&a);
    return a;
}

static void test_heal__some_absent_then_placed_and_all_marked(void **state) {
    (void)state;
    lose_redis(JOBS);
    struct answer a = heal(is_even, (struct uuid){{0}});
    assert_ok(a.err);
    assert_int_equal(JOBS / 2, a.moved);
    assert_false(a.more);
    assert_memory_equal(jobs[JOBS - 1].id.b, a.last.b, 16);
    assert_int_equal(JOBS, count_rows("epoch = 815"));
    assert_int_equal(JOBS / 2, entries("default", 0));
    a = heal(nothing_is_there, (struct uuid){{0}}); /* nothing is left to look at */
    assert_int_equal(0, a.moved);
    assert_int_equal(0, asked);
}

static void test_heal__all_present_then_nothing_placed(void **state) {
    (void)state;
    lose_redis(1);
    struct answer a = heal(is_even, (struct uuid){{0}});
    assert_ok(a.err);
    assert_int_equal(0, a.moved);
    assert_int_equal(0, entries("default", 0));
    assert_string_equal("815", epoch_of(jobs[0].id));
}

/* What Redis holds of it may be the entry of its old generation, about to be settled. */
static void test_heal__replayed_and_present_then_placed_all_the_same(void **state) {
    (void)state;
    lose_redis(1);
    sql_run(db.admin, "UPDATE platform.job SET generation = 1");
    assert_int_equal(1, heal(is_even, (struct uuid){{0}}).moved);
    assert_int_equal(1, entries("default", 0));
    assert_string_equal("815", epoch_of(jobs[0].id));
}

static void test_heal__rows_of_others_then_not_asked_about(void **state) {
    (void)state;
    lose_redis(5);
    run_for_id(db.admin, jobs[0].id, "UPDATE platform.job SET epoch = 815 WHERE id = ", "");  /* placed meanwhile */
    run_for_id(db.admin, jobs[1].id, "UPDATE platform.job SET epoch = NULL WHERE id = ", ""); /* the relay's */
    run_for_id(db.admin, jobs[2].id, "UPDATE platform.job SET state = 'done', finished_at = now() WHERE id = ", "");
    run_for_id(db.admin, jobs[3].id, "UPDATE platform.job SET shard = 1 WHERE id = ", "");
    struct journal_job other = job_in("wide", 0);
    assert_ok(write_jobs(&other, 1));
    struct answer a = heal(nothing_is_there, (struct uuid){{0}});
    assert_ok(a.err);
    assert_int_equal(1, a.moved);
    assert_int_equal(1, asked);
    assert_string_equal("815", epoch_of(jobs[4].id));
    assert_int_equal(1, entries("default", 0));
}

static void test_heal__more_than_a_page_then_page_by_page(void **state) {
    (void)state;
    const size_t n = 2 * LIMIT_BATCH + JOBS;
    struct uuid after = {{0}};
    size_t placed = 0;
    lose_redis(n);
    for (int page = 0; page < 3; page++) {
        struct answer a = heal(nothing_is_there, after);
        assert_ok(a.err);
        assert_int_equal(page < 2, a.more);
        placed += a.moved;
        after = a.last;
    }
    assert_int_equal(n, placed);
    assert_int_equal(n, entries("default", 0));
    assert_int_equal(n, count_rows("epoch = 815"));
}

static void test_heal__due_later_then_delayed_again(void **state) {
    (void)state;
    lose_redis(1);
    sql_run(db.admin, "UPDATE platform.job SET due_at = now() + interval '1 hour'");
    assert_int_equal(1, heal(nothing_is_there, (struct uuid){{0}}).moved);
    assert_int_equal(0, entries("default", 0));
    assert_int_equal(1, delayed("default", 0));
}

static void test_heal__redis_goes_again_then_an_error_and_the_rows_are_still_to_do(void **state) {
    (void)state;
    lose_redis(JOBS);
    server_kill(redis.server);
    queue_redis_wait_down(&redis);
    struct answer a = heal(nothing_is_there, (struct uuid){{0}});
    assert_true(err_is_set(a.err));
    assert_int_equal(JOBS, count_rows("epoch = 4711"));
    assert_true(server_restart(redis.server));
    queue_redis_wait_up(&redis);
    queue_redis_load(&redis);
}

/* The epoch went during the pass: what was placed carries no mark, and the pass must not end well. */
static void test_heal__the_epoch_goes_then_an_error(void **state) {
    (void)state;
    lose_redis(1);
    (void)queue_redis_ask(&redis, "DEL %s", queue("default")->shards[0]->key_text[KEY_EPOCH]);
    assert_err(ERR_BUSY, heal(nothing_is_there, (struct uuid){{0}}).err);
    assert_string_equal("4711", epoch_of(jobs[0].id));
}

/* --- without memory --- */

static void scenario(void *arg) {
    (void)arg;
    sql_run(db.admin, "UPDATE platform.job SET epoch = 4711");
    struct answer a = heal(is_even, (struct uuid){{0}});
    assert_true(!err_is_set(a.err) || torture_is_failing());
    if (!err_is_set(a.err)) {
        assert_int_equal(0, count_rows("epoch = 4711")); /* a pass that ended well has seen every row */
    }
}

static void test_heal__any_allocation_fails_then_an_error_or_every_row_seen(void **state) {
    (void)state;
    lose_redis(JOBS);
    for (size_t i = 0; i < JOBS; i++) { /* rows whose payloads need memory of their own */
        run_for_id(db.admin, jobs[i].id,
                   "UPDATE platform.job SET payload = convert_to(repeat('x', 60000), 'UTF8') WHERE id = ", "");
    }
    torture(scenario, NULL);
    queue_redis_wait_up(&redis);
    assert_ok(heal(nothing_is_there, (struct uuid){{0}}).err);
    assert_int_equal(JOBS, count_rows("epoch = 815"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_heal__some_absent_then_placed_and_all_marked, journal_db_reset),
        cmocka_unit_test_setup(test_heal__all_present_then_nothing_placed, journal_db_reset),
        cmocka_unit_test_setup(test_heal__replayed_and_present_then_placed_all_the_same, journal_db_reset),
        cmocka_unit_test_setup(test_heal__rows_of_others_then_not_asked_about, journal_db_reset),
        cmocka_unit_test_setup(test_heal__more_than_a_page_then_page_by_page, journal_db_reset),
        cmocka_unit_test_setup(test_heal__due_later_then_delayed_again, journal_db_reset),
        cmocka_unit_test_setup(test_heal__redis_goes_again_then_an_error_and_the_rows_are_still_to_do, journal_db_reset),
        cmocka_unit_test_setup(test_heal__the_epoch_goes_then_an_error, journal_db_reset),
        cmocka_unit_test_setup(test_heal__any_allocation_fails_then_an_error_or_every_row_seen, journal_db_reset),
    };
    return cmocka_run_group_tests(tests, journal_db_setup, journal_db_teardown);
}
