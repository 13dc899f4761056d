/* The formats, checked as assertions.
 *   uuid       RFC 9562 text, 8-4-4-4-12 hex digits, any version
 *   date-time  RFC 3339: a date and time that exist, with offset; second 60 only where leap seconds are, at 23:59 UTC
 *   email      dot-atom "@" host name, ASCII (no quoted local part, no address literal: no mail system of ours wants them)
 *   uri        RFC 3986 with a scheme */
#include <arpa/inet.h>

#include "schema_private.h"

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
static bool is_one_of(char c, const char *set) { return c != '\0' && strchr(set, c) != NULL; }

static bool is_uuid(struct str s) {
    if (s.n != 36) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash ? s.p[i] != '-' : !is_hex(s.p[i])) {
            return false;
        }
    }
    return true;
}

/* Takes exactly n digits off *s. */
static bool take_number(struct str *s, size_t n, int *out) {
    if (s->n < n) {
        return false;
    }
    int v = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_digit(s->p[i])) {
            return false;
        }
        v = v * 10 + (s->p[i] - '0');
    }
    *s = str_of(s->p + n, s->n - n);
    *out = v;
    return true;
}

static bool take_one_of(struct str *s, const char *set) {
    if (s->n == 0 || !is_one_of(s->p[0], set)) {
        return false;
    }
    *s = str_of(s->p + 1, s->n - 1);
    return true;
}

static bool take_date(struct str *s) {
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year;
    int month;
    int day;
    if (!take_number(s, 4, &year) || !take_one_of(s, "-") || !take_number(s, 2, &month) || !take_one_of(s, "-") ||
        !take_number(s, 2, &day) || month < 1 || month > 12 || day < 1 || day > days[month - 1]) {
        return false;
    }
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month != 2 || day <= 28 || leap;
}

/* Minutes to take off for UTC. */
static bool take_offset(struct str *s, int *out_minutes) {
    if (take_one_of(s, "Zz")) {
        *out_minutes = 0;
        return true;
    }
    bool west = s->n > 0 && s->p[0] == '-';
    int hour;
    int minute;
    if (!take_one_of(s, "+-") || !take_number(s, 2, &hour) || !take_one_of(s, ":") || !take_number(s, 2, &minute) || hour > 23 ||
        minute > 59) {
        return false;
    }
    *out_minutes = (hour * 60 + minute) * (west ? -1 : 1);
    return true;
}

/* hh:mm:ss and a fraction that may be missing. */
static bool take_time(struct str *s, int *out_minutes, int *out_second) {
    int hour;
    int minute;
    int second;
    if (!take_number(s, 2, &hour) || !take_one_of(s, ":") || !take_number(s, 2, &minute) || !take_one_of(s, ":") ||
        !take_number(s, 2, &second) || hour > 23 || minute > 59 || second > 60) {
        return false;
    }
    if (take_one_of(s, ".")) {
        if (!take_one_of(s, "0123456789")) {
            return false;
        }
        while (take_one_of(s, "0123456789")) {
        }
    }
    *out_minutes = hour * 60 + minute;
    *out_second = second;
    return true;
}

static bool is_date_time(struct str s) {
    enum { DAY_MINUTES = 24 * 60 };
    int minutes;
    int second;
    int offset;
    if (!take_date(&s) || !take_one_of(&s, "Tt") || !take_time(&s, &minutes, &second) || !take_offset(&s, &offset) || s.n != 0) {
        return false;
    }
    int utc = (minutes - offset + DAY_MINUTES) % DAY_MINUTES;
    return second <= 59 || utc == DAY_MINUTES - 1;
}

static bool is_host_name(struct str s) {
    struct str label;
    if (s.n == 0 || s.n > 253 || s.p[s.n - 1] == '.') {
        return false;
    }
    while (str_cut(&s, '.', &label)) {
        if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-') {
            return false;
        }
        for (size_t i = 0; i < label.n; i++) {
            if (!is_alpha(label.p[i]) && !is_digit(label.p[i]) && label.p[i] != '-') {
                return false;
            }
        }
    }
    return true;
}

static bool is_dot_atom(struct str s) {
    bool after_dot = true;
    for (size_t i = 0; i < s.n; i++) {
        bool dot = s.p[i] == '.';
        if (dot ? after_dot : !is_alpha(s.p[i]) && !is_digit(s.p[i]) && !is_one_of(s.p[i], "!#$%&'*+-/=?^_`{|}~")) {
            return false;
        }
        after_dot = dot;
    }
    return !after_dot;
}

static bool is_email(struct str s) {
    const char *at = s.n > 0 ? memchr(s.p, '@', s.n) : NULL;
    if (at == NULL || s.n > 254) {
        return false;
    }
    size_t local = (size_t)(at - s.p);
    return local <= 64 && is_dot_atom(str_of(s.p, local)) && is_host_name(str_of(at + 1, s.n - local - 1));
}

/* Only unreserved, sub-delims, %XX and what is in extra. */
static bool is_uri_text(struct str s, const char *extra) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%') {
            if (s.n - i < 3 || !is_hex(s.p[i + 1]) || !is_hex(s.p[i + 2])) {
                return false;
            }
            i += 2;
        } else if (!is_alpha(s.p[i]) && !is_digit(s.p[i]) && !is_one_of(s.p[i], "-._~!$&'()*+,;=") && !is_one_of(s.p[i], extra)) {
            return false;
        }
    }
    return true;
}

static bool is_scheme(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        if (!is_alpha(s.p[i]) && (i == 0 || (!is_digit(s.p[i]) && !is_one_of(s.p[i], "+-.")))) {
            return false;
        }
    }
    return s.n > 0;
}

/* "[…]", an IPv6 address. */
static bool is_ip_literal(struct str s) {
    char text[INET6_ADDRSTRLEN];
    unsigned char address[16];
    return s.n > 2 && s.p[0] == '[' && s.p[s.n - 1] == ']' && str_copy_c(str_of(s.p + 1, s.n - 2), text, sizeof text) &&
           inet_pton(AF_INET6, text, address) == 1;
}

static bool is_authority(struct str s) {
    const char *at = s.n > 0 ? memchr(s.p, '@', s.n) : NULL;
    if (at != NULL) {
        size_t user = (size_t)(at - s.p);
        if (!is_uri_text(str_of(s.p, user), ":")) {
            return false;
        }
        s = str_of(at + 1, s.n - user - 1);
    }
    size_t port = s.n; /* index of what follows the host */
    while (port > 0 && is_digit(s.p[port - 1])) {
        port--;
    }
    struct str host = port > 0 && s.p[port - 1] == ':' ? str_of(s.p, port - 1) : s;
    return is_uri_text(host, "") || is_ip_literal(host);
}

/* Takes the bytes before the first of the stops, or all. */
static struct str take_until(struct str *s, const char *stops) {
    size_t n = 0;
    while (n < s->n && !is_one_of(s->p[n], stops)) {
        n++;
    }
    struct str head = str_of(s->p, n);
    *s = str_of(s->p + n, s->n - n);
    return head;
}

static bool is_uri(struct str s) {
    struct str scheme = take_until(&s, ":/?#");
    if (!is_scheme(scheme) || !take_one_of(&s, ":")) {
        return false;
    }
    if (str_starts(s, STR("//"))) {
        s = str_of(s.p + 2, s.n - 2);
        if (!is_authority(take_until(&s, "/?#"))) {
            return false;
        }
    }
    if (!is_uri_text(take_until(&s, "?#"), ":@/")) {
        return false;
    }
    if (take_one_of(&s, "?") && !is_uri_text(take_until(&s, "#"), ":@/?")) {
        return false;
    }
    return !take_one_of(&s, "#") || is_uri_text(s, ":@/?");
}

static const struct {
    const char *name, *text;
    bool (*holds)(struct str s);
} formats[] = {
    [FORMAT_UUID] = {"uuid", "a UUID such as 0190a7c2-5f3e-7d1a-9b4c-2e8f6a1d3c5b", is_uuid},
    [FORMAT_DATE_TIME] = {"date-time", "a date and time that exist, such as 2026-11-28T21:13:34Z", is_date_time},
    [FORMAT_EMAIL] = {"email", "an e-mail address such as name@example.org", is_email},
    [FORMAT_URI] = {"uri", "a URI such as https://example.org/path", is_uri},
};
_Static_assert(sizeof formats / sizeof formats[0] == FORMAT_MAX, "one row per format");

bool schema_format_find(struct str name, enum schema_format *out) {
    for (unsigned i = 0; i < FORMAT_MAX; i++) {
        if (str_is(name, formats[i].name)) {
            *out = (enum schema_format)i;
            return true;
        }
    }
    return false;
}

bool schema_format_holds(enum schema_format f, struct str s) { return formats[f].holds(s); }
const char *schema_format_text(enum schema_format f) { return formats[f].text; }
