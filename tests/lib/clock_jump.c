/* LD_PRELOAD: a wall clock that is ahead by as many seconds as the file $CLOCK_JUMP_FILE says, an int64_t in the machine's own form, which may
 * be written while the process runs. The other clocks stay. libfaketime does not start under an allocator that asks for the time, as Redis's. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead; /* NULL: not told so far, or never */

__attribute__((constructor)) static void open_file(void) {
    const char *path = getenv("CLOCK_JUMP_FILE");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }
    void *p = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, fd, 0);
    (void)close(fd);
    ahead = p != MAP_FAILED ? p : NULL;
}

int clock_gettime(clockid_t id, struct timespec *tp) {
    long failed = syscall(SYS_clock_gettime, id, tp);
    if (failed == 0 && ahead != NULL && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        tp->tv_sec += *ahead;
    }
    return (int)failed;
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz) {
    struct timespec t;
    (void)tz;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    *tv = (struct timeval){t.tv_sec, t.tv_nsec / 1000};
    return 0;
}

time_t time(time_t *timer) {
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    if (timer != NULL) {
        *timer = t.tv_sec;
    }
    return t.tv_sec;
}
