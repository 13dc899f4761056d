/* Raw clients of the fixture's server: what they send is sent as it is, what they get is kept as it came. They share the loop
 * and the thread with the server, and never wait but in pump. */
#ifndef TESTS_HTTP_VISITOR_H
#define TESTS_HTTP_VISITOR_H

#include "http_fixture.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <unistd.h>

/* What every request needs; and the end of the head of one that is the last. */
#define H "Host: a\r\n"
#define END "Connection: close\r\n\r\n"

enum { CLIENT_BYTES = 9 * 1024 * 1024 };

struct client {
    int fd;
    bool eof, reset;
    size_t n;
    char got[CLIENT_BYTES];
};

/* New connections inherit a small send buffer from the listener, whatever this system's default is. */
static inline void fixture_shrink_send_buffers(void) {
    int small = 16 * 1024;
    for (int fd = 3; fd < 1024; fd++) {
        int listens = 0;
        socklen_t n = sizeof listens;
        if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens != 0) {
            assert_int_equal(0, setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small));
        }
    }
}

static inline void stop_loop(void *arg) { loop_stop(arg); }

/* One turn of the loop without waiting: what is there is read. */
static inline void pump_once(struct fixture *f) {
    struct turn_end hook = {.run = stop_loop, .arg = f->loop};
    loop_at_turn_end(f->loop, &hook);
    loop_run(f->loop);
}

static inline void client_open_at(struct client *c, int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    c->eof = c->reset = false;
    c->n = 0;
    c->got[0] = '\0';
    assert_true(c->fd >= 0);
    assert_int_equal(0, connect(c->fd, (struct sockaddr *)&a, sizeof a));
}

static inline void client_open(struct client *c, struct fixture *f) { client_open_at(c, http_server_port(f->server)); }

static inline void client_close(struct client *c) {
    (void)close(c->fd);
    c->fd = -1;
}

/* Without waiting; false when the socket took less. */
static inline bool client_send(struct client *c, struct str s) {
    return send(c->fd, s.p, s.n, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)s.n;
}

static inline void client_read(struct client *c) {
    while (c->n < CLIENT_BYTES - 1 && !c->eof && !c->reset) {
        ssize_t n = recv(c->fd, c->got + c->n, CLIENT_BYTES - 1 - c->n, MSG_DONTWAIT);
        if (n > 0) {
            c->n += (size_t)n;
            c->got[c->n] = '\0';
        } else if (n == 0) {
            c->eof = true;
        } else if (errno == EAGAIN) {
            return;
        } else {
            c->reset = true;
        }
    }
}

static inline bool client_ended(void *arg) {
    struct client *c = arg;
    client_read(c);
    return c->eof || c->reset;
}

/* Occurrences of a text in what the client has. */
static inline int times(const struct client *c, const char *text) {
    int n = 0;
    for (const char *at = strstr(c->got, text); at != NULL; at = strstr(at + 1, text)) {
        n++;
    }
    return n;
}

struct times_wanted {
    struct client *c;
    const char *text;
    int n;
};

static inline bool has_times(void *arg) {
    struct times_wanted *w = arg;
    client_read(w->c);
    return times(w->c, w->text) >= w->n;
}

/* Runs until the client has the text n times. */
static inline void pump_times(struct fixture *f, struct client *c, const char *text, int n) {
    pump(f, has_times, &(struct times_wanted){c, text, n});
}

static inline bool no_connections(void *arg) {
    struct fixture *f = arg;
    return http_server_connections(f->server) == 0;
}

/* Sends on a new connection, waits for its end and returns the status of the first answer; 0 without one. */
static inline int one_shot(struct fixture *f, struct client *c, struct str request) {
    client_open(c, f);
    (void)client_send(c, request);
    pump(f, client_ended, c);
    client_close(c);
    pump(f, no_connections, f);
    return strncmp(c->got, "HTTP/1.1 ", 9) == 0 ? (c->got[9] - '0') * 100 + (c->got[10] - '0') * 10 + (c->got[11] - '0') : 0;
}

static inline int count_fds(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    assert_non_null(d);
    while (readdir(d) != NULL) {
        n++;
    }
    (void)closedir(d);
    return n;
}

#endif
