#include "http_client_fixture.h"

#include <dirent.h>

static int open_files(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d) != NULL) {
        n++;
    }
    (void)closedir(d);
    return n;
}

static void test_http_client__a_post_then_wire_and_reply_are_whole(void **state) {
    (void)state;
    static const struct peer_step script[] = {
        {PEER_ACCEPT, NULL},
        {PEER_READ, "{\"a\":1}"},
        {PEER_SEND, "HTTP/1.1 503 No\r\nRetry-After:  7 \r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
        {PEER_END, NULL}};
    static const struct http_header headers[] = {{STR("X-One"), STR("1")}, {STR("X-Empty"), STR("")}};
    char url[100];
    set_up(&the, NULL); /* libuv opens some files for good with the first loop */
    tear_down(&the);
    int files = open_files();
    set_up(&the, NULL);
    (void)setenv("http_proxy", "http://127.0.0.1:1", 1);
    peer_start(&the.peer, script);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/p?q=1", the.peer.port);
    (void)send_spec(&the, &(struct http_spec){.method = "POST",
                                              .url = str_c(url),
                                              .headers = headers,
                                              .headers_n = 2,
                                              .body = STR("{\"a\":1}"),
                                              .deadline_ms = DEADLINE_MS,
                                              .max_answer_bytes = 100});
    run(&the);
    peer_join(&the.peer);
    assert_ok(the.out[0].err);
    assert_int_equal(503, the.out[0].status);
    assert_string_equal("hello", the.out[0].body);
    assert_string_equal("7", the.out[0].retry_after);
    assert_non_null(strstr(the.peer.seen, "POST /p?q=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(the.peer.seen, "\r\nX-One: 1\r\n"));
    assert_non_null(strstr(the.peer.seen, "\r\nX-Empty:\r\n"));
    assert_non_null(strstr(the.peer.seen, "\r\nUser-Agent: test\r\n"));
    assert_non_null(strstr(the.peer.seen, "\r\nContent-Length: 7\r\n"));
    assert_null(strstr(the.peer.seen, "Expect"));
    assert_null(strstr(the.peer.seen, "Content-Type"));
    tear_down(&the);
    (void)unsetenv("http_proxy");
    assert_int_equal(files, open_files());
}

static void test_http_client__a_failure_then_only_what_was_never_sent_is_called_not_sent(void **state) {
    (void)state;
    static const struct {
        const char *scheme, *body;
        struct peer_step script[4];
        enum err_code want;
    } cases[] = {
        {"http", "x", {{PEER_ACCEPT, NULL}, {PEER_READ, "\r\n\r\nx"}, {PEER_RESET, NULL}}, ERR_NET_UNKNOWN},
        {"http", "x", {{PEER_ACCEPT, NULL}, {PEER_READ, "\r\n\r\nx"}, {PEER_CLOSE, NULL}}, ERR_NET_UNKNOWN},
        {"http", NULL, {{PEER_ACCEPT, NULL}, {PEER_READ, "\r\n\r\n"}, {PEER_CLOSE, NULL}}, ERR_NET_UNKNOWN},
        {"http", "x", {{PEER_ACCEPT, NULL}, {PEER_READ, "\r\n\r\nx"}, {PEER_HANG, NULL}}, ERR_NET_UNKNOWN},
        {"http", "x", {{PEER_ACCEPT, NULL}, {PEER_READ, "\r\n\r\nx"}, {PEER_SEND, "nonsense\r\n\r\n"}}, ERR_NET_UNKNOWN},
        {"http",
         "x",
         {{PEER_ACCEPT, NULL}, {PEER_READ, "\r\n\r\nx"}, {PEER_SEND, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"}},
         ERR_NET_UNKNOWN},
        {"https", "x", {{PEER_ACCEPT, NULL}, {PEER_RESET, NULL}}, ERR_NET_NOT_SENT},
        {"https", "x", {{PEER_ACCEPT, NULL}, {PEER_SEND, "not TLS\r\n"}, {PEER_CLOSE, NULL}}, ERR_NET_NOT_SENT},
        {"https", "x", {{PEER_ACCEPT, NULL}, {PEER_HANG, NULL}}, ERR_NET_NOT_SENT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char url[100];
        set_up(&the, NULL);
        peer_start(&the.peer, cases[i].script);
        (void)snprintf(url, sizeof url, "%s://127.0.0.1:%d/", cases[i].scheme, the.peer.port);
        (void)send_spec(
            &the,
            &(struct http_spec){
                .method = "POST", .url = str_c(url), .body = str_c(cases[i].body), .deadline_ms = 300, .max_answer_bytes = 100});
        run(&the);
        if (the.out[0].err.code != cases[i].want) {
            fail_msg("case %zu: %s: %s", i, err_name(the.out[0].err.code), the.out[0].err.detail);
        }
        tear_down(&the);
        peer_stop(&the.peer);
    }
}

static void test_http_client__refused_connections_then_all_end_at_once_as_not_sent(void **state) {
    (void)state;
    static const struct peer_step nothing[] = {{PEER_END, NULL}};
    static const struct http_client_options o = {.max_in_flight = 64, .max_waiting = 0};
    set_up(&the, &o);
    peer_start(&the.peer, nothing);
    peer_join(&the.peer); /* the port is free now */
    struct mono began = loop_now(the.loop);
    for (int i = 0; i < 64; i++) {
        (void)send_to(&the, "POST", "/", "x", false);
    }
    run(&the);
    assert_true(mono_ms_since(loop_now(the.loop), began) < DEADLINE_MS / 2);
    for (int i = 0; i < 64; i++) {
        assert_int_equal(ERR_NET_NOT_SENT, the.out[i].err.code);
    }
    tear_down(&the);
}

static void test_http_client__calls_on_their_way_then_it_is_known_for_whom(void **state) {
    (void)state;
    static const struct peer_step deaf[] = {{PEER_ACCEPT, NULL}, {PEER_READ, "\r\n\r\nx"}, {PEER_CLOSE, NULL},
                                            {PEER_ACCEPT, NULL}, {PEER_READ, "\r\n\r\nx"}, {PEER_CLOSE, NULL},
                                            {PEER_END, NULL}};
    static const struct http_client_options one_by_one = {.max_in_flight = 1, .max_waiting = 1};
    set_up(&the, &one_by_one);
    peer_start(&the.peer, deaf);
    for (int i = 0; i < 2; i++) {
        (void)send_to(&the, "POST", "/", "x", false);
        assert_string_equal("an answer by HTTP", http_client_waits(the.client, (uint32_t)i + 1));
    }
    assert_null(http_client_waits(the.client, 3));
    run(&the);
    assert_null(http_client_waits(the.client, 1));
    assert_null(http_client_waits(the.client, 2));
    tear_down(&the);
    peer_stop(&the.peer);
}

static void test_http_client__a_name_that_does_not_resolve_then_not_sent(void **state) {
    (void)state;
    set_up(&the, NULL);
    (void)send_to(&the, "POST", "http://nothing.invalid/", "x", false);
    run(&the);
    assert_int_equal(ERR_NET_NOT_SENT, the.out[0].err.code);
    tear_down(&the);
}

static void test_http_client__an_answer_too_large_then_cut(void **state) {
    (void)state;
    static const struct peer_step script[] = {{PEER_ACCEPT, NULL},
                                              {PEER_READ, "\r\n\r\n"},
                                              {PEER_SEND, "HTTP/1.1 201 OK\r\nContent-Length: 50000000\r\n\r\nhello, hello"},
                                              {PEER_HANG, NULL},
                                              {PEER_END, NULL}};
    char url[100];
    set_up(&the, NULL);
    peer_start(&the.peer, script);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", the.peer.port);
    (void)send_spec(&the,
                    &(struct http_spec){.method = "GET", .url = str_c(url), .deadline_ms = DEADLINE_MS, .max_answer_bytes = 7});
    run(&the);
    assert_ok(the.out[0].err);
    assert_int_equal(201, the.out[0].status);
    assert_string_equal("hello, ", the.out[0].body);
    tear_down(&the);
    peer_stop(&the.peer);
}

static void test_http_client__endless_headers_then_given_up(void **state) {
    (void)state;
    static char big[20000];
    static const struct peer_step script[] = {{PEER_ACCEPT, NULL}, {PEER_READ, "\r\n\r\n"}, {PEER_SEND, "HTTP/1.1 200 OK\r\n"},
                                              {PEER_SEND, big},    {PEER_HANG, NULL},       {PEER_END, NULL}};
    memset(big, 'x', sizeof big - 1);
    memcpy(big, "X: ", 3);
    for (size_t i = 100; i + 100 < sizeof big; i += 100) {
        memcpy(big + i, "\r\nX: ", 5);
    }
    set_up(&the, NULL);
    peer_start(&the.peer, script);
    struct mono began = loop_now(the.loop);
    (void)send_to(&the, "GET", "/", NULL, false);
    run(&the);
    assert_int_equal(ERR_NET_UNKNOWN, the.out[0].err.code);
    assert_true(mono_ms_since(loop_now(the.loop), began) < DEADLINE_MS / 2);
    tear_down(&the);
    peer_stop(&the.peer);
}

static void test_http_client__a_redirect_then_reported_not_followed(void **state) {
    (void)state;
    static const struct peer_step script[] = {{PEER_ACCEPT, NULL},
                                              {PEER_READ, "\r\n\r\n"},
                                              {PEER_SEND, "HTTP/1.1 302 Go\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n"},
                                              {PEER_READ, "GET /there"},
                                              {PEER_END, NULL}};
    set_up(&the, NULL);
    peer_start(&the.peer, script);
    (void)send_to(&the, "GET", "/", NULL, false);
    run(&the);
    assert_int_equal(302, the.out[0].status);
    tear_down(&the);
    peer_stop(&the.peer);
    assert_null(strstr(the.peer.seen, "/there"));
}

static void test_http_client__a_kept_connection_dies_then_a_post_is_not_sent_twice(void **state) {
    (void)state;
    static const struct peer_step script[] = {{PEER_ACCEPT, NULL}, {PEER_READ, "one"},     {PEER_SEND, OK_ANSWER},
                                              {PEER_READ, "two"},  {PEER_CLOSE, NULL},     {PEER_ACCEPT, NULL},
                                              {PEER_READ, "two"},  {PEER_SEND, OK_ANSWER}, {PEER_END, NULL}};
    set_up(&the, NULL);
    peer_start(&the.peer, script);
    (void)send_to(&the, "POST", "/", "one", false);
    run(&the);
    assert_ok(the.out[0].err);
    (void)send_to(&the, "POST", "/", "two", false);
    run(&the);
    assert_int_equal(ERR_NET_UNKNOWN, the.out[1].err.code);
    tear_down(&the);
    peer_stop(&the.peer);
    assert_true(strstr(strstr(the.peer.seen, "two") + 3, "two") == NULL);
}

static void test_http_client__a_kept_connection_dies_then_a_get_is_asked_again(void **state) {
    (void)state;
    static const struct peer_step script[] = {{PEER_ACCEPT, NULL},   {PEER_READ, "GET /1"},  {PEER_SEND, OK_ANSWER},
                                              {PEER_READ, "GET /2"}, {PEER_CLOSE, NULL},     {PEER_ACCEPT, NULL},
                                              {PEER_READ, "GET /2"}, {PEER_SEND, OK_ANSWER}, {PEER_END, NULL}};
    set_up(&the, NULL);
    peer_start(&the.peer, script);
    (void)send_to(&the, "GET", "/1", NULL, false);
    run(&the);
    (void)send_to(&the, "GET", "/2", NULL, false);
    run(&the);
    assert_ok(the.out[1].err);
    tear_down(&the);
    peer_join(&the.peer);
    assert_int_equal(2, the.peer.accepted);
}

static void test_http_client__full_then_later_calls_wait_and_more_are_busy(void **state) {
    (void)state;
    static const struct peer_step script[] = {{PEER_ACCEPT, NULL}, {PEER_READ, "one"},     {PEER_SEND, OK_ANSWER},
                                              {PEER_READ, "two"},  {PEER_SEND, OK_ANSWER}, {PEER_END, NULL}};
    static const struct http_client_options o = {.max_in_flight = 1, .max_waiting = 1};
    set_up(&the, &o);
    peer_start(&the.peer, script);
    (void)send_to(&the, "POST", "/", "one", false);
    (void)send_to(&the, "POST", "/", "two", false);
    (void)send_to(&the, "POST", "/", "three", false);
    run(&the);
    assert_ok(the.out[0].err);
    assert_ok(the.out[1].err);
    assert_int_equal(ERR_BUSY, the.out[2].err.code);
    tear_down(&the);
    peer_join(&the.peer);
    assert_int_equal(1, the.peer.accepted);
}

static void test_http_client__deadline_while_waiting_then_not_sent(void **state) {
    (void)state;
    static const struct peer_step script[] = {{PEER_ACCEPT, NULL}, {PEER_HANG, NULL}};
    static const struct http_client_options o = {.max_in_flight = 1, .max_waiting = 1};
    char url[100];
    set_up(&the, &o);
    peer_start(&the.peer, script);
    struct http_call *first = send_to(&the, "POST", "/", "one", false);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", the.peer.port);
    (void)send_spec(&the, &(struct http_spec){.method = "POST", .url = str_c(url), .deadline_ms = 50});
    the.pending--;
    while (the.out[1].times == 0) {
        loop_run(the.loop);
    }
    assert_int_equal(ERR_NET_NOT_SENT, the.out[1].err.code);
    assert_int_equal(0, the.out[0].times);
    the.pending++;
    http_cancel(first);
    run(&the);
    assert_int_equal(ERR_CANCELLED, the.out[0].err.code);
    tear_down(&the);
    peer_stop(&the.peer);
}

static void test_http_client__cancelled_then_the_callback_comes_once_from_the_loop(void **state) {
    (void)state;
    static const struct peer_step script[] = {{PEER_ACCEPT, NULL}, {PEER_HANG, NULL}};
    static const struct http_client_options o = {.max_in_flight = 1, .max_waiting = 2};
    set_up(&the, &o);
    peer_start(&the.peer, script);
    struct http_call *running = send_to(&the, "POST", "/", "one", false);
    struct http_call *waiting = send_to(&the, "POST", "/", "two", false);
    struct http_call *refused = send_to(&the, "PATCH", "/", "three", false);
    the.sending = true;
    http_cancel(waiting);
    http_cancel(running);
    http_cancel(running);
    http_cancel(refused);
    the.sending = false;
    run(&the);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ERR_CANCELLED, the.out[i].err.code);
    }
    tear_down(&the);
    peer_stop(&the.peer);
}

static void test_http_client__closed_with_calls_pending_then_all_fail_before_it_returns(void **state) {
    (void)state;
    static const struct peer_step script[] = {{PEER_ACCEPT, NULL}, {PEER_HANG, NULL}};
    static const struct http_client_options o = {.max_in_flight = 2, .max_waiting = 2};
    set_up(&the, &o);
    peer_start(&the.peer, script);
    for (int i = 0; i < 4; i++) {
        (void)send_to(&the, "POST", "/", "x", false);
    }
    (void)send_to(&the, "POST", "http://nothing.invalid/", "x", false);
    http_client_close(the.client);
    the.client = NULL;
    assert_int_equal(0, the.pending);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(ERR_CLOSED, the.out[i].err.code);
    }
    assert_int_equal(ERR_BUSY, the.out[4].err.code);
    tear_down(&the);
    peer_stop(&the.peer);
}

static void test_http_client__closed_in_a_callback_then_the_rest_is_delivered_too(void **state) {
    (void)state;
    static const struct peer_step script[] = {{PEER_ACCEPT, NULL}, {PEER_READ, "x"}, {PEER_HANG, NULL}};
    set_up(&the, NULL);
    peer_start(&the.peer, script);
    the.close_in_callback = true;
    (void)send_to(&the, "PATCH", "/", "x", false);
    (void)send_to(&the, "POST", "/", "x", false);
    (void)send_to(&the, "PATCH", "/", "x", false);
    run(&the);
    assert_int_equal(ERR_INVALID, the.out[0].err.code);
    assert_int_equal(ERR_CLOSED, the.out[1].err.code);
    assert_int_equal(ERR_INVALID, the.out[2].err.code);
    tear_down(&the);
    peer_stop(&the.peer);
}

static void test_http_client__bad_urls_and_headers_then_invalid_and_nothing_connects(void **state) {
    (void)state;
    static const char *const urls[] = {"",
                                       "nothing",
                                       "ftp://127.0.0.1/",
                                       "file:///etc/passwd",
                                       "http://",
                                       "http://a b/",
                                       "http://a/\r\nX: y",
                                       "http://a:99999/",
                                       "http://\x7f/"};
    static const struct http_header headers[] = {
        {STR("X-A"), STR("1\r\nX-B: 2")}, {STR("X-A"), STR("1\n2")}, {STR("X-A"), STR("1\0002")},
        {STR("X-A\r\nX-B"), STR("1")},    {STR(""), STR("1")},       {STR("X A"), STR("1")},
        {STR("X-A:"), STR("1")}};
    static const struct peer_step script[] = {{PEER_ACCEPT, NULL}, {PEER_END, NULL}};
    char url[100];
    set_up(&the, NULL);
    peer_start(&the.peer, script);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", the.peer.port);
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        (void)send_spec(&the, &(struct http_spec){.method = "GET", .url = str_c(urls[i]), .deadline_ms = DEADLINE_MS});
    }
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        (void)send_spec(
            &the, &(struct http_spec){
                      .method = "GET", .url = str_c(url), .headers = &headers[i], .headers_n = 1, .deadline_ms = DEADLINE_MS});
    }
    (void)send_spec(&the,
                    &(struct http_spec){.method = "GET", .url = STR("http://127.0.0.1\0.example/"), .deadline_ms = DEADLINE_MS});
    run(&the);
    for (int i = 0; i < the.calls; i++) {
        if (the.out[i].err.code != ERR_INVALID) {
            fail_msg("case %d: %s: %s", i, err_name(the.out[i].err.code), the.out[i].err.detail);
        }
    }
    tear_down(&the);
    peer_stop(&the.peer);
    assert_int_equal(0, the.peer.accepted);
}

static void on_any(void *arg, struct err err, const struct http_reply *reply) {
    struct setup *s = arg;
    assert_true(err_is_set(err) == (reply == NULL));
    assert_true(!err_is_set(err) || torture_is_failing());
    s->pending--;
    loop_stop(s->loop);
}

static void post_under_torture(void *arg) {
    static const struct peer_step script[] = {{PEER_ACCEPT, NULL}, {PEER_READ, "x"}, {PEER_SEND, OK_ANSWER}, {PEER_END, NULL}};
    static const struct http_client_options o = {.max_in_flight = 1, .max_waiting = 1, .allow_cidr = "127.0.0.0/8"};
    static const struct http_header header = {STR("X-A"), STR("1")};
    struct setup *s = arg;
    char url[100];
    s->client = NULL;
    if (err_is_set(loop_new(&s->loop))) {
        return;
    }
    peer_start(&s->peer, script);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/", s->peer.port);
    struct http_spec spec = {.method = "POST",
                             .url = str_c(url),
                             .headers = &header,
                             .headers_n = 1,
                             .body = STR("x"),
                             .deadline_ms = DEADLINE_MS,
                             .max_answer_bytes = 100,
                             .vetted = true};
    if (!err_is_set(http_client_new(s->loop, &o, &s->client))) {
        struct mono began = loop_now(s->loop);
        s->pending = 1;
        assert_non_null(http_send(s->client, &spec, on_any, s));
        while (s->pending > 0) {
            loop_run(s->loop);
        }
        assert_true(mono_ms_since(loop_now(s->loop), began) < DEADLINE_MS / 2); /* it fails, it does not wait */
    }
    http_client_close(s->client);
    loop_free(s->loop);
    peer_stop(&s->peer);
}

static void test_http_client__an_allocation_fails_then_the_callback_comes_all_the_same(void **state) {
    (void)state;
    torture(post_under_torture, &the);
}

static void test_http_client__a_system_call_fails_then_an_error_or_no_difference(void **state) {
    (void)state;
    torture_io(post_under_torture, &the);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_client__a_post_then_wire_and_reply_are_whole),
        cmocka_unit_test(test_http_client__a_failure_then_only_what_was_never_sent_is_called_not_sent),
        cmocka_unit_test(test_http_client__refused_connections_then_all_end_at_once_as_not_sent),
        cmocka_unit_test(test_http_client__calls_on_their_way_then_it_is_known_for_whom),
        cmocka_unit_test(test_http_client__a_name_that_does_not_resolve_then_not_sent),
        cmocka_unit_test(test_http_client__an_answer_too_large_then_cut),
        cmocka_unit_test(test_http_client__endless_headers_then_given_up),
        cmocka_unit_test(test_http_client__a_redirect_then_reported_not_followed),
        cmocka_unit_test(test_http_client__a_kept_connection_dies_then_a_post_is_not_sent_twice),
        cmocka_unit_test(test_http_client__a_kept_connection_dies_then_a_get_is_asked_again),
        cmocka_unit_test(test_http_client__full_then_later_calls_wait_and_more_are_busy),
        cmocka_unit_test(test_http_client__deadline_while_waiting_then_not_sent),
        cmocka_unit_test(test_http_client__cancelled_then_the_callback_comes_once_from_the_loop),
        cmocka_unit_test(test_http_client__closed_with_calls_pending_then_all_fail_before_it_returns),
        cmocka_unit_test(test_http_client__closed_in_a_callback_then_the_rest_is_delivered_too),
        cmocka_unit_test(test_http_client__bad_urls_and_headers_then_invalid_and_nothing_connects),
        cmocka_unit_test(test_http_client__an_allocation_fails_then_the_callback_comes_all_the_same),
        cmocka_unit_test(test_http_client__a_system_call_fails_then_an_error_or_no_difference),
    };
    return cmocka_run_group_tests_name("http_client", tests, NULL, NULL);
}
