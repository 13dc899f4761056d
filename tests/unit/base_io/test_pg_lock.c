/* The advisory lock: one holder, taken over when the holder's session ends, lost when the server goes. */
#include "pg_fixture.h"

#include "../../../base/io/src/pg_private.h"

#include <signal.h>
#include <time.h>

int callbacks_run;

/* A fifth of what pg_lock_new takes, so that the tests need not wait as long. */
enum { IDLE_MS = 2000, PAST_IDLE_MS = 2500 };

static struct server *server;

static int start_server(void **state) {
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    pg_open_process_fds();
    server = server_postgres_start(NULL);
    return server != NULL ? 0 : -1;
}

static int stop_server(void **state) {
    (void)state;
    server_stop(server);
    return 0;
}

struct holder {
    struct pg_lock *lock;
    int gained, lost;
    bool close_when_held;
};

static void on_change(void *arg, bool held) {
    struct holder *h = arg;
    h->gained += held ? 1 : 0;
    h->lost += held ? 0 : 1;
    if (held && h->close_when_held) {
        pg_lock_close(h->lock);
        h->lock = NULL;
    }
}

static struct err take(struct loop *l, struct holder *h, int64_t key) {
    char url[96];
    struct pg_options o = pg_options_for(url, server_port(server), NULL);
    o.application_name = "lock";
    return pg_lock_new_idle(l, &o, key, IDLE_MS, on_change, h, &h->lock);
}

static bool is_held(void *arg) { return pg_lock_held(((struct holder *)arg)->lock); }
static bool is_lost(void *arg) { return ((struct holder *)arg)->lost > 0; }

static void test_pg_lock__two_want_it_then_one_has_it_and_the_other_takes_over(void **state) {
    (void)state;
    struct loop *l;
    struct holder a = {0}, b = {0}, other = {0};
    int fds = server_count_fds();
    assert_ok(loop_new(&l));
    assert_ok(take(l, &a, 7));
    assert_true(wait_until(l, 3000, is_held, &a));
    assert_ok(take(l, &b, 7));
    assert_ok(take(l, &other, 8));
    assert_true(wait_until(l, 3000, is_held, &other));
    wait_ms(l, 1500);
    assert_false(pg_lock_held(b.lock));
    assert_int_equal(1, a.gained);
    pg_lock_close(a.lock);
    assert_true(wait_until(l, 3000, is_held, &b));
    pg_lock_close(b.lock);
    pg_lock_close(other.lock);
    pg_lock_close(NULL);
    loop_free(l);
    assert_int_equal(fds, server_count_fds());
}

static void test_pg_lock__held_for_longer_than_the_idle_timeout_then_pings_keep_it(void **state) {
    (void)state;
    struct loop *l;
    struct holder a = {0};
    assert_ok(loop_new(&l));
    assert_ok(take(l, &a, 7));
    assert_true(wait_until(l, 3000, is_held, &a));
    wait_ms(l, PAST_IDLE_MS);
    assert_true(pg_lock_held(a.lock));
    assert_int_equal(1, a.gained);
    assert_int_equal(0, a.lost);
    pg_lock_close(a.lock);
    loop_free(l);
}

static void test_pg_lock__stopped_for_longer_than_the_idle_timeout_then_not_held_at_once(void **state) {
    (void)state;
    struct loop *l;
    struct holder a = {0};
    assert_ok(loop_new(&l));
    assert_ok(take(l, &a, 7));
    assert_true(wait_until(l, 3000, is_held, &a));
    (void)nanosleep(&(struct timespec){PAST_IDLE_MS / 1000, PAST_IDLE_MS % 1000 * 1000000L},
                    NULL); /* as SIGSTOP does it: the loop does not turn */
    assert_false(pg_lock_held(a.lock));
    assert_true(wait_until(l, 3000, is_lost, &a)); /* the server hung up */
    assert_true(wait_until(l, 3000, is_held, &a)); /* and it is free again */
    assert_int_equal(2, a.gained);
    pg_lock_close(a.lock);
    loop_free(l);
}

static void test_pg_lock__server_dies_and_comes_back_then_lost_and_gained(void **state) {
    (void)state;
    struct loop *l;
    struct holder a = {0};
    assert_ok(loop_new(&l));
    assert_ok(take(l, &a, 7));
    assert_true(wait_until(l, 3000, is_held, &a));
    server_kill(server);
    assert_true(wait_until(l, 3000, is_lost, &a));
    assert_false(pg_lock_held(a.lock));
    assert_true(server_restart(server));
    assert_true(wait_until(l, 5000, is_held, &a));
    pg_lock_close(a.lock);
    loop_free(l);
}

static bool is_closed(void *arg) { return ((struct holder *)arg)->lock == NULL; }

static void test_pg_lock__close_inside_on_change_then_fine(void **state) {
    (void)state;
    struct loop *l;
    struct holder a = {.close_when_held = true};
    assert_ok(loop_new(&l));
    assert_ok(take(l, &a, 7));
    assert_true(wait_until(l, 3000, is_closed, &a));
    assert_int_equal(1, a.gained);
    loop_free(l);
}

static void torture_lock(void *arg) {
    struct loop *l;
    struct holder a = {0};
    (void)arg;
    if (err_is_set(loop_new(&l))) {
        return;
    }
    if (!err_is_set(take(l, &a, 7))) {
        bool held = wait_until(l, torture_is_failing() ? 100 : 3000, is_held, &a);
        assert_true(held || torture_is_failing());
        pg_lock_close(a.lock);
    }
    loop_free(l);
}

static void test_pg_lock__allocations_fail_then_an_error_and_no_leak(void **state) {
    (void)state;
    torture(torture_lock, NULL);
}

static void test_pg_lock__a_system_call_fails_then_an_error_or_no_difference(void **state) {
    (void)state;
    torture_io(torture_lock, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg_lock__two_want_it_then_one_has_it_and_the_other_takes_over),
        cmocka_unit_test(test_pg_lock__held_for_longer_than_the_idle_timeout_then_pings_keep_it),
        cmocka_unit_test(test_pg_lock__stopped_for_longer_than_the_idle_timeout_then_not_held_at_once),
        cmocka_unit_test(test_pg_lock__server_dies_and_comes_back_then_lost_and_gained),
        cmocka_unit_test(test_pg_lock__close_inside_on_change_then_fine),
        cmocka_unit_test(test_pg_lock__allocations_fail_then_an_error_and_no_leak),
        cmocka_unit_test(test_pg_lock__a_system_call_fails_then_an_error_or_no_difference),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
