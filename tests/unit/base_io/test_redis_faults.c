/* The Redis client when the server refuses, resets, goes silent, dies, comes back, or talks nonsense. */
#include "redis_fixture.h"

#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int setup_process(void **state) {
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    open_process_fds();
    return 0;
}

static struct server *start(const char *const *args) {
    struct server *s = server_redis_start(args);
    assert_non_null(s);
    return s;
}

static struct loop *new_loop(void) {
    struct loop *l;
    assert_ok(loop_new(&l));
    return l;
}

static void test_redis_faults__refused_then_down_with_cause_and_calls_fail_at_once(void **state) {
    (void)state;
    struct loop *l = new_loop();
    struct states s = {0};
    struct redis *r = connect_to(l, server_free_port(), &s);
    assert_true(wait_until(l, 500, has_gone_down, &s));
    assert_non_null(strstr(s.why, "refused"));
    struct outcome o = {0};
    send_words(r, 0, "PING", &o);
    assert_int_equal(1, o.runs); /* before it returned */
    assert_int_equal(ERR_REDIS_DOWN, o.code);
    assert_non_null(strstr(o.detail, "refused"));
    wait_ms(l, 300); /* further attempts fail: the owner hears it once */
    assert_int_equal(1, s.downs);
    assert_int_equal(0, s.ups);
    assert_int_equal(ERR_REDIS_DOWN, redis_why_down(r).code);
    redis_close(r);
    loop_free(l);
}

static void test_redis_faults__no_such_socket_then_down(void **state) {
    (void)state;
    struct loop *l = new_loop();
    struct states s = {0};
    struct redis *r;
    struct redis_options o = {
        .url = "unix:/nonexistent/redis.sock", .connect_ms = 1000, .command_ms = 1000, .on_state = note_state, .arg = &s};
    assert_ok(redis_new(l, &o, &r));
    assert_int_equal(0, s.downs); /* never inside redis_new */
    assert_true(wait_until(l, 500, has_gone_down, &s));
    redis_close(r);
    loop_free(l);
}

static void test_redis_faults__deaf_peer_then_down_by_the_connect_deadline(void **state) {
    (void)state;
    struct loop *l = new_loop();
    struct states s = {0};
    int port, fd = server_listen_deaf(&port);
    char url[64];
    struct redis_options o = options_for(url, port, &s);
    struct redis *r;
    o.connect_ms = 200;
    struct mono began = loop_now(l);
    assert_ok(redis_new(l, &o, &r));
    assert_true(wait_until(l, 1000, has_gone_down, &s));
    assert_in_range(mono_ms_since(loop_now(l), began), 195, 600);
    assert_non_null(strstr(s.why, "deadline"));
    redis_close(r);
    loop_free(l);
    (void)close(fd);
}

static void test_redis_faults__no_answer_then_lost_at_the_deadline_and_up_again(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct loop *l = new_loop();
    struct states s = {0};
    struct redis *r = connected_to(l, server_port(server), &s);
    struct outcome first = {0}, second = {0};
    struct mono began = loop_now(l);
    send_words(r, 300, "BLPOP none 0", &first);
    send_words(r, 1, "PING", &second); /* behind it: not failed before it */
    assert_true(wait_until(l, 2000, has_run, &second));
    assert_in_range(mono_ms_since(loop_now(l), began), 300, 900);
    assert_int_equal(ERR_REDIS_LOST, first.code);
    assert_int_equal(ERR_REDIS_LOST, second.code);
    assert_true(wait_until(l, SOON_MS, is_up, r));
    assert_int_equal(1, s.downs);
    assert_int_equal(2, s.ups);
    assert_reply("PONG", l, r, "PING");
    redis_close(r);
    loop_free(l);
    server_stop(server);
}

static void test_redis_faults__a_longer_deadline_for_a_blocking_call_then_its_answer(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct loop *l = new_loop();
    char url[64];
    struct redis_options o = options_for(url, server_port(server), NULL);
    struct redis *r;
    o.command_ms = 100;
    assert_ok(redis_new(l, &o, &r));
    assert_true(wait_until(l, SOON_MS, is_up, r));
    struct outcome out = {0};
    send_words(r, 2000, "BLPOP none 0.4", &out);
    assert_true(wait_until(l, 2000, has_run, &out));
    assert_int_equal(ERR_NONE, out.code);
    assert_string_equal("nil", out.text);
    struct outcome behind[3] = {{0}}; /* the last one's deadline is not before that of the one in front of it */
    send_words(r, 250, "PING", &behind[0]);
    send_words(r, 2000, "BLPOP none 0.1", &behind[1]);
    send_words(r, 50, "BLPOP none 0.3", &behind[2]);
    assert_true(wait_until(l, 2000, has_run, &behind[2]));
    assert_int_equal(ERR_NONE, behind[2].code);
    redis_close(r);
    loop_free(l);
    server_stop(server);
}

static void test_redis_faults__we_were_stopped_past_the_deadline_then_the_answers_count(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct loop *l = new_loop();
    struct states s = {0};
    struct redis *r = connected_to(l, server_port(server), &s);
    struct outcome o[3] = {{0}};
    for (int i = 0; i < 3; i++) {
        send_words(r, 200, "BLPOP none 0.05", &o[i]);
    }
    wait_ms(l, 10);                                          /* sent */
    (void)nanosleep(&(struct timespec){0, 500000000}, NULL); /* as SIGSTOP does it: the loop does not turn */
    assert_true(wait_until(l, 2000, has_run, &o[2]));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ERR_NONE, o[i].code);
    }
    assert_int_equal(0, s.downs);
    redis_close(r);
    loop_free(l);
    server_stop(server);
}

static void test_redis_faults__killed_and_restarted_then_lost_and_up_within_5_s(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct loop *l = new_loop();
    struct states s = {0};
    struct redis *r = connected_to(l, server_port(server), &s);
    int fds = server_count_fds();
    for (int round = 0; round < 3; round++) {
        struct outcome o = {0};
        send_words(r, 10000, "BLPOP none 0", &o);
        wait_ms(l, 20);
        server_kill(server);
        assert_true(wait_until(l, 1000, has_run, &o));
        assert_int_equal(ERR_REDIS_LOST, o.code);
        assert_int_equal(round + 1, s.downs);
        wait_ms(l, 700); /* the back-off grows */
        assert_true(server_restart(server));
        struct mono back = loop_now(l);
        assert_true(wait_until(l, SOON_MS, is_up, r));
        assert_in_range(mono_ms_since(loop_now(l), back), 0, 5000);
        assert_reply("PONG", l, r, "PING");
    }
    assert_int_equal(fds, server_count_fds());
    wait_ms(l, 2100); /* up for long: the next loss finds the back-off at its beginning */
    struct outcome blocked = {0};
    struct redis *killer = connected_to(l, server_port(server), NULL);
    send_words(r, 10000, "BLPOP none 0", &blocked);
    wait_ms(l, 20);
    assert_reply("1", l, killer, "CLIENT KILL TYPE normal SKIPME yes");
    assert_true(wait_until(l, 1000, has_run, &blocked));
    assert_true(wait_until(l, 300, is_up, r));
    redis_close(killer);
    redis_close(r);
    loop_free(l);
    server_stop(server);
}

static void test_redis_faults__lost_with_output_unsent_then_only_that_is_down(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct loop *l = new_loop();
    struct redis *r = connected_to(l, server_port(server), NULL);
    struct outcome first = {0}, last = {0}, middle[14] = {{0}};
    struct broker b = redis_broker(r);
    static char megabyte[1 << 20];
    server_signal(server, SIGSTOP);
    send_words(r, 0, "PING", &first);
    for (int i = 0; i < 14; i++) { /* more than the sockets hold */
        broker_call(&b, 2, (struct str[]){STR("ECHO"), str_of(megabyte, sizeof megabyte)}, note_outcome, &middle[i]);
    }
    send_words(r, 0, "PING", &last);
    wait_ms(l, 100);
    server_kill(server);
    assert_true(wait_until(l, 3000, has_run, &last));
    assert_int_equal(ERR_REDIS_LOST, first.code);
    assert_int_equal(ERR_REDIS_DOWN, last.code);
    redis_close(r);
    loop_free(l);
    server_stop(server);
}

static void test_redis_faults__silent_and_idle_then_the_ping_finds_out(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct loop *l = new_loop();
    struct states s = {0};
    char url[64];
    struct redis_options o = options_for(url, server_port(server), &s);
    struct redis *r;
    o.command_ms = 300;
    assert_ok(redis_new(l, &o, &r));
    assert_true(wait_until(l, SOON_MS, is_up, r));
    server_signal(server, SIGSTOP);
    assert_true(wait_until(l, 6500, has_gone_down, &s));
    server_signal(server, SIGCONT);
    assert_true(wait_until(l, SOON_MS, is_up, r));
    redis_close(r);
    loop_free(l);
    server_stop(server);
}

static void test_redis_faults__a_reply_over_64_mib_then_lost_and_up_again(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct loop *l = new_loop();
    struct redis *r = connected_to(l, server_port(server), NULL);
    assert_reply("70000001", l, r, "SETRANGE big 70000000 x");
    struct outcome o = {0};
    send_words(r, 20000, "GET big", &o); /* the sanitizer's realloc is slow */
    assert_true(wait_until(l, 20000, has_run, &o));
    assert_int_equal(ERR_REDIS_LOST, o.code);
    assert_string_equal("a reply larger than 64 MiB", o.detail);
    assert_true(wait_until(l, SOON_MS, is_up, r));
    assert_reply("10000001", l, r, "SETRANGE small 10000000 x");
    assert_int_equal(ERR_NONE, ask(l, r, "GET small").code);
    redis_close(r);
    loop_free(l);
    server_stop(server);
}

/* ---- who we are ---- */

static void test_redis_faults__passwords_and_users_then_in_or_told_why(void **state) {
    (void)state;
    static const struct {
        const char *url_part, *user, *password, *why; /* why NULL: gets in */
    } cases[] = {
        {":secret@", NULL, NULL, NULL},         {"", NULL, "secret", NULL},        {"", NULL, NULL, "NOAUTH"},
        {"", NULL, "wrong", "WRONGPASS"},       {"me:p%40%3A@", NULL, NULL, NULL}, {"ignored:wrong@", "me", "p@:", NULL},
        {"me:wrong@", NULL, NULL, "WRONGPASS"}, {"bare:x@", NULL, NULL, NULL}, /* may neither SETNAME nor PING */
    };
    static const char *const args[] = {"--requirepass", "secret", "--user", "me", "on", ">p@:", "~*", "+@all",
                                       "--user",        "bare",   "on",     ">x", "~*", "+get", NULL};
    struct server *server = start(args);
    struct loop *l = new_loop();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct states s = {0};
        char url[96];
        struct redis *r;
        (void)snprintf(url, sizeof url, "redis://%s127.0.0.1:%d", cases[i].url_part, server_port(server));
        struct redis_options o = {.url = url,
                                  .user = cases[i].user,
                                  .password = cases[i].password,
                                  .name = "n",
                                  .connect_ms = 1000,
                                  .command_ms = 1000,
                                  .on_state = note_state,
                                  .arg = &s};
        assert_ok(redis_new(l, &o, &r));
        if (cases[i].why == NULL) {
            assert_true(wait_until(l, 2000, is_up, r));
            assert_int_equal(ERR_NONE, ask(l, r, "GET k").code);
        } else {
            assert_true(wait_until(l, 2000, has_gone_down, &s));
            assert_non_null(strstr(s.why, cases[i].why));
            assert_int_equal(ERR_REDIS_REPLY, redis_why_down(r).code);
        }
        redis_close(r);
    }
    loop_free(l);
    server_stop(server);
}

static void test_redis_faults__a_database_that_is_not_there_then_not_up(void **state) {
    (void)state;
    struct server *server = start(NULL);
    struct loop *l = new_loop();
    struct states s = {0};
    char url[64];
    struct redis *r;
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d/99", server_port(server));
    struct redis_options o = {.url = url, .connect_ms = 1000, .command_ms = 1000, .on_state = note_state, .arg = &s};
    assert_ok(redis_new(l, &o, &r));
    assert_true(wait_until(l, 2000, has_gone_down, &s));
    assert_non_null(strstr(s.why, "DB index"));
    redis_close(r);
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d/3", server_port(server));
    assert_ok(redis_new(l, &o, &r));
    assert_true(wait_until(l, 2000, is_up, r));
    assert_non_null(strstr(ask(l, r, "CLIENT INFO").text, " db=3 "));
    redis_close(r);
    loop_free(l);
    server_stop(server);
}

/* ---- a peer that talks nonsense ---- */

struct liar {
    int listener, peer;
    bool greeted;
    int calls;
};

static bool has_greeting(void *arg) {
    struct liar *liar = arg;
    char in[256];
    if (liar->peer < 0) {
        liar->peer = accept4(liar->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    liar->greeted = liar->greeted || (liar->peer >= 0 && recv(liar->peer, in, sizeof in, 0) > 0);
    return liar->greeted;
}

static void say(struct liar *liar, const char *words) {
    assert_int_equal(strlen(words), send(liar->peer, words, strlen(words), MSG_NOSIGNAL));
}

static void test_redis_faults__nonsense_then_down_with_a_reason(void **state) {
    (void)state;
    static const struct {
        const char *words, *why;
    } cases[] = {
        {"%1\r\n", "Protocol error"},
        {"HTTP/1.1 400 Bad Request\r\n", "Protocol error"},
        {"-ERR max number of clients reached\r\n", "max number of clients"},
        {"-LOADING Redis is loading the dataset in memory\r\n", "LOADING"},
        {"+OK\r\n+PONG\r\n+one too many\r\n", "without a question"},
        {"*2147483647\r\n", "64 MiB"},
        {"$999999999999\r\n", "deadline"},
        {":1x\r\n", "Bad integer"},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "nested"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct loop *l = new_loop();
        struct states s = {0};
        struct liar liar = {.peer = -1};
        int port;
        liar.listener = server_listen_deaf(&port);
        char url[64];
        struct redis_options o = options_for(url, port, &s);
        struct redis *r;
        o.connect_ms = 300;
        assert_ok(redis_new(l, &o, &r));
        assert_true(wait_until(l, 1000, has_greeting, &liar));
        say(&liar, cases[i].words);
        assert_true(wait_until(l, 1000, has_gone_down, &s));
        assert_non_null(strstr(s.why, cases[i].why));
        redis_close(r);
        loop_free(l);
        (void)close(liar.peer);
        (void)close(liar.listener);
    }
}

/* Greets each caller as a server would, and hangs up. */
static bool greets_and_hangs_up(void *arg) {
    struct liar *liar = arg;
    int fd = accept4(liar->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        liar->calls++;
        (void)send(fd, "+OK\r\n+PONG\r\n", 12, MSG_NOSIGNAL);
        (void)shutdown(fd, SHUT_WR);
        (void)close(liar->peer); /* the one before: this one has yet to read */
        liar->peer = fd;
    }
    return false;
}

static void test_redis_faults__greeted_and_hung_up_on_each_time_then_the_pauses_grow(void **state) {
    (void)state;
    struct loop *l = new_loop();
    struct liar liar = {.peer = -1};
    struct states s = {0};
    int port;
    liar.listener = server_listen_deaf(&port);
    struct redis *r = connect_to(l, port, &s);
    (void)wait_until(l, 1500, greets_and_hangs_up, &liar);
    assert_true(s.ups == s.downs || s.ups == s.downs + 1); /* up at this moment */
    assert_in_range(liar.calls, 3, 20);                    /* about 60 if each began at 50 ms */
    redis_close(r);
    loop_free(l);
    (void)close(liar.peer);
    (void)close(liar.listener);
}

static void test_redis_faults__reset_then_lost(void **state) {
    (void)state;
    struct loop *l = new_loop();
    struct states s = {0};
    struct liar liar = {.peer = -1};
    int port;
    liar.listener = server_listen_deaf(&port);
    struct redis *r = connect_to(l, port, &s);
    struct outcome o = {0};
    assert_true(wait_until(l, 1000, has_greeting, &liar));
    say(&liar, "+OK\r\n+PONG\r\n");
    assert_true(wait_until(l, 1000, is_up, r));
    send_words(r, 0, "PING", &o);
    wait_ms(l, 20);
    (void)setsockopt(liar.peer, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
    (void)close(liar.peer);
    assert_true(wait_until(l, 1000, has_run, &o));
    assert_int_equal(ERR_REDIS_LOST, o.code);
    assert_non_null(strstr(o.detail, "reset"));
    redis_close(r);
    loop_free(l);
    (void)close(liar.listener);
}

/* ---- the owner closes in the worst moment ---- */

static void close_on_state(void *arg, bool up, struct err why) {
    struct redis **r = arg;
    (void)why;
    (void)up;
    redis_close(*r);
    *r = NULL;
}

static bool is_null(void *arg) { return *(struct redis **)arg == NULL; }

static void close_on_answer(void *arg, struct err err, const struct reply *reply) {
    (void)reply;
    assert_int_equal(ERR_REDIS_LOST, err.code);
    close_on_state(arg, false, err);
}

static void test_redis_faults__close_inside_on_state_and_inside_a_loss_then_fine(void **state) {
    (void)state;
    struct server *server = start(NULL);
    int fds = server_count_fds();
    struct loop *l = new_loop();
    char url[64];
    struct redis *r;
    struct redis_options o = options_for(url, server_port(server), NULL);
    o.on_state = close_on_state;
    o.arg = &r;
    assert_ok(redis_new(l, &o, &r)); /* up: inside the parser */
    assert_true(wait_until(l, SOON_MS, is_null, &r));
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d", server_free_port());
    assert_ok(redis_new(l, &o, &r)); /* down */
    assert_true(wait_until(l, SOON_MS, is_null, &r));
    r = connected_to(l, server_port(server), NULL);
    struct outcome behind = {0};
    struct broker b = redis_broker(r);
    broker_call(&b, 3, (struct str[]){STR("BLPOP"), STR("none"), STR("0")}, close_on_answer, &r);
    send_words(r, 0, "PING", &behind);
    wait_ms(l, 20);
    server_kill(server);
    assert_true(wait_until(l, SOON_MS, is_null, &r));
    assert_int_equal(1, behind.runs);
    loop_free(l);
    assert_int_equal(fds, server_count_fds());
    server_stop(server);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis_faults__refused_then_down_with_cause_and_calls_fail_at_once),
        cmocka_unit_test(test_redis_faults__no_such_socket_then_down),
        cmocka_unit_test(test_redis_faults__deaf_peer_then_down_by_the_connect_deadline),
        cmocka_unit_test(test_redis_faults__no_answer_then_lost_at_the_deadline_and_up_again),
        cmocka_unit_test(test_redis_faults__a_longer_deadline_for_a_blocking_call_then_its_answer),
        cmocka_unit_test(test_redis_faults__we_were_stopped_past_the_deadline_then_the_answers_count),
        cmocka_unit_test(test_redis_faults__killed_and_restarted_then_lost_and_up_within_5_s),
        cmocka_unit_test(test_redis_faults__lost_with_output_unsent_then_only_that_is_down),
        cmocka_unit_test(test_redis_faults__silent_and_idle_then_the_ping_finds_out),
        cmocka_unit_test(test_redis_faults__a_reply_over_64_mib_then_lost_and_up_again),
        cmocka_unit_test(test_redis_faults__passwords_and_users_then_in_or_told_why),
        cmocka_unit_test(test_redis_faults__a_database_that_is_not_there_then_not_up),
        cmocka_unit_test(test_redis_faults__nonsense_then_down_with_a_reason),
        cmocka_unit_test(test_redis_faults__greeted_and_hung_up_on_each_time_then_the_pauses_grow),
        cmocka_unit_test(test_redis_faults__reset_then_lost),
        cmocka_unit_test(test_redis_faults__close_inside_on_state_and_inside_a_loss_then_fine),
    };
    return cmocka_run_group_tests(tests, setup_process, NULL);
}
