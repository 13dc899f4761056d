/* What one process may take, so that a job gone wrong ends it and not the machine. In quarantine the same as elsewhere: the innocent must
 * not fail there for want of room. */
#include "limits.h"

#include <sys/resource.h>

enum { STACK_BYTES = 8 << 20 };

static void limit(__rlimit_resource_t what, rlim_t most) {
    struct rlimit r;
    if (getrlimit(what, &r) == 0) {
        r.rlim_cur = most < r.rlim_max ? most : r.rlim_max;
        (void)setrlimit(what, &r);
    }
}

void limits_set(const struct conf *conf) {
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* their shadow memory is as large as can be */
    limit(RLIMIT_DATA, (rlim_t)conf->worker_memory_mb << 20);
#else
    (void)conf;
#endif
    struct rlimit stack;
    if (getrlimit(RLIMIT_STACK, &stack) == 0 &&
        stack.rlim_cur > STACK_BYTES) { /* endless recursion must not take the memory first */
        limit(RLIMIT_STACK, STACK_BYTES);
    }
}

/* The loop beats every second. A handler that keeps it for half a lease of processor time ends the process by SIGXCPU, with or without a
 * supervisor to watch, before it loses what the process holds; a stopped process or a busy machine does not. */
void limits_beat(const struct conf *conf) {
    rlim_t silent_s = (rlim_t)(conf->worker_lease_ms + 1999) / 2000;
    struct rusage used;
    if (getrusage(RUSAGE_SELF, &used) == 0) {
        limit(RLIMIT_CPU, (rlim_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + 1 + silent_s);
    }
}
