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

enum { PART_BYTES = 512 * 1024, IMPATIENT_MS = 100 };
static char part[PART_BYTES + 1];

/* Of a part that the kernel does not take whole. */
static size_t begin_slow(void) {
    int room = 64 * 1024;
    begin();
    assert_int_equal(0, setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room));
    memset(part, 'x', PART_BYTES);
    assert_true(http_stream_send(stream, str_of(part, PART_BYTES)));
    assert_false(http_stream_send(stream, STR("not now\n")));
    return c.n + PART_BYTES;
}

/* The last event of a job is what its follower waits for. */
static void test_http_stream__given_the_end_while_a_part_waits_then_it_arrives_whole(void **state) {
    (void)state;
    size_t wanted = begin_slow();
    http_stream_end(stream);
    assert_null(stream); /* who sent is told at once */
    assert_int_equal(1, f.done);
    assert_int_equal(wanted, f.done_bytes);
    pump(&f, client_ended, &c);
    assert_int_equal(wanted, c.n);
    assert_true(c.eof && !c.reset);
    assert_non_null(strstr(c.got, part)); /* and in order */
    pump(&f, no_connections, &f);
    assert_int_equal(1, f.done);
    assert_int_equal(0, f.gone);
}

static int setup_impatient(void **state) {
    (void)state;
    fixture_init(&f);
    f.o.on_request = on_request;
    f.o.on_done = on_done;
    f.o.idle_ms = IMPATIENT_MS;
    stream = NULL;
    return fixture_start(&f) ? 0 : -1;
}

static void test_http_stream__given_the_end_and_a_client_that_does_not_read_then_it_is_cut(void **state) {
    (void)state;
    size_t wanted = begin_slow();
    http_stream_end(stream);
    pump(&f, no_connections, &f);
    assert_int_equal(1, f.done);
    pump(&f, client_ended, &c);
    assert_true(c.n < wanted);
}

static void test_http_stream__given_a_cut_while_a_part_waits_then_it_is_lost(void **state) {
    (void)state;
    size_t wanted = begin_slow();
    http_stream_cut(stream);
    assert_null(stream);
    assert_int_equal(1, f.done);
    pump(&f, client_ended, &c);
    assert_true(c.n < wanted);
}

/* Who is told of the end may be who closes the server. */
static void close_server(void *arg, struct http_request *req, int status, size_t bytes) {
    on_done(arg, req, status, bytes);
    http_server_close(f.server);
    f.server = NULL; /* the loop frees it */
}

static void test_http_stream__given_a_server_closed_by_the_end_then_nothing_is_touched(void **state) {
    (void)state;
    (void)begin_slow();
    http_stream_end(stream);
    pump(&f, client_ended, &c);
    assert_int_equal(1, f.done);
}

static int setup_closing(void **state) {
    (void)state;
    fixture_init(&f);
    f.o.on_request = on_request;
    f.o.on_done = close_server;
    stream = NULL;
    return fixture_start(&f) ? 0 : -1;
}

static bool begun_or_ended(void *arg) { return stream != NULL || client_ended(arg); }

static void visit(void *arg) {
    (void)arg;
    fixture_init(&f);
    f.o.on_request = on_request;
    f.o.on_done = on_done;
    stream = NULL;
    if (fixture_start(&f)) {
        client_open(&c, &f);
        (void)client_send(&c, REQUEST);
        pump(&f, begun_or_ended, &c);
        if (stream != NULL && http_stream_send(stream, str_of(part, PART_BYTES)) && stream != NULL) {
            http_stream_end(stream);
        }
        pump(&f, client_ended, &c);
        assert_true(torture_is_failing() || c.n > PART_BYTES);
        client_close(&c);
    } else {
        assert_true(torture_is_failing());
    }
    fixture_stop(&f);
    f = (struct fixture){0};
}

static void test_http_stream__any_allocation_fails_then_no_leak(void **state) {
    (void)state;
    torture(visit, NULL);
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
        T(given_the_end_while_a_part_waits_then_it_arrives_whole),
        T(given_a_cut_while_a_part_waits_then_it_is_lost),
        cmocka_unit_test_setup_teardown(test_http_stream__given_the_end_and_a_client_that_does_not_read_then_it_is_cut,
                                        setup_impatient, teardown),
        cmocka_unit_test_setup_teardown(test_http_stream__given_a_server_closed_by_the_end_then_nothing_is_touched, setup_closing,
                                        teardown),
        cmocka_unit_test(test_http_stream__any_allocation_fails_then_no_leak),
        T(given_the_servers_end_then_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
