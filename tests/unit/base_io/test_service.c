/* A service manager's side of the two protocols: a datagram socket that hears what is told, and listening sockets handed over. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <io/service.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "unit.h"
#include "wait.h"

enum { DEADLINE_MS = 20000, FD = 3 };

static struct {
    int fd; /* the manager's */
    char name[64];
    char got[1024]; /* the latest datagram */
    int feeds;
    struct loop *loop;
    struct service *service;
} the;

/* The next datagram, if one is there. */
static bool hear(void) {
    ssize_t n = recv(the.fd, the.got, sizeof the.got - 1, MSG_DONTWAIT);
    if (n < 0) {
        assert_int_equal(EAGAIN, errno);
        return false;
    }
    the.got[n] = '\0';
    the.feeds += strcmp(the.got, "WATCHDOG=1") == 0;
    return true;
}

static void manager_open(bool abstract) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    (void)snprintf(the.name, sizeof the.name, "%spenstock-notify-%ld", abstract ? "@" : "/tmp/", (long)getpid());
    size_t n = strlen(the.name);
    memcpy(a.sun_path, the.name, n);
    if (the.name[0] == '@') {
        a.sun_path[0] = '\0';
    } else {
        (void)unlink(the.name);
    }
    the.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(the.fd >= 0);
    assert_int_equal(0, bind(the.fd, (struct sockaddr *)&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)));
    assert_int_equal(0, setenv("NOTIFY_SOCKET", the.name, 1));
}

static void manager_close(void) {
    (void)close(the.fd);
    if (the.name[0] == '/') {
        (void)unlink(the.name);
    }
}

static void begin(void) {
    assert_ok(loop_new(&the.loop));
    assert_ok(service_new(the.loop, &the.service));
    assert_null(getenv("NOTIFY_SOCKET"));
    assert_null(getenv("WATCHDOG_USEC"));
}

static void end(void) {
    service_free(the.service);
    loop_free(the.loop);
}

static void test_service__given_a_manager_then_it_hears_each_state_in_a_datagram(void **state) {
    (void)state;
    for (int abstract = 0; abstract < 2; abstract++) {
        manager_open(abstract != 0);
        begin();
        service_tell(the.service, SERVICE_READY, "%d of %d", 2, 3);
        assert_true(hear());
        assert_string_equal("READY=1\nSTATUS=2 of 3", the.got);
        service_tell(the.service, SERVICE_STATUS, "3 of 3");
        assert_true(hear());
        assert_string_equal("STATUS=3 of 3", the.got);
        service_tell(the.service, SERVICE_RELOADING, "reads");
        assert_true(hear());
        assert_non_null(strstr(the.got, "RELOADING=1\nMONOTONIC_USEC="));
        service_tell(the.service, SERVICE_STOPPING, "stops");
        assert_true(hear());
        assert_string_equal("STOPPING=1\nSTATUS=stops", the.got);
        assert_false(hear());
        end();
        manager_close();
    }
}

static bool fed_thrice(void *arg) {
    (void)arg;
    while (hear()) {
    }
    return the.feeds >= 3;
}

static void test_service__given_a_watchdog_then_the_loop_feeds_it(void **state) {
    (void)state;
    manager_open(true);
    assert_int_equal(0, setenv("WATCHDOG_USEC", "30000", 1));
    the.feeds = 0;
    begin();
    assert_false(hear()); /* only a loop that turns does */
    assert_true(wait_until(the.loop, DEADLINE_MS, fed_thrice, NULL));
    end();
    manager_close();
}

static void test_service__given_another_processs_watchdog_then_it_is_not_fed(void **state) {
    (void)state;
    manager_open(true);
    assert_int_equal(0, setenv("WATCHDOG_USEC", "1000", 1));
    assert_int_equal(0, setenv("WATCHDOG_PID", "1", 1));
    begin();
    wait_ms(the.loop, 1200); /* past the tick that sends what is unsent */
    assert_false(hear());
    end();
    manager_close();
}

static bool heard_stopping(void *arg) {
    (void)arg;
    while (strncmp(the.got, "STOPPING=1\n", 11) != 0 && hear()) {
    }
    return strncmp(the.got, "STOPPING=1\n", 11) == 0;
}

static void test_service__given_a_manager_that_does_not_read_then_told_later(void **state) {
    (void)state;
    manager_open(true);
    the.got[0] = '\0';
    begin();
    for (int i = 0; i < 5000; i++) { /* more than a queue of datagrams holds: net.unix.max_dgram_qlen */
        service_tell(the.service, SERVICE_READY, "%d", i);
    }
    service_tell(the.service, SERVICE_STOPPING, "stops");
    service_tell(the.service, SERVICE_STATUS, "the last word");
    assert_true(wait_until(the.loop, DEADLINE_MS, heard_stopping, NULL));
    assert_string_equal("STOPPING=1\nSTATUS=the last word", the.got);
    end();
    manager_close();
}

static void test_service__given_no_manager_then_nothing_is_told(void **state) {
    (void)state;
    begin();
    service_tell(the.service, SERVICE_READY, "ready");
    end();
}

static void test_service__given_nonsense_then_invalid(void **state) {
    static const char *const wrong[][3] = {{"NOTIFY_SOCKET", "relative"}, {"NOTIFY_SOCKET", "@"}, {"NOTIFY_SOCKET", ""},
                                           {"WATCHDOG_USEC", "soon"},     {"WATCHDOG_USEC", "0"}, {"WATCHDOG_USEC", "-1"}};
    char longest[200];
    (void)state;
    assert_ok(loop_new(&the.loop));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(0, setenv(wrong[i][0], wrong[i][1], 1));
        assert_err(ERR_INVALID, service_new(the.loop, &the.service));
        assert_int_equal(0, unsetenv(wrong[i][0]));
    }
    memset(longest, 'x', sizeof longest);
    longest[0] = '/';
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(0, setenv("NOTIFY_SOCKET", longest, 1));
    assert_err(ERR_INVALID, service_new(the.loop, &the.service));
    assert_int_equal(0, unsetenv("NOTIFY_SOCKET"));
    loop_free(the.loop);
}

static void open_and_close(void *arg) {
    struct service *s;
    struct loop *l;
    (void)arg;
    assert_int_equal(0, setenv("NOTIFY_SOCKET", the.name, 1));
    if (err_is_set(loop_new(&l))) {
        return;
    }
    if (!err_is_set(service_new(l, &s))) {
        service_tell(s, SERVICE_READY, "ready");
        service_free(s);
    }
    loop_free(l);
}

static void test_service__any_allocation_fails_then_an_error_and_no_leak(void **state) {
    (void)state;
    manager_open(true);
    torture(open_and_close, NULL);
    manager_close();
    assert_int_equal(0, unsetenv("NOTIFY_SOCKET"));
}

/* ---- inherited sockets ---- */

static void offer(const char *pid, const char *count) {
    char own[24];
    (void)snprintf(own, sizeof own, "%ld", (long)getpid());
    assert_int_equal(0, setenv("LISTEN_PID", pid != NULL ? pid : own, 1));
    assert_int_equal(0, setenv("LISTEN_FDS", count, 1));
    assert_int_equal(0, setenv("LISTEN_FDNAMES", "api", 1));
}

/* At descriptor 3, where the manager puts it. */
static void put_socket(int domain, int type, bool listens) {
    int fd = socket(domain, type, 0);
    assert_true(fd >= 0);
    if (domain == AF_INET) {
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        assert_int_equal(0, bind(fd, (struct sockaddr *)&a, sizeof a));
    } else if (domain == AF_INET6) {
        struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        assert_int_equal(0, bind(fd, (struct sockaddr *)&a, sizeof a));
    }
    assert_true(!listens || listen(fd, 8) == 0);
    if (fd != FD) {
        assert_int_equal(FD, dup2(fd, FD));
        (void)close(fd);
    }
}

static void test_service__given_a_listening_socket_then_it_is_ours_with_its_address(void **state) {
    static const struct {
        int domain;
        const char *host;
    } rows[] = {{AF_INET, "127.0.0.1:"}, {AF_INET6, "[::1]:"}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int fd = 0;
        char listen_text[SERVICE_LISTEN_BYTES] = "";
        put_socket(rows[i].domain, SOCK_STREAM, true);
        offer(NULL, "1");
        assert_ok(service_socket(&fd, listen_text));
        assert_int_equal(FD, fd);
        assert_int_equal(0, strncmp(rows[i].host, listen_text, strlen(rows[i].host)));
        assert_true(strcmp(listen_text + strlen(rows[i].host), "0") != 0);
        assert_true((fcntl(FD, F_GETFD) & FD_CLOEXEC) != 0);
        assert_null(getenv("LISTEN_PID"));
        assert_null(getenv("LISTEN_FDS"));
        assert_null(getenv("LISTEN_FDNAMES"));
        (void)close(FD);
    }
}

static void test_service__given_none_or_another_processs_then_none(void **state) {
    int fd = 7;
    char text[SERVICE_LISTEN_BYTES] = "as it was";
    (void)state;
    assert_ok(service_socket(&fd, text));
    assert_int_equal(0, fd);
    fd = 7;
    offer("1", "1");
    assert_ok(service_socket(&fd, text));
    assert_int_equal(0, fd);
    assert_null(getenv("LISTEN_FDS"));
    fd = 7;
    offer(NULL, "0");
    assert_ok(service_socket(&fd, text));
    assert_int_equal(0, fd);
    assert_string_equal("as it was", text);
}

static void test_service__given_several_or_no_listener_then_invalid(void **state) {
    static const struct {
        int domain, type;
        bool listens;
        const char *count;
    } rows[] = {
        {AF_INET, SOCK_STREAM, true, "2"}, {AF_INET, SOCK_STREAM, true, "one"}, {AF_INET, SOCK_STREAM, false, "1"},
        {AF_INET, SOCK_DGRAM, false, "1"}, {AF_UNIX, SOCK_DGRAM, false, "1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = 7;
        char text[SERVICE_LISTEN_BYTES];
        put_socket(rows[i].domain, rows[i].type, rows[i].listens);
        offer(NULL, rows[i].count);
        assert_err(ERR_INVALID, service_socket(&fd, text));
        assert_int_equal(7, fd);
        (void)close(FD);
    }
}

#define T(name) cmocka_unit_test(test_service__##name)

int main(void) {
    const struct CMUnitTest tests[] = {
        T(given_a_manager_then_it_hears_each_state_in_a_datagram),
        T(given_a_watchdog_then_the_loop_feeds_it),
        T(given_another_processs_watchdog_then_it_is_not_fed),
        T(given_a_manager_that_does_not_read_then_told_later),
        T(given_no_manager_then_nothing_is_told),
        T(given_nonsense_then_invalid),
        T(any_allocation_fails_then_an_error_and_no_leak),
        T(given_a_listening_socket_then_it_is_ours_with_its_address),
        T(given_none_or_another_processs_then_none),
        T(given_several_or_no_listener_then_invalid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
