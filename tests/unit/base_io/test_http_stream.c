/* Answers without an end: what a client gets, what one that does not read costs, and who is told of the end. */
#include "http_visitor.h"

static struct fixture f;
static struct client c;
static struct http_request *stream; /* that was begun; NULL: it has ended */

static void on_request(void *arg, struct http_request *req) {
    (void)arg;
    stream = req;
    http_stream_begin(req, &(struct http_answer){.status = 200, .content_type = "text/event-stream", .body = STR("one\n")});
}

static void on_done(void *arg, struct http_request *req, int status, size_t bytes) {
    fixture_on_done(arg, req, status, bytes);
    stream = NULL;
}

static int setup(void **state) {
    (void)state;
    fixture_init(&f);
    f.o.on_request = on_request;
    f.o.on_done = on_done;
    stream = NULL;
    return fixture_start(&f) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    client_close(&c);
    fixture_stop(&f);
    return 0;
}

#define REQUEST STR("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n")

static void begin(void) {
    client_open(&c, &f);
    assert_true(client_send(&c, REQUEST));
    pump_times(&f, &c, "one\n", 1);
    assert_non_null(stream);
}

static bool is_over(void *arg) {
    (void)arg;
    return stream == NULL;
}

static void test_http_stream__given_parts_then_they_come_one_by_one_and_end_with_the_connection(void **state) {
    (void)state;
    begin();
    assert_null(strstr(c.got, "Content-Length"));
    assert_non_null(strstr(c.got, "Connection: close\r\n"));
    assert_true(http_stream_send(stream, STR("two\n")));
    pump_times(&f, &c, "two\n", 1);
    assert_int_equal(0, f.done);
    http_stream_end(stream);
    pump(&f, client_ended, &c);
    assert_int_equal(1, f.done);
    assert_int_equal(200, f.done_status);
    assert_int_equal(c.n, f.done_bytes);
    assert_int_equal(0, f.gone);
}

static bool has_bytes(void *arg) {
    client_read(&c);
    return c.n >= *(size_t *)arg;
}

/* At most one part waits, and it arrives whole when the client reads again. */
static void test_http_stream__given_a_client_that_does_not_read_then_no_more_than_one_part_waits(void **state) {
    (void)state;
    static char big[512 * 1024];
    memset(big, 'x', sizeof big);
    int room = 64 * 1024;
    begin();
    assert_int_equal(0, setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room));
    size_t wanted = c.n;
    while (http_stream_send(stream, str_of(big, sizeof big))) {
        wanted += sizeof big;
        assert_true(wanted < CLIENT_BYTES - sizeof big);
        pump_once(&f);
    }
    assert_false(http_stream_send(stream, STR("not now\n")));
    pump(&f, has_bytes, &wanted);
    assert_true(http_stream_send(stream, STR("now\n")));
    pump_times(&f, &c, "now\n", 1);
    assert_null(strstr(c.got, "not now"));
}

static void test_http_stream__given_a_client_that_leaves_then_done_once(void **state) {
    (void)state;
    begin();
    assert_int_equal(0, shutdown(c.fd, SHUT_WR)); /* whoever only listens says goodbye so */
    pump(&f, is_over, NULL);
    assert_int_equal(1, f.done);
    assert_int_equal(0, f.gone);
}

static void test_http_stream__given_a_part_that_waits_then_it_can_be_ended(void **state) {
    (void)state;
    static char big[4 << 20];
    begin();
    while (http_stream_send(stream, str_of(big, sizeof big))) {
        pump_once(&f);
    }
    http_stream_end(stream);
    assert_null(stream);
    pump(&f, no_connections, &f);
    assert_int_equal(1, f.done);
}

static void test_http_stream__given_the_servers_end_then_done(void **state) {
    (void)state;
    begin();
    http_server_close(f.server);
    assert_null(stream);
    assert_int_equal(1, f.done);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(test_http_stream__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(given_parts_then_they_come_one_by_one_and_end_with_the_connection),
        T(given_a_client_that_does_not_read_then_no_more_than_one_part_waits),
        T(given_a_client_that_leaves_then_done_once),
        T(given_a_part_that_waits_then_it_can_be_ended),
        T(given_the_servers_end_then_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
