/* The numbers add up, or the gap says by how much they do not. */
#include <base/metrics.h>
#include <queues/enqueue.h>
#include <queues/envelope.h>

#include "scheduler_db.h"

static struct shard_watch *w;

static bool is_audited(void *arg) {
    (void)arg;
    for (size_t i = 0; i < scheduler.watches_n; i++) {
        if (scheduler.watches[i]->auditing) {
            return false;
        }
    }
    return true;
}

static void audit(void) {
    look(w);
    audit_tick(&scheduler);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, is_audited, NULL));
}

/* What the gauge shows for queue "default". */
static double gauge(void) {
    struct buf text;
    buf_init(&text, 1 << 20);
    metrics_snapshot(&text);
    buf_add_char(&text, '\0');
    const char *at = strstr(text.p, "penstock_conservation_gap{queue=\"default\"}");
    assert_non_null(at);
    double v = strtod(strchr(at, '}') + 1, NULL);
    buf_free(&text);
    return v;
}

static void look_until_ready(void) {
    for (int i = 0; i < 10 && strncmp(w->depth.epoch, "ready ", 6) != 0; i++) {
        look(w);
    }
    assert_int_equal(0, strncmp(w->depth.epoch, "ready ", 6));
}

/* Three journal jobs in a checked Redis. */
static int reset(void **state) {
    (void)state;
    w = watch_of("default");
    sql_run(db.admin, "TRUNCATE platform.job");
    for (int i = 0; i < 3; i++) {
        (void)add_job("4711", "NULL");
    }
    (void)queue_redis_ask(&redis, "FLUSHALL");
    w->depth.epoch[0] = '\0';
    w->heal_wanted = false;
    look_until_ready();
    w->absent_before_n = 0;
    audit();
    return 0;
}

static void lose_one(void) { (void)queue_redis_ask(&redis, "XTRIM %s MAXLEN = 2", w->shard->key_text[KEY_STREAM]); }

static void test_audit__everything_is_there_then_no_gap(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        audit();
        assert_true(gauge() == 0);
    }
}

/* An entry goes without a Function: the counters say so at once. */
static void test_audit__an_entry_is_gone_then_the_counters_show_it(void **state) {
    (void)state;
    lose_one();
    audit();
    assert_true(gauge() == 1);
    assert_int_equal(1, w->depth.gap);
}

/* With its counter: only the journal knows. One absence may be a job on its way; two are a loss. */
static void test_audit__an_open_row_is_nowhere_twice_then_a_gap(void **state) {
    (void)state;
    lose_one();
    (void)queue_redis_ask(&redis, "HINCRBY %s jout 1", w->shard->key_text[KEY_COUNTERS]);
    audit();
    assert_int_equal(0, w->depth.gap);
    assert_true(gauge() == 0);
    audit();
    assert_true(gauge() == 1);
    sql_run(db.admin, "UPDATE platform.job SET state = 'done', finished_at = now()"); /* it has ended after all */
    audit();
    assert_true(gauge() == 0);
}

static void test_audit__rows_that_nobody_expects_in_redis_then_not_missed(void **state) {
    (void)state;
    sql_run(
        db.admin,
        "UPDATE platform.job SET state = 'done', finished_at = now() WHERE id = (SELECT min(id::text)::uuid FROM platform.job)");
    (void)add_job("NULL", "NULL"); /* Redis has not seen it */
    (void)queue_redis_ask(&redis, "DEL %s", w->shard->key_text[KEY_STREAM]);
    (void)queue_redis_ask(&redis, "XGROUP CREATE %s g 0 MKSTREAM", w->shard->key_text[KEY_STREAM]);
    (void)queue_redis_ask(&redis, "HINCRBY %s jout 3", w->shard->key_text[KEY_COUNTERS]);
    audit();
    audit();
    assert_true(gauge() == 2); /* the two open ones alone */
}

static void test_audit__rows_just_written_then_not_judged_yet(void **state) {
    (void)state;
    lose_one();
    (void)queue_redis_ask(&redis, "HINCRBY %s jout 1", w->shard->key_text[KEY_COUNTERS]);
    sql_run(db.admin, "UPDATE platform.job SET created_at = now()");
    audit();
    audit();
    assert_true(gauge() == 0);
}

/* Marked late, by a process that had seen an earlier Redis take it: no pass has looked at this one. */
static void test_audit__a_row_of_another_epoch_then_a_pass_is_wanted_and_heals_it(void **state) {
    (void)state;
    struct uuid late = add_job("42", "NULL");
    audit();
    assert_true(gauge() == 0);
    assert_true(w->heal_wanted);
    look(w);
    assert_false(w->heal_wanted);
    assert_int_equal(4, queue_redis_entries(&redis, w->shard));
    assert_string_not_equal("42", of_id(late, "SELECT epoch FROM platform.job WHERE id = ", ""));
}

static void test_audit__too_much_to_read_then_only_the_counters(void **state) {
    (void)state;
    lose_one();
    look(w);
    w->depth.waiting = 20000;
    audit_tick(&scheduler);
    assert_false(w->auditing); /* nothing was asked */
    assert_true(gauge() == 1);
}

static void test_audit__during_a_pass_or_without_an_epoch_then_not_judged(void **state) {
    (void)state;
    look(w);
    w->healing = true;
    audit_tick(&scheduler);
    assert_false(w->auditing);
    w->healing = false;
    (void)snprintf(w->depth.epoch, sizeof w->depth.epoch, "rebuilding 7");
    audit_tick(&scheduler);
    assert_false(w->auditing);
}

static void scenario(void *arg) {
    (void)arg;
    if (!redis_is_known_(NULL)) {
        (void)wait_until(scheduler.rt->loop, 5000, redis_is_known_, NULL);
    }
    audit_tick(&scheduler);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, is_audited, NULL));
}

static void test_audit__any_allocation_fails_then_no_false_alarm(void **state) {
    (void)state;
    torture(scenario, NULL);
    assert_true(gauge() == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_audit__everything_is_there_then_no_gap, reset),
        cmocka_unit_test_setup(test_audit__an_entry_is_gone_then_the_counters_show_it, reset),
        cmocka_unit_test_setup(test_audit__an_open_row_is_nowhere_twice_then_a_gap, reset),
        cmocka_unit_test_setup(test_audit__rows_that_nobody_expects_in_redis_then_not_missed, reset),
        cmocka_unit_test_setup(test_audit__rows_just_written_then_not_judged_yet, reset),
        cmocka_unit_test_setup(test_audit__a_row_of_another_epoch_then_a_pass_is_wanted_and_heals_it, reset),
        cmocka_unit_test_setup(test_audit__too_much_to_read_then_only_the_counters, reset),
        cmocka_unit_test_setup(test_audit__during_a_pass_or_without_an_epoch_then_not_judged, reset),
        cmocka_unit_test_setup(test_audit__any_allocation_fails_then_no_false_alarm, reset),
    };
    return cmocka_run_group_tests(tests, scheduler_db_setup, scheduler_db_teardown);
}
