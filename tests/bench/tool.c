#include "tool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void die(const char *what, const char *why) {
    (void)fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

void die_errno(const char *what) { die(what, strerror(errno)); }

void *must_alloc(size_t n, size_t size) {
    void *p = calloc(n, size);
    if (p == NULL) {
        die("memory", "none left");
    }
    return p;
}

const char *option(int argc, char **argv, const char *name) {
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) {
            return argv[i + 1];
        }
    }
    return NULL;
}

long option_long(int argc, char **argv, const char *name, long fallback) {
    const char *text = option(argc, argv, name);
    char *end;
    if (text == NULL) {
        return fallback;
    }
    long v = strtol(text, &end, 10);
    if (end == text || *end != '\0') {
        die(name, "not a number");
    }
    return v;
}

double tool_seconds(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

double tool_cpu_seconds(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int64_t tool_wall_us(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

void tool_sleep_until(int64_t wall_us) {
    const struct timespec t = {.tv_sec = wall_us / 1000000, .tv_nsec = wall_us % 1000000 * 1000};
    while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL) == EINTR) {
    }
}
