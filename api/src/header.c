#include "header.h"

#include <base/limits.h>

static bool is_printable(char c) { return c >= 0x20 && c <= 0x7e; }

/* What stands between the quotes; only \" and \\ are escapes. */
static bool unquote(struct str s, char *out, size_t *out_n) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        bool escape = s.p[i] == '\\';
        i += escape;
        if (i == s.n || (escape ? s.p[i] != '\\' && s.p[i] != '"' : s.p[i] == '"')) {
            return false;
        }
        out[n++] = s.p[i];
    }
    *out_n = n;
    return true;
}

bool header_key(struct str value, struct arena *a, struct str *out) {
    struct str s = str_trim(value);
    char room[2 * LIMIT_KEY_BYTES];
    size_t n = s.n;
    if (s.n > sizeof room || s.n == 0) {
        return false;
    }
    if (s.p[0] == '"') {
        if (s.n < 2 || s.p[s.n - 1] != '"' || !unquote(str_of(s.p + 1, s.n - 2), room, &n)) {
            return false;
        }
    } else {
        memcpy(room, s.p, s.n);
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_printable(room[i])) {
            return false;
        }
    }
    struct str key = n > 0 && n <= LIMIT_KEY_BYTES ? arena_str(a, str_of(room, n)) : STR_NONE;
    if (key.p == NULL) {
        return false;
    }
    *out = key;
    return true;
}

bool header_api_key(struct str value, struct str *out_id, struct str *out_secret) {
    struct str id, rest = value;
    if (!str_starts(rest, STR("pen_"))) {
        return false;
    }
    rest = str_of(rest.p + 4, rest.n - 4);
    if (!str_cut(&rest, '_', &id) || !str_is_name(id, LIMIT_NAME_BYTES) || rest.n == 0) {
        return false;
    }
    *out_id = id;
    *out_secret = rest;
    return true;
}

bool header_bearer(struct str value, struct str *out_id, struct str *out_secret) {
    struct str scheme, rest = str_trim(value);
    return str_cut(&rest, ' ', &scheme) && str_eq_nocase(scheme, STR("Bearer")) &&
           header_api_key(str_trim(rest), out_id, out_secret);
}

struct str header_cookie(struct str value, const char *name) {
    struct str pair, key;
    while (str_cut(&value, ';', &pair)) {
        pair = str_trim(pair);
        bool whole = pair.n > 0 && memchr(pair.p, '=', pair.n) != NULL;
        if (whole && str_cut(&pair, '=', &key) && str_is(key, name)) {
            return pair;
        }
    }
    return STR_NONE;
}

void header_prefer(struct str value, struct prefer *out) {
    struct str piece;
    while (str_cut(&value, ',', &piece)) {
        struct str name, item;
        if (!str_cut(&piece, ';', &item) || !str_cut(&item, '=', &name)) { /* parameters say nothing to us */
            continue;
        }
        int64_t seconds;
        name = str_trim(name);
        if (str_eq_nocase(name, STR("respond-async"))) {
            out->respond_async = true;
        } else if (str_eq_nocase(name, STR("wait")) && str_to_i64(str_trim(item), &seconds) && seconds >= 0 && seconds <= 86400) {
            out->wait_ms = seconds * 1000;
        }
    }
}

static bool ends_with(struct str s, const char *suffix) {
    struct str end = str_c(suffix);
    return s.n >= end.n && memcmp(s.p + s.n - end.n, end.p, end.n) == 0;
}

bool header_wait(struct str value, int64_t *out_ms) {
    int64_t n, unit = 1000;
    if (ends_with(value, "ms")) {
        unit = 1;
        value.n -= 2;
    } else if (ends_with(value, "s")) {
        value.n -= 1;
    }
    if (!str_to_i64(value, &n) || n < 0 || n > 86400000) {
        return false;
    }
    *out_ms = n * unit;
    return true;
}

static struct str strong(struct str tag) { return str_starts(tag, STR("W/")) ? str_of(tag.p + 2, tag.n - 2) : tag; }

/* Our tags have no comma inside, so that one in somebody else's only makes pieces that match nothing. */
bool header_etag_is_in(struct str value, struct str etag) {
    struct str piece;
    while (str_cut(&value, ',', &piece)) {
        piece = str_trim(piece);
        if (str_is(piece, "*") || str_eq(strong(piece), strong(etag))) {
            return true;
        }
    }
    return false;
}

bool header_is_etag(struct str value) {
    struct str s = strong(str_trim(value));
    if (s.n < 2 || s.p[0] != '"' || s.p[s.n - 1] != '"') {
        return false;
    }
    for (size_t i = 1; i < s.n - 1; i++) {
        if ((unsigned char)s.p[i] <= ' ' || s.p[i] == '"' || s.p[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

/* In the one form in which we write it: tags are compared byte by byte. */
bool header_version(struct str value, int64_t *out) {
    int64_t v;
    value = str_trim(value);
    if (value.n < 3 || value.p[0] != '"' || value.p[value.n - 1] != '"' || value.p[1] < '1' || value.p[1] > '9' ||
        !str_to_i64(str_of(value.p + 1, value.n - 2), &v)) {
        return false;
    }
    *out = v;
    return true;
}

/* Without a ":8080" at the end. */
static struct str without_port(struct str host) {
    size_t n = host.n;
    while (n > 0 && host.p[n - 1] >= '0' && host.p[n - 1] <= '9') {
        n--;
    }
    return n > 0 && host.p[n - 1] == ':' ? str_of(host.p, n - 1) : host;
}

/* Digits and dots alone are an address: no name ends in a number. */
static bool is_loopback_v4(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] != '.' && (s.p[i] < '0' || s.p[i] > '9')) {
            return false;
        }
    }
    return str_starts(s, STR("127."));
}

bool header_host_is_local(struct str value) {
    struct str host = without_port(value);
    return str_is(host, "[::1]") || str_eq_nocase(host, STR("localhost")) || is_loopback_v4(host);
}

/* Takes ";name=value" from the front of parameters; the value without quotes. */
static bool take_parameter(struct str *rest, struct str *out_name, struct str *out_value) {
    struct str piece;
    if (!str_cut(rest, ';', &piece)) {
        return false;
    }
    if (!str_cut(&piece, '=', out_name)) {
        *out_name = STR("");
        *out_value = STR("");
        return true;
    }
    *out_name = str_trim(*out_name);
    struct str v = str_trim(piece);
    *out_value = v.n >= 2 && v.p[0] == '"' && v.p[v.n - 1] == '"' ? str_of(v.p + 1, v.n - 2) : v;
    return true;
}

bool header_media_is(struct str value, const char *type) {
    struct str media, name, v;
    if (!str_cut(&value, ';', &media) || !str_eq_nocase(str_trim(media), str_c(type))) {
        return false;
    }
    while (take_parameter(&value, &name, &v)) {
        if (str_eq_nocase(name, STR("charset")) && !str_eq_nocase(v, STR("utf-8"))) {
            return false;
        }
    }
    return true;
}

bool header_accepts(struct str accept, const char *type) {
    struct str piece, media, name, v;
    while (str_cut(&accept, ',', &piece)) {
        if (!str_cut(&piece, ';', &media) || !str_eq_nocase(str_trim(media), str_c(type))) {
            continue;
        }
        bool wanted = true;
        while (take_parameter(&piece, &name, &v)) {
            wanted =
                wanted && !(str_is(name, "q") && (str_is(v, "0") || str_is(v, "0.0") || str_is(v, "0.00") || str_is(v, "0.000")));
        }
        return wanted;
    }
    return false;
}

/* Exactly n digits at the front. */
static bool take_digits(struct str *s, size_t n, int *out) {
    int v = 0;
    if (s->n < n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (s->p[i] < '0' || s->p[i] > '9') {
            return false;
        }
        v = v * 10 + (s->p[i] - '0');
    }
    *s = str_of(s->p + n, s->n - n);
    *out = v;
    return true;
}

static bool take_char(struct str *s, const char *any) {
    if (s->n == 0 || strchr(any, s->p[0]) == NULL || s->p[0] == '\0') {
        return false;
    }
    *s = str_of(s->p + 1, s->n - 1);
    return true;
}

/* Days since 1970-01-01 in the Gregorian calendar (Howard Hinnant's days_from_civil). */
static int64_t days_of(int y, int m, int d) {
    y -= m <= 2;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool is_date(int y, int m, int d) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
    return m >= 1 && m <= 12 && d >= 1 && d <= days[m - 1] + (m == 2 && leap ? 1 : 0);
}

static bool take_fraction(struct str *s, int *out_ms) {
    int ms = 0, scale = 100, digit;
    if (!take_char(s, ".")) {
        *out_ms = 0;
        return true;
    }
    bool any = false;
    while (take_digits(s, 1, &digit)) {
        ms += digit * scale;
        scale /= 10;
        any = true;
    }
    *out_ms = ms;
    return any;
}

static bool take_offset(struct str *s, int *out_minutes) {
    int hours, minutes;
    if (take_char(s, "Zz")) {
        *out_minutes = 0;
        return true;
    }
    int sign = s->n > 0 && s->p[0] == '-' ? -1 : 1;
    if (!take_char(s, "+-") || !take_digits(s, 2, &hours) || !take_char(s, ":") || !take_digits(s, 2, &minutes) || hours > 23 ||
        minutes > 59) {
        return false;
    }
    *out_minutes = sign * (hours * 60 + minutes);
    return true;
}

static bool take_date(struct str *s, int64_t *out_days) {
    int year, month, day;
    if (!take_digits(s, 4, &year) || !take_char(s, "-") || !take_digits(s, 2, &month) || !take_char(s, "-") ||
        !take_digits(s, 2, &day) || !is_date(year, month, day)) {
        return false;
    }
    *out_days = days_of(year, month, day);
    return true;
}

static bool take_clock(struct str *s, int *out_seconds) {
    int hour, minute, second;
    if (!take_digits(s, 2, &hour) || !take_char(s, ":") || !take_digits(s, 2, &minute) || !take_char(s, ":") ||
        !take_digits(s, 2, &second) || hour > 23 || minute > 59 || second > 60) {
        return false;
    }
    *out_seconds = (hour * 60 + minute) * 60 + second;
    return true;
}

bool header_time(struct str s, struct wall *out) {
    int64_t days;
    int seconds, ms, offset_minutes;
    if (!take_date(&s, &days) || !take_char(&s, "Tt") || !take_clock(&s, &seconds) || !take_fraction(&s, &ms) ||
        !take_offset(&s, &offset_minutes) || s.n != 0) {
        return false;
    }
    *out = (struct wall){(days * 86400 + seconds - 60 * offset_minutes) * 1000 + ms};
    return true;
}
