/* The torture of system calls (unit.h). The test program's own read, send, … come before those of the C library, for libuv, libpq, hiredis and
 * libcurl as well. Touched are calls, of whatever thread, on stream sockets that do not block, which those of test clients and peers do, and on files. */
#include "unit.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define VISIBLE __attribute__((visibility("default")))

enum fault { SHORT, INTERRUPTED, NOT_READY, RESET, FAULTS, AT_RANDOM };
enum { STORM_RUNS = 5, STORM_RUNS_FULL = 200 };

static const char *const fault_names[] = {"short", "EINTR", "EAGAIN", "ECONNRESET", "", "at random"};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* over what follows */
static struct {
    bool armed, onward, hit;
    enum fault fault;
    long at, count;
    unsigned seed;
    int not_ready; /* a descriptor that stays so until somebody polls; -1: none */
} now = {.not_ready = -1};

static bool is_ours(int fd, bool *out_file) {
    struct stat st;
    int type = 0;
    socklen_t n = sizeof type;
    if (fstat(fd, &st) != 0) {
        return false;
    }
    *out_file = S_ISREG(st.st_mode);
    return *out_file || (S_ISSOCK(st.st_mode) && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == 0 && type == SOCK_STREAM &&
                         (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
}

/* FAULTS: none. */
static enum fault count_call(void) {
    enum fault fault = now.fault;
    now.count++;
    if (fault == AT_RANDOM) {
        now.seed = now.seed * 1103515245U + 12345U;
        fault = (enum fault)(now.seed >> 16 & 7);
        return fault <= NOT_READY ? fault : FAULTS;
    }
    bool strikes = now.onward ? now.count >= now.at : now.count == now.at;
    now.hit |= strikes;
    return strikes ? fault : FAULTS;
}

enum call { TRANSFER, CONNECT, ACCEPT };

/* What becomes of this call; FAULTS: nothing. Only being refused happens to a connect that does not block; a connection that was not accepted is
 * there at the next call, so not all of these can fail. */
static enum fault next_fault(int fd, enum call call, bool *out_file) {
    if (!is_ours(fd, out_file)) {
        return FAULTS;
    }
    (void)pthread_mutex_lock(&lock);
    bool counts = now.armed && (call != CONNECT || now.fault == RESET) && (call != ACCEPT || !now.onward);
    enum fault fault = counts ? count_call() : FAULTS;
    if (fault == NOT_READY) {
        now.not_ready = fd;
    } else if (counts && now.not_ready == fd) {
        fault = NOT_READY;
    }
    (void)pthread_mutex_unlock(&lock);
    return fault;
}

static void polled(void) {
    (void)pthread_mutex_lock(&lock);
    now.not_ready = -1;
    (void)pthread_mutex_unlock(&lock);
}

/* True: the call has failed, errno says how. Else it goes on, over one byte if out_short. */
static bool fails(int fd, bool *out_short) {
    bool file = false;
    *out_short = false;
    switch (next_fault(fd, TRANSFER, &file)) {
    case SHORT:
        *out_short = true;
        return false;
    case INTERRUPTED:
        errno = EINTR;
        return true;
    case NOT_READY:
        errno = EAGAIN;
        return !file;
    case RESET:
        (void)shutdown(fd, SHUT_RDWR);
        errno = file ? EIO : ECONNRESET;
        return true;
    case FAULTS:
    case AT_RANDOM:
        break;
    }
    return false;
}

/* NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): glibc's are reserved names. */
#define REAL(name) ((__typeof__(&(name)))dlsym(RTLD_NEXT, #name))
#define CUT(n) (one && (n) > 1 ? 1 : (n))
#define HALF(n) (one ? ((n) + 1) / 2 : (n))

VISIBLE ssize_t read(int fd, void *p, size_t n) {
    bool one;
    return fails(fd, &one) ? -1 : REAL(read)(fd, p, CUT(n));
}

VISIBLE ssize_t write(int fd, const void *p, size_t n) {
    bool one;
    return fails(fd, &one) ? -1 : REAL(write)(fd, p, HALF(n));
}

VISIBLE ssize_t recv(int fd, void *p, size_t n, int flags) {
    bool one;
    return fails(fd, &one) ? -1 : REAL(recv)(fd, p, CUT(n), flags);
}

VISIBLE ssize_t send(int fd, const void *p, size_t n, int flags) {
    bool one;
    return fails(fd, &one) ? -1 : REAL(send)(fd, p, HALF(n), flags);
}

/* Of the first that is not empty, one byte, or half of it. */
static struct iovec first_of(const struct iovec *v, size_t n, bool half) {
    size_t i = 0;
    while (i + 1 < n && v[i].iov_len == 0) {
        i++;
    }
    return n > 0 ? (struct iovec){v[i].iov_base, half ? (v[i].iov_len + 1) / 2 : v[i].iov_len > 0} : (struct iovec){NULL, 0};
}

VISIBLE ssize_t readv(int fd, const struct iovec *v, int n) {
    bool one;
    struct iovec first = first_of(v, (size_t)n, false);
    return fails(fd, &one) ? -1 : one ? REAL(readv)(fd, &first, 1) : REAL(readv)(fd, v, n);
}

VISIBLE ssize_t writev(int fd, const struct iovec *v, int n) {
    bool one;
    struct iovec first = first_of(v, (size_t)n, true);
    return fails(fd, &one) ? -1 : one ? REAL(writev)(fd, &first, 1) : REAL(writev)(fd, v, n);
}

VISIBLE ssize_t recvmsg(int fd, struct msghdr *m, int flags) {
    bool one;
    struct iovec first = first_of(m->msg_iov, m->msg_iovlen, false), *all = m->msg_iov;
    size_t n = m->msg_iovlen;
    if (fails(fd, &one)) {
        return -1;
    }
    if (one) {
        m->msg_iov = &first;
        m->msg_iovlen = 1;
    }
    ssize_t got = REAL(recvmsg)(fd, m, flags);
    m->msg_iov = all;
    m->msg_iovlen = n;
    return got;
}

VISIBLE ssize_t sendmsg(int fd, const struct msghdr *m, int flags) {
    bool one;
    struct iovec first = first_of(m->msg_iov, m->msg_iovlen, true);
    struct msghdr cut = *m;
    cut.msg_iov = &first;
    cut.msg_iovlen = 1;
    return fails(fd, &one) ? -1 : REAL(sendmsg)(fd, one ? &cut : m, flags);
}

VISIBLE int epoll_pwait(int fd, struct epoll_event *events, int n, int ms, const sigset_t *mask) {
    polled();
    return REAL(epoll_pwait)(fd, events, n, ms, mask);
}

VISIBLE int epoll_wait(int fd, struct epoll_event *events, int n, int ms) {
    polled();
    return REAL(epoll_wait)(fd, events, n, ms);
}

VISIBLE int poll(struct pollfd *fds, nfds_t n, int ms) {
    polled();
    return REAL(poll)(fds, n, ms);
}

VISIBLE int connect(int fd, const struct sockaddr *a, socklen_t n) {
    bool file;
    if (next_fault(fd, CONNECT, &file) == RESET) {
        errno = ECONNREFUSED;
        return -1;
    }
    return REAL(connect)(fd, a, n);
}

VISIBLE int accept4(int fd, struct sockaddr *a, socklen_t *n, int flags) {
    static const int errors[FAULTS] = {[INTERRUPTED] = EINTR, [NOT_READY] = EAGAIN, [RESET] = ECONNABORTED};
    bool file;
    enum fault fault = next_fault(fd, ACCEPT, &file);
    if (fault < FAULTS && fault != SHORT) {
        errno = errors[fault];
        return -1;
    }
    return REAL(accept4)(fd, a, n, flags);
}

/* NOLINTEND(readability-inconsistent-declaration-parameter-name) */

/* ---- the runs ---- */

static void say_where(void) {
    if (now.armed) {
        (void)fprintf(stderr, "torture_io: it ended at call %ld, with %s at %ld, seed %u\n", now.count, fault_names[now.fault],
                      now.at, now.seed);
    }
}

static int open_descriptors(void) {
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d != NULL && readdir(d) != NULL) {
        n++;
    }
    (void)closedir(d);
    return n;
}

static bool run(enum fault fault, long at, bool onward, void (*scenario)(void *arg), void *arg) {
    int before = open_descriptors();
    (void)pthread_mutex_lock(&lock);
    now.fault = fault;
    now.at = at;
    now.onward = onward;
    now.count = 0;
    now.hit = false;
    now.armed = true;
    (void)pthread_mutex_unlock(&lock);
    torture_io_fails = fault == RESET;
    scenario(arg);
    (void)pthread_mutex_lock(&lock);
    long count = now.count;
    bool hit = now.hit;
    now.armed = false;
    (void)pthread_mutex_unlock(&lock);
    torture_io_fails = 0;
    if (count == 0 || open_descriptors() != before) {
        fail_msg("%s at call %ld of %ld: %d descriptors, before %d", fault_names[fault], at, count, open_descriptors(), before);
    }
    return hit;
}

void torture_io(void (*scenario)(void *arg), void *arg) {
    static bool begun;
    if (!begun) {
        (void)atexit(say_where);
        begun = true;
    }
    scenario(arg);
    for (enum fault fault = SHORT; fault < FAULTS; fault++) {
        for (long k = 1; run(fault, k, false, scenario, arg); k++) {
        }
    }
    (void)run(SHORT, 1, true, scenario, arg);
    (void)run(RESET, 1, true, scenario, arg);
    for (unsigned i = 1; i <= (getenv("TEST_FULL") != NULL ? STORM_RUNS_FULL : STORM_RUNS); i++) {
        now.seed = i;
        (void)run(AT_RANDOM, 0, false, scenario, arg);
    }
}
