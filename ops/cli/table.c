#include "table.h"

#include <base/ids.h>
#include <stdio.h>

#include "text.h"

enum { GAP = 2, CUT_LEAST = 6 };

/* ---- one cell ---- */

static const json_t *element(const json_t *list, struct str name) {
    size_t n = json_array_size(list);
    uint64_t i = n - 1;
    return n > 0 && (str_is(name, "last") || str_to_u64(name, &i)) ? json_array_get(list, (size_t)i) : NULL;
}

const json_t *table_member(const json_t *v, const char *path) {
    struct str rest = str_c(path);
    struct str name;
    while (v != NULL && str_cut(&rest, '.', &name)) {
        if (json_is_array(v)) {
            v = element(v, name);
        } else {
            v = json_object_getn(v, name.p, name.n);
        }
    }
    return v;
}

static bool read_time(const json_t *v, struct wall *out) {
    struct str text = str_c(json_string_value(v));
    struct uuid id;
    if (json_is_integer(v)) {
        *out = (struct wall){json_integer_value(v)};
        return true;
    }
    if (uuid_parse(text, &id)) {
        *out = (struct wall){id_ms(id)};
        return true;
    }
    return text_time(text, out);
}

static void add_list(char out[TABLE_CELL_BYTES], const json_t *list) {
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(list) && at < TABLE_CELL_BYTES; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        int n = snprintf(out + at, TABLE_CELL_BYTES - at, "%s%s", i > 0 ? "," : "", text != NULL ? text : "?");
        at += n > 0 ? (size_t)n : 0;
    }
}

/* "name: text, name: text". */
static void add_texts(char out[TABLE_CELL_BYTES], const json_t *object) {
    size_t at = 0;
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)(uintptr_t)object, name, v) {
        if (at < TABLE_CELL_BYTES && json_is_string(v)) {
            int n = snprintf(out + at, TABLE_CELL_BYTES - at, "%s%s: %s", at > 0 ? ", " : "", name, json_string_value(v));
            at += n > 0 ? (size_t)n : 0;
        }
    }
}

static void add_value(char out[TABLE_CELL_BYTES], const json_t *v) {
    if (json_is_string(v)) {
        (void)snprintf(out, TABLE_CELL_BYTES, "%s", json_string_value(v));
    } else if (json_is_integer(v)) {
        (void)snprintf(out, TABLE_CELL_BYTES, "%lld", (long long)json_integer_value(v));
    } else if (json_is_real(v)) {
        (void)snprintf(out, TABLE_CELL_BYTES, "%.1f", json_real_value(v));
    } else if (json_is_boolean(v)) {
        (void)snprintf(out, TABLE_CELL_BYTES, "%s", json_is_true(v) ? "true" : "false");
    } else if (json_is_array(v)) {
        add_list(out, v);
    } else if (json_is_object(v)) {
        add_texts(out, v);
    }
}

/* What comes from others must not move the cursor (C0 and C1 controls, in UTF-8), nor end in the middle of a character. */
static void clean(char out[TABLE_CELL_BYTES]) {
    unsigned char *p = (unsigned char *)out;
    size_t n = strlen(out);
    for (size_t i = 0; i < n; i++) {
        bool c1 = p[i] == 0xc2 && p[i + 1] < 0xa0;
        if (p[i] < ' ' || p[i] == 0x7f || c1) {
            p[i] = '?';
            p[i + c1] = '?';
        }
    }
    if (n == TABLE_CELL_BYTES - 1 && p[n - 1] >= 0x80) {
        while (p[n - 1] < 0xc0) {
            n--;
        }
        p[n - 1] = '\0';
    }
}

void table_cell(const json_t *row, const struct column *c, struct wall now, char out[TABLE_CELL_BYTES]) {
    const json_t *v = table_member(row, c->path);
    struct wall then;
    out[0] = '\0';
    if (c->kind == COLUMN_TEXT) {
        add_value(out, v);
        clean(out);
    } else if (c->kind == COLUMN_SECONDS && json_is_number(v)) {
        double seconds = json_number_value(v);
        text_age(seconds < 1e12 ? (int64_t)(seconds * 1000) : INT64_MAX, out);
    } else if (c->kind == COLUMN_PERCENT && json_is_number(v)) {
        (void)snprintf(out, TABLE_CELL_BYTES, "%.5g%%", 100 * json_number_value(v));
    } else if (c->kind == COLUMN_NUMBER && json_is_number(v)) {
        (void)snprintf(out, TABLE_CELL_BYTES, "%.4g", json_number_value(v));
    } else if (c->kind == COLUMN_AGE && read_time(v, &then)) {
        text_age(now.ms - then.ms, out);
    }
    if (out[0] == '\0') {
        (void)snprintf(out, TABLE_CELL_BYTES, "-");
    }
}

/* ---- layout ---- */

static size_t characters(const char *s) {
    size_t n = 0;
    for (; *s != '\0'; s++) {
        n += ((unsigned char)*s & 0xc0) != 0x80;
    }
    return n;
}

/* The first n characters, by ".." at the end when there are more. */
static void shorten(char *s, size_t n) {
    size_t seen = 0;
    if (characters(s) <= n) {
        return;
    }
    while (*s != '\0') {
        seen += ((unsigned char)*s & 0xc0) != 0x80;
        if (seen > n - 2) {
            break;
        }
        s++;
    }
    memcpy(s, "..", 3); /* at least three characters were there */
}

/* The columns of a form, in order. */
struct shown {
    const struct column *columns[TABLE_COLUMNS_MAX];
    size_t widths[TABLE_COLUMNS_MAX];
    size_t n;
};

static void choose(struct shown *s, const struct column *columns, size_t n, bool wide) {
    s->n = 0;
    for (size_t i = 0; i < n && s->n < TABLE_COLUMNS_MAX; i++) {
        if (wide || (columns[i].flags & COLUMN_WIDE) == 0) {
            s->columns[s->n++] = &columns[i];
        }
    }
}

/* Takes from the widest of those that may be cut until the table fits. */
static void fit(struct shown *s) {
    for (;;) {
        size_t total = 0, widest = s->n;
        for (size_t i = 0; i < s->n; i++) {
            total += s->widths[i] + (i > 0 ? GAP : 0);
            if ((s->columns[i]->flags & COLUMN_CUT) != 0 && s->widths[i] > CUT_LEAST &&
                (widest == s->n || s->widths[i] > s->widths[widest])) {
                widest = i;
            }
        }
        if (total <= TABLE_WIDTH || widest == s->n) {
            return;
        }
        s->widths[widest]--;
    }
}

/* Of a list, or of the one object. */
static size_t rows_n(const json_t *rows) { return json_is_array(rows) ? json_array_size(rows) : 1; }
static const json_t *rows_at(const json_t *rows, size_t i) { return json_is_array(rows) ? json_array_get(rows, i) : rows; }

static void measure(struct shown *s, const json_t *rows, struct wall now, struct table_form form) {
    char cell[TABLE_CELL_BYTES];
    for (size_t i = 0; i < s->n; i++) {
        s->widths[i] = form.headers ? strlen(s->columns[i]->title) : 1;
        for (size_t row = 0; row < rows_n(rows); row++) {
            table_cell(rows_at(rows, row), s->columns[i], now, cell);
            size_t width = characters(cell);
            s->widths[i] = width > s->widths[i] ? width : s->widths[i];
        }
    }
    if (!form.wide) {
        fit(s);
    }
}

static void add_cell(struct buf *out, char *cell, size_t width, bool last) {
    shorten(cell, width);
    buf_addf(out, "%s%*s", cell, last ? 0 : (int)(width - characters(cell) + GAP), "");
}

void table_write(struct buf *out, const struct column *columns, size_t n, const json_t *rows, struct wall now,
                 struct table_form form) {
    struct shown s;
    char cell[TABLE_CELL_BYTES];
    choose(&s, columns, n, form.wide);
    measure(&s, rows, now, form);
    for (size_t i = 0; form.headers && i < s.n; i++) {
        (void)snprintf(cell, sizeof cell, "%s", s.columns[i]->title);
        add_cell(out, cell, s.widths[i], i + 1 == s.n);
    }
    buf_add_c(out, form.headers ? "\n" : "");
    for (size_t row = 0; row < rows_n(rows); row++) {
        for (size_t i = 0; i < s.n; i++) {
            table_cell(rows_at(rows, row), s.columns[i], now, cell);
            add_cell(out, cell, s.widths[i], i + 1 == s.n);
        }
        buf_add_char(out, '\n');
    }
}
