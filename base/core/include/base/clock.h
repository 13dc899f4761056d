/* Time. Two types that do not mix: mono never goes back and is for timers and durations; wall is what clocks on the wall
 * say and is for timestamps that leave the process. Only clock.c may ask the operating system. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

struct mono {
    int64_t us;
};
struct wall {
    int64_t ms; /* since 1970-01-01T00:00:00Z */
};

/* Where a module gets its time from: the system, or a simulator's virtual clock. */
struct clock {
    struct mono (*mono)(void *self);
    struct wall (*wall)(void *self);
    void *self;
};

extern const struct clock clock_system;

static inline struct mono clock_mono(const struct clock *c) { return c->mono(c->self); }
static inline struct wall clock_wall(const struct clock *c) { return c->wall(c->self); }
static inline int64_t mono_ms_since(struct mono now, struct mono then) { return (now.us - then.us) / 1000; }

/* Microseconds since 1970: when this moment was, by the clock on the wall as it stands now. */
int64_t clock_unix_us(struct mono m);

enum { WALL_TEXT_BYTES = 25 };
/* "2026-11-28T21:13:34.123Z" and its NUL. */
void wall_text(struct wall w, char out[WALL_TEXT_BYTES]);

#endif
