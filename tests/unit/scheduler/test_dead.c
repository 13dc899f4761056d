/* The dead of the stream class, from the shard's hand-over into their table: none lost, none twice, and one bad one holds up nobody. */
#include <base/fault.h>
#include <queues/claim.h>
#include <queues/enqueue.h>
#include <queues/envelope.h>
#include <queues/settle.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scheduler_db.h"

static struct shard_watch *w;

struct step {
    bool done;
    size_t n;
    struct stream_id id;
};

static bool is_done(void *arg) { return ((struct step *)arg)->done; }

static void wait_step(struct step *s) { assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, is_done, s)); }

static void on_entered(void *arg, struct err err, const struct queue_entered *verdicts, size_t n) {
    assert_ok(err);
    assert_int_equal(1, n);
    assert_int_equal(QUEUE_ACCEPTED, verdicts[0].verdict);
    ((struct step *)arg)->done = true;
}

static void on_claimed(void *arg, struct err err, const struct claimed *entries, size_t n) {
    struct step *s = arg;
    assert_ok(err);
    s->done = true;
    s->n = n;
    s->id = n > 0 ? entries[0].id : s->id;
}

static void on_buried(void *arg, struct err err, const struct stream_id *lost, size_t n) {
    (void)lost;
    assert_ok(err);
    assert_int_equal(0, n);
    ((struct step *)arg)->done = true;
}

static void enter(struct str header, struct str payload) {
    struct step s = {0};
    const struct queue_item item = {.header = header, .payload = payload};
    queue_enter(&redis.broker, w->shard, 1000, &item, 1, on_entered, &s);
    wait_step(&s);
}

static struct stream_id claim(void) {
    struct step s = {0};
    queue_claim(&redis.broker, &w->shard, 1, STR("me"), 1, 0, on_claimed, &s);
    wait_step(&s);
    assert_int_equal(1, s.n);
    return s.id;
}

static void bury(const char *reason) {
    struct step s = {0};
    const struct queue_dead dead = {.id = claim(), .reason = str_c(reason)};
    queue_bury(&redis.broker, w->shard, STR("me"), &dead, 1, on_buried, &s);
    wait_step(&s);
}

static struct envelope envelope_new(void) {
    struct envelope e = {.schema_version = 3,
                         .id = id_in(0, true),
                         .root = id_new(&scheduler.rt->ids),
                         .generation = 2,
                         .attempt = 4,
                         .tenant = STR("acme"),
                         .type = STR("unit.job")};
    assert_true(trace_parse(STR("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"), &e.trace));
    return e;
}

/* A job of the stream class that died for that reason. */
static struct uuid add_dead(const struct envelope *e, const char *reason) {
    uint8_t header[ENVELOPE_MAX_BYTES];
    size_t n = envelope_encode(e, header);
    assert_true(n > 0);
    enter(str_of(header, n), STR("{\"a\":\"\xff\"}"));
    bury(reason);
    return e->id;
}

#define REASON "{\"attempts\":5,\"fingerprint\":\"unit.job: x\",\"errors\":[{\"at_ms\":1,\"code\":\"x\",\"detail\":\"\\u00fc\"}]}"

static int left(void) { return (int)strtol(queue_redis_ask(&redis, "HLEN %s", w->shard->key_text[KEY_DEAD]), NULL, 10); }
static int rows(void) { return sql_int(db.admin, "SELECT count(*) FROM platform.dead_job"); }

static const char *row_of(struct uuid id) {
    return of_id(
        id,
        "SELECT concat_ws(' ', class, generation, tenant, queue, type, type_version, encode(payload, 'hex'), attempts, errors, "
        "fingerprint, traceparent, replayed_at IS NULL, discarded_at IS NULL) FROM platform.dead_job WHERE id = ",
        "");
}

static int reset(void **state) {
    (void)state;
    w = watch_of("default");
    sql_run(db.admin, "TRUNCATE platform.dead_job");
    (void)queue_redis_ask(&redis, "FLUSHALL");
    queue_redis_load(&redis);
    w->depth.epoch[0] = '\0';
    for (int i = 0; i < 10 && strncmp(w->depth.epoch, "ready ", 6) != 0; i++) {
        look(w);
    }
    return 0;
}

static void test_dead__handed_over_then_a_row_and_gone_from_redis(void **state) {
    (void)state;
    struct envelope e = envelope_new();
    struct uuid id = add_dead(&e, REASON);
    char root[UUID_TEXT_BYTES];
    look(w);
    assert_int_equal(0, left());
    assert_string_equal(
        "stream 2 acme default unit.job 3 7b2261223a22ff227d 5 [{\"code\": \"x\", \"at_ms\": 1, \"detail\": \"\xc3\xbc\"}] "
        "unit.job: x 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 t t",
        row_of(id));
    uuid_text(e.root, root);
    assert_string_equal(root, of_id(id, "SELECT root_id FROM platform.dead_job WHERE id = ", ""));
    look(w);
    assert_int_equal(1, rows());
}

static void test_dead__many_then_batch_by_batch(void **state) {
    (void)state;
    for (int i = 0; i < LIMIT_BATCH + 3; i++) {
        struct envelope e = envelope_new();
        (void)add_dead(&e, REASON);
    }
    look(w);
    look(w);
    look(w);
    assert_int_equal(0, left());
    assert_int_equal(LIMIT_BATCH + 3, rows());
}

/* Reasons that others wrote. Nothing in them keeps a job from its table. */
static void test_dead__a_reason_that_is_none_then_a_row_all_the_same(void **state) {
    (void)state;
    static const struct {
        const char *reason, *attempts_errors_fingerprint;
    } reasons[] = {
        {"", "0 [] unreadable"},
        {"dead", "0 [] unreadable"},
        {"[]", "0 [] unreadable"},
        {"{}", "0 [] unreadable"},
        {"{\"attempts\":\"5\",\"fingerprint\":7,\"errors\":{}}", "0 [] unreadable"},
        {"{\"attempts\":-1,\"fingerprint\":\"f\",\"errors\":[1,[{}]]}", "0 [1, [{}]] f"},
        {"{\"attempts\":9223372036854775807,\"fingerprint\":\"\",\"errors\":[]}", "2147483647 [] "},
        {"{\"attempts\":1,\"fingerprint\":\"a\\u0000b\",\"errors\":[]}", "0 [] unreadable"},
        {"{\"attempts\":1,\"fingerprint\":\"f\",\"errors\":[\"\\ud800\"]}", "0 [] unreadable"},
        {"{\"attempts\":1,\"fingerprint\":\"f\",\"errors\":[\"}{'\"]}", "1 [\"}{'\"] f"},
    };
    struct uuid ids[sizeof reasons / sizeof reasons[0]];
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        struct envelope e = envelope_new();
        ids[i] = add_dead(&e, reasons[i].reason);
    }
    look(w);
    assert_int_equal(0, left());
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        assert_string_equal(
            reasons[i].attempts_errors_fingerprint,
            of_id(ids[i], "SELECT attempts || ' ' || errors || ' ' || fingerprint FROM platform.dead_job WHERE id = ", ""));
    }
}

static void test_dead__an_entry_that_is_not_ours_then_undecodable(void **state) {
    (void)state;
    (void)queue_redis_ask(&redis, "XADD %s * h x p y", w->shard->key_text[KEY_STREAM]);
    bury(REASON);
    look(w);
    assert_int_equal(0, left());
    assert_string_equal(
        "undecodable default 0 y",
        sql_text(db.admin,
                 "SELECT concat_ws(' ', type, tenant, generation, convert_from(payload, 'UTF8')) FROM platform.dead_job"));
}

static void test_dead__one_that_the_table_refuses_then_the_others_are_through(void **state) {
    (void)state;
    struct envelope e = envelope_new(), bad = envelope_new();
    sql_run(db.admin, "ALTER TABLE platform.dead_job ADD CONSTRAINT picky CHECK (tenant <> 'bad')");
    bad.tenant = STR("bad");
    (void)add_dead(&e, REASON);
    (void)add_dead(&bad, REASON);
    look(w);
    assert_int_equal(1, left());
    assert_int_equal(1, rows());
    sql_run(db.admin, "ALTER TABLE platform.dead_job DROP CONSTRAINT picky");
    look(w);
    assert_int_equal(0, left());
    assert_int_equal(2, rows());
}

static void test_dead__again_after_a_replay_then_the_row_is_open_again(void **state) {
    (void)state;
    struct envelope e = envelope_new();
    struct uuid id = add_dead(&e, REASON);
    look(w);
    sql_run(db.admin, "UPDATE platform.dead_job SET replayed_at = now(), discarded_at = now()");
    (void)add_dead(&e, REASON); /* the same generation once more: what is there stands */
    look(w);
    assert_string_equal(
        "2 f", of_id(id, "SELECT generation || ' ' || (replayed_at IS NULL)::text::char FROM platform.dead_job WHERE id = ", ""));
    e.generation = 3;
    (void)add_dead(&e, REASON);
    look(w);
    assert_string_equal(
        "3 t t",
        of_id(id,
              "SELECT concat_ws(' ', generation, replayed_at IS NULL, discarded_at IS NULL) FROM platform.dead_job WHERE id = ",
              ""));
    assert_int_equal(0, left());
}

static void test_dead__again_on_a_later_release_then_the_first_stays_while_it_dies_of_the_same(void **state) {
    (void)state;
    static const struct {
        const char *reason, *releases;
    } cases[] = {
        {"{\"fingerprint\":\"a\",\"release\":\"1.0.0\"}", "1.0.0 1.0.0"},
        {"{\"fingerprint\":\"a\",\"release\":\"1.1.0\"}", "1.1.0 1.0.0"},
        {"{\"fingerprint\":\"b\",\"release\":\"1.2.0\"}", "1.2.0 1.2.0"},
        {"{\"fingerprint\":\"b\"}", "- 1.2.0"}, /* a worker of before it was noted */
        {"{\"fingerprint\":\"c\"}", "- -"},
    };
    struct envelope e = envelope_new();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct uuid id = add_dead(&e, cases[i].reason);
        look(w);
        assert_string_equal(
            cases[i].releases,
            of_id(id,
                  "SELECT coalesce(release, '-') || ' ' || coalesce(first_release, '-') FROM platform.dead_job WHERE id = ", ""));
        e.generation++;
    }
}

static void test_dead__not_the_leader_then_left(void **state) {
    (void)state;
    struct envelope e = envelope_new();
    (void)add_dead(&e, REASON);
    scheduler.ready = false;
    look(w);
    assert_int_equal(1, left());
    scheduler.ready = true;
    look(w);
    assert_int_equal(0, left());
}

#ifdef PENSTOCK_FAULTS

static void test_killed__between_the_row_and_the_hand_over_then_one_row(void **state) {
    (void)state;
    struct envelope e = envelope_new();
    int status = 0;
    (void)add_dead(&e, REASON);
    scheduler_end();
    pid_t pid = fork();
    if (pid == 0) {
        (void)setenv("PENSTOCK_FAULT", "dead.after_handover=kill@1", 1);
        scheduler_start();
        fault_setup();
        look(watch_of("default"));
        _exit(0); /* it should not have come so far */
    }
    assert_true(pid > 0);
    assert_int_equal(pid, waitpid(pid, &status, 0));
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    scheduler_start();
    w = watch_of("default");
    assert_int_equal(1, rows());
    assert_int_equal(1, left());
    look(w);
    assert_int_equal(1, rows());
    assert_int_equal(0, left());
}

#endif

static void scenario(void *arg) {
    (void)arg;
    if (!redis_is_known_(NULL)) {
        (void)wait_until(scheduler.rt->loop, 5000, redis_is_known_, NULL);
    }
    w->depth.dead = 1;
    dead_check(w);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, is_settled_, w));
}

static void test_dead__any_allocation_fails_then_none_is_lost(void **state) {
    (void)state;
    struct uuid ids[3];
    for (int i = 0; i < 3; i++) {
        struct envelope e = envelope_new();
        ids[i] = add_dead(&e, REASON);
    }
    torture(scenario, NULL);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, redis_is_known_, NULL));
    look(w);
    look(w);
    assert_int_equal(0, left());
    for (int i = 0; i < 3; i++) {
        assert_int_equal(0, strncmp(row_of(ids[i]), "stream 2 acme", 13));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_dead__handed_over_then_a_row_and_gone_from_redis, reset),
        cmocka_unit_test_setup(test_dead__many_then_batch_by_batch, reset),
        cmocka_unit_test_setup(test_dead__a_reason_that_is_none_then_a_row_all_the_same, reset),
        cmocka_unit_test_setup(test_dead__an_entry_that_is_not_ours_then_undecodable, reset),
        cmocka_unit_test_setup(test_dead__one_that_the_table_refuses_then_the_others_are_through, reset),
        cmocka_unit_test_setup(test_dead__again_after_a_replay_then_the_row_is_open_again, reset),
        cmocka_unit_test_setup(test_dead__again_on_a_later_release_then_the_first_stays_while_it_dies_of_the_same, reset),
        cmocka_unit_test_setup(test_dead__not_the_leader_then_left, reset),
#ifdef PENSTOCK_FAULTS
        cmocka_unit_test_setup(test_killed__between_the_row_and_the_hand_over_then_one_row, reset),
#endif
        cmocka_unit_test_setup(test_dead__any_allocation_fails_then_none_is_lost, reset),
    };
    return cmocka_run_group_tests(tests, scheduler_db_setup, scheduler_db_teardown);
}
