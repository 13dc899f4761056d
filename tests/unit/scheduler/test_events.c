/* Events to their consumers: everyone hears them, in order per aggregate, as often as need be and once in effect. */
#include <base/fault.h>
#include <base/json.h>
#include <io/timer.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scheduler_db.h"

/* --- consumers that note what they hear, and answer as they are told --- */

enum { HEARD_MAX = 4096, SLOW_MS = 3 };

#define TAKE(schema)                                                                                                    \
    {                                                                                                                   \
        schema ".take",                                                                                                 \
            "WITH i AS (INSERT INTO " schema ".inbox (event_id) VALUES ($1::uuid) ON CONFLICT DO NOTHING RETURNING 1) " \
            "SELECT EXISTS (SELECT FROM i)",                                                                            \
            1                                                                                                           \
    }
static const struct pg_stmt one_take = TAKE("one"), two_take = TAKE("two");

static struct {
    size_t n;
    struct {
        const struct module *who;
        struct uuid aggregate;
        int64_t version;
        bool repeated;
    } log[HEARD_MAX];
    /* consumer two refuses this version, or all of them, with this error; 0: none */
    int64_t refuse_version;
    bool refuse_all;
    struct err refuse_with;
    bool slow; /* answers come some time later */
    size_t in_flight, most_in_flight;
    struct event last;
    char last_data[64], last_tenant[32], last_source[32];
} heard;

struct hearing {
    event_done_cb *cb;
    void *arg;
    size_t at; /* in the log */
    struct timer *timer;
    struct err err;
};

static void answer(void *arg) {
    struct hearing *h = arg;
    heard.in_flight--;
    bool repeated = h->at < HEARD_MAX && heard.log[h->at].repeated;
    event_done_cb *cb = h->cb;
    void *cb_arg = h->arg;
    struct err err = h->err;
    timer_free(h->timer);
    free(h);
    cb(cb_arg, err, repeated);
}

static void answer_later(struct hearing *h) {
    if (heard.slow && !err_is_set(timer_new(scheduler.rt->loop, answer, h, &h->timer))) {
        timer_start(h->timer, SLOW_MS);
    } else {
        answer(h);
    }
}

static void on_taken(void *arg, struct err err, const PGresult *res) {
    struct hearing *h = arg;
    h->err = err;
    if (!err_is_set(err)) {
        heard.log[h->at].repeated = !pg_col_bool(res, 0, 0);
    }
    answer_later(h);
}

static void hear(const struct module *who, struct module_env *env, const struct event *e, event_done_cb *cb, void *arg) {
    struct hearing *h = calloc(1, sizeof *h);
    char room[PG_UUID_BYTES];
    if (h == NULL) {
        cb(arg, err_make(ERR_NOMEM, "hearing"), false);
        return;
    }
    *h = (struct hearing){cb, arg, heard.n, NULL, OK};
    assert_true(heard.n < HEARD_MAX);
    heard.log[heard.n].who = who;
    heard.log[heard.n].aggregate = e->aggregate_id;
    heard.log[heard.n].repeated = false;
    heard.log[heard.n++].version = e->aggregate_version;
    heard.last = *e;
    (void)str_copy_c(e->data, heard.last_data, sizeof heard.last_data);
    (void)str_copy_c(e->tenant, heard.last_tenant, sizeof heard.last_tenant);
    (void)str_copy_c(e->source, heard.last_source, sizeof heard.last_source);
    heard.in_flight++;
    heard.most_in_flight = heard.in_flight > heard.most_in_flight ? heard.in_flight : heard.most_in_flight;
    if (who == &two && (e->aggregate_version == heard.refuse_version || heard.refuse_all)) {
        h->err = heard.refuse_with;
        answer_later(h);
        return;
    }
    const struct pg_value id = pg_uuid(e->id, room);
    pg_exec(env->db, who == &one ? &one_take : &two_take, &id, 0, 0, on_taken, h);
}

/* --- events --- */

static struct uuid add_event(const char *type, struct uuid aggregate, int version) {
    struct uuid id = id_new(&scheduler.rt->ids);
    char sql[512], text[UUID_TEXT_BYTES], aggregate_text[UUID_TEXT_BYTES];
    uuid_text(id, text);
    uuid_text(aggregate, aggregate_text);
    (void)snprintf(sql, sizeof sql,
                   "INSERT INTO src.event_outbox (id, type, aggregate_id, aggregate_version, tenant, traceparent, data) VALUES "
                   "('%s', '%s', '%s', %d, 'acme', '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', '{\"v\": %d}')",
                   text, type, aggregate_text, version, version);
    sql_run(db.admin, sql);
    return id;
}

static bool is_idle(void *arg) {
    (void)arg;
    for (size_t m = 0; m < registry.modules_n; m++) {
        if (scheduler.events_running[m]) {
            return false;
        }
    }
    return true;
}

static void tick(void) {
    events_tick(&scheduler);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, is_idle, NULL));
}

static int unpublished(void) { return sql_int(db.admin, "SELECT count(*) FROM src.event_outbox WHERE published_at IS NULL"); }
static int taken_by_one(void) { return sql_int(db.admin, "SELECT count(*) FROM one.inbox"); }
static int taken_by_two(void) { return sql_int(db.admin, "SELECT count(*) FROM two.inbox"); }

static int reset(void **state) {
    (void)state;
    memset(&heard, 0, sizeof heard);
    on_hear = hear;
    heard.refuse_with = OK;
    sql_run(db.admin, "TRUNCATE src.event_outbox, one.inbox, two.inbox, platform.job");
    (void)queue_redis_ask(&redis, "FLUSHALL");
    queue_redis_load(&redis);
    queue_redis_make_ready(&redis, watch_of("default")->shard, 1);
    return 0;
}

static struct uuid new_aggregate(void) { return id_new(&scheduler.rt->ids); }

static void test_event__given_consumers_then_each_hears_it_once(void **state) {
    (void)state;
    struct uuid aggregate = new_aggregate(), id = add_event("thing.made", aggregate, 1);
    tick();
    assert_int_equal(2, heard.n);
    assert_int_equal(1, taken_by_one());
    assert_int_equal(1, taken_by_two());
    assert_int_equal(0, unpublished());
    assert_memory_equal(id.b, heard.last.id.b, 16);
    assert_memory_equal(aggregate.b, heard.last.aggregate_id.b, 16);
    assert_int_equal(1, heard.last.aggregate_version);
    assert_in_range(heard.last.at.ms, loop_wall(scheduler.rt->loop).ms - 60000, loop_wall(scheduler.rt->loop).ms);
    assert_string_equal("{\"v\": 1}", heard.last_data);
    assert_string_equal("acme", heard.last_tenant);
    assert_string_equal("src", heard.last_source);
    tick();
    assert_int_equal(2, heard.n);
}

static void test_event__heard_by_one_or_nobody_then_published_too(void **state) {
    (void)state;
    (void)add_event("thing.gone", new_aggregate(), 1);
    (void)add_event("thing.unheard", new_aggregate(), 1);
    tick();
    assert_int_equal(1, taken_by_one());
    assert_int_equal(0, taken_by_two());
    assert_int_equal(0, unpublished());
}

/* --- order --- */

static void assert_ordered(void) {
    for (size_t i = 0; i < heard.n; i++) {
        for (size_t k = 0; k < i; k++) {
            bool same = heard.log[i].who == heard.log[k].who && uuid_eq(heard.log[i].aggregate, heard.log[k].aggregate);
            assert_false(same && heard.log[k].version > heard.log[i].version);
        }
    }
}

static void test_order__interleaved_aggregates_then_kept_in_each_and_side_by_side(void **state) {
    (void)state;
    struct uuid a[5];
    for (int i = 0; i < 5; i++) {
        a[i] = new_aggregate();
    }
    for (int version = 1; version <= 6; version++) {
        for (int i = 0; i < 5; i++) {
            (void)add_event("thing.made", a[i], version);
        }
    }
    heard.slow = true;
    tick();
    assert_int_equal(60, heard.n);
    assert_ordered();
    assert_int_equal(10, heard.most_in_flight); /* the five aggregates at once, to both; never two events of one */
    assert_int_equal(0, unpublished());
}

static void test_order__the_next_event_of_an_aggregate_then_after_every_consumer_has_the_first(void **state) {
    (void)state;
    struct uuid aggregate = new_aggregate();
    for (int version = 1; version <= 4; version++) {
        (void)add_event("thing.made", aggregate, version);
    }
    heard.slow = true;
    tick();
    assert_int_equal(8, heard.n);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(1 + (int64_t)i / 2, heard.log[i].version);
    }
    assert_int_equal(2, heard.most_in_flight);
}

static void test_events__more_than_a_batch_then_all_of_them_in_one_go(void **state) {
    (void)state;
    struct uuid a = new_aggregate(), b = new_aggregate();
    for (int i = 0; i < 2 * LIMIT_BATCH + 10; i++) {
        (void)add_event("thing.gone", i % 2 == 0 ? a : b, i + 1);
    }
    tick();
    assert_int_equal(0, unpublished());
    assert_int_equal(2 * LIMIT_BATCH + 10, taken_by_one());
    assert_ordered();
}

/* --- consumers that do not take it --- */

static void test_refused__then_a_job_of_its_own_and_published(void **state) {
    (void)state;
    struct uuid aggregate = new_aggregate(), id = add_event("thing.made", aggregate, 1);
    char event[UUID_TEXT_BYTES], thing[UUID_TEXT_BYTES], payload[768];
    (void)add_event("thing.made", aggregate, 2);
    heard.refuse_version = 1;
    heard.refuse_with = (struct err){ERR_PG_CHECK, "no such thing"};
    tick();
    assert_int_equal(0, unpublished());
    assert_int_equal(2, taken_by_one());
    assert_int_equal(1, taken_by_two()); /* the next one came all the same */
    assert_int_equal(1, count_jobs("type = 'event.deliver' AND queue = 'default' AND tenant = '_system' AND type_version = 1 "
                                   "AND id = root_id AND state = 'waiting' AND epoch = 1"));
    uuid_text(id, event);
    uuid_text(aggregate, thing);
    (void)snprintf(
        payload, sizeof payload,
        "{\"consumer\":\"two\",\"id\":\"%s\",\"type\":\"thing.made\",\"source\":\"src\",\"aggregate_id\":\"%s\","
        "\"aggregate_version\":1,\"tenant\":\"acme\",\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\","
        "\"at_ms\":%s,\"data\":{\"v\": 1}}",
        event, thing,
        sql_text(db.admin, "SELECT (extract(epoch FROM at) * 1000)::bigint FROM src.event_outbox WHERE aggregate_version = 1"));
    assert_string_equal(payload, sql_text(db.admin, "SELECT convert_from(payload, 'UTF8') FROM platform.job"));
}

static void test_refused__several_of_one_aggregate_then_a_job_for_each(void **state) {
    (void)state;
    struct uuid aggregate = new_aggregate();
    for (int version = 1; version <= 3; version++) {
        (void)add_event("thing.made", aggregate, version);
    }
    heard.refuse_all = true;
    heard.refuse_with = (struct err){ERR_INVALID, "no"};
    tick();
    assert_int_equal(0, unpublished());
    assert_int_equal(3, count_jobs("type = 'event.deliver'"));
}

static void test_refused__delivered_again_after_a_crash_then_no_second_job(void **state) {
    (void)state;
    (void)add_event("thing.made", new_aggregate(), 1);
    heard.refuse_version = 1;
    heard.refuse_with = (struct err){ERR_INVALID, "no"};
    tick();
    const char *job = sql_text(db.admin, "SELECT id FROM platform.job");
    sql_run(db.admin, "UPDATE src.event_outbox SET published_at = NULL"); /* as if it had died before the mark */
    tick();
    assert_int_equal(0, unpublished());
    assert_string_equal(job, sql_text(db.admin, "SELECT string_agg(id::text, ' ') FROM platform.job"));
}

static void test_refused__the_job_cannot_be_written_then_the_event_comes_again(void **state) {
    (void)state;
    (void)add_event("thing.made", new_aggregate(), 1);
    heard.refuse_version = 1;
    heard.refuse_with = (struct err){ERR_INVALID, "no"};
    sql_run(db.admin, "ALTER TABLE platform.job ADD CONSTRAINT broken CHECK (false) NOT VALID");
    tick();
    sql_run(db.admin, "ALTER TABLE platform.job DROP CONSTRAINT broken");
    assert_int_equal(1, unpublished());
    tick();
    assert_int_equal(0, unpublished());
    assert_int_equal(1, count_jobs("type = 'event.deliver'"));
}

static void test_unreachable__then_comes_again_and_what_is_behind_it_waits(void **state) {
    (void)state;
    static const enum err_code codes[] = {ERR_PG_DOWN, ERR_PG_CONFLICT, ERR_BUSY};
    for (size_t i = 0; i < 3; i++) {
        (void)reset(state);
        struct uuid a = new_aggregate(), b = new_aggregate();
        (void)add_event("thing.made", a, 1);
        (void)add_event("thing.made", a, 2);
        (void)add_event("thing.gone", b, 7);
        heard.refuse_version = 1;
        heard.refuse_with = (struct err){codes[i], "away"};
        heard.slow = true;
        tick();
        assert_int_equal(2, unpublished()); /* the other aggregate's is through */
        assert_int_equal(0, count_jobs("true"));
        for (size_t k = 0; k < heard.n; k++) {
            assert_int_not_equal(2, heard.log[k].version);
        }
        heard.refuse_version = 0;
        size_t before = heard.n;
        tick();
        assert_int_equal(0, unpublished());
        assert_int_equal(1, heard.log[before].version);
        assert_int_equal(heard.log[before].who == &one, heard.log[before].repeated); /* one had it already */
        assert_int_equal(3, taken_by_one());
        assert_int_equal(2, taken_by_two());
        assert_ordered();
    }
}

static void test_leader__not_we_then_nothing_is_delivered(void **state) {
    (void)state;
    (void)add_event("thing.made", new_aggregate(), 1);
    scheduler.ready = false;
    tick();
    assert_int_equal(1, unpublished());
    scheduler.ready = true;
    tick();
    assert_int_equal(0, unpublished());
}

/* --- crashes --- */

#ifdef PENSTOCK_FAULTS

/* A scheduler in a process of its own begins to deliver and dies at the failpoint. */
static void deliver_dying(const char *failpoint) {
    int status = 0;
    scheduler_end(); /* one leader at a time, and no connection in two processes */
    pid_t pid = fork();
    if (pid == 0) {
        char spec[64];
        (void)snprintf(spec, sizeof spec, "%s=kill@1", failpoint);
        (void)setenv("PENSTOCK_FAULT", spec, 1);
        scheduler_start();
        fault_setup();
        tick();
        _exit(0); /* it should not have come so far */
    }
    assert_true(pid > 0);
    assert_int_equal(pid, waitpid(pid, &status, 0));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    scheduler_start();
}

static void test_killed__between_two_steps_then_delivered_again_and_once_in_effect(void **state) {
    static const struct {
        const char *failpoint;
        bool refused; /* and so by way of a job */
        int unpublished;
        size_t heard; /* by the next scheduler */
    } rows[] = {{"event.after_inbox", false, 1, 2},
                {"place.after_enqueue", true, 1, 2},
                {"place.after_mark", true, 1, 2},
                {"event.after_mark", false, 0, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)reset(state);
        (void)add_event("thing.made", new_aggregate(), 1);
        heard.refuse_version = rows[i].refused ? 1 : 0;
        heard.refuse_with = (struct err){ERR_INVALID, "no"};
        deliver_dying(rows[i].failpoint);
        assert_int_equal(rows[i].unpublished, unpublished());
        tick();
        assert_int_equal(0, unpublished());
        assert_int_equal(rows[i].heard, heard.n);
        assert_int_equal(1, taken_by_one());
        assert_int_equal(1, taken_by_two() + count_jobs("type = 'event.deliver'"));
    }
}

#endif

/* --- without memory --- */

static void scenario(void *arg) {
    (void)arg;
    if (heard.n > HEARD_MAX / 2) {
        heard.n = 0;
    }
    events_tick(&scheduler);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, is_idle, NULL));
    sql_run(db.admin, "UPDATE src.event_outbox SET published_at = NULL");
}

static void test_event__any_allocation_fails_then_in_the_end_delivered_once(void **state) {
    (void)state;
    struct uuid a = new_aggregate(), b = new_aggregate();
    for (int version = 1; version <= 2; version++) {
        (void)add_event("thing.made", a, version);
        (void)add_event("thing.made", b, version);
    }
    heard.refuse_version = 2;
    heard.refuse_with = (struct err){ERR_INVALID, "no"};
    torture(scenario, NULL);
    tick();
    tick();
    assert_int_equal(0, unpublished());
    assert_int_equal(4, taken_by_one());
    assert_int_equal(2, taken_by_two());
    assert_int_equal(2, count_jobs("type = 'event.deliver'"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_event__given_consumers_then_each_hears_it_once, reset),
        cmocka_unit_test_setup(test_event__heard_by_one_or_nobody_then_published_too, reset),
        cmocka_unit_test_setup(test_order__interleaved_aggregates_then_kept_in_each_and_side_by_side, reset),
        cmocka_unit_test_setup(test_order__the_next_event_of_an_aggregate_then_after_every_consumer_has_the_first, reset),
        cmocka_unit_test_setup(test_events__more_than_a_batch_then_all_of_them_in_one_go, reset),
        cmocka_unit_test_setup(test_refused__then_a_job_of_its_own_and_published, reset),
        cmocka_unit_test_setup(test_refused__several_of_one_aggregate_then_a_job_for_each, reset),
        cmocka_unit_test_setup(test_refused__delivered_again_after_a_crash_then_no_second_job, reset),
        cmocka_unit_test_setup(test_refused__the_job_cannot_be_written_then_the_event_comes_again, reset),
        cmocka_unit_test_setup(test_unreachable__then_comes_again_and_what_is_behind_it_waits, reset),
        cmocka_unit_test_setup(test_leader__not_we_then_nothing_is_delivered, reset),
#ifdef PENSTOCK_FAULTS
        cmocka_unit_test(test_killed__between_two_steps_then_delivered_again_and_once_in_effect),
#endif
        cmocka_unit_test_setup(test_event__any_allocation_fails_then_in_the_end_delivered_once, reset),
    };
    return cmocka_run_group_tests(tests, scheduler_db_setup, scheduler_db_teardown);
}
