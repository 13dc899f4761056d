/* A zone, a moment, a cron expression. An error names a column of the text. Ticks come one behind the other; each shows the time that the
 * expression names, or ends a gap. Where a tick is a local time each time it is shown, going minute by minute finds the same next one. */
#include <base/cron.h>

#include "fuzz.h"

enum { HEAD = 5, TICKS = 4, MINUTE_S = 60, LOOK_S = 3 * 86400, LATEST_H = 1600000 /* the year 2152 */ };

static const char *const names[] = {"UTC",
                                    "Europe/Berlin",
                                    "America/New_York",
                                    "Australia/Lord_Howe",
                                    "Asia/Kathmandu",
                                    "Africa/Casablanca",
                                    "America/St_Johns",
                                    "Pacific/Apia"};
enum { ZONES = sizeof names / sizeof names[0] };
static struct zone *zones[ZONES];

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    for (size_t i = 0; i < ZONES; i++) {
        PROMISE(!err_is_set(zone_load(str_c(names[i]), &zones[i])));
    }
    return 0;
}

static int64_t floor_div(int64_t v, int64_t by) { return v / by - (v % by < 0); }

/* By the manual page, from the parsed sets. */
static bool shows(const struct cron *c, int64_t local_s) {
    int64_t day = floor_div(local_s, 86400), second = local_s - day * 86400, year;
    int month, of_month;
    civil_date(day, &year, &month, &of_month);
    bool month_day = (c->days >> of_month & 1) != 0, week_day = (c->weekdays >> civil_weekday(day) & 1) != 0;
    bool fits = c->any_day || c->any_weekday ? month_day && week_day : month_day || week_day;
    return second % 60 == 0 && (c->minutes >> (second / 60 % 60) & 1) != 0 && (c->hours >> (second / 3600) & 1) != 0 &&
           (c->months >> month & 1) != 0 && fits;
}

static bool is_tick(const struct cron *c, const struct zone *z, int64_t s) {
    const struct zone_span at = zone_at(z, s);
    return shows(c, s + at.offset) && (c->elapsed || zone_first_at(z, s + at.offset) == s);
}

static bool ends_a_gap(const struct zone *z, int64_t s) {
    const struct zone_span at = zone_at(z, s);
    return s == at.from && zone_at(z, s - 1).offset < at.offset;
}

/* Offsets of more than minutes are history: there, minutes of the clock and of UTC differ. */
static int64_t look_for(const struct cron *c, const struct zone *z, int64_t after) {
    for (int64_t s = floor_div(after, MINUTE_S) * MINUTE_S + MINUTE_S; s <= after + LOOK_S; s += MINUTE_S) {
        if (is_tick(c, z, s) || (!c->elapsed && ends_a_gap(z, s))) {
            return s;
        }
    }
    return INT64_MAX;
}

static void judge_error(struct str text, struct err e) {
    long column = fuzz_line_of(e.detail, "column ");
    PROMISE(e.code == ERR_INVALID);
    PROMISE(column >= 0 && column <= (long)text.n + 1);
}

static void judge_sets(const struct cron *c) {
    PROMISE(c->minutes != 0 && c->minutes >> 60 == 0);
    PROMISE(c->hours != 0 && c->hours >> 24 == 0);
    PROMISE(c->days != 0 && (c->days & 1) == 0);
    PROMISE(c->months != 0 && (c->months & 1) == 0 && c->months >> 13 == 0);
    PROMISE(c->weekdays != 0 && c->weekdays >> 7 == 0);
}

/* No tick between the two: found is INT64_MAX where the expression has none for nine years. */
static void judge_next(const struct cron *c, const struct zone *z, int64_t after, int64_t found) {
    int64_t seen = look_for(c, z, after);
    PROMISE(found > after);
    PROMISE(found == INT64_MAX || is_tick(c, z, found) || (!c->elapsed && ends_a_gap(z, found)));
    if (seen != INT64_MAX && is_tick(c, z, seen)) {
        PROMISE(found <= seen); /* the end of a gap may be a tick or not: it stands before */
    }
    if (found <= after + LOOK_S) {
        PROMISE(seen <= found);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct cron c;
    if (size < HEAD) {
        return 0;
    }
    const struct zone *z = zones[data[0] % ZONES];
    uint32_t hours;
    memcpy(&hours, data + 1, sizeof hours);
    struct wall at = {((int64_t)(hours % LATEST_H) * 3600 + data[0]) * 1000};
    struct str rest = str_of(data + HEAD, size - HEAD);
    struct str text = fuzz_text(&rest);
    struct err e = cron_parse(text, &c);
    if (err_is_set(e)) {
        judge_error(text, e);
    } else {
        judge_sets(&c);
        for (int i = 0; i < TICKS; i++) {
            struct wall next;
            bool ticks = cron_next(&c, z, at, &next);
            judge_next(&c, z, floor_div(at.ms, 1000), ticks ? next.ms / 1000 : INT64_MAX);
            if (!ticks) {
                break;
            }
            at = next;
        }
    }
    free((char *)(uintptr_t)text.p);
    return 0;
}
