/* The Postgres pool when the server refuses, goes silent, dies in the middle, comes back. */
#include "pg_fixture.h"

#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

int callbacks_run;

static struct server *server;

static int start_server(void **state) {
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    pg_open_process_fds();
    server = server_postgres_start(NULL);
    if (server == NULL) {
        return -1;
    }
    struct loop *l;
    assert_ok(loop_new(&l));
    pg_run(l, server_port(server), "CREATE TABLE t (id bigint PRIMARY KEY)");
    pg_run(l, server_port(server),
           "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(1.5); RETURN NULL; END$$");
    pg_run(l, server_port(server), "CREATE TABLE slow_commit (id bigint PRIMARY KEY)");
    pg_run(l, server_port(server),
           "CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON slow_commit DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
           "EXECUTE FUNCTION dawdle()");
    pg_run(l, server_port(server), "CREATE ROLE lonely LOGIN CONNECTION LIMIT 1");
    pg_run(l, server_port(server), "CREATE ROLE reader LOGIN");
    pg_run(l, server_port(server), "ALTER ROLE reader SET default_transaction_read_only = on");
    pg_run(l, server_port(server), "GRANT ALL ON t TO lonely, reader");
    loop_free(l);
    return 0;
}

static int stop_server(void **state) {
    (void)state;
    server_stop(server);
    return 0;
}

static const struct pg_stmt insert = {"insert", "INSERT INTO t (id) VALUES ($1) ON CONFLICT DO NOTHING", 1};
static const struct pg_stmt insert_slow = {"insert_slow", "INSERT INTO slow_commit (id) VALUES ($1)", 1};
static const struct pg_stmt nap = {"nap", "SELECT pg_sleep($1::float8)", 1};
static const struct pg_stmt short_nap = {"short_nap", "SELECT pg_sleep(0.05)", 0};
static const struct pg_stmt one = {"one", "SELECT 1", 0};
static const struct pg_stmt backend = {"backend", "SELECT pg_backend_pid()", 0};
static const struct pg_stmt terminate_others = {
    "terminate_others", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'test'", 0};

static struct loop *new_loop(void) {
    struct loop *l;
    assert_ok(loop_new(&l));
    return l;
}

static void exec_int(struct pg_pool *p, const struct pg_stmt *stmt, int64_t v, int flags, struct pg_outcome *o) {
    char room[PG_INT_BYTES];
    struct pg_value value = pg_int(v, room);
    pg_exec(p, stmt, &value, flags, v, note_pg_outcome, o);
}

/* A connection that is none of the pool's: for what is done to the pool's from outside. */
static struct pg_pool *outsider(struct loop *l) {
    char url[96];
    struct pg_options o = pg_options_for(url, server_port(server), NULL);
    struct pg_pool *p;
    o.application_name = "outsider";
    assert_ok(pg_pool_new(l, &o, &p));
    return p;
}

/* No statement may run for ever, nor take every core from those beside it. */
static void test_pg_faults__any_session_then_its_statements_are_bounded(void **state) {
    (void)state;
    static const struct pg_stmt stmt = {
        "bounds", "SELECT current_setting('statement_timeout') || ' ' || current_setting('max_parallel_workers_per_gather')", 0};
    struct loop *l = new_loop();
    struct pg_pool *p = pg_pool_to(l, server_port(server), NULL);
    assert_string_equal("2s 0", pg_ask(l, p, &stmt, NULL).text);
    pg_pool_close(p);
    loop_free(l);
}

static void test_pg_faults__refused_then_down_with_cause(void **state) {
    (void)state;
    struct loop *l = new_loop();
    struct pg_states s = {0};
    struct pg_pool *p = pg_pool_to(l, server_free_port(), &s);
    struct pg_outcome first = pg_ask(l, p, &one, NULL);
    assert_int_equal(ERR_PG_DOWN, first.code);
    assert_non_null(strstr(first.detail, "refused"));
    assert_int_equal(1, s.downs);
    struct mono began = loop_now(l);
    for (int i = 0; i < 20; i++) { /* in the pauses, and during further attempts: nobody waits for the next one */
        assert_int_equal(ERR_PG_DOWN, pg_ask(l, p, &one, NULL).code);
        wait_ms(l, 20);
    }
    assert_in_range(mono_ms_since(loop_now(l), began), 400, 1200);
    assert_int_equal(1, s.downs);
    assert_int_equal(ERR_PG_DOWN, pg_pool_why_down(p).code);
    pg_pool_close(p);
    loop_free(l);
}

static void test_pg_faults__deaf_peer_then_down_by_the_connect_deadline(void **state) {
    (void)state;
    struct loop *l = new_loop();
    char url[96];
    int port, fd = server_listen_deaf(&port);
    struct pg_options o = pg_options_for(url, port, NULL);
    struct pg_pool *p;
    o.connect_ms = 300;
    assert_ok(pg_pool_new(l, &o, &p));
    struct mono began = loop_now(l);
    struct pg_outcome out = pg_ask(l, p, &one, NULL);
    assert_int_equal(ERR_PG_DOWN, out.code);
    assert_non_null(strstr(out.detail, "deadline"));
    assert_in_range(mono_ms_since(loop_now(l), began), 295, 900);
    pg_pool_close(p);
    loop_free(l);
    (void)close(fd);
}

struct door {
    int listener, knocks;
};

static bool slam(void *arg) {
    struct door *d = arg;
    int fd = accept4(d->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        d->knocks++;
        (void)close(fd);
    }
    return false;
}

static void test_pg_faults__a_door_slammed_each_time_then_at_most_5_attempts_a_second(void **state) {
    (void)state;
    struct loop *l = new_loop();
    int port;
    struct door d = {.listener = server_listen_deaf(&port)};
    struct pg_pool *p = pg_pool_to(l, port, NULL);
    pg_pool_warm(p);
    (void)wait_until(l, 990, slam, &d);
    assert_in_range(d.knocks, 2, 5);
    (void)wait_until(l, 3000, slam, &d);
    assert_in_range(d.knocks, 3, 20);
    pg_pool_close(p);
    loop_free(l);
    (void)close(d.listener);
}

static void test_pg_faults__killed_and_restarted_then_lost_and_served_within_5_s(void **state) {
    (void)state;
    struct loop *l = new_loop();
    struct pg_states s = {0};
    struct pg_pool *p = pg_pool_to(l, server_port(server), &s);
    struct pg_outcome flying = {0}, waiting = {0};
    assert_int_equal(ERR_NONE, pg_ask(l, p, &one, NULL).code);
    int fds = server_count_fds();
    exec_int(p, &nap, 5, 0, &flying);
    wait_ms(l, 50);
    exec_int(p, &insert, 1, PG_SHARED, &waiting);
    server_kill(server);
    assert_true(wait_until(l, 3000, pg_has_run, &waiting));
    assert_int_equal(ERR_PG_LOST, flying.code);
    assert_int_equal(ERR_PG_DOWN, waiting.code); /* never sent */
    assert_int_equal(1, s.downs);
    assert_true(server_restart(server));
    struct mono back = loop_now(l);
    assert_true(wait_until(l, 5000, pg_is_up, p)); /* nothing waits, and it comes back */
    assert_in_range(mono_ms_since(loop_now(l), back), 0, 5000);
    assert_int_equal(ERR_NONE, pg_ask(l, p, &one, NULL).code);
    assert_int_equal(2, s.ups);
    assert_int_equal(fds, server_count_fds());
    pg_pool_close(p);
    loop_free(l);
}

static void test_pg_faults__backend_terminated_in_a_batch_then_all_of_it_lost_and_the_rest_served(void **state) {
    (void)state;
    struct loop *l = new_loop();
    struct pg_states s = {0};
    struct pg_pool *p = pg_pool_to(l, server_port(server), &s), *other = outsider(l);
    struct pg_outcome o[5] = {{0}}, waiting = {0};
    assert_int_equal(ERR_NONE, pg_ask(l, p, &one, NULL).code);
    for (int i = 0; i < 4; i++) {
        exec_int(p, &insert, 100 + i, PG_SHARED, &o[i]);
    }
    exec_int(p, &nap, 1, PG_SHARED, &o[4]);
    wait_ms(l, 50);
    exec_int(p, &insert, 110, PG_SHARED, &waiting);
    assert_int_equal(ERR_NONE, pg_ask(l, other, &terminate_others, NULL).code);
    assert_true(wait_until(l, 3000, pg_has_run, &waiting));
    for (int i = 0; i < 5; i++) {
        assert_int_equal(1, o[i].runs);
        assert_int_equal(ERR_PG_LOST, o[i].code);
    }
    assert_non_null(strstr(o[0].detail, "57P01"));
    assert_int_equal(ERR_NONE, waiting.code); /* sent on the new connection */
    pg_pool_close(p);
    pg_pool_close(other);
    loop_free(l);
}

static void test_pg_faults__backend_terminated_during_commit_then_lost(void **state) {
    (void)state;
    struct loop *l = new_loop();
    struct pg_pool *p = pg_pool_to(l, server_port(server), NULL), *other = outsider(l);
    struct pg_outcome o[2] = {{0}};
    assert_int_equal(ERR_NONE, pg_ask(l, p, &one, NULL).code);
    exec_int(p, &insert_slow, 1, PG_SHARED, &o[0]);
    exec_int(p, &insert_slow, 2, PG_SHARED, &o[1]);
    wait_ms(l, 300); /* the statements are done, the commit sleeps */
    assert_int_equal(0, o[0].runs);
    assert_int_equal(ERR_NONE, pg_ask(l, other, &terminate_others, NULL).code);
    assert_true(wait_until(l, 3000, pg_has_run, &o[1]));
    assert_int_equal(ERR_PG_LOST, o[0].code);
    assert_int_equal(ERR_PG_LOST, o[1].code);
    pg_pool_close(p);
    pg_pool_close(other);
    loop_free(l);
}

static void test_pg_faults__backend_terminated_while_idle_then_told_and_back(void **state) {
    (void)state;
    struct loop *l = new_loop();
    struct pg_states s = {0};
    struct pg_pool *p = pg_pool_to(l, server_port(server), &s), *other = outsider(l);
    pg_pool_warm(p);
    assert_true(wait_until(l, PG_SOON_MS, pg_has_come_up, &s));
    assert_int_equal(ERR_NONE, pg_ask(l, other, &terminate_others, NULL).code);
    assert_true(wait_until(l, PG_SOON_MS, pg_has_gone_down, &s));
    assert_string_equal("postgres_lost: 57P01 terminating connection due to administrator command", s.why);
    assert_true(wait_until(l, PG_SOON_MS, pg_is_up, p));
    pg_pool_close(p);
    pg_pool_close(other);
    loop_free(l);
}

static void test_pg_faults__backend_that_stops_answering_then_lost_by_our_own_deadline(void **state) {
    (void)state;
    struct loop *l = new_loop();
    char url[96];
    struct pg_options o = pg_options_for(url, server_port(server), NULL);
    struct pg_pool *p;
    o.statement_ms = 100;
    assert_ok(pg_pool_new(l, &o, &p));
    struct pg_outcome out = pg_ask(l, p, &backend, NULL);
    int64_t pid = 0;
    assert_true(str_to_i64(str_c(out.text), &pid));
    assert_int_equal(0, kill((pid_t)pid, SIGSTOP));
    struct mono began = loop_now(l);
    out = pg_ask(l, p, &one, NULL);
    assert_int_equal(ERR_PG_LOST, out.code);
    assert_in_range(mono_ms_since(loop_now(l), began), 2000, 3000);
    assert_int_equal(ERR_NONE, pg_ask(l, p, &one, NULL).code); /* on another connection */
    assert_int_equal(0, kill((pid_t)pid, SIGCONT));
    pg_pool_close(p);
    loop_free(l);
}

static void test_pg_faults__we_were_stopped_past_the_deadline_then_the_answer_counts(void **state) {
    (void)state;
    struct loop *l = new_loop();
    char url[96];
    struct pg_options o = pg_options_for(url, server_port(server), NULL);
    struct pg_pool *p;
    struct pg_outcome out = {0};
    o.statement_ms = 100;
    assert_ok(pg_pool_new(l, &o, &p));
    assert_int_equal(ERR_NONE, pg_ask(l, p, &one, NULL).code);
    pg_exec(p, &short_nap, NULL, 0, 0, note_pg_outcome, &out);
    wait_ms(l, 10);                                          /* sent */
    (void)nanosleep(&(struct timespec){2, 300000000}, NULL); /* as SIGSTOP does it: the loop does not turn */
    assert_true(wait_until(l, PG_SOON_MS, pg_has_run, &out));
    assert_int_equal(ERR_NONE, out.code);
    pg_pool_close(p);
    loop_free(l);
}

static void test_pg_faults__no_further_connection_to_be_had_then_one_serves_all(void **state) {
    (void)state;
    struct loop *l = new_loop();
    struct pg_states s = {0};
    char url[96];
    struct pg_options o = pg_options_for(url, server_port(server), &s);
    struct pg_pool *p;
    struct pg_outcome out[200] = {{0}};
    o.user = "lonely";
    o.connections = 4;
    assert_ok(pg_pool_new(l, &o, &p));
    for (int i = 0; i < 200; i++) {
        exec_int(p, &insert, 200 + i, i % 2, &out[i]);
    }
    assert_true(wait_until(l, PG_SOON_MS, pg_is_quiet, p));
    for (int i = 0; i < 200; i++) {
        assert_int_equal(ERR_NONE, out[i].code);
    }
    assert_int_equal(0, s.downs);
    pg_pool_close(p);
    loop_free(l);
}

static void test_pg_faults__read_only_then_down(void **state) {
    (void)state;
    struct loop *l = new_loop();
    char url[96];
    struct pg_options o = pg_options_for(url, server_port(server), NULL);
    struct pg_pool *p;
    struct pg_outcome out[2] = {{0}};
    o.user = "reader";
    assert_ok(pg_pool_new(l, &o, &p));
    exec_int(p, &insert, 1000, PG_SHARED, &out[0]);
    exec_int(p, &insert, 1001, PG_SHARED, &out[1]);
    assert_true(wait_until(l, PG_SOON_MS, pg_is_quiet, p));
    assert_int_equal(ERR_PG_DOWN, out[0].code);
    assert_int_equal(ERR_PG_DOWN, out[1].code);
    pg_pool_close(p);
    loop_free(l);
}

static void test_pg_faults__no_such_role_then_down_with_the_servers_words(void **state) {
    (void)state;
    struct loop *l = new_loop();
    char url[96];
    struct pg_options o = pg_options_for(url, server_port(server), NULL);
    struct pg_pool *p;
    o.user = "nobody_of_that_name";
    assert_ok(pg_pool_new(l, &o, &p));
    struct pg_outcome out = pg_ask(l, p, &one, NULL);
    assert_int_equal(ERR_PG_DOWN, out.code);
    assert_non_null(strstr(out.detail, "does not exist"));
    pg_pool_close(p);
    loop_free(l);
}

static void close_pool(void *arg, bool up, struct err why) {
    struct pg_pool **p = arg;
    (void)up;
    (void)why;
    pg_pool_close(*p);
    *p = NULL;
}

static bool is_null(void *arg) { return *(struct pg_pool **)arg == NULL; }

static void test_pg_faults__close_inside_on_state_then_fine(void **state) {
    (void)state;
    struct loop *l = new_loop();
    char url[96];
    int fds = server_count_fds();
    struct pg_pool *p;
    struct pg_outcome out[2] = {{0}};
    for (int i = 0; i < 2; i++) { /* up, then down */
        struct pg_options o = pg_options_for(url, i == 0 ? server_port(server) : server_free_port(), NULL);
        o.on_state = close_pool;
        o.arg = &p;
        assert_ok(pg_pool_new(l, &o, &p));
        pg_exec(p, &one, NULL, 0, 0, note_pg_outcome, &out[i]);
        assert_true(wait_until(l, PG_SOON_MS, is_null, &p));
        assert_int_equal(1, out[i].runs);
    }
    assert_int_equal(ERR_CLOSED, out[0].code);
    assert_int_equal(ERR_PG_DOWN, out[1].code);
    assert_int_equal(fds, server_count_fds());
    loop_free(l);
}

/* ---- who waits ---- */

static void test_pg_faults__statements_on_their_way_then_it_is_known_for_whom(void **state) {
    (void)state;
    struct loop *l = new_loop();
    struct pg_pool *p = pg_pool_to(l, server_port(server), NULL);
    const struct pg_value long_enough = pg_text(STR("0.5"));
    struct pg_outcome slept = {0}, behind = {0};
    uint32_t before = loop_own(l, 7);
    pg_exec(p, &nap, &long_enough, 0, 0, note_pg_outcome, &slept);
    assert_string_equal("nap", pg_pool_waits(p, 7)); /* handed over, */
    assert_true(wait_until(l, PG_SOON_MS, pg_is_up, p));
    wait_ms(l, 50);
    assert_string_equal("nap", pg_pool_waits(p, 7)); /* sent, */
    (void)loop_own(l, 8);
    pg_exec(p, &one, NULL, 0, 0, note_pg_outcome, &behind);
    (void)loop_own(l, before);
    assert_string_equal("one", pg_pool_waits(p, 8)); /* and behind it */
    assert_null(pg_pool_waits(p, 9));
    assert_true(wait_until(l, PG_SOON_MS, pg_has_run, &behind));
    assert_int_equal(1, slept.runs);
    assert_null(pg_pool_waits(p, 7));
    assert_null(pg_pool_waits(p, 8));
    pg_pool_close(p);
    loop_free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg_faults__any_session_then_its_statements_are_bounded),
        cmocka_unit_test(test_pg_faults__refused_then_down_with_cause),
        cmocka_unit_test(test_pg_faults__deaf_peer_then_down_by_the_connect_deadline),
        cmocka_unit_test(test_pg_faults__a_door_slammed_each_time_then_at_most_5_attempts_a_second),
        cmocka_unit_test(test_pg_faults__killed_and_restarted_then_lost_and_served_within_5_s),
        cmocka_unit_test(test_pg_faults__backend_terminated_in_a_batch_then_all_of_it_lost_and_the_rest_served),
        cmocka_unit_test(test_pg_faults__backend_terminated_during_commit_then_lost),
        cmocka_unit_test(test_pg_faults__backend_terminated_while_idle_then_told_and_back),
        cmocka_unit_test(test_pg_faults__backend_that_stops_answering_then_lost_by_our_own_deadline),
        cmocka_unit_test(test_pg_faults__we_were_stopped_past_the_deadline_then_the_answer_counts),
        cmocka_unit_test(test_pg_faults__no_further_connection_to_be_had_then_one_serves_all),
        cmocka_unit_test(test_pg_faults__read_only_then_down),
        cmocka_unit_test(test_pg_faults__no_such_role_then_down_with_the_servers_words),
        cmocka_unit_test(test_pg_faults__close_inside_on_state_then_fine),
        cmocka_unit_test(test_pg_faults__statements_on_their_way_then_it_is_known_for_whom),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
