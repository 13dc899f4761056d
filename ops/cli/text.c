#include "text.h"

#include <stdio.h>
#include <time.h>

enum { SECOND_MS = 1000, MINUTE_MS = 60 * SECOND_MS, HOUR_MS = 60 * MINUTE_MS, DAY_MS = 24 * HOUR_MS };
static const int64_t DURATION_MAX_MS = 1000LL * DAY_MS;

bool text_duration(struct str s, int64_t *out_ms) {
    static const struct {
        struct str unit;
        int64_t ms;
    } units[] = {{STR("ms"), 1},      {STR("s"), SECOND_MS}, {STR("m"), MINUTE_MS},
                 {STR("h"), HOUR_MS}, {STR("d"), DAY_MS},    {STR(""), SECOND_MS}};
    size_t digits = 0;
    int64_t n, ms;
    while (digits < s.n && s.p[digits] >= '0' && s.p[digits] <= '9') {
        digits++;
    }
    struct str unit = str_of(s.p + digits, s.n - digits);
    if (!str_to_i64(str_of(s.p, digits), &n)) {
        return false;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (str_eq(unit, units[i].unit)) {
            if (__builtin_mul_overflow(n, units[i].ms, &ms) || ms > DURATION_MAX_MS) {
                return false;
            }
            *out_ms = ms;
            return true;
        }
    }
    return false;
}

void text_age(int64_t ms, char out[TEXT_AGE_BYTES]) {
    static const struct {
        int64_t below_ms, unit_ms;
        char unit;
    } rows[] = {{2 * MINUTE_MS, SECOND_MS, 's'},
                {2 * HOUR_MS, MINUTE_MS, 'm'},
                {2 * (int64_t)DAY_MS, HOUR_MS, 'h'},
                {INT64_MAX, DAY_MS, 'd'}};
    size_t i = 0;
    while (ms >= rows[i].below_ms && rows[i].below_ms != INT64_MAX) {
        i++;
    }
    (void)snprintf(out, TEXT_AGE_BYTES, "%lld%c", (long long)((ms > 0 ? ms : 0) / rows[i].unit_ms), rows[i].unit);
}

bool text_time(struct str s, struct wall *out) {
    enum { TO_SECOND = 19 }; /* "2026-11-28T21:13:34" */
    char text[TO_SECOND + 1];
    struct tm tm = {0};
    if (s.n <= TO_SECOND || s.p[s.n - 1] != 'Z' || !str_copy_c(str_of(s.p, TO_SECOND), text, sizeof text)) {
        return false;
    }
    const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
    if (end == NULL || *end != '\0') {
        return false;
    }
    *out = (struct wall){(int64_t)timegm(&tm) * SECOND_MS};
    return true;
}

bool text_is_plain(const char *s, size_t max) {
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '!' || s[i] > '~') {
            return false;
        }
    }
    return n > 0 && n <= max;
}
