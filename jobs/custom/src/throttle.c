#include "throttle.h"

enum { BURST_US = 100000, GUESS_US = 100000, WAIT_MIN_MS = 20, WAIT_MAX_MS = 3600000, PACE_MIN_US = 1000, WEIGHT = 8 };

static int64_t max64(int64_t a, int64_t b) { return a > b ? a : b; }

static int64_t wait_ms(struct throttle *t, int64_t interval_us, int64_t concurrency, int64_t now_us) {
    int64_t average_us = t->average_us > 0 ? t->average_us : GUESS_US;
    int64_t pace_us = max64(interval_us, concurrency > 0 ? average_us / concurrency : 0);
    t->later_us = max64(t->later_us, now_us) + max64(pace_us, PACE_MIN_US);
    int64_t ms = max64((t->later_us - now_us) / 1000, WAIT_MIN_MS);
    if (ms > WAIT_MAX_MS) {
        t->later_us = now_us + WAIT_MAX_MS * 1000LL;
        return WAIT_MAX_MS;
    }
    return ms;
}

bool throttle_take(struct throttle *t, int64_t rate, int64_t concurrency, int64_t now_us, int64_t *out_wait_ms) {
    int64_t interval_us = rate > 0 ? 1000000 / rate : 0;
    bool full = concurrency > 0 && t->running >= concurrency;
    if (full || t->next_us > now_us + BURST_US) {
        *out_wait_ms = wait_ms(t, interval_us, concurrency, now_us);
        return false;
    }
    t->running++;
    t->next_us = max64(t->next_us, now_us) + interval_us;
    return true;
}

void throttle_give(struct throttle *t, int64_t took_us) {
    t->running--;
    t->average_us = t->average_us > 0 ? t->average_us + (took_us - t->average_us) / WEIGHT : took_us;
}
