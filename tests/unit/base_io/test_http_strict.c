/* What must never be taken for a request: the request-smuggling vectors that tell HTTP servers apart, and the limits. */
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
    fixture_stop(&f);
    return 0;
}

#define SNEAK "GET /echo/sneaked HTTP/1.1\r\n" H "\r\n"
struct vector {
    const char *name;
    struct str request;
    int status;
};
#define V(name, text, status) \
    { name, {text, sizeof(text) - 1}, status }

static const struct vector vectors[] = {
    V("length and coding", "POST /echo HTTP/1.1\r\n" H "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SNEAK,
      400),
    V("coding and length", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" SNEAK,
      400),
    V("two different lengths", "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
    V("two equal lengths", "POST /echo HTTP/1.1\r\n" H "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    V("length +5", "POST /echo HTTP/1.1\r\n" H "Content-Length: +5\r\n\r\nabcde", 400),
    V("length 5 5", "POST /echo HTTP/1.1\r\n" H "Content-Length: 5 5\r\n\r\nabcde", 400),
    V("length 5, 5", "POST /echo HTTP/1.1\r\n" H "Content-Length: 5, 5\r\n\r\nabcde", 400),
    V("length -1", "POST /echo HTTP/1.1\r\n" H "Content-Length: -1\r\n\r\nabcde", 400),
    V("empty length", "POST /echo HTTP/1.1\r\n" H "Content-Length: \r\n\r\nabcde", 400),
    V("length 0x5", "POST /echo HTTP/1.1\r\n" H "Content-Length: 0x5\r\n\r\nabcde", 400),
    V("length past 64 bits", "POST /echo HTTP/1.1\r\n" H "Content-Length: 18446744073709551621\r\n\r\nabcde", 400),
    V("coding xchunked", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400),
    V("coding chunked, identity", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
    V("coding identity, chunked", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n", 400),
    V("coding gzip, chunked", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    V("coding twice", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      400),
    V("coding with a space and a tab behind", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked \t\r\n\r\n0\r\n\r\n", 400),
    V("coding with a space behind", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked \r\n\r\n0\r\n\r\n", 400),
    V("coding with vertical tab", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400),
    V("space before colon", "POST /echo HTTP/1.1\r\n" H "Content-Length : 5\r\n\r\nabcde", 400),
    V("bare CR in value", "GET /echo HTTP/1.1\r\n" H "X: a\rb\r\n\r\n", 400),
    V("bare CR as a line end", "GET /echo HTTP/1.1\r\n" H "X: a\rContent-Length: 5\r\n\r\nabcde", 400),
    V("bare CR and a colon", "GET /echo HTTP/1.1\r\n" H "X:\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    V("NUL in value", "GET /echo HTTP/1.1\r\n" H "X: a\0b\r\n\r\n", 400),
    V("bare LF line ends", "GET /echo HTTP/1.1\nHost: a\n\n", 400),
    V("one bare LF", "GET /echo HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    V("bare LF as the end", "GET /echo HTTP/1.1\r\nHost: a\r\n\n", 400),
    V("LF before the request", "\nGET /echo HTTP/1.1\r\n" H "\r\n", 400),
    V("folded line", "GET /echo HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", 400),
    V("folded line with colon", "GET /echo HTTP/1.1\r\n" H "X: a\r\n b: c\r\n\r\n", 400),
    V("folded with tab", "GET /echo HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", 400),
    V("folded coding", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    V("space before the first header", "POST /echo HTTP/1.1\r\n Host: a\r\nContent-Length: 5\r\n\r\nabcde", 400),
    V("chunk data without CRLF", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc0\r\n\r\n" SNEAK, 400),
    V("chunk extension with bare LF", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3;x\nabc\r\n0\r\n\r\n", 400),
    V("chunk size with bare LF", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400),
    V("chunk size 0x3", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", 400),
    V("chunk size -3", "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", 400),
    V("chunk size past 64 bits",
      "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n10000000000000003\r\nabc\r\n0\r\n\r\n", 400),
    V("header name with space", "GET /echo HTTP/1.1\r\n" H "X y: a\r\n\r\n", 400),
    V("empty header name", "GET /echo HTTP/1.1\r\n" H ": a\r\n\r\n", 400),
    V("header without colon", "GET /echo HTTP/1.1\r\n" H "Xa\r\n\r\n", 400),
    V("no Host", "GET /echo HTTP/1.1\r\n\r\n", 400),
    V("two Hosts", "GET /echo HTTP/1.1\r\n" H "Host: b\r\n\r\n", 400),
    V("two equal Hosts", "GET /echo HTTP/1.1\r\n" H H "\r\n", 400),
    V("two Hosts on 1.0", "GET /echo HTTP/1.0\r\n" H H "\r\n", 400),
    V("Host with userinfo", "GET /echo HTTP/1.1\r\nHost: u@a\r\n\r\n", 400),
    V("Host with path", "GET /echo HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    V("coding on 1.0", "POST /echo HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    V("absolute target, other host", "GET http://b/echo HTTP/1.1\r\n" H "\r\n", 400),
    V("absolute target, other port", "GET http://a:81/echo HTTP/1.1\r\n" H "\r\n", 400),
    V("absolute target, userinfo", "GET http://a@a/echo HTTP/1.1\r\n" H "\r\n", 400),
    V("absolute target, other scheme", "GET ftp://a/echo HTTP/1.1\r\n" H "\r\n", 400),
    V("star target for GET", "GET * HTTP/1.1\r\n" H "\r\n", 400),
    V("fragment in target", "GET /echo#x HTTP/1.1\r\n" H "\r\n", 400),
    V("two spaces before target", "GET  /echo HTTP/1.1\r\n" H "\r\n", 400),
    V("space in target", "GET /echo x HTTP/1.1\r\n" H "\r\n", 400),
    V("control byte in target", "GET /echo\x01 HTTP/1.1\r\n" H "\r\n", 400),
    V("high byte in target", "GET /echo\xc3\xa4 HTTP/1.1\r\n" H "\r\n", 400),
    V("HTTP/2.0", "GET /echo HTTP/2.0\r\n" H "\r\n", 400),
    V("HTTP/0.9", "GET /echo HTTP/0.9\r\n" H "\r\n", 400),
    V("no version", "GET /echo\r\n\r\n", 400),
    V("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    V("RTSP method", "DESCRIBE /echo HTTP/1.1\r\n" H "\r\n", 400),
    V("other protocol", "SOURCE /echo ICE/1.0\r\n" H "\r\n", 400),
    V("method of no standard", "FOO /echo HTTP/1.1\r\n" H "\r\n", 400),
    V("TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01", 400),
    V("answer instead of request", "HTTP/1.1 200 OK\r\n\r\n", 400),
};

static void test_http_strict__smuggling_vector_then_400_and_end(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        int requests = f.requests;
        int status = one_shot(&f, &c, vectors[i].request);
        if (status != vectors[i].status || f.requests != requests || times(&c, "HTTP/1.1 ") != 1 || c.reset) {
            fail_msg("%s: status %d, %d reached the handler, answers:\n%s", vectors[i].name, status, f.requests - requests,
                     c.got);
        }
        assert_non_null(strstr(c.got, "Connection: close\r\n"));
        assert_non_null(strstr(c.got, "Content-Type: application/problem+json\r\n"));
    }
}

/* The same, one byte at a time: no vector may depend on how the network cuts it. */
static void test_http_strict__vector_in_single_bytes_then_400(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        int requests = f.requests;
        client_open(&c, &f);
        for (size_t k = 0; k < vectors[i].request.n && !client_ended(&c); k++) {
            (void)client_send(&c, str_of(vectors[i].request.p + k, 1));
            pump_once(&f);
        }
        pump(&f, client_ended, &c);
        client_close(&c);
        if (strncmp(c.got, "HTTP/1.1 400 ", 13) != 0 || f.requests != requests) {
            fail_msg("%s: %d reached the handler, answer:\n%s", vectors[i].name, f.requests - requests, c.got);
        }
    }
    pump(&f, no_connections, &f);
}

_Static_assert(sizeof SNEAK - 1 == 39, "the length named below");
static const struct vector good[] = {
    V("empty line before", "\r\n\r\nGET /echo HTTP/1.1\r\n" H "\r\n", 200),
    V("empty Host", "GET /echo HTTP/1.1\r\nHost:\r\n\r\n", 200),
    V("no Host on 1.0", "GET /echo HTTP/1.0\r\n\r\n", 200),
    V("absolute target", "GET http://A:80/echo HTTP/1.1\r\nHost: a:80\r\n\r\n", 200),
    V("absolute target without path", "GET http://a?x=1 HTTP/1.1\r\n" H "\r\n", 200),
    V("star target", "OPTIONS * HTTP/1.1\r\n" H "\r\n", 200),
    V("CONNECT", "CONNECT a:80 HTTP/1.1\r\n" H "\r\n", 200),
    V("upgrade offered", "GET /echo HTTP/1.1\r\n" H "Upgrade: h2c\r\nConnection: upgrade\r\n\r\n", 200),
    V("CONNECT with a body", "CONNECT a:80 HTTP/1.1\r\n" H "Content-Length: 39\r\n\r\n" SNEAK, 200),
    V("upgrade with a body", "POST /echo HTTP/1.1\r\n" H "Upgrade: x\r\nConnection: upgrade\r\nContent-Length: 39\r\n\r\n" SNEAK,
      200),
    V("lower-case coding", "POST /echo HTTP/1.1\r\n" H "transfer-encoding: CHUNKED\r\n\r\n0\r\n\r\n", 200),
    V("chunk extension and trailer",
      "POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nX: y\r\n\r\n", 200),
};

/* The client ends its stream behind the request: whatever the server takes for a second one is answered too, and seen. */
static void expect_one_answer(const struct vector *v, size_t step) {
    client_open(&c, &f);
    for (size_t at = 0; at < v->request.n; at += step) {
        assert_true(client_send(&c, str_of(v->request.p + at, step < v->request.n - at ? step : v->request.n - at)));
        pump_once(&f);
    }
    assert_int_equal(0, shutdown(c.fd, SHUT_WR));
    pump(&f, client_ended, &c);
    client_close(&c);
    if (strncmp(c.got, "HTTP/1.1 200 ", 13) != 0 || times(&c, "HTTP/1.1 ") != 1) {
        fail_msg("%s, %zu bytes at a time:\n%s", v->name, step, c.got);
    }
}

static void test_http_strict__unusual_but_right_then_200(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        expect_one_answer(&good[i], good[i].request.n);
        expect_one_answer(&good[i], 1);
    }
    assert_int_equal(0, f.bads);
    pump(&f, no_connections, &f);
}

static char *text_of(const char *head, size_t fill, const char *tail, size_t *out_n) {
    size_t h = strlen(head);
    size_t t = strlen(tail);
    char *p = malloc(h + fill + t);
    assert_non_null(p);
    memcpy(p, head, h);
    memset(p + h, 'x', fill);
    memcpy(p + h + fill, tail, t);
    *out_n = h + fill + t;
    return p;
}

static void expect_filled(const char *head, size_t fill, const char *tail, int status) {
    size_t n;
    char *p = text_of(head, fill, tail, &n);
    assert_int_equal(status, one_shot(&f, &c, str_of(p, n)));
    free(p);
}

static void test_http_strict__head_past_16_kib_then_431(void **state) {
    (void)state;
    const char *head = "GET /echo HTTP/1.1\r\n" H "Connection: close\r\nX: ";
    size_t rest = strlen(head) + 4;
    expect_filled(head, 16384 - rest, "\r\n\r\n", 200);
    expect_filled(head, 16385 - rest, "\r\n\r\n", 431);
    expect_filled(head, 100000, "\r\n\r\n", 431);
    expect_filled(head, 16384, "", 431); /* before the head ends */
    expect_filled("GET /", 20000, " HTTP/1.1\r\n" H "\r\n", 431);
}

static void expect_headers(int n, int status) {
    char text[4096];
    size_t at = (size_t)snprintf(text, sizeof text, "GET /echo HTTP/1.1\r\n" H "Connection: close\r\n");
    for (int i = 2; i < n; i++) {
        at += (size_t)snprintf(text + at, sizeof text - at, "X-%d: y\r\n", i);
    }
    at += (size_t)snprintf(text + at, sizeof text - at, "\r\n");
    assert_int_equal(status, one_shot(&f, &c, str_of(text, at)));
}

static void test_http_strict__more_than_100_headers_then_431(void **state) {
    (void)state;
    expect_headers(100, 200);
    expect_headers(101, 431);
}

static void test_http_strict__body_past_the_limit_then_413(void **state) {
    (void)state;
    int requests = f.requests;
    /* By its length alone: nothing of it is waited for, and no handler hears of it. */
    assert_int_equal(413, one_shot(&f, &c, STR("POST /echo HTTP/1.1\r\n" H "Content-Length: 100001\r\n\r\n")));
    assert_int_equal(0, f.heads);
    expect_filled("POST /echo HTTP/1.1\r\n" H "Content-Length: 100001\r\n\r\n", 100001, "", 413);
    expect_filled("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n186a1\r\n", 100001, "\r\n0\r\n\r\n", 413);
    assert_int_equal(requests, f.requests);
    assert_int_equal(1, f.gone); /* the chunked one had reached on_head */
    expect_filled("POST /echo HTTP/1.1\r\n" H "Connection: close\r\nContent-Length: 100000\r\n\r\n", 100000, "", 200);
    expect_filled("POST /echo HTTP/1.1\r\n" H "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n186a0\r\n", 100000,
                  "\r\n0\r\n\r\n", 200);
}

static void test_http_strict__endless_chunk_extension_or_trailer_then_413(void **state) {
    (void)state;
    expect_filled("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3;", 20000, "", 413);
    expect_filled("POST /echo HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nX: ", 20000, "", 413);
}

static void test_http_strict__many_tiny_chunks_then_200(void **state) {
    (void)state;
    const char *head = "POST /echo HTTP/1.1\r\n" H "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    const struct str chunk = STR("1\r\na\r\n");
    const size_t chunks = 10000;
    size_t h = strlen(head);
    char *p = malloc(h + chunks * chunk.n + 5);
    assert_non_null(p);
    memcpy(p, head, h);
    for (size_t i = 0; i < chunks; i++) {
        memcpy(p + h + i * chunk.n, chunk.p, chunk.n);
    }
    memcpy(p + h + chunks * chunk.n, "0\r\n\r\n", 5);
    assert_int_equal(200, one_shot(&f, &c, str_of(p, h + chunks * chunk.n + 5)));
    free(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_http_strict__smuggling_vector_then_400_and_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_http_strict__vector_in_single_bytes_then_400, setup, teardown),
        cmocka_unit_test_setup_teardown(test_http_strict__unusual_but_right_then_200, setup, teardown),
        cmocka_unit_test_setup_teardown(test_http_strict__head_past_16_kib_then_431, setup, teardown),
        cmocka_unit_test_setup_teardown(test_http_strict__more_than_100_headers_then_431, setup, teardown),
        cmocka_unit_test_setup_teardown(test_http_strict__body_past_the_limit_then_413, setup, teardown),
        cmocka_unit_test_setup_teardown(test_http_strict__endless_chunk_extension_or_trailer_then_413, setup, teardown),
        cmocka_unit_test_setup_teardown(test_http_strict__many_tiny_chunks_then_200, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
