/* Cron expressions: what is refused and where, the next ticks, and both changes of the clocks. The oracle of the property test knows
 * nothing of searching: it walks minute by minute. */
#include <base/cron.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "unit.h"

static struct cron parse(const char *text) {
    struct cron c = {0};
    assert_ok(cron_parse(str_c(text), &c));
    return c;
}

static struct zone *load(const char *name) {
    struct zone *z = NULL;
    assert_ok(zone_load(str_c(name), &z));
    return z;
}

static void test_cron__given_what_is_none_then_refused_with_its_column(void **state) {
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"", "column 1: minute is missing"},
        {"   ", "column 4: minute is missing"},
        {"* * * *", "column 8: day of week is missing"},
        {"* * * * * *", "column 11: there are more than five fields"},
        {"60 * * * *", "column 1: minute must be 0 to 59, not 60"},
        {"* 25 * * *", "column 3: hour must be 0 to 23, not 25"},
        {"* * 0 * *", "column 5: day of month must be 1 to 31, not 0"},
        {"* * * 13 *", "column 7: month must be 1 to 12, not 13"},
        {"* * * * 8", "column 9: day of week must be 0 to 7, not 8"},
        {"1,2,99 * * * *", "column 5: minute must be 0 to 59, not 99"},
        {"5-1 * * * *", "column 1: minute has a range that goes backwards"},
        {"*/0 * * * *", "column 3: minute must have a step of 1 to 59"},
        {"*/ * * * *", "column 3: there must be a number here"},
        {"5/2 * * * *", "column 2: minute has a step, which goes with * or a range alone"},
        {"1-2-3 * * * *", "column 4: minute goes on with something that does not belong there"},
        {"1, * * * *", "column 3: minute must be *, a number or a range"},
        {"-1 * * * *", "column 1: minute must be *, a number or a range"},
        {"* * * FOO *", "column 7: month has no \"FOO\""},
        {"* * * JANUARY *", "column 7: month has no \"JANUARY\""},
        {"* * * * MO", "column 9: day of week has no \"MO\""},
        {"MON * * * *", "column 1: minute has no \"MON\""},
        {"* * L * *", "column 5: day of month has no \"L\""},
        {"* * ? * *", "column 5: day of month must be *, a number or a range"},
        {"99999999999 * * * *", "column 1: there must be a number here"},
        {"@reboot", "column 1: must be five fields"},
        {"@", "column 1: must be five fields"},
        {"* * * * *\n", "column 10: day of week goes on with something"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cron c;
        struct err e = cron_parse(str_c(cases[i].text), &c);
        assert_err(ERR_INVALID, e);
        if (strncmp(cases[i].why, e.detail, strlen(cases[i].why)) != 0) {
            fail_msg("\"%s\": %s; not %s", cases[i].text, e.detail, cases[i].why);
        }
    }
}

static void test_cron__given_two_spellings_then_the_same(void **state) {
    (void)state;
    static const struct {
        const char *a, *b;
    } cases[] = {
        {"@daily", "0 0 * * *"},
        {"@MIDNIGHT", "0 0 * * *"},
        {"@hourly", "0 * * * *"},
        {"@weekly", "0 0 * * SUN"},
        {"@monthly", "0 0 1 * *"},
        {"@yearly", "0 0 1 JAN *"},
        {"0,15,30,45 1 * * *", "0-59/15 1 * * *"},
        {"0 0 * jan-Mar,dec mon-FRI", "0\t0  *  1-3,12 1-5 "},
        {"0 0 * * 7", "0 0 * * 0"},
        {"0 0 * * 5-7", "0 0 * * 0,5,6"},
        {"5 4 1-31/10 * 1", "5 4 1,11,21,31 * 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct cron a = parse(cases[i].a), b = parse(cases[i].b);
        assert_int_equal(a.minutes, b.minutes);
        assert_int_equal(a.hours, b.hours);
        assert_int_equal(a.days, b.days);
        assert_int_equal(a.months, b.months);
        assert_int_equal(a.weekdays, b.weekdays);
        assert_true(a.any_day == b.any_day && a.any_weekday == b.any_weekday && a.elapsed == b.elapsed);
    }
}

/* ---- tables of ticks ---- */

static struct wall at(const char *utc) {
    struct tm tm = {0};
    assert_int_equal(5, sscanf(utc, "%d-%d-%d %d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min));
    tm.tm_year -= 1900;
    tm.tm_mon--;
    return (struct wall){(int64_t)timegm(&tm) * 1000};
}

struct ticks {
    const char *text, *zone, *after; /* in UTC */
    const char *ticks; /* in UTC; the last one's day and month are written, the others' as well: "03-29 01:00, …" */
};

static void check_ticks(const struct ticks *t) {
    struct cron c = parse(t->text);
    struct zone *z = load(t->zone);
    struct wall w = at(t->after);
    struct str rest = str_c(t->ticks), want;
    while (str_cut(&rest, ',', &want)) {
        char text[WALL_TEXT_BYTES] = "none";
        want = str_trim(want);
        if (cron_next(&c, z, w, &w)) {
            wall_text(w, text);
            text[10] = ' ';
        }
        if (!str_eq(want, str_of(text + 5, 11))) {
            fail_msg("\"%s\" in %s: %.11s, not %.*s", t->text, t->zone, text + 5, STR_ARG(want));
        }
    }
    zone_free(z);
}

static void test_next__given_fields_then_these_ticks(void **state) {
    (void)state;
    static const struct ticks tables[] = {
        {"* * * * *", "UTC", "2026-01-31 23:58", "01-31 23:59, 02-01 00:00"},
        {"*/20 * * * *", "UTC", "2026-01-01 00:00", "01-01 00:20, 01-01 00:40, 01-01 01:00"},
        {"30 4 * * *", "UTC", "2026-01-01 04:30", "01-02 04:30"},
        {"30 4 * * *", "Asia/Kathmandu", "2026-01-01 00:00", "01-01 22:45"},
        {"0 0 31 * *", "UTC", "2026-01-31 00:00", "03-31 00:00, 05-31 00:00, 07-31 00:00"},
        {"0 0 29 2 *", "UTC", "2026-01-01 00:00", "02-29 00:00"},
        {"0 0 29 2 *", "UTC", "2096-03-01 00:00", "02-29 00:00"}, /* 2104 */
        {"0 9 * * MON-FRI", "UTC", "2026-11-27 09:00", "11-30 09:00"},
        {"0 0 13 * FRI", "UTC", "2026-11-01 00:00", "11-06 00:00, 11-13 00:00, 11-20 00:00"}, /* one or the other */
        {"0 0 */2 * FRI", "UTC", "2026-11-01 00:00", "11-13 00:00, 11-27 00:00"},             /* both: the day begins with * */
        {"59 23 31 12 *", "UTC", "2026-12-31 23:59", "12-31 23:59"},
    };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        check_ticks(&tables[i]);
    }
}

/* Berlin: 29 March 2026 01:00Z 02:00 → 03:00, 25 October 01:00Z 03:00 → 02:00. */
static void test_next__given_berlin_then_both_changes(void **state) {
    (void)state;
    static const struct ticks tables[] = {
        {"30 2 * * *", "Europe/Berlin", "2026-03-27 12:00", "03-28 01:30, 03-29 01:00, 03-30 00:30"},     /* at the gap's end */
        {"0,30 2,3 * * *", "Europe/Berlin", "2026-03-28 12:00", "03-29 01:00, 03-29 01:30, 03-30 00:00"}, /* all of it at once */
        {"30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", "10-25 00:30, 10-26 01:30"},                  /* the first of two */
        {"0,30 2 * * *", "Europe/Berlin", "2026-10-25 00:00", "10-25 00:30, 10-26 01:00"},
        {"@daily", "Europe/Berlin", "2026-10-24 12:00", "10-24 22:00, 10-25 23:00"},
        {"*/30 * * * *", "Europe/Berlin", "2026-03-29 00:30", "03-29 01:00, 03-29 01:30"},
        {"*/30 2 * * *", "Europe/Berlin", "2026-03-28 12:00", "03-30 00:00, 03-30 00:30"}, /* there is no such hour */
        {"*/30 2 * * *", "Europe/Berlin", "2026-10-24 12:00", "10-25 00:00, 10-25 00:30, 10-25 01:00, 10-25 01:30, 10-26 01:00"},
        {"0 * * * *", "Europe/Berlin", "2026-10-24 23:30", "10-25 00:00, 10-25 01:00, 10-25 02:00"},
        {"15 */2 * * *", "Europe/Berlin", "2026-03-29 00:00", "03-29 02:15, 03-29 04:15"}, /* 02:15 is not */
        {"15 */2 * * *", "Europe/Berlin", "2026-10-24 23:00", "10-25 00:15, 10-25 01:15, 10-25 03:15"},
    };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        check_ticks(&tables[i]);
    }
}

/* New York: 8 March 2026 07:00Z 02:00 → 03:00, 1 November 06:00Z 02:00 → 01:00. */
static void test_next__given_new_york_then_both_changes(void **state) {
    (void)state;
    static const struct ticks tables[] = {
        {"15 2 * * *", "America/New_York", "2026-03-07 12:00", "03-08 07:00, 03-09 06:15"},
        {"15 1 * * *", "America/New_York", "2026-10-31 12:00", "11-01 05:15, 11-02 06:15"},
        {"0 2 * * *", "America/New_York", "2026-10-31 12:00", "11-01 07:00, 11-02 07:00"},
        {"30 * * * *", "America/New_York", "2026-11-01 05:00", "11-01 05:30, 11-01 06:30, 11-01 07:30"},
        {"0 0 8 3 *", "America/New_York", "2026-01-01 00:00", "03-08 05:00"},
    };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        check_ticks(&tables[i]);
    }
}

/* Lord Howe, half an hour: 4 April 2026 15:00Z 02:00 → 01:30, 3 October 15:30Z 02:00 → 02:30. */
static void test_next__given_lord_howe_then_both_changes(void **state) {
    (void)state;
    static const struct ticks tables[] = {
        {"10 2 * * *", "Australia/Lord_Howe", "2026-10-02 20:00", "10-03 15:30, 10-04 15:10"},
        {"15,45 2 * * *", "Australia/Lord_Howe", "2026-10-02 20:00", "10-03 15:30, 10-03 15:45, 10-04 15:15"},
        {"45 1 * * *", "Australia/Lord_Howe", "2026-04-03 20:00", "04-04 14:45, 04-05 15:15"},
        {"*/15 1 * * *", "Australia/Lord_Howe", "2026-04-04 14:20",
         "04-04 14:30, 04-04 14:45, 04-04 15:00, 04-04 15:15, 04-05 14:30"},
        {"@hourly", "Australia/Lord_Howe", "2026-04-04 13:30", "04-04 14:00, 04-04 15:30"},
    };
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        check_ticks(&tables[i]);
    }
}

static void test_next__given_a_day_that_never_comes_then_false(void **state) {
    (void)state;
    static const char *const texts[] = {"0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * 31 2 *"};
    struct zone *z = load("Europe/Berlin");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct cron c = parse(texts[i]);
        struct wall w = {7};
        assert_false(cron_next(&c, z, at("2026-01-01 00:00"), &w));
        assert_int_equal(7, w.ms);
    }
    zone_free(z);
}

/* ---- the property ---- */

static uint64_t seed = 88172645463325252U;
static unsigned any(unsigned n) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (unsigned)(seed >> 20) % n;
}

static void make_field(char *out, size_t size, unsigned min, unsigned max) {
    unsigned a = min + any(max - min + 1), b = a + any(max - a + 1), step = 1 + any(max < 12 ? 3 : 12);
    switch (any(6)) {
    case 0:
        (void)snprintf(out, size, "*/%u", step);
        break;
    case 1:
        (void)snprintf(out, size, "%u", a);
        break;
    case 2:
        (void)snprintf(out, size, "%u-%u/%u", a, b, step);
        break;
    case 3:
        (void)snprintf(out, size, "%u,%u", b, a);
        break;
    default:
        (void)snprintf(out, size, "*");
    }
}

static void make_text(char *out, size_t size) {
    char f[5][16];
    make_field(f[0], sizeof f[0], 0, 59);
    make_field(f[1], sizeof f[1], 0, any(2) != 0 ? 4 : 23); /* the clocks change at night */
    make_field(f[2], sizeof f[2], 1, 31);
    (void)snprintf(f[3], sizeof f[3], "*");
    make_field(f[4], sizeof f[4], 0, 7);
    (void)snprintf(out, size, "%s %s %s %s %s", f[0], f[1], f[2], f[3], f[4]);
}

static bool fits(const struct cron *c, int64_t local_minute) {
    time_t s = (time_t)(local_minute * 60);
    struct tm tm;
    (void)gmtime_r(&s, &tm);
    bool day = (c->days >> tm.tm_mday & 1) != 0, weekday = (c->weekdays >> tm.tm_wday & 1) != 0;
    return (c->minutes >> tm.tm_min & 1) != 0 && (c->hours >> tm.tm_hour & 1) != 0 && (c->months >> (tm.tm_mon + 1) & 1) != 0 &&
           (c->any_day || c->any_weekday ? day && weekday : day || weekday);
}

/* Whether this minute ticks. shown: the latest local minute that clocks have shown before it. */
static bool ticks(const struct cron *c, int64_t local, int64_t shown) {
    bool is = false;
    if (c->elapsed) {
        return fits(c, local);
    }
    for (int64_t l = shown + 1; l <= local; l++) {
        is |= fits(c, l); /* this one for the first time, and those that were skipped */
    }
    return is;
}

static void check_days(const char *text, const char *zone, const char *from) {
    enum { MINUTES = 3 * 1440 };
    struct cron c = parse(text);
    struct zone *z = load(zone);
    int64_t begin = at(from).ms / 60000;
    int64_t shown = begin + zone_at(z, begin * 60).offset / 60;
    struct wall next, last = {begin * 60000};
    bool more = cron_next(&c, z, last, &next);
    for (int64_t m = begin + 1; m < begin + MINUTES; m++) {
        int64_t local = m + zone_at(z, m * 60).offset / 60;
        bool is = ticks(&c, local, shown);
        if (is != (more && next.ms == m * 60000)) {
            fail_msg("\"%s\" in %s: minute %lld %s", text, zone, (long long)m, is ? "was left out" : "is too much");
        }
        if (is) {
            last = next;
            more = cron_next(&c, z, last, &next);
            assert_true(!more || next.ms > last.ms);
        }
        shown = local > shown ? local : shown;
    }
    zone_free(z);
}

static void test_next__given_any_expression_then_as_minute_by_minute(void **state) {
    (void)state;
    static const char *const days[][2] = {
        {"Europe/Berlin", "2026-03-28 00:00"},
        {"Europe/Berlin", "2026-10-24 00:00"},
        {"America/New_York", "2026-03-07 00:00"},
        {"America/New_York", "2026-10-31 00:00"},
        {"Australia/Lord_Howe", "2026-04-03 12:00"},
        {"Australia/Lord_Howe", "2026-10-02 12:00"},
        {"Pacific/Apia", "2011-12-29 00:00"},
        {"America/Havana", "2026-03-07 00:00"},
        {"America/Havana", "2026-10-31 00:00"},
        {"Africa/Casablanca", "2026-02-14 00:00"},
        {"UTC", "2028-02-28 00:00"},
        {"Europe/Berlin", "2150-10-24 00:00"},
    };
    for (int i = 0; i < 300; i++) {
        char text[80];
        make_text(text, sizeof text);
        for (size_t k = 0; k < sizeof days / sizeof days[0]; k++) {
            check_days(text, days[k][0], days[k][1]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cron__given_what_is_none_then_refused_with_its_column),
        cmocka_unit_test(test_cron__given_two_spellings_then_the_same),
        cmocka_unit_test(test_next__given_fields_then_these_ticks),
        cmocka_unit_test(test_next__given_berlin_then_both_changes),
        cmocka_unit_test(test_next__given_new_york_then_both_changes),
        cmocka_unit_test(test_next__given_lord_howe_then_both_changes),
        cmocka_unit_test(test_next__given_a_day_that_never_comes_then_false),
        cmocka_unit_test(test_next__given_any_expression_then_as_minute_by_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
