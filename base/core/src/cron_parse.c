#include <base/cron.h>

enum { FIELDS = 5, WORD_LETTERS = 3 };

/* One field of the five: its values, and names for them, three letters each. */
struct field {
    const char *name;
    int min, max;
    const char *words;
    int first_word;
};

static const struct field fields[FIELDS] = {
    {"minute", 0, 59, "", 0},
    {"hour", 0, 23, "", 0},
    {"day of month", 1, 31, "", 0},
    {"month", 1, 12, "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC", 1},
    {"day of week", 0, 7, "SUNMONTUEWEDTHUFRISAT", 0},
};

static const struct {
    const char *name, *text;
} nicknames[] = {
    {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"}, {"@monthly", "0 0 1 * *"}, {"@weekly", "0 0 * * 0"},
    {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@hourly", "0 * * * *"},
};

/* Where the reading is. */
struct at {
    struct str text;
    size_t i;
};

static struct err bad(size_t where, const struct field *f, const char *why) {
    return err_make(ERR_INVALID, "column %zu: %s %s", where + 1, f->name, why);
}

static char peek(const struct at *at) { return at->i < at->text.n ? at->text.p[at->i] : '\0'; }

static bool skip(struct at *at, char c) {
    bool is = at->i < at->text.n && at->text.p[at->i] == c;
    at->i += is;
    return is;
}

static bool is_space(char c) { return c == ' ' || c == '\t'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_alpha(char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); }

static struct err read_digits(struct at *at, int *out) {
    size_t from = at->i;
    int64_t v;
    while (is_digit(peek(at))) {
        at->i++;
    }
    struct str digits = str_of(at->text.p + from, at->i - from);
    if (digits.n > 4 || !str_to_i64(digits, &v)) {
        return err_make(ERR_INVALID, "column %zu: there must be a number here", from + 1);
    }
    *out = (int)v;
    return OK;
}

static struct err read_word(struct at *at, const struct field *f, int *out) {
    size_t from = at->i;
    while (is_alpha(peek(at))) {
        at->i++;
    }
    struct str word = str_of(at->text.p + from, at->i - from);
    for (int k = 0; word.n == WORD_LETTERS && f->words[k * WORD_LETTERS] != '\0'; k++) {
        if (str_eq_nocase(word, str_of(f->words + k * WORD_LETTERS, WORD_LETTERS))) {
            *out = f->first_word + k;
            return OK;
        }
    }
    return err_make(ERR_INVALID, "column %zu: %s has no \"%.*s\"", from + 1, f->name, (int)(word.n < 20 ? word.n : 20), word.p);
}

static struct err read_value(struct at *at, const struct field *f, int *out) {
    size_t from = at->i;
    int v;
    if (is_alpha(peek(at))) {
        return read_word(at, f, out);
    }
    if (!is_digit(peek(at))) {
        return err_make(ERR_INVALID, "column %zu: %s must be *, a number%s or a range", from + 1, f->name,
                        f->words[0] != '\0' ? ", a name" : "");
    }
    TRY(read_digits(at, &v));
    if (v < f->min || v > f->max) {
        return err_make(ERR_INVALID, "column %zu: %s must be %d to %d, not %d", from + 1, f->name, f->min, f->max, v);
    }
    *out = v;
    return OK;
}

/* "*", "7", "1-5", each of the two that are ranges with "/n". */
static struct err read_part(struct at *at, const struct field *f, uint64_t *bits) {
    size_t from = at->i;
    int low = f->min, high = f->max, step = 1;
    bool range = skip(at, '*');
    if (!range) {
        TRY(read_value(at, f, &low));
        high = low;
        range = skip(at, '-');
        if (range) {
            TRY(read_value(at, f, &high));
        }
    } else if (f->max == 7) {
        high = 6; /* Sunday once */
    }
    if (low > high) {
        return bad(from, f, "has a range that goes backwards");
    }
    size_t slash = at->i;
    if (skip(at, '/')) {
        if (!range) {
            return bad(slash, f, "has a step, which goes with * or a range alone");
        }
        TRY(read_digits(at, &step));
        if (step < 1 || step > f->max) {
            return err_make(ERR_INVALID, "column %zu: %s must have a step of 1 to %d", slash + 2, f->name, f->max);
        }
    }
    for (int v = low; v <= high; v += step) {
        *bits |= UINT64_C(1) << v;
    }
    return OK;
}

static void skip_space(struct at *at) {
    while (is_space(peek(at))) {
        at->i++;
    }
}

static struct err read_field(struct at *at, const struct field *f, uint64_t *out_bits, bool *out_star) {
    uint64_t bits = 0;
    skip_space(at);
    if (at->i == at->text.n) {
        return bad(at->i, f, "is missing; there are five fields: minute, hour, day of month, month, day of week");
    }
    bool star = peek(at) == '*';
    do {
        TRY(read_part(at, f, &bits));
    } while (skip(at, ','));
    if (at->i < at->text.n && !is_space(peek(at))) {
        return bad(at->i, f, "goes on with something that does not belong there");
    }
    *out_bits = bits;
    *out_star = star;
    return OK;
}

static struct err read_nickname(struct str text, struct cron *out) {
    for (size_t i = 0; i < sizeof nicknames / sizeof nicknames[0]; i++) {
        if (str_eq_nocase(text, str_c(nicknames[i].name))) {
            return cron_parse(str_c(nicknames[i].text), out);
        }
    }
    return err_make(ERR_INVALID, "column 1: must be five fields, or @yearly, @monthly, @weekly, @daily or @hourly");
}

struct err cron_parse(struct str text, struct cron *out) {
    struct at at = {text, 0};
    uint64_t bits[FIELDS];
    bool star[FIELDS];
    if (text.n > CRON_TEXT_BYTES) {
        return err_make(ERR_INVALID, "a cron expression has at most %d characters", CRON_TEXT_BYTES);
    }
    if (peek(&at) == '@') {
        return read_nickname(at.text, out);
    }
    for (size_t i = 0; i < FIELDS; i++) {
        TRY(read_field(&at, &fields[i], &bits[i], &star[i]));
    }
    skip_space(&at);
    if (at.i < at.text.n) {
        return err_make(ERR_INVALID, "column %zu: there are more than five fields", at.i + 1);
    }
    *out = (struct cron){
        .minutes = bits[0],
        .hours = (uint32_t)bits[1],
        .days = (uint32_t)bits[2],
        .months = (uint16_t)bits[3],
        .weekdays = (uint8_t)((bits[4] & 0x7f) | (bits[4] >> 7 & 1)),
        .any_day = star[2],
        .any_weekday = star[4],
        .elapsed = star[0] || star[1],
    };
    return OK;
}
