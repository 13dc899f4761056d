/* Without libsystemd: each message is one datagram of NAME=value lines, each inherited socket a number from 3 on. */
#include <io/service.h>

#include <arpa/inet.h>
#include <base/str.h>
#include <fcntl.h>
#include <io/timer.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { FIRST_FD = 3, TICK_MS = 1000, MESSAGE_BYTES = SERVICE_STATUS_BYTES + 96 };

struct service {
    struct loop *loop;
    int fd; /* -1: nobody listens */
    struct sockaddr_un to;
    socklen_t to_n;
    struct timer *tick;
    bool watched, unsent;
    enum service_state state; /* of what is unsent */
    char status[SERVICE_STATUS_BYTES];
};

/* ---- the environment ---- */

static bool env_number(const char *name, uint64_t *out) {
    const char *text = getenv(name);
    return text != NULL && str_to_u64(str_c(text), out);
}

/* A path, or a name of the abstract kind, "@name". */
static struct err parse_address(const char *text, struct service *s) {
    size_t n = strlen(text);
    s->to.sun_family = AF_UNIX;
    if ((text[0] != '/' && text[0] != '@') || n < 2 || n >= sizeof s->to.sun_path) {
        return err_make(ERR_INVALID, "NOTIFY_SOCKET=%s: neither a path nor @name", text);
    }
    memcpy(s->to.sun_path, text, n);
    if (text[0] == '@') {
        s->to.sun_path[0] = '\0';
    }
    s->to_n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    return OK;
}

/* *out_ms 0: none, or another process's. */
static struct err parse_watchdog(int64_t *out_ms) {
    uint64_t us, pid = (uint64_t)getpid();
    *out_ms = 0;
    if (getenv("WATCHDOG_USEC") == NULL) {
        return OK;
    }
    if (!env_number("WATCHDOG_USEC", &us) || us == 0 || us > INT64_MAX ||
        (getenv("WATCHDOG_PID") != NULL && !env_number("WATCHDOG_PID", &pid))) {
        return err_make(ERR_INVALID, "WATCHDOG_USEC or WATCHDOG_PID is no number");
    }
    if (pid == (uint64_t)getpid()) {
        *out_ms = us > 1000 ? (int64_t)(us / 1000) : 1;
    }
    return OK;
}

/* ---- messages ---- */

static bool send_text(struct service *s, const char *text, int n) {
    return n > 0 && sendto(s->fd, text, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&s->to, s->to_n) == n;
}

static void send_news(struct service *s) {
    static const char *const names[] = {[SERVICE_STATUS] = "",
                                        [SERVICE_READY] = "READY=1\n",
                                        [SERVICE_RELOADING] = "RELOADING=1\n",
                                        [SERVICE_STOPPING] = "STOPPING=1\n"};
    char text[MESSAGE_BYTES], since[48] = "";
    if (s->state == SERVICE_RELOADING) { /* later managers ask when it began */
        (void)snprintf(since, sizeof since, "MONOTONIC_USEC=%lld\n", (long long)loop_now(s->loop).us);
    }
    int n = snprintf(text, sizeof text, "%s%sSTATUS=%s", names[s->state], since, s->status);
    if (send_text(s, text, n)) {
        s->unsent = false;
        s->state = SERVICE_STATUS;
    }
}

static void on_tick(void *arg) {
    struct service *s = arg;
    if (s->watched) {
        (void)send_text(s, "WATCHDOG=1", (int)strlen("WATCHDOG=1"));
    }
    if (s->unsent) {
        send_news(s);
    }
}

void service_tell(struct service *s, enum service_state state, const char *status, ...) {
    va_list ap;
    if (s->fd < 0) {
        return;
    }
    va_start(ap, status);
    (void)vsnprintf(s->status, sizeof s->status, status, ap);
    va_end(ap);
    s->state = state != SERVICE_STATUS ? state : s->state; /* a state that is still unsent stays to be told */
    s->unsent = true;
    send_news(s);
}

/* ---- its life ---- */

static struct err connect_manager(struct service *s, const char *address, int64_t watchdog_ms) {
    TRY(parse_address(address, s));
    s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s->fd < 0) {
        return err_make(ERR_SYSTEM, "notification socket");
    }
    TRY(timer_new(s->loop, on_tick, s, &s->tick));
    s->watched = watchdog_ms > 0;
    int64_t third = watchdog_ms / 3 > 0 ? watchdog_ms / 3 : 1;
    timer_start_every(s->tick, s->watched && third < TICK_MS ? third : TICK_MS);
    return OK;
}

struct err service_new(struct loop *l, struct service **out) {
    struct service *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return err_make(ERR_NOMEM, "service");
    }
    *s = (struct service){.loop = l, .fd = -1};
    const char *address = getenv("NOTIFY_SOCKET");
    int64_t watchdog_ms;
    struct err e = parse_watchdog(&watchdog_ms);
    if (!err_is_set(e) && address != NULL) {
        e = connect_manager(s, address, watchdog_ms);
    }
    if (err_is_set(e)) {
        service_free(s);
        return e;
    }
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("WATCHDOG_USEC");
    (void)unsetenv("WATCHDOG_PID");
    *out = s;
    return OK;
}

void service_free(struct service *s) {
    if (s == NULL) {
        return;
    }
    timer_free(s->tick);
    if (s->fd >= 0) {
        (void)close(s->fd);
    }
    free(s);
}

/* ---- inherited sockets ---- */

static bool is_tcp_listener(int fd) {
    int listens = 0, type = 0, domain = 0;
    socklen_t n = sizeof(int);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &n) == 0 && listens != 0 &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM &&
           getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &n) == 0 && (domain == AF_INET || domain == AF_INET6);
}

static bool name_socket(int fd, char out[SERVICE_LISTEN_BYTES]) {
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    char host[INET6_ADDRSTRLEN];
    if (getsockname(fd, (struct sockaddr *)&a, &n) != 0) {
        return false;
    }
    const struct sockaddr_in *in4 = (const struct sockaddr_in *)(const void *)&a;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)&a;
    bool v6 = a.ss_family == AF_INET6;
    const void *address = v6 ? (const void *)&in6->sin6_addr : (const void *)&in4->sin_addr;
    if (inet_ntop(a.ss_family, address, host, sizeof host) == NULL) {
        return false;
    }
    (void)snprintf(out, SERVICE_LISTEN_BYTES, v6 ? "[%s]:%u" : "%s:%u", host, ntohs(v6 ? in6->sin6_port : in4->sin_port));
    return true;
}

struct err service_socket(int *out_fd, char out_listen[SERVICE_LISTEN_BYTES]) {
    uint64_t pid, count;
    bool ours = env_number("LISTEN_PID", &pid) && pid == (uint64_t)getpid(); /* else they were a parent's */
    bool counted = env_number("LISTEN_FDS", &count);
    (void)unsetenv("LISTEN_PID");
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    if (!ours || (counted && count == 0)) {
        *out_fd = 0;
        return OK;
    }
    if (!counted || count > 1 || !is_tcp_listener(FIRST_FD) || !name_socket(FIRST_FD, out_listen)) {
        return err_make(ERR_INVALID, "LISTEN_FDS: one listening TCP socket is expected");
    }
    (void)fcntl(FIRST_FD, F_SETFD, FD_CLOEXEC);
    *out_fd = FIRST_FD;
    return OK;
}
