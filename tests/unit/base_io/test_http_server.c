/* What a client sees of a server that works: answers, order, keep-alive, bodies, and what handlers are told. */
#include "http_visitor.h"

static struct fixture f;
static struct client c;

static int setup(void **state) {
    (void)state;
    fixture_init(&f);
    return fixture_start(&f) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    client_close(&c);
    fixture_stop(&f);
    return 0;
}

static const char *body_of(const struct client *k) {
    const char *at = strstr(k->got, "\r\n\r\n");
    assert_non_null(at);
    return at + 4;
}

static void test_http_server__get_then_answer_with_date_and_length(void **state) {
    (void)state;
    assert_int_equal(200, one_shot(&f, &c, STR("GET /echo?x=1 HTTP/1.1\r\n" H END)));
    const char *date = strstr(c.got, "Date: ");
    assert_non_null(date);
    assert_non_null(strstr(date, " GMT\r\n"));
    assert_int_equal(37, strstr(date, "\r\n") - date + 2); /* "Date: Sun, 06 Nov 1994 08:49:37 GMT" */
    assert_non_null(strstr(c.got, "Content-Length: 10\r\n"));
    assert_non_null(strstr(c.got, "Content-Type: text/plain\r\n"));
    assert_string_equal("GET /echo ", body_of(&c));
    assert_int_equal(1, f.heads);
    assert_int_equal(1, f.done);
    assert_int_equal(200, f.done_status);
    assert_int_equal(c.n, f.done_bytes);
    assert_int_equal(0, f.gone);
}

static void test_http_server__head_then_length_without_body(void **state) {
    (void)state;
    assert_int_equal(200, one_shot(&f, &c, STR("HEAD /echo HTTP/1.1\r\n" H END)));
    assert_non_null(strstr(c.got, "Content-Length: 11\r\n"));
    assert_string_equal("", body_of(&c));
}

static void test_http_server__status_204_then_neither_length_nor_body(void **state) {
    (void)state;
    assert_int_equal(204, one_shot(&f, &c, STR("GET /nothing HTTP/1.1\r\n" H END)));
    assert_null(strstr(c.got, "Content-Length"));
    assert_string_equal("", body_of(&c));
}

static void test_http_server__line_break_in_header_value_then_one_line(void **state) {
    (void)state;
    assert_int_equal(200, one_shot(&f, &c, STR("GET /empty HTTP/1.1\r\n" H END)));
    assert_non_null(strstr(c.got, "X-Note: a  b: c\r\n"));
    assert_non_null(strstr(c.got, "Content-Length: 0\r\n"));
    assert_null(strstr(c.got, "Content-Type"));
}

static void test_http_server__body_in_pieces_then_whole(void **state) {
    (void)state;
    static const struct str pieces[] = {
        STR("POST /echo HTTP/1.1\r\n" H "Content-Length: 6\r\n\r\nab"),
        STR("cd"),
        STR("ef"),
        STR("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n2\r\nu"),
        STR("v\r\n1"),
        STR("\r\nw\r\n0\r"),
        STR("\nT: x\r\n\r\nPOST /echo HTTP/1.1\r\n" H "Content-Length: 0\r\n" END),
    };
    client_open(&c, &f);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        assert_true(client_send(&c, pieces[i]));
        pump_once(&f);
        pump_once(&f);
    }
    pump(&f, client_ended, &c);
    assert_int_equal(3, times(&c, "HTTP/1.1 200 "));
    assert_non_null(strstr(c.got, "POST /echo abcdef"));
    assert_non_null(strstr(c.got, "POST /echo uvw"));
    assert_int_equal(0, f.bads);
}

static const struct {
    const char *name, *request;
    bool stays, says_keep, says_close;
} keep_rules[] = {
    {"1.1", "GET /echo HTTP/1.1\r\n" H "\r\n", true, false, false},
    {"1.1 close", "GET /echo HTTP/1.1\r\n" H "Connection: close\r\n\r\n", false, false, true},
    {"1.1 Close among others", "GET /echo HTTP/1.1\r\n" H "Connection: x, Close\r\n\r\n", false, false, true},
    {"1.0", "GET /echo HTTP/1.0\r\n\r\n", false, false, true},
    {"1.0 keep-alive", "GET /echo HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, true, false},
    {"refused without body", "GET /deny HTTP/1.1\r\n" H "\r\n", true, false, false},
    {"refused with body", "POST /deny HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n", false, false, true},
    {"refused, the body is here", "POST /deny HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nGET /", true, false, false},
    {"refused with chunks", "POST /deny HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n", false, false, true},
};

static void test_http_server__keep_alive_by_the_rules(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof keep_rules / sizeof keep_rules[0]; i++) {
        client_open(&c, &f);
        assert_true(client_send(&c, str_c(keep_rules[i].request)));
        pump_times(&f, &c, "\r\n\r\n", 1);
        bool keep = strstr(c.got, "Connection: keep-alive\r\n") != NULL;
        bool close_said = strstr(c.got, "Connection: close\r\n") != NULL;
        if (keep != keep_rules[i].says_keep || close_said != keep_rules[i].says_close) {
            fail_msg("%s:\n%s", keep_rules[i].name, c.got);
        }
        if (keep_rules[i].stays) {
            assert_true(client_send(&c, STR("GET /echo/again HTTP/1.1\r\n" H END)));
        }
        pump(&f, client_ended, &c);
        assert_int_equal(keep_rules[i].stays ? 2 : 1, times(&c, "HTTP/1.1 "));
        client_close(&c);
    }
    assert_int_equal(9 + 4, f.done);
}

static void test_http_server__pipelined_then_answered_in_order(void **state) {
    (void)state;
    client_open(&c, &f);
    assert_true(client_send(&c, STR("GET /echo/1 HTTP/1.1\r\n" H "\r\nGET /wait HTTP/1.1\r\n" H "\r\n"
                                    "GET /echo/3 HTTP/1.1\r\n" H "\r\nGET /echo/4 HTTP/1.1\r\n" H END)));
    pump(&f, one_waits, &f);
    for (int i = 0; i < 5; i++) {
        pump_once(&f);
    }
    assert_int_equal(2, f.requests); /* the third is not even looked at while an answer is due */
    answer_waiting(&f, STR("answer 2"));
    assert_int_equal(2, f.requests); /* and http_respond does not call the handler */
    pump(&f, client_ended, &c);
    const char *one = strstr(c.got, "/echo/1");
    const char *two = strstr(c.got, "answer 2");
    const char *three = strstr(c.got, "/echo/3");
    const char *four = strstr(c.got, "/echo/4");
    assert_true(one != NULL && two > one && three > two && four > three);
    assert_int_equal(4, f.done);
}

static void test_http_server__thousand_pipelined_then_thousand_answers(void **state) {
    (void)state;
    const struct str one = STR("GET /echo HTTP/1.1\r\n" H "\r\n");
    const int n = 1000;
    client_open(&c, &f);
    char *p = malloc(one.n * (size_t)n);
    assert_non_null(p);
    for (int i = 0; i < n; i++) {
        memcpy(p + one.n * (size_t)i, one.p, one.n);
    }
    assert_true(client_send(&c, str_of(p, one.n * (size_t)n)));
    free(p);
    assert_int_equal(0, shutdown(c.fd, SHUT_WR));
    pump(&f, client_ended, &c);
    assert_int_equal(n, times(&c, "HTTP/1.1 200 OK\r\n"));
    assert_int_equal(n, f.done);
    assert_int_equal(0, f.bads);
}

static void test_http_server__flood_while_waiting_then_reading_stops(void **state) {
    (void)state;
    static char flood[1024 * 1024];
    int blocked = 0;
    size_t sent = 0;
    memset(flood, 'x', sizeof flood);
    client_open(&c, &f);
    assert_true(client_send(&c, STR("GET /wait HTTP/1.1\r\n" H "\r\n")));
    pump(&f, one_waits, &f);
    while (blocked < 50 && sent < 256 * sizeof flood) {
        ssize_t n = send(c.fd, flood, sizeof flood, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
        blocked = n > 0 ? 0 : blocked + 1;
        pump_once(&f);
    }
    assert_int_equal(50, blocked); /* the kernel's buffers are full and stay so */
    answer_waiting(&f, STR("still here"));
    pump_times(&f, &c, "HTTP/1.1 400 ", 1);
    assert_non_null(strstr(c.got, "still here"));
}

static void test_http_server__expect_continue_then_100_before_the_body(void **state) {
    (void)state;
    const struct str head = STR("POST /echo HTTP/1.1\r\n" H "Expect: 100-Continue\r\nContent-Length: 3\r\n" END);
    client_open(&c, &f);
    assert_true(client_send(&c, head));
    pump_times(&f, &c, "HTTP/1.1 100 Continue\r\n\r\n", 1);
    assert_true(client_send(&c, STR("abc")));
    pump(&f, client_ended, &c);
    assert_non_null(strstr(c.got, "POST /echo abc"));
    client_close(&c);

    assert_int_equal(401, one_shot(&f, &c, STR("POST /deny HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")));
    assert_int_equal(413,
                     one_shot(&f, &c, STR("POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 999999\r\n\r\n")));
    /* The body is there already, the client is of 1.0, or there is none: nobody waits for a 100. */
    assert_int_equal(200,
                     one_shot(&f, &c, STR("POST /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 1\r\n" END "x")));
    assert_int_equal(200, one_shot(&f, &c, STR("GET /echo HTTP/1.1\r\n" H "Expect: 100-continue\r\n" END)));
}

static bool answered(void *arg) {
    struct fixture *g = arg;
    return g->done > 0;
}

static void test_http_server__answer_larger_than_the_socket_takes_then_whole(void **state) {
    (void)state;
    f.big = 7 * 1024 * 1024;
    fixture_shrink_send_buffers();
    client_open(&c, &f);
    assert_true(client_send(&c, STR("GET /big HTTP/1.1\r\n" H "\r\n")));
    for (int i = 0; i < 50; i++) {
        pump_once(&f);
    }
    assert_int_equal(1, f.requests);
    assert_int_equal(0, f.done); /* not before the last byte is handed to the kernel */
    assert_true(client_send(&c, STR("GET /echo HTTP/1.1\r\n" H END)));
    pump(&f, client_ended, &c);
    assert_int_equal(2, times(&c, "HTTP/1.1 200 OK\r\n"));
    assert_true(c.n > f.big);
    assert_string_equal("GET /echo ", c.got + c.n - 10);
}

static void test_http_server__answer_past_the_limit_then_500(void **state) {
    (void)state;
    f.big = 9 * 1024 * 1024;
    assert_int_equal(500, one_shot(&f, &c, STR("GET /big HTTP/1.1\r\n" H "\r\n")));
    assert_int_equal(500, f.done_status);
}

static void test_http_server__client_leaves_amid_the_answer_then_done_once(void **state) {
    (void)state;
    f.big = 7 * 1024 * 1024;
    fixture_shrink_send_buffers();
    client_open(&c, &f);
    assert_true(client_send(&c, STR("GET /big HTTP/1.1\r\n" H "\r\n")));
    for (int i = 0; i < 20; i++) {
        pump_once(&f);
    }
    assert_int_equal(0, f.done);
    client_close(&c);
    pump(&f, answered, &f);
    pump(&f, no_connections, &f);
    assert_int_equal(1, f.done);
    assert_int_equal(0, f.gone);
    assert_true(f.done_bytes < f.big);
}

static void test_http_server__half_closed_client_then_still_answered(void **state) {
    (void)state;
    client_open(&c, &f);
    assert_true(client_send(&c, STR("GET /wait HTTP/1.1\r\n" H "\r\nGET /echo/2 HTTP/1.1\r\n" H "\r\n")));
    assert_int_equal(0, shutdown(c.fd, SHUT_WR));
    pump(&f, one_waits, &f);
    for (int i = 0; i < 5; i++) {
        pump_once(&f);
    }
    assert_int_equal(0, f.gone);
    answer_waiting(&f, STR("patience"));
    pump(&f, client_ended, &c);
    assert_non_null(strstr(c.got, "patience"));
    assert_non_null(strstr(c.got, "/echo/2"));
}

static void test_http_server__end_amid_a_request_then_400(void **state) {
    (void)state;
    static const char *const cut[] = {"GET /echo HT", "POST /echo HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nab"};
    for (size_t i = 0; i < 2; i++) {
        client_open(&c, &f);
        assert_true(client_send(&c, str_c(cut[i])));
        assert_int_equal(0, shutdown(c.fd, SHUT_WR));
        pump(&f, client_ended, &c);
        assert_int_equal(1, times(&c, "HTTP/1.1 400 "));
        client_close(&c);
    }
    assert_int_equal(0, f.requests);
    assert_int_equal(1, f.gone); /* the second had been announced by on_head */
}

static void test_http_server__reset_while_waiting_then_gone(void **state) {
    (void)state;
    const struct linger now = {.l_onoff = 1, .l_linger = 0};
    client_open(&c, &f);
    assert_true(client_send(&c, STR("GET /wait HTTP/1.1\r\n" H "\r\n")));
    pump(&f, one_waits, &f);
    assert_int_equal(0, setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now));
    client_close(&c);
    pump(&f, no_connections, &f);
    assert_int_equal(1, f.gone);
    assert_int_equal(0, f.done);
}

static void test_http_server__head_that_waits_then_the_body_is_not_read_before(void **state) {
    (void)state;
    client_open(&c, &f);
    assert_true(client_send(&c, STR("POST /ask HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")));
    pump(&f, one_waits, &f);
    assert_int_equal(0, times(&c, "100 Continue"));
    f.waiting_n = 0;
    http_go_on(f.waiting[0]);
    pump_times(&f, &c, "HTTP/1.1 100 Continue\r\n\r\n", 1);
    assert_int_equal(0, f.requests);
    assert_true(client_send(&c, STR("hi")));
    pump_times(&f, &c, "POST /ask hi", 1);
    assert_true(client_send(&c, STR("GET /ask HTTP/1.1\r\n" H END)));
    pump(&f, one_waits, &f);
    f.waiting_n = 0;
    http_go_on(f.waiting[0]);
    pump(&f, client_ended, &c);
    assert_int_equal(1, times(&c, "GET /ask "));
    assert_int_equal(2, f.done);
}

static void test_http_server__head_that_waits_and_is_refused_then_the_connection_ends(void **state) {
    (void)state;
    client_open(&c, &f);
    assert_true(client_send(&c, STR("POST /ask HTTP/1.1\r\n" H "Content-Length: 99999\r\n\r\nxx")));
    pump(&f, one_waits, &f);
    answer_waiting(&f, STR("no"));
    pump(&f, client_ended, &c);
    assert_int_equal(1, times(&c, "Connection: close"));
    assert_int_equal(0, f.requests);
}

static void test_http_server__query_then_each_parameter(void **state) {
    (void)state;
    static const struct {
        const char *query, *all;
    } cases[] = {
        {"a=1&b=%41%c3%a4", "[a=1][b=A\xc3\xa4]"}, {"&&a&", "[a=]"}, {"a=%ff&%zz=1", "[a=-][-=1]"}, {"%61=b=c", "[a=b=c]"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena a;
        arena_init(&a, 1024, 4096);
        struct http_request req = {.arena = &a};
        struct str rest = str_c(cases[i].query), name, value, all = STR("");
        while (http_query_next(&req, &rest, &name, &value)) {
            all = arena_printf(&a, "%.*s[%.*s=%.*s]", STR_ARG(all), STR_ARG(name.p != NULL ? name : STR("-")),
                               STR_ARG(value.p != NULL ? value : STR("-")));
        }
        assert_str(cases[i].all, all);
        arena_free(&a);
    }
    client_open(&c, &f);
}

static void test_http_server__request_fields_then_as_sent(void **state) {
    (void)state;
    client_open(&c, &f);
    assert_true(
        client_send(&c, STR("POST http://a/wait?q=%41&r&s=a%2Fb HTTP/1.1\r\n" H "X-Twice: 1\r\nx-twice: 2\r\nX-Pad: \t v \t\r\n"
                            "X-None:\r\nContent-Length: 2\r\n" END "hi")));
    pump(&f, one_waits, &f);
    struct http_request *req = f.waiting[0];
    assert_str("POST", req->method);
    assert_str("http://a/wait?q=%41&r&s=a%2Fb", req->target);
    assert_str("/wait", req->path);
    assert_str("q=%41&r&s=a%2Fb", req->query);
    assert_str("hi", req->body);
    assert_int_equal(6 + 1, req->headers_n);
    assert_str("1", http_request_header(req, "X-TWICE"));
    assert_str("v", http_request_header(req, "x-pad"));
    assert_str("", http_request_header(req, "x-none"));
    assert_non_null(http_request_header(req, "x-none").p);
    assert_null(http_request_header(req, "x-absent").p);
    assert_str("A", http_query(req, "q"));
    assert_str("", http_query(req, "r"));
    assert_non_null(http_query(req, "r").p);
    assert_str("a/b", http_query(req, "s"));
    assert_null(http_query(req, "t").p);
    assert_true(str_starts(req->peer, STR("127.0.0.1:")));
    answer_waiting(&f, STR_NONE);
    pump(&f, client_ended, &c);
}

static void test_http_server__percent_decoding(void **state) {
    (void)state;
    static const struct {
        const char *in, *out;
    } cases[] = {{"", ""},      {"a+b", "a+b"}, {"%41%62", "Ab"}, {"%e2%82%ac", "\xe2\x82\xac"},
                 {"%2F", "/"},  {"%", NULL},    {"%4", NULL},     {"a%4", NULL},
                 {"%4g", NULL}, {"%g4", NULL},  {"%%41", NULL},   {"%00", NULL}};
    struct arena a;
    arena_init(&a, 1024, 4096);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str s = http_decode(&a, str_c(cases[i].in));
        if (cases[i].out == NULL) {
            assert_null(s.p);
        } else {
            assert_non_null(s.p);
            assert_str(cases[i].out, s);
        }
    }
    arena_free(&a);
    client_open(&c, &f);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(test_http_server__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(get_then_answer_with_date_and_length),
        T(head_then_length_without_body),
        T(status_204_then_neither_length_nor_body),
        T(line_break_in_header_value_then_one_line),
        T(body_in_pieces_then_whole),
        T(keep_alive_by_the_rules),
        T(pipelined_then_answered_in_order),
        T(thousand_pipelined_then_thousand_answers),
        T(flood_while_waiting_then_reading_stops),
        T(expect_continue_then_100_before_the_body),
        T(answer_larger_than_the_socket_takes_then_whole),
        T(answer_past_the_limit_then_500),
        T(client_leaves_amid_the_answer_then_done_once),
        T(half_closed_client_then_still_answered),
        T(end_amid_a_request_then_400),
        T(reset_while_waiting_then_gone),
        T(head_that_waits_then_the_body_is_not_read_before),
        T(head_that_waits_and_is_refused_then_the_connection_ends),
        T(query_then_each_parameter),
        T(request_fields_then_as_sent),
        T(percent_decoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
