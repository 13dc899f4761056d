#include "profile.h"

#include <base/limits.h>

enum line_kind { LINE_EMPTY, LINE_PROFILE, LINE_VALUE, LINE_WRONG };

struct line {
    struct str raw; /* without its end */
    struct str profile, name, value;
};

/* profile is kept from the line before. */
static enum line_kind read_line(struct line *l) {
    struct str s = str_trim(l->raw);
    struct str name;
    if (s.n == 0 || s.p[0] == '#') {
        return LINE_EMPTY;
    }
    if (s.p[0] == '[' && s.p[s.n - 1] == ']') {
        l->profile = str_trim(str_of(s.p + 1, s.n - 2));
        return str_is_name(l->profile, LIMIT_NAME_BYTES) ? LINE_PROFILE : LINE_WRONG;
    }
    if (memchr(s.p, '=', s.n) == NULL || !str_cut(&s, '=', &name)) {
        return LINE_WRONG;
    }
    l->name = str_trim(name);
    l->value = str_trim(s);
    return str_is_name(l->name, LIMIT_NAME_BYTES) ? LINE_VALUE : LINE_WRONG;
}

bool profile_check(struct str text, struct buf *why) {
    struct line l = {.profile = STR("")};
    for (int n = 1; str_cut(&text, '\n', &l.raw); n++) {
        if (read_line(&l) == LINE_WRONG || l.raw.n >= PROFILE_LINE_BYTES) {
            buf_addf(why, "line %d: must be \"name = value\", \"[profile]\" or a # comment, of less than %d bytes", n,
                     PROFILE_LINE_BYTES);
            return false;
        }
    }
    return true;
}

struct str profile_get(struct str text, struct str profile, struct str name) {
    struct line l = {.profile = STR("")};
    struct str found = STR_NONE;
    while (str_cut(&text, '\n', &l.raw)) {
        if (read_line(&l) == LINE_VALUE && str_eq(l.profile, profile) && str_eq(l.name, name)) {
            found = l.value;
        }
    }
    return found;
}

bool profile_exists(struct str text, struct str profile) {
    struct line l = {.profile = STR("")};
    while (str_cut(&text, '\n', &l.raw)) {
        if (read_line(&l) == LINE_PROFILE && str_eq(l.profile, profile)) {
            return true;
        }
    }
    return false;
}

static void add_value(struct buf *out, struct str name, struct str value) {
    buf_add(out, name);
    buf_add_c(out, " = ");
    buf_add(out, value);
    buf_add_char(out, '\n');
}

/* The new line stands right below its profile's, the old ones go. */
void profile_set(struct str text, struct str profile, struct str name, struct str value, struct buf *out) {
    struct line l = {.profile = STR("")};
    bool written = profile.n == 0;
    if (written) {
        add_value(out, name, value);
    }
    while (str_cut(&text, '\n', &l.raw)) {
        enum line_kind kind = read_line(&l);
        bool ours = str_eq(l.profile, profile);
        if (kind == LINE_VALUE && ours && str_eq(l.name, name)) {
            continue;
        }
        buf_add(out, l.raw);
        buf_add_char(out, '\n');
        if (kind == LINE_PROFILE && ours && !written) {
            add_value(out, name, value);
            written = true;
        }
    }
    if (!written) {
        buf_addf(out, "%s[%.*s]\n", out->n > 0 ? "\n" : "", STR_ARG(profile));
        add_value(out, name, value);
    }
}
