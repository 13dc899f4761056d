/* What a server owes itself: deadlines, numbers of connections, and no memory taken per request. */
#include "http_two_visitors.h"

static int64_t ms_until_end(struct client *k) {
    struct mono began = loop_now(f.loop);
    pump(&f, client_ended, k);
    return mono_ms_since(loop_now(f.loop), began);
}

static void test_http_limits__slow_head_then_408(void **state) {
    (void)state;
    f.o.header_ms = 200;
    assert_true(fixture_start(&f));
    client_open(&c, &f);
    assert_true(client_send(&c, STR("GET /echo HTTP/1.1\r\n" H "\r\n")));
    pump_times(&f, &c, "/echo", 1);
    assert_true(client_send(&c, STR("GET /ech")));
    assert_in_range(ms_until_end(&c), 150, 5000);
    assert_int_equal(1, times(&c, "HTTP/1.1 408 "));
    assert_int_equal(408, f.bad_status);
    assert_true(c.eof);
}

struct drip {
    struct client *c;
    struct mono next;
};

/* Sends a byte every 20 ms: never stops, never finishes. */
static bool dripping_client_ended(void *arg) {
    struct drip *p = arg;
    struct mono now = loop_now(f.loop);
    if (now.us >= p->next.us) {
        (void)client_send(p->c, STR("x"));
        p->next.us = now.us + 20000;
    }
    return client_ended(p->c);
}

static void test_http_limits__dripping_head_then_408_all_the_same(void **state) {
    (void)state;
    f.o.header_ms = 200;
    assert_true(fixture_start(&f));
    client_open(&c, &f);
    assert_true(client_send(&c, STR("GET /echo HTTP/1.1\r\nX: ")));
    struct mono began = loop_now(f.loop);
    pump(&f, dripping_client_ended, &(struct drip){&c, began});
    assert_in_range(mono_ms_since(loop_now(f.loop), began), 150, 5000);
    assert_int_equal(1, times(&c, "HTTP/1.1 408 "));
}

static void test_http_limits__idle_then_closed_without_a_word(void **state) {
    (void)state;
    f.o.idle_ms = 200;
    f.o.header_ms = 100;
    assert_true(fixture_start(&f));
    client_open(&c, &f); /* never says anything */
    client_open(&d, &f); /* says something, and an empty line that starts no request */
    assert_true(client_send(&d, STR("GET /echo HTTP/1.1\r\n" H "\r\n\r\n")));
    assert_in_range(ms_until_end(&c), 150, 5000);
    pump(&f, client_ended, &d);
    assert_int_equal(0, c.n);
    assert_int_equal(1, times(&d, "HTTP/1.1 "));
    assert_int_equal(0, f.bads);
}

static void test_http_limits__waiting_longer_than_every_deadline_then_answered(void **state) {
    (void)state;
    f.o.idle_ms = 50;
    f.o.header_ms = 50;
    assert_true(fixture_start(&f));
    client_open(&c, &f);
    assert_true(client_send(&c, STR("GET /wait HTTP/1.1\r\n" H "\r\n")));
    client_open(&d, &f);
    assert_in_range(ms_until_end(&d), 30, 5000); /* the other one's deadline passes meanwhile */
    client_close(&d);
    client_open(&d, &f);
    pump(&f, client_ended, &d);
    answer_waiting(&f, STR("late"));
    pump(&f, client_ended, &c);
    assert_non_null(strstr(c.got, "late"));
}

struct bodies {
    struct client *fast;
    struct mono next;
    int left;
};

/* 100 bytes every 100 ms. */
static bool fast_body_sent(void *arg) {
    static const char some[100] = {'x'};
    struct bodies *b = arg;
    struct mono now = loop_now(f.loop);
    client_read(b->fast);
    client_read(&d);
    if (b->left > 0 && now.us >= b->next.us) {
        assert_true(client_send(b->fast, str_of(some, sizeof some)));
        b->next.us = now.us + 100000;
        b->left--;
    }
    return b->left == 0 && (b->fast->eof || b->fast->reset) && (d.eof || d.reset);
}

static void test_http_limits__body_below_the_least_rate_then_408(void **state) {
    (void)state;
    char early[40];
    f.o.body_bytes_per_s = 200;
    assert_true(fixture_start(&f));
    assert_int_equal(200, one_shot(&f, &c, STR("GET /echo HTTP/1.1\r\n" H END)));
    const char *date = strstr(c.got, "Date: ");
    assert_non_null(date);
    (void)snprintf(early, sizeof early, "%.37s", date);
    client_open(&c, &f); /* 1000 bytes a second for 6 s */
    client_open(&d, &f); /* a burst, then silence: what was sent early buys no more than 5 s */
    assert_true(client_send(&c, STR("POST /echo HTTP/1.1\r\n" H "Content-Length: 6000\r\n" END)));
    assert_true(client_send(&d, STR("POST /echo HTTP/1.1\r\n" H "Content-Length: 6000\r\n" END)));
    pump_once(&f);
    pump_once(&f);
    static const char burst[5000] = {'x'};
    assert_true(client_send(&d, str_of(burst, sizeof burst)));
    struct mono began = loop_now(f.loop);
    pump(&f, fast_body_sent, &(struct bodies){&c, began, 60});
    assert_in_range(mono_ms_since(loop_now(f.loop), began), 5500, 20000);
    assert_int_equal(1, times(&c, "HTTP/1.1 200 "));
    assert_int_equal(1, times(&d, "HTTP/1.1 408 "));
    assert_int_equal(1, f.gone);
    assert_int_equal(0, times(&c, early)); /* the date has moved on */
}

static void test_http_limits__client_that_reads_nothing_then_dropped(void **state) {
    (void)state;
    f.o.idle_ms = 200;
    f.big = 7 * 1024 * 1024;
    assert_true(fixture_start(&f));
    fixture_shrink_send_buffers();
    client_open(&c, &f);
    assert_true(client_send(&c, STR("GET /big HTTP/1.1\r\n" H "\r\n")));
    while (f.requests == 0) {
        pump_once(&f);
    }
    pump(&f, no_connections, &f);
    assert_int_equal(1, f.done);
    assert_true(f.done_bytes < f.big);
}

/* 64 KiB every 20 ms: more than three times idle_ms for the whole. */
static bool slow_reader_ended(void *arg) {
    struct drip *p = arg;
    struct mono now = loop_now(f.loop);
    if (now.us >= p->next.us && !p->c->eof) {
        ssize_t n = recv(p->c->fd, p->c->got + p->c->n, 64 * 1024, MSG_DONTWAIT);
        p->c->n += n > 0 ? (size_t)n : 0;
        p->c->eof = n == 0;
        p->next.us = now.us + 20000;
    }
    return p->c->eof;
}

static void test_http_limits__client_that_reads_slowly_then_whole_answer(void **state) {
    (void)state;
    f.o.idle_ms = 300;
    f.big = 3 * 1024 * 1024;
    assert_true(fixture_start(&f));
    fixture_shrink_send_buffers();
    client_open(&c, &f);
    assert_true(client_send(&c, STR("GET /big HTTP/1.1\r\n" H END)));
    struct mono began = loop_now(f.loop);
    pump(&f, slow_reader_ended, &(struct drip){&c, began});
    assert_in_range(mono_ms_since(loop_now(f.loop), began), 600, FIXTURE_DEADLINE_MS);
    assert_true(c.n > f.big);
    assert_int_equal(c.n, f.done_bytes);
}

static void test_http_limits__one_connection_too_many_then_503(void **state) {
    (void)state;
    f.o.max_connections = 1;
    assert_true(fixture_start(&f));
    client_open(&c, &f);
    assert_true(client_send(&c, STR("GET /wait HTTP/1.1\r\n" H END)));
    pump(&f, one_waits, &f);
    for (int i = 0; i < 20; i++) {
        client_open(&d, &f);
        assert_true(client_send(&d, STR("GET /echo HTTP/1.1\r\n" H END)));
        pump(&f, client_ended, &d);
        assert_true(d.eof);
        assert_int_equal(1, times(&d, "HTTP/1.1 503 "));
        assert_int_equal(1, times(&d, "{\"status\":503"));
        client_close(&d);
    }
    assert_int_equal(1, http_server_connections(f.server));
    assert_int_equal(1, f.requests);
    answer_waiting(&f, STR("ok"));
    pump(&f, client_ended, &c);
    client_close(&c);
    pump(&f, no_connections, &f);
    assert_int_equal(200, one_shot(&f, &c, STR("GET /echo HTTP/1.1\r\n" H END)));
}

/* Many at once: libuv must go on accepting after each refusal. */
static void test_http_limits__burst_past_the_limit_then_all_answered(void **state) {
    (void)state;
    enum { N = 40 };
    static struct client many[N];
    int ok = 0;
    int full = 0;
    f.o.max_connections = 5;
    assert_true(fixture_start(&f));
    for (int i = 0; i < N; i++) {
        client_open(&many[i], &f);
        assert_true(client_send(&many[i], STR("GET /echo HTTP/1.1\r\n" H END)));
    }
    for (int i = 0; i < N; i++) {
        pump(&f, client_ended, &many[i]);
        ok += times(&many[i], "HTTP/1.1 200 ");
        full += times(&many[i], "HTTP/1.1 503 ");
        client_close(&many[i]);
    }
    assert_int_equal(N, ok + full);
    assert_true(ok >= 5);
    assert_true(full >= 1);
}

/* A handler may end the server at any call: each request is told its end once. */
static void close_on_done(void *arg, struct http_request *req, int status, size_t bytes) {
    struct fixture *g = arg;
    fixture_on_done(arg, req, status, bytes);
    http_server_close(g->server);
    g->server = NULL;
}

static void test_http_limits__close_from_on_done_then_done_once(void **state) {
    (void)state;
    f.o.on_done = close_on_done;
    assert_true(fixture_start(&f));
    client_open(&c, &f);
    assert_true(client_send(&c, STR("GET /echo HTTP/1.1\r\n" H "\r\nGET /echo HTTP/1.1\r\n" H "\r\n")));
    pump(&f, client_ended, &c);
    assert_int_equal(1, f.done);
    assert_int_equal(0, f.gone);
}

static void test_http_limits__close_while_waiting_then_gone(void **state) {
    (void)state;
    assert_true(fixture_start(&f));
    client_open(&c, &f);
    client_open(&d, &f);
    assert_true(client_send(&c, STR("GET /wait HTTP/1.1\r\n" H "\r\n")));
    pump(&f, one_waits, &f);
    assert_true(client_send(&d, STR("GET /wait HTTP/1.1\r\n" H))); /* no request yet */
    pump_once(&f);
    http_server_close(f.server);
    http_server_close(f.server);
    assert_int_equal(1, f.gone);
    f.server = NULL;
    pump(&f, client_ended, &c);
    pump(&f, client_ended, &d);
}

static void test_http_limits__bad_or_taken_address_then_error(void **state) {
    (void)state;
    static const char *const bad[] = {"",
                                      "8080",
                                      ":8080",
                                      "localhost:8080",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:65536",
                                      "127.0.0.1:-1",
                                      "127.0.0.1:80x",
                                      "[::1:8080",
                                      "::1:8080",
                                      "[127.0.0.1]:80"};
    struct http_server *second = NULL;
    char taken[32];
    assert_true(fixture_start(&f));
    struct http_server_options o = f.o;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        o.listen = bad[i];
        assert_err(ERR_INVALID, http_server_new(f.loop, &o, &second));
    }
    (void)snprintf(taken, sizeof taken, "127.0.0.1:%d", http_server_port(f.server));
    o.listen = taken;
    struct err e = http_server_new(f.loop, &o, &second);
    assert_int_equal(ERR_SYSTEM, e.code);
    assert_non_null(strstr(e.detail, taken));
    assert_null(second);
}

static void test_http_limits__ipv6_then_peer_in_brackets(void **state) {
    (void)state;
    f.o.listen = "[::1]:0";
    if (!fixture_start(&f)) {
        skip(); /* no IPv6 here */
    }
    struct sockaddr_in6 a = {
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)http_server_port(f.server)), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    memset(&c, 0, sizeof c); /* too large for a literal on the stack */
    c.fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, connect(c.fd, (struct sockaddr *)&a, sizeof a));
    assert_true(client_send(&c, STR("GET /wait HTTP/1.1\r\n" H END)));
    pump(&f, one_waits, &f);
    assert_true(str_starts(f.waiting[0]->peer, STR("[::1]:")));
    answer_waiting(&f, STR("six"));
    pump(&f, client_ended, &c);
    assert_non_null(strstr(c.got, "six"));
}

static void test_http_limits__requests_in_the_steady_state_then_no_allocation(void **state) {
    (void)state;
    static const struct str kinds[] = {
        STR("GET /echo HTTP/1.1\r\n" H "\r\n"),
        STR("POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc"),
        STR("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        STR("GET /deny HTTP/1.1\r\n" H "\r\n"),
    };
    assert_true(fixture_start(&f));
    client_open(&c, &f);
    long before = 0;
    for (int round = 0; round < 20; round++) {
        if (round == 2) {
            before = torture_allocations();
        }
        for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
            assert_true(client_send(&c, kinds[i]));
            pump_times(&f, &c, "HTTP/1.1 ", round * 4 + (int)i + 1);
        }
    }
    assert_int_equal(before, torture_allocations());
}

/* Everything of one client's visit, with success asserted only where it can be expected. */
static void visit(struct str request) {
    client_open(&c, &f);
    (void)client_send(&c, request);
    pump(&f, client_ended, &c);
    bool served = strncmp(c.got, "HTTP/1.1 200 ", 13) == 0;
    bool refused = c.n == 0 || strncmp(c.got, "HTTP/1.1 503 ", 13) == 0;
    assert_true(served || (torture_is_failing() && refused));
    client_close(&c);
}

static bool waits_or_ended(void *arg) { return one_waits(&f) || client_ended(arg); }

/* More comes while the answer is due: when there is no room for it, the waiting request is told. */
static void visit_and_pipeline(void) {
    static const char more[3000] = "GET /echo HTTP/1.1\r\n" H "X: ";
    client_open(&c, &f);
    (void)client_send(&c, STR("GET /wait HTTP/1.1\r\n" H "\r\n"));
    pump(&f, waits_or_ended, &c);
    (void)client_send(&c, str_of(more, sizeof more));
    pump_once(&f);
    pump_once(&f);
    if (f.waiting_n > 0) {
        answer_waiting(&f, STR("ok"));
    } else {
        assert_true(torture_is_failing());
    }
    pump(&f, client_ended, &c);
    client_close(&c);
}

static void scenario(void *arg) {
    (void)arg;
    fixture_init(&f);
    if (fixture_start(&f)) {
        visit(STR("GET /echo?x HTTP/1.1\r\n" H END));
        visit(STR("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n" END "3\r\nabc\r\n0\r\n\r\n"));
        f.big = 100000;
        visit(STR("GET /big HTTP/1.1\r\n" H "\r\nGET /echo HTTP/1.1\r\n" H END));
        visit_and_pipeline();
        pump(&f, no_connections, &f);
    } else {
        assert_true(torture_is_failing());
    }
    fixture_stop(&f);
    f = (struct fixture){0};
}

static void test_http_limits__any_allocation_fails_then_503_and_no_leak(void **state) {
    (void)state;
    torture(scenario, NULL);
}

static void test_http_limits__a_system_call_fails_then_an_error_or_no_difference(void **state) {
    (void)state;
    torture_io(scenario, NULL);
}

static void test_http_limits__after_all_no_descriptor_is_left(void **state) {
    (void)state;
    scenario(NULL); /* libuv opens a few of its own at the first loop and keeps them */
    int before = count_fds();
    for (int i = 0; i < 3; i++) {
        scenario(NULL);
    }
    assert_int_equal(before, count_fds());
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(test_http_limits__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(slow_head_then_408),
        T(dripping_head_then_408_all_the_same),
        T(idle_then_closed_without_a_word),
        T(waiting_longer_than_every_deadline_then_answered),
        T(body_below_the_least_rate_then_408),
        T(client_that_reads_nothing_then_dropped),
        T(client_that_reads_slowly_then_whole_answer),
        T(one_connection_too_many_then_503),
        T(burst_past_the_limit_then_all_answered),
        T(close_from_on_done_then_done_once),
        T(close_while_waiting_then_gone),
        T(bad_or_taken_address_then_error),
        T(ipv6_then_peer_in_brackets),
        T(requests_in_the_steady_state_then_no_allocation),
        T(any_allocation_fails_then_503_and_no_leak),
        T(a_system_call_fails_then_an_error_or_no_difference),
        T(after_all_no_descriptor_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
