/* Opening a socket to Redis without waiting for it. */
#include "redis_private.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* A peer that vanished is noticed on an idle connection by keepalive, on a busy one by the user timeout. */
enum { KEEPALIVE_S = 60, KEEPALIVE_INTERVAL_S = 10, KEEPALIVE_PROBES = 3, USER_TIMEOUT_MS = 10000 };

struct err redis_link_open(const struct redis_url *u, redisContext **out) {
    redisContext *c = u->path != NULL ? redisConnectUnixNonBlock(u->path) : redisConnectNonBlock(u->host, u->port);
    if (c == NULL) {
        return err_make(ERR_NOMEM, "redis connection");
    }
    if (c->err != 0) {
        struct err e = err_make(ERR_REDIS_DOWN, "%s", c->errstr);
        redisFree(c);
        return e;
    }
    c->reader->fn = &redis_reply_functions;
    *out = c;
    return OK;
}

static bool set_option(int fd, int level, int name, int value) { return setsockopt(fd, level, name, &value, sizeof value) == 0; }

struct err redis_link_connected(redisContext *c, bool tcp) {
    int failed = 0;
    socklen_t n = sizeof failed;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &failed, &n) != 0) {
        failed = errno;
    }
    bool ready = failed == 0;
    if (ready && tcp) { /* TCP_NODELAY is set by hiredis */
        ready = set_option(c->fd, SOL_SOCKET, SO_KEEPALIVE, 1) && set_option(c->fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_S) &&
                set_option(c->fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S) &&
                set_option(c->fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES) &&
                set_option(c->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS);
        failed = ready ? 0 : errno;
    }
    return ready ? OK : err_make(ERR_REDIS_DOWN, "%s", err_errno(failed, "connect").detail);
}
