#include <base/clock.h>

#include <stdio.h>
#include <time.h>

static struct mono system_mono(void *self) {
    (void)self;
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (struct mono){(int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000};
}

static struct wall system_wall(void *self) {
    (void)self;
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (struct wall){(int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000};
}

int64_t clock_unix_us(struct mono m) {
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 - (system_mono(NULL).us - m.us);
}

const struct clock clock_system = {system_mono, system_wall, NULL};

static char *put(char *to, int v, int digits, char behind) {
    for (int i = digits; i-- > 0; v /= 10) {
        to[i] = (char)('0' + v % 10);
    }
    to[digits] = behind;
    return to + digits + 1;
}

/* In every log line, so by hand: strftime and snprintf take longer than the rest of a line. */
void wall_text(struct wall w, char out[WALL_TEXT_BYTES]) {
    enum { YEAR_0 = 1900, YEAR_MAX = 9999 };
    time_t seconds = (time_t)(w.ms / 1000);
    struct tm tm;
    if (w.ms < 0 || gmtime_r(&seconds, &tm) == NULL || tm.tm_year > YEAR_MAX - YEAR_0) {
        (void)snprintf(out, WALL_TEXT_BYTES, "invalid time");
        return;
    }
    out = put(out, tm.tm_year + YEAR_0, 4, '-');
    out = put(out, tm.tm_mon + 1, 2, '-');
    out = put(out, tm.tm_mday, 2, 'T');
    out = put(out, tm.tm_hour, 2, ':');
    out = put(out, tm.tm_min, 2, ':');
    out = put(out, tm.tm_sec, 2, '.');
    out = put(out, (int)(w.ms % 1000), 3, 'Z');
    *out = '\0';
}
