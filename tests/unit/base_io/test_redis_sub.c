/* Subscriptions: ready when they stand, messages in order, ready again after a loss. */
#include "redis_fixture.h"

#include <signal.h>

static struct server *server;

static int start_server(void **state) {
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    open_process_fds();
    static const char *const args[] = {"--user", "deaf", "on", ">x", "resetchannels", "+@all", NULL};
    server = server_redis_start(args);
    return server != NULL ? 0 : -1;
}

static int stop_server(void **state) {
    (void)state;
    server_stop(server);
    return 0;
}

struct listener {
    int ready, messages;
    char last[128];
    struct redis_sub *sub; /* closed by itself on the message "bye" */
};

static void on_ready(void *arg) { ((struct listener *)arg)->ready++; }

static void on_message(void *arg, struct str channel, struct str message) {
    struct listener *x = arg;
    x->messages++;
    (void)snprintf(x->last, sizeof x->last, "%.*s %.*s", STR_ARG(channel), STR_ARG(message));
    if (str_is(message, "bye")) {
        redis_sub_close(x->sub);
        x->sub = NULL;
    }
}

static const char *const channels[] = {"one", "two"};

static struct err subscribe(struct loop *l, struct listener *x, struct states *s, const char *user) {
    char url[64];
    struct redis_sub_options o = {.connection = options_for(url, server_port(server), s),
                                  .channels = channels,
                                  .channels_n = 2,
                                  .on_ready = on_ready,
                                  .on_message = on_message,
                                  .arg = x};
    o.connection.user = user;
    o.connection.password = user != NULL ? "x" : NULL;
    o.connection.command_ms = 300;
    return redis_sub_new(l, &o, &x->sub);
}

static bool is_ready_once(void *arg) { return ((struct listener *)arg)->ready >= 1; }
static bool is_ready_twice(void *arg) { return ((struct listener *)arg)->ready >= 2; }
static bool has_1_message(void *arg) { return ((struct listener *)arg)->messages >= 1; }
static bool has_1002_messages(void *arg) { return ((struct listener *)arg)->messages >= 1002; }

static void publish(struct redis *r, int n) {
    static struct outcome ignored;
    for (int i = 0; i < n; i++) {
        send_words(r, 0, "PUBLISH one many", &ignored);
    }
    send_words(r, 0, "PUBLISH other unheard", &ignored);
    send_words(r, 0, "PUBLISH two last", &ignored);
}

static void test_redis_sub__messages_then_all_in_order(void **state) {
    (void)state;
    struct loop *l;
    struct listener x = {0};
    int fds = server_count_fds();
    assert_ok(loop_new(&l));
    assert_ok(subscribe(l, &x, NULL, NULL));
    assert_true(wait_until(l, SOON_MS, is_ready_once, &x));
    struct redis *r = connected_to(l, server_port(server), NULL);
    publish(r, 1001);
    assert_true(wait_until(l, SOON_MS, has_1002_messages, &x));
    assert_string_equal("two last", x.last);
    assert_int_equal(1, x.ready);
    redis_close(r);
    redis_sub_close(x.sub);
    loop_free(l);
    assert_int_equal(fds, server_count_fds());
}

static void test_redis_sub__lost_and_back_then_ready_again_and_messages(void **state) {
    (void)state;
    struct loop *l;
    struct listener x = {0};
    struct states s = {0};
    assert_ok(loop_new(&l));
    assert_ok(subscribe(l, &x, &s, NULL));
    assert_true(wait_until(l, SOON_MS, is_ready_once, &x));
    assert_int_equal(1, s.ups);
    server_kill(server);
    assert_true(wait_until(l, SOON_MS, has_gone_down, &s));
    assert_true(server_restart(server));
    assert_true(wait_until(l, SOON_MS, is_ready_twice, &x));
    struct redis *r = connected_to(l, server_port(server), NULL);
    publish(r, 0);
    assert_true(wait_until(l, SOON_MS, has_1_message, &x));
    assert_string_equal("two last", x.last);
    redis_close(r);
    redis_sub_close(x.sub);
    loop_free(l);
}

static void test_redis_sub__idle_and_silent_then_the_ping_finds_out(void **state) {
    (void)state;
    struct loop *l;
    struct listener x = {0};
    struct states s = {0};
    assert_ok(loop_new(&l));
    assert_ok(subscribe(l, &x, &s, NULL));
    assert_true(wait_until(l, SOON_MS, is_ready_once, &x));
    wait_ms(l, 5500); /* one PING is answered, in the way of a subscribed connection */
    assert_int_equal(0, s.downs);
    server_signal(server, SIGSTOP);
    assert_true(wait_until(l, 6500, has_gone_down, &s));
    server_signal(server, SIGCONT);
    assert_true(wait_until(l, SOON_MS, is_ready_twice, &x));
    redis_sub_close(x.sub);
    loop_free(l);
}

static void test_redis_sub__not_permitted_then_down_with_the_reason(void **state) {
    (void)state;
    struct loop *l;
    struct listener x = {0};
    struct states s = {0};
    assert_ok(loop_new(&l));
    assert_ok(subscribe(l, &x, &s, "deaf"));
    assert_true(wait_until(l, SOON_MS, has_gone_down, &s));
    assert_non_null(strstr(s.why, "NOPERM"));
    assert_int_equal(0, x.ready);
    redis_sub_close(x.sub);
    loop_free(l);
}

static bool is_closed(void *arg) { return ((struct listener *)arg)->sub == NULL; }

static void test_redis_sub__close_inside_on_message_then_fine(void **state) {
    (void)state;
    struct loop *l;
    struct listener x = {0};
    struct outcome ignored = {0};
    assert_ok(loop_new(&l));
    assert_ok(subscribe(l, &x, NULL, NULL));
    assert_true(wait_until(l, SOON_MS, is_ready_once, &x));
    struct redis *r = connected_to(l, server_port(server), NULL);
    send_words(r, 0, "PUBLISH one bye", &ignored);
    publish(r, 10);
    assert_true(wait_until(l, SOON_MS, is_closed, &x));
    assert_int_equal(1, x.messages);
    redis_close(r);
    redis_sub_close(NULL);
    loop_free(l);
}

static void torture_sub(void *arg) {
    struct loop *l;
    struct listener x = {0};
    (void)arg;
    if (err_is_set(loop_new(&l))) {
        return;
    }
    if (!err_is_set(subscribe(l, &x, NULL, NULL))) {
        bool ready = wait_until(l, torture_is_failing() ? 120 : SOON_MS, is_ready_once, &x);
        assert_true(ready || torture_is_failing());
        redis_sub_close(x.sub);
    }
    loop_free(l);
}

static void test_redis_sub__allocations_fail_then_an_error_and_no_leak(void **state) {
    (void)state;
    torture(torture_sub, NULL);
}

static void test_redis_sub__a_system_call_fails_then_an_error_or_no_difference(void **state) {
    (void)state;
    torture_io(torture_sub, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis_sub__messages_then_all_in_order),
        cmocka_unit_test(test_redis_sub__lost_and_back_then_ready_again_and_messages),
        cmocka_unit_test(test_redis_sub__idle_and_silent_then_the_ping_finds_out),
        cmocka_unit_test(test_redis_sub__not_permitted_then_down_with_the_reason),
        cmocka_unit_test(test_redis_sub__close_inside_on_message_then_fine),
        cmocka_unit_test(test_redis_sub__allocations_fail_then_an_error_and_no_leak),
        cmocka_unit_test(test_redis_sub__a_system_call_fails_then_an_error_or_no_difference),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
