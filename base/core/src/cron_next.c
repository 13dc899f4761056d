#include <base/cron.h>

enum { MINUTE_S = 60, HOUR_S = 3600, YEARS_MAX = 9 };
#define DAY_S INT64_C(86400)

static int64_t floor_to(int64_t v, int64_t unit) { return v - ((v % unit) + unit) % unit; }

static bool day_fits(const struct cron *c, int64_t day, int day_of_month) {
    bool of_month = (c->days >> day_of_month & 1) != 0;
    bool of_week = (c->weekdays >> civil_weekday(day) & 1) != 0;
    return c->any_day || c->any_weekday ? of_month && of_week : of_month || of_week;
}

/* The first day from day on that fits, and is before end. */
static bool next_day(const struct cron *c, int64_t day, int64_t end, int64_t *out) {
    while (day < end) {
        int64_t year;
        int month, of_month;
        civil_date(day, &year, &month, &of_month);
        if ((c->months >> month & 1) == 0) {
            day = month < 12 ? civil_days(year, month + 1, 1) : civil_days(year + 1, 1, 1);
        } else if (!day_fits(c, day, of_month)) {
            day++;
        } else {
            *out = day;
            return true;
        }
    }
    return false;
}

/* The first bit from n on; -1: none. */
static int next_bit(uint64_t bits, int n) {
    bits = n < 64 ? bits >> n << n : 0;
    return bits != 0 ? __builtin_ctzll(bits) : -1;
}

/* The first time of a day from second on; -1: none. */
static int64_t next_time(const struct cron *c, int64_t second) {
    int hour = next_bit(c->hours, (int)(second / HOUR_S));
    if (hour < 0) {
        return -1;
    }
    int minute = next_bit(c->minutes, hour == second / HOUR_S ? (int)(second % HOUR_S / MINUTE_S) : 0);
    if (minute < 0) {
        hour = next_bit(c->hours, hour + 1);
        minute = next_bit(c->minutes, 0);
    }
    return hour < 0 ? -1 : (int64_t)hour * HOUR_S + (int64_t)minute * MINUTE_S;
}

/* The first local time from local on (a whole minute) that fits, on a day before end. */
static bool next_local(const struct cron *c, int64_t local, int64_t end, int64_t *out) {
    int64_t day = floor_to(local, DAY_S) / DAY_S;
    int64_t found;
    while (next_day(c, day, end, &found)) {
        int64_t time = next_time(c, found == day ? local - day * DAY_S : 0);
        if (time >= 0) {
            *out = found * DAY_S + time;
            return true;
        }
        day = found + 1;
        local = day * DAY_S;
    }
    return false;
}

/* The first whole minute of local time that is later than after, in a stretch where it is not earlier than from. */
static int64_t minute_behind(int64_t after, const struct zone_span *s) {
    int64_t local = (after >= s->from ? after + 1 : s->from) + s->offset;
    return floor_to(local + MINUTE_S - 1, MINUTE_S);
}

/* Stretch by stretch of one offset each: in each, local time is elapsed time. */
static bool next_elapsed(const struct cron *c, const struct zone *z, int64_t after, int64_t end, int64_t *out) {
    for (struct zone_span s = zone_at(z, after);; s = zone_at(z, s.until)) {
        int64_t local;
        if (!next_local(c, minute_behind(after, &s), end, &local)) {
            return false;
        }
        if (local - s.offset < s.until) {
            *out = local - s.offset;
            return true;
        }
    }
}

/* Local time by local time; they tick in their order, though some at once. In the second of two equal hours all ticks have been. */
static bool next_once(const struct cron *c, const struct zone *z, int64_t after, int64_t end, int64_t *out) {
    const struct zone_span s = zone_at(z, after);
    int64_t local = minute_behind(after, &s);
    for (; next_local(c, local, end, &local); local += MINUTE_S) {
        int64_t tick = zone_first_at(z, local);
        if (tick > after) {
            *out = tick;
            return true;
        }
    }
    return false;
}

bool cron_next(const struct cron *c, const struct zone *z, struct wall after, struct wall *out) {
    int64_t s = floor_to(after.ms, 1000) / 1000;
    int64_t end = floor_to(s, DAY_S) / DAY_S + YEARS_MAX * 366;
    int64_t tick;
    if (!(c->elapsed ? next_elapsed(c, z, s, end, &tick) : next_once(c, z, s, end, &tick))) {
        return false;
    }
    *out = (struct wall){tick * 1000};
    return true;
}
