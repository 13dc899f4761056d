/* The last line of a TZif file: a TZ rule of POSIX, with the hours from -167 to 167 that RFC 9636 allows. */
#include "zone_private.h"

enum { HOUR_S = 3600, DAY_S = 86400 };

/* When the clocks are changed, in any year. */
struct change {
    enum { CHANGE_MONTH, CHANGE_JULIAN, CHANGE_DAY } kind;
    int month, week, day; /* Mm.w.d; Jn and n: day */
    int32_t time_s;       /* of local time, as it was until then */
};

static bool next_is(struct str *s, char c) {
    if (s->n == 0 || s->p[0] != c) {
        return false;
    }
    *s = str_of(s->p + 1, s->n - 1);
    return true;
}

static bool is_letter(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

/* "CET", "<+0330>" */
static bool skip_name(struct str *s) {
    size_t n = 0;
    if (s->n > 0 && s->p[0] == '<') {
        const char *end = memchr(s->p, '>', s->n);
        n = end != NULL ? (size_t)(end - s->p) + 1 : 0;
    } else {
        while (n < s->n && is_letter(s->p[n])) {
            n++;
        }
    }
    *s = str_of(s->p + n, s->n - n);
    return n >= 3;
}

static bool read_number(struct str *s, int min, int max, int *out) {
    size_t n = 0;
    int64_t v;
    while (n < s->n && n < 4 && s->p[n] >= '0' && s->p[n] <= '9') {
        n++;
    }
    if (!str_to_i64(str_of(s->p, n), &v) || v < min || v > max) {
        return false;
    }
    *s = str_of(s->p + n, s->n - n);
    *out = (int)v;
    return true;
}

/* [+-]hh[:mm[:ss]] */
static bool read_time(struct str *s, int hours_max, int32_t *out) {
    int h, m = 0, sec = 0;
    bool minus = next_is(s, '-');
    if (!minus) {
        (void)next_is(s, '+');
    }
    if (!read_number(s, 0, hours_max, &h) ||
        (next_is(s, ':') && (!read_number(s, 0, 59, &m) || (next_is(s, ':') && !read_number(s, 0, 59, &sec))))) {
        return false;
    }
    *out = (int32_t)((h * 60 + m) * 60 + sec) * (minus ? -1 : 1);
    return true;
}

static bool read_change(struct str *s, struct change *out) {
    struct change c = {.time_s = 2 * HOUR_S};
    bool ok;
    if (next_is(s, 'M')) {
        c.kind = CHANGE_MONTH;
        ok = read_number(s, 1, 12, &c.month) && next_is(s, '.') && read_number(s, 1, 5, &c.week) && next_is(s, '.') &&
             read_number(s, 0, 6, &c.day);
    } else if (next_is(s, 'J')) {
        c.kind = CHANGE_JULIAN;
        ok = read_number(s, 1, 365, &c.day);
    } else {
        c.kind = CHANGE_DAY;
        ok = read_number(s, 0, 365, &c.day);
    }
    if (!ok || (next_is(s, '/') && !read_time(s, 167, &c.time_s))) {
        return false;
    }
    *out = c;
    return true;
}

static bool is_leap(int64_t year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

static int64_t day_of(const struct change *c, int64_t year) {
    if (c->kind == CHANGE_MONTH) {
        int64_t first = civil_days(year, c->month, 1);
        int64_t next = c->month < 12 ? civil_days(year, c->month + 1, 1) : civil_days(year + 1, 1, 1);
        int64_t day = first + (c->day - civil_weekday(first) + 7) % 7 + 7 * (int64_t)(c->week - 1);
        return day < next ? day : day - 7; /* week 5: the last one */
    }
    /* Jn leaves out 29 February. */
    int64_t n = c->kind == CHANGE_JULIAN ? c->day - 1 + (is_leap(year) && c->day > 59) : c->day;
    return civil_days(year, 1, 1) + n;
}

/* One year's change, to an offset, from what was before. */
static struct err add_change(struct zone *z, const struct change *c, int64_t year, int32_t before, int32_t after) {
    return zone_add(z, day_of(c, year) * DAY_S + c->time_s - before, after);
}

static struct err add_years(struct zone *z, const struct change *on, const struct change *off, int32_t standard, int32_t summer) {
    for (int64_t year = ZONE_YEAR_FIRST; year <= ZONE_YEAR_LAST; year++) {
        bool north = day_of(on, year) < day_of(off, year);
        TRY(north ? add_change(z, on, year, standard, summer) : add_change(z, off, year, summer, standard));
        TRY(north ? add_change(z, off, year, summer, standard) : add_change(z, on, year, standard, summer));
    }
    return OK;
}

struct err zone_add_rule(struct zone *z, struct str rule) {
    struct change on, off;
    int32_t standard, summer;
    struct err bad = err_make(ERR_INVALID, "not a time zone file: its rule \"%.*s\" cannot be read", STR_ARG(rule));
    if (!skip_name(&rule) || !read_time(&rule, 24, &standard)) {
        return bad;
    }
    standard = -standard; /* POSIX counts to the west */
    if (rule.n == 0) {
        return OK; /* the block's last transition is to this offset */
    }
    summer = standard + HOUR_S;
    if (!skip_name(&rule)) {
        return bad;
    }
    if (rule.n > 0 && rule.p[0] != ',') {
        if (!read_time(&rule, 24, &summer)) {
            return bad;
        }
        summer = -summer;
    }
    if (!next_is(&rule, ',') || !read_change(&rule, &on) || !next_is(&rule, ',') || !read_change(&rule, &off) || rule.n > 0) {
        return bad;
    }
    return add_years(z, &on, &off, standard, summer);
}
