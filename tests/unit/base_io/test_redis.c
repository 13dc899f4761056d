/* The Redis client against a real server: replies, errors, pipelines, closing. Faults are in test_redis_faults.c. */
#include "redis_fixture.h"

#include <signal.h>

static struct server *server;

static int start_server(void **state) {
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    open_process_fds();
    server = server_redis_start(NULL);
    return server != NULL ? 0 : -1;
}

static int stop_server(void **state) {
    (void)state;
    server_stop(server);
    return 0;
}

struct fixture {
    struct loop *loop;
    struct redis *redis;
    int fds;
};

static struct fixture setup_patient(int64_t command_ms) {
    struct fixture f = {.fds = server_count_fds()};
    char url[64];
    struct redis_options o = options_for(url, server_port(server), NULL);
    o.command_ms = command_ms;
    assert_ok(loop_new(&f.loop));
    assert_ok(redis_new(f.loop, &o, &f.redis));
    assert_true(wait_until(f.loop, SOON_MS, is_up, f.redis));
    assert_reply("OK", f.loop, f.redis, "FLUSHALL");
    return f;
}

static struct fixture setup(void) { return setup_patient(2000); }

static void teardown(struct fixture *f) {
    redis_close(f->redis);
    loop_free(f->loop);
    assert_int_equal(f->fds, server_count_fds());
}

static void test_redis__commands_of_every_reply_type_then_replies(void **state) {
    (void)state;
    static const struct {
        const char *command, *reply;
    } cases[] = {
        {"SET k v", "OK"},
        {"GET k", "v"},
        {"GET missing", "nil"},
        {"INCRBY n -9223372036854775807", "-9223372036854775807"},
        {"MGET k missing n", "[v nil -9223372036854775807]"},
        {"LRANGE missing 0 -1", "[]"},
        {"XADD s 1-1 h a p b", "1-1"},
        {"XADD s 1-2 h c p d", "1-2"},
        {"XRANGE s - +", "[[1-1 [h a p b]] [1-2 [h c p d]]]"},
        {"XGROUP CREATE s g 0", "OK"},
        {"XREADGROUP GROUP g c COUNT 9 STREAMS s >", "[[s [[1-1 [h a p b]] [1-2 [h c p d]]]]]"},
        {"XDEL s 1-1", "1"},
        {"XREADGROUP GROUP g c COUNT 9 STREAMS s 0", "[[s [[1-1 nil] [1-2 [h c p d]]]]]"}, /* deleted but pending */
        {"XREADGROUP GROUP g c COUNT 9 BLOCK 1 STREAMS s >", "nil"},
        {"CLIENT GETNAME", "test"},
    };
    struct fixture f = setup();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_reply(cases[i].reply, f.loop, f.redis, cases[i].command);
    }
    teardown(&f);
}

static void test_redis__binary_arguments_then_bytes_come_back(void **state) {
    (void)state;
    struct fixture f = setup();
    struct outcome o = {0};
    struct broker b = redis_broker(f.redis);
    const struct str bytes = {"a\0\r\nb", 5};
    broker_call(&b, 3, (struct str[]){STR("SET"), bytes, STR_NONE}, note_outcome, &o);
    assert_true(wait_until(f.loop, SOON_MS, has_run, &o));
    assert_string_equal("OK", o.text);
    o = (struct outcome){0};
    broker_call(&b, 2, (struct str[]){STR("STRLEN"), bytes}, note_outcome, &o);
    assert_true(wait_until(f.loop, SOON_MS, has_run, &o));
    assert_string_equal("0", o.text);
    teardown(&f);
}

static void test_redis__an_error_reply_then_its_code(void **state) {
    (void)state;
    static const struct {
        const char *setup, *command;
        enum err_code code;
    } cases[] = {
        {"SET k v", "LPUSH k v", ERR_REDIS_REPLY},
        {"DEL s", "XREADGROUP GROUP g c STREAMS s >", ERR_REDIS_NOGROUP},
        {"PING", "FCALL nothing 0", ERR_REDIS_NOFUNC},
        {"PING", "NOSUCHCOMMAND", ERR_REDIS_REPLY},
        {"CONFIG SET maxmemory 1", "SET k v", ERR_REDIS_FULL},
        {"CONFIG SET maxmemory 0", "NOSUCHCOMMAND", ERR_REDIS_REPLY},
        {"REPLICAOF 127.0.0.1 1", "SET k v", ERR_REDIS_FULL},                /* READONLY */
        {"CONFIG SET replica-serve-stale-data no", "GET k", ERR_REDIS_FULL}, /* MASTERDOWN */
        {"REPLICAOF NO ONE", "NOSUCHCOMMAND", ERR_REDIS_REPLY},
        {"CONFIG SET min-replicas-to-write 1", "SET k v", ERR_REDIS_FULL}, /* NOREPLICAS */
        {"CONFIG SET min-replicas-to-write 0", "NOSUCHCOMMAND", ERR_REDIS_REPLY},
        {"ACL SETUSER default -incr", "INCR n", ERR_REDIS_REPLY}, /* NOPERM */
        {"ACL SETUSER default +incr", "NOSUCHCOMMAND", ERR_REDIS_REPLY},
    };
    struct fixture f = setup();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(ERR_NONE, ask(f.loop, f.redis, cases[i].setup).code);
        assert_fails(cases[i].code, f.loop, f.redis, cases[i].command);
    }
    teardown(&f);
}

static void test_redis__words_of_error_replies_then_codes(void **state) {
    (void)state;
    static const struct {
        const char *message;
        enum err_code code;
    } cases[] = {
        {"OOM command not allowed", ERR_REDIS_FULL},
        {"MISCONF Redis is configured", ERR_REDIS_FULL},
        {"READONLY You can't", ERR_REDIS_FULL},
        {"LOADING Redis is loading", ERR_REDIS_FULL},
        {"BUSY Redis is busy", ERR_REDIS_FULL},
        {"MASTERDOWN Link", ERR_REDIS_FULL},
        {"NOREPLICAS Not enough", ERR_REDIS_FULL},
        {"NOGROUP No such key", ERR_REDIS_NOGROUP},
        {"ERR Function not found", ERR_REDIS_NOFUNC},
        {"BUSYGROUP Consumer Group name already exists", ERR_REDIS_REPLY},
        {"WRONGPASS invalid", ERR_REDIS_REPLY},
        {"NOPERM this user", ERR_REDIS_REPLY},
        {"NOAUTH Authentication", ERR_REDIS_REPLY},
        {"ERR unknown command", ERR_REDIS_REPLY},
        {"", ERR_REDIS_REPLY},
        {"OOM", ERR_REDIS_FULL},
        {"OOMph", ERR_REDIS_REPLY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err e = redis_reply_err(str_c(cases[i].message));
        assert_int_equal(cases[i].code, e.code);
        assert_string_equal(cases[i].message, e.detail);
    }
}

/* ---- pipelines ---- */

struct counter {
    int next, wrong; /* answers must come in the order of the calls */
    int total;
    struct redis *close_at_end;
};

static void count(void *arg, struct err err, const struct reply *reply) {
    struct counter *c = arg;
    c->wrong += err.code != ERR_NONE || reply_int(reply, -1) != c->next + 1;
    c->next++;
    if (c->next == c->total && c->close_at_end != NULL) {
        redis_close(c->close_at_end);
    }
}

static bool all_counted(void *arg) { return ((struct counter *)arg)->next == ((struct counter *)arg)->total; }

static void send_incrs(struct redis *r, int n, struct counter *c) {
    struct broker b = redis_broker(r);
    for (int i = 0; i < n; i++) {
        broker_call(&b, 2, (struct str[]){STR("INCR"), STR("n")}, count, c);
    }
}

static void test_redis__a_pipeline_of_10000_then_all_answered_in_order(void **state) {
    (void)state;
    struct fixture f = setup();
    struct counter c = {.total = 10000};
    send_incrs(f.redis, c.total, &c);
    assert_int_equal(c.total, redis_pending(f.redis));
    assert_true(wait_until(f.loop, SOON_MS, all_counted, &c));
    assert_int_equal(0, c.wrong);
    assert_int_equal(0, redis_pending(f.redis));
    teardown(&f);
}

static long writes_so_far(void) {
    char line[64];
    long n = -1;
    FILE *f = fopen("/proc/self/io", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL) {
        (void)sscanf(line, "syscw: %ld", &n);
    }
    if (f != NULL) {
        (void)fclose(f);
    }
    return n;
}

static void test_redis__calls_of_one_turn_then_one_write(void **state) {
    (void)state;
    struct fixture f = setup();
    struct counter c = {.total = 100};
    long before = writes_so_far();
    if (before < 0 || getenv("TEST_VALGRIND") != NULL) { /* valgrind's own are counted with them */
        teardown(&f);
        skip();
    }
    send_incrs(f.redis, c.total, &c);
    assert_true(wait_until(f.loop, SOON_MS, all_counted, &c));
    assert_int_equal(1, writes_so_far() - before);
    teardown(&f);
}

static void test_redis__more_than_the_bounds_then_busy_and_all_answered(void **state) {
    (void)state;
    struct fixture f = setup_patient(20000); /* sanitizers and valgrind are slow with so much */
    struct outcome o = {0}, refused = {0};
    struct buf big;
    buf_init(&big, 20 << 20);
    assert_non_null(buf_reserve(&big, 17 << 20));
    memset(big.p, 'x', 17 << 20);
    struct broker b = redis_broker(f.redis);
    broker_call(&b, 2, (struct str[]){STR("ECHO"), str_of(big.p, 17 << 20)}, note_outcome, &o);
    send_words(f.redis, 0, "PING", &refused); /* the output is full */
    assert_int_equal(ERR_BUSY, refused.code);
    buf_free(&big);
    assert_true(wait_until(f.loop, 20000, has_run, &o));
    assert_int_equal(ERR_NONE, o.code);
    assert_reply("PONG", f.loop, f.redis, "PING");
    teardown(&f);
}

/* ---- closing ---- */

static void test_redis__close_with_calls_pending_then_closed_before_it_returns(void **state) {
    (void)state;
    struct fixture f = setup();
    struct outcome sent = {0}, unsent = {0};
    send_words(f.redis, 0, "BLPOP none 0", &sent);
    wait_ms(f.loop, 20);
    send_words(f.redis, 0, "PING", &unsent);
    redis_close(f.redis);
    f.redis = NULL;
    assert_int_equal(1, sent.runs);
    assert_int_equal(ERR_CLOSED, sent.code);
    assert_int_equal(1, unsent.runs);
    assert_int_equal(ERR_CLOSED, unsent.code);
    teardown(&f);
}

static void test_redis__close_inside_a_callback_with_more_replies_read_then_fine(void **state) {
    (void)state;
    struct fixture f = setup();
    struct counter c = {.total = 10, .close_at_end = f.redis};
    struct outcome after = {0};
    send_incrs(f.redis, c.total, &c);
    send_words(f.redis, 0, "PING", &after);
    assert_true(wait_until(f.loop, SOON_MS, has_run, &after));
    assert_int_equal(ERR_CLOSED, after.code);
    assert_int_equal(10, c.next);
    f.redis = NULL;
    teardown(&f);
}

/* ---- urls ---- */

static void test_redis__urls_then_accepted_or_refused_with_a_hint(void **state) {
    (void)state;
    static const struct {
        const char *url, *hint; /* NULL: good */
    } cases[] = {
        {"redis://127.0.0.1", NULL},
        {"redis://localhost:6379/3", NULL},
        {"redis://[::1]:6379", NULL},
        {"redis://me:p%40ss@10.0.0.1:1", NULL},
        {"redis://:only@10.0.0.1/", NULL},
        {"unix:/run/redis.sock", NULL},
        {"redis://example.com", "not a name"},
        {"redis://", "redis://["},
        {"redis://127.0.0.1:0", "port"},
        {"redis://127.0.0.1:99999", "redis url"},
        {"redis://127.0.0.1/x", "database"},
        {"redis://127.0.0.1/-1", "database"},
        {"rediss://127.0.0.1", "unknown scheme"},
        {"http://127.0.0.1", "unknown scheme"},
        {"unix:relative", "absolute path"},
        {"", "unknown scheme"},
    };
    struct loop *l;
    assert_ok(loop_new(&l));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct redis *r = NULL;
        struct err e = redis_new(l, &(struct redis_options){.url = cases[i].url, .connect_ms = 10, .command_ms = 10}, &r);
        if (cases[i].hint == NULL) {
            assert_ok(e);
        } else {
            assert_int_equal(ERR_INVALID, e.code);
            assert_non_null(strstr(e.detail, cases[i].hint));
            assert_null(r);
        }
        redis_close(r);
    }
    loop_free(l);
}

/* ---- torture ---- */

static void torture_connection(void *arg) {
    struct loop *l;
    struct redis *r;
    char url[64];
    struct states s = {0};
    (void)arg;
    if (err_is_set(loop_new(&l))) {
        return;
    }
    struct redis_options o = options_for(url, server_port(server), &s);
    o.user = "default";
    o.password = "ignored";
    if (err_is_set(redis_new(l, &o, &r))) {
        loop_free(l);
        return;
    }
    if (wait_until(l, torture_is_failing() ? 120 : SOON_MS, is_up, r)) {
        struct outcome out = {0};
        send_words(r, 0, "CONFIG GET max*", &out);
        assert_true(wait_until(l, SOON_MS, has_run, &out));
        assert_int_equal(1, out.runs);
        assert_true(torture_is_failing() || out.code == ERR_NONE);
    }
    redis_close(r);
    loop_free(l);
}

static void test_redis__allocations_fail_then_an_error_and_no_leak(void **state) {
    (void)state;
    torture(torture_connection, NULL);
}

static void test_redis__a_system_call_fails_then_an_error_or_no_difference(void **state) {
    (void)state;
    torture_io(torture_connection, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis__commands_of_every_reply_type_then_replies),
        cmocka_unit_test(test_redis__binary_arguments_then_bytes_come_back),
        cmocka_unit_test(test_redis__an_error_reply_then_its_code),
        cmocka_unit_test(test_redis__words_of_error_replies_then_codes),
        cmocka_unit_test(test_redis__a_pipeline_of_10000_then_all_answered_in_order),
        cmocka_unit_test(test_redis__calls_of_one_turn_then_one_write),
        cmocka_unit_test(test_redis__more_than_the_bounds_then_busy_and_all_answered),
        cmocka_unit_test(test_redis__close_with_calls_pending_then_closed_before_it_returns),
        cmocka_unit_test(test_redis__close_inside_a_callback_with_more_replies_read_then_fine),
        cmocka_unit_test(test_redis__urls_then_accepted_or_refused_with_a_hint),
        cmocka_unit_test(test_redis__allocations_fail_then_an_error_and_no_leak),
        cmocka_unit_test(test_redis__a_system_call_fails_then_an_error_or_no_difference),
    };
    return cmocka_run_group_tests(tests, start_server, stop_server);
}
