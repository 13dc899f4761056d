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

const struct clock clock_system = {system_mono, system_wall, NULL};

void wall_text(struct wall w, char out[WALL_TEXT_BYTES]) {
    time_t seconds = (time_t)(w.ms / 1000);
    int ms = (int)(w.ms % 1000);
    struct tm tm;
    if (w.ms < 0 || gmtime_r(&seconds, &tm) == NULL || strftime(out, WALL_TEXT_BYTES, "%Y-%m-%dT%H:%M:%S", &tm) != 19) {
        (void)snprintf(out, WALL_TEXT_BYTES, "invalid time");
        return;
    }
    out[19] = '.';
    out[20] = (char)('0' + ms / 100);
    out[21] = (char)('0' + ms / 10 % 10);
    out[22] = (char)('0' + ms % 10);
    out[23] = 'Z';
    out[24] = '\0';
}
