/* A scripted TCP server in a thread: what a test's client talks to. One connection at a time; every wait ends when the peer
 * is stopped. It allocates nothing, so it does not disturb torture(). */
#ifndef TESTS_PEER_H
#define TESTS_PEER_H

#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum peer_do { PEER_END, PEER_ACCEPT, PEER_READ, PEER_SEND, PEER_PAUSE, PEER_CLOSE, PEER_RESET, PEER_HANG };

struct peer_step {
    enum peer_do what;
    const char *text; /* READ: until the connection's bytes contain it (and forget them); SEND: what to send */
};

enum { PEER_SEEN_BYTES = 64 * 1024, PEER_PAUSE_MS = 50 };

struct peer {
    const struct peer_step *script;
    int listener, stop, port, conn;
    pthread_t thread;
    int accepted;
    size_t seen_n, read_from; /* everything read; start of what READ looks at */
    char seen[PEER_SEEN_BYTES + 1];
};

static inline bool peer_wait(struct peer *p, int fd) {
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = p->stop, .events = POLLIN}};
    return poll(fds, 2, -1) > 0 && fds[1].revents == 0;
}

static inline bool peer_read(struct peer *p, const char *text) {
    for (;;) {
        char *found = memmem(p->seen + p->read_from, p->seen_n - p->read_from, text, strlen(text));
        if (found != NULL) {
            p->read_from = (size_t)(found - p->seen) + strlen(text);
            return true;
        }
        if (!peer_wait(p, p->conn)) {
            return false;
        }
        ssize_t n = recv(p->conn, p->seen + p->seen_n, PEER_SEEN_BYTES - p->seen_n, 0);
        if (n <= 0) {
            return false;
        }
        p->seen_n += (size_t)n;
        p->seen[p->seen_n] = '\0';
    }
}

static inline void peer_close(struct peer *p, bool reset) {
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    if (reset) {
        (void)setsockopt(p->conn, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    if (p->conn >= 0) {
        (void)close(p->conn);
    }
    p->conn = -1;
}

static inline bool peer_step(struct peer *p, const struct peer_step *s) {
    size_t n = s->text != NULL ? strlen(s->text) : 0;
    switch (s->what) {
    case PEER_ACCEPT:
        peer_close(p, false);
        p->conn = peer_wait(p, p->listener) ? accept(p->listener, NULL, NULL) : -1;
        p->accepted += p->conn >= 0;
        return p->conn >= 0;
    case PEER_READ:
        return peer_read(p, s->text);
    case PEER_SEND:
        return send(p->conn, s->text, n, MSG_NOSIGNAL) == (ssize_t)n;
    case PEER_PAUSE: /* a slow peer: long enough for a client that does not wait to be caught */
        return poll(&(struct pollfd){.fd = p->stop, .events = POLLIN}, 1, PEER_PAUSE_MS) == 0;
    case PEER_CLOSE:
    case PEER_RESET:
        peer_close(p, s->what == PEER_RESET);
        return true;
    case PEER_HANG:
        (void)peer_wait(p, -1);
        return false;
    case PEER_END:
        break;
    }
    return false;
}

static inline void *peer_main(void *arg) {
    struct peer *p = arg;
    const struct peer_step *s = p->script;
    while (s->what != PEER_END && peer_step(p, s)) {
        s++;
    }
    peer_close(p, false);
    return NULL;
}

static inline void peer_start(struct peer *p, const struct peer_step *script) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    memset(p, 0, offsetof(struct peer, seen));
    p->seen[0] = '\0';
    p->script = script;
    p->conn = -1;
    p->stop = eventfd(0, EFD_CLOEXEC);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(0, bind(p->listener, (struct sockaddr *)&a, sizeof a));
    assert_int_equal(0, listen(p->listener, 64));
    assert_int_equal(0, getsockname(p->listener, (struct sockaddr *)&a, &n));
    p->port = ntohs(a.sin_port);
    assert_int_equal(0, pthread_create(&p->thread, NULL, peer_main, p));
}

static inline void peer_stop(struct peer *p) {
    (void)eventfd_write(p->stop, 1);
    assert_int_equal(0, pthread_join(p->thread, NULL));
    (void)close(p->stop);
    (void)close(p->listener);
}

/* Waits for the end of the script: the client's view may come before the peer's. */
static inline void peer_join(struct peer *p) {
    assert_int_equal(0, pthread_join(p->thread, NULL));
    (void)close(p->stop);
    (void)close(p->listener);
}

#endif
