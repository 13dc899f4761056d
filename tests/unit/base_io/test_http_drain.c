/* An orderly end: whoever began a request is answered, and who comes then finds the next server. */
#include "http_two_visitors.h"

static bool one_connection(void *arg) {
    struct fixture *g = arg;
    return http_server_connections(g->server) == 1;
}

static void test_http_drain__stop_accepting_then_drained(void **state) {
    (void)state;
    assert_true(fixture_start(&f));
    client_open(&c, &f);
    assert_true(client_send(&c, STR("GET /wait HTTP/1.1\r\n" H "\r\n")));
    pump(&f, one_waits, &f);
    client_open(&d, &f);
    assert_true(client_send(&d, STR("GET /echo HTTP/1.1\r\n" H "\r\n")));
    pump_times(&f, &d, "/echo", 1);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)http_server_port(f.server))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);

    http_server_stop_accepting(f.server);
    http_server_stop_accepting(f.server);
    pump(&f, client_ended, &d); /* idle: closed soon */
    assert_true(d.eof);
    client_close(&d);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(-1, connect(fd, (struct sockaddr *)&a, sizeof a));
    (void)close(fd);
    pump(&f, one_connection, &f);
    answer_waiting(&f, STR("last"));
    pump(&f, client_ended, &c);
    assert_non_null(strstr(c.got, "last"));
    assert_non_null(strstr(c.got, "Connection: close\r\n"));
    assert_int_equal(0, f.drained);
    client_close(&c);
    pump(&f, no_connections, &f);
    assert_int_equal(1, f.drained);
}

/* What a client sent on a kept connection before it could know is served, and told to be the last. */
static void test_http_drain__request_on_its_way_when_the_drain_begins_then_served(void **state) {
    (void)state;
    assert_true(fixture_start(&f));
    client_open(&c, &f);
    assert_true(client_send(&c, STR("GET /echo/1 HTTP/1.1\r\n" H "\r\n")));
    pump_times(&f, &c, "/echo/1", 1);
    assert_null(strstr(c.got, "Connection: close\r\n"));
    assert_true(client_send(&c, STR("GET /echo/2 HTTP/1.1\r\n" H "\r\n"))); /* in the socket; the loop has not seen it */
    http_server_stop_accepting(f.server);
    pump(&f, client_ended, &c);
    assert_non_null(strstr(c.got, "/echo/2"));
    assert_int_equal(1, times(&c, "Connection: close\r\n"));
    client_close(&c);
    pump(&f, no_connections, &f);
    assert_int_equal(1, f.drained);
}

/* The parent of a socket keeps it, and with it those who come while nobody accepts. */
static void test_http_drain__inherited_socket_then_connections_wait_for_the_next_server(void **state) {
    (void)state;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int held = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, bind(held, (struct sockaddr *)&a, sizeof a));
    assert_int_equal(0, listen(held, 8));
    assert_int_equal(0, getsockname(held, (struct sockaddr *)&a, &n));
    f.o.socket = dup(held);
    assert_true(fixture_start(&f));
    assert_int_equal(ntohs(a.sin_port), http_server_port(f.server));
    assert_int_equal(200, one_shot(&f, &c, STR("GET /echo HTTP/1.1\r\n" H END)));
    client_open(&c, &f);
    http_server_close(f.server);
    f.server = NULL;
    pump_once(&f);
    client_open_at(&d, ntohs(a.sin_port));
    assert_true(client_send(&d, STR("GET /echo HTTP/1.1\r\n" H END)));
    f.o.socket = dup(held);
    assert_ok(http_server_new(f.loop, &f.o, &f.server));
    pump(&f, client_ended, &d);
    assert_non_null(strstr(d.got, "/echo"));
    client_close(&d);
    (void)close(held);
}

/* The answer promised to keep the connection; what is kept is the server's promise to end. */
static void test_http_drain__drain_amid_an_answer_then_whole_answer_and_end(void **state) {
    (void)state;
    f.big = 7 * 1024 * 1024;
    assert_true(fixture_start(&f));
    fixture_shrink_send_buffers();
    client_open(&c, &f);
    assert_true(client_send(&c, STR("GET /big HTTP/1.1\r\n" H "\r\n")));
    while (f.requests == 0) {
        pump_once(&f);
    }
    assert_int_equal(0, f.done);
    http_server_stop_accepting(f.server);
    pump(&f, client_ended, &c);
    assert_true(c.eof);
    assert_int_equal(c.n, f.done_bytes);
    assert_true(c.n > f.big);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(test_http_drain__##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(stop_accepting_then_drained),
        T(request_on_its_way_when_the_drain_begins_then_served),
        T(inherited_socket_then_connections_wait_for_the_next_server),
        T(drain_amid_an_answer_then_whole_answer_and_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
