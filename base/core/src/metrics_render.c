/* Several processes' snapshots as one exposition. The formats want all lines of a family together, so each line is sorted
 * into a text per family in one pass. A snapshot came through Redis: a line that is not certainly well formed would make
 * Prometheus refuse the whole answer, so it is left out. */
#include "metrics_private.h"

#include <math.h>
#include <stdlib.h>

static bool is_suffix_of(enum metric m, struct str suffix) {
    if (metric_families[m].kind != HISTOGRAM) {
        return suffix.n == 0;
    }
    return str_is(suffix, "_bucket") || str_is(suffix, "_sum") || str_is(suffix, "_count");
}

static bool is_name_of(enum metric m, struct str name) {
    struct str family = metric_families[m].name;
    return str_starts(name, family) && is_suffix_of(m, str_of(name.p + family.n, name.n - family.n));
}

/* M_MAX when unknown. Lines of a family follow each other, so the last answer is tried first. */
static int family_of(struct str name, int last) {
    if (last < M_MAX && is_name_of((enum metric)last, name)) {
        return last;
    }
    for (int m = 0; m < M_MAX; m++) {
        if (is_name_of((enum metric)m, name)) {
            return m;
        }
    }
    return M_MAX;
}

static bool is_label_char(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

/* Takes name="value" from the front: backslash, quote and line feed are the only escapes there are. */
static bool take_label(struct str *s) {
    size_t i = 0;
    while (i < s->n && is_label_char(s->p[i])) {
        i++;
    }
    struct str name = str_of(s->p, i);
    if (i == 0 || str_is(name, "process") || s->n - i < 2 || s->p[i] != '=' || s->p[i + 1] != '"') {
        return false;
    }
    for (i += 2; i < s->n && s->p[i] != '"'; i++) {
        if (s->p[i] == '\\' && (++i == s->n || strchr("\\\"n", s->p[i]) == NULL)) {
            return false;
        }
    }
    if (i == s->n) {
        return false;
    }
    *s = str_of(s->p + i + 1, s->n - i - 1);
    return true;
}

/* Takes {a="x",b="y"}, or nothing, from the front; the inside is *out. */
static bool take_labels(struct str *s, struct str *out) {
    struct str rest = *s;
    *out = str_of(s->p, 0);
    if (rest.n == 0 || rest.p[0] != '{') {
        return true;
    }
    const char *start = rest.p + 1;
    do {
        rest = str_of(rest.p + 1, rest.n - 1); /* the brace, then commas */
        if (!take_label(&rest)) {
            return false;
        }
    } while (rest.n > 0 && rest.p[0] == ',');
    if (rest.n == 0 || rest.p[0] != '}') {
        return false;
    }
    *out = str_of(start, (size_t)(rest.p - start));
    *s = str_of(rest.p + 1, rest.n - 1);
    return true;
}

static bool is_number(struct str s) {
    char text[40];
    if (str_is(s, "NaN") || str_is(s, "+Inf") || str_is(s, "-Inf")) {
        return true;
    }
    if (s.n == 0 || !str_copy_c(s, text, sizeof text) || strspn(text, "0123456789+-.eE") != s.n) {
        return false;
    }
    char *end;
    double v = strtod(text, &end);
    return end == text + s.n && isfinite(v);
}

static bool is_printable(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < ' ' || s.p[i] > '~') {
            return false;
        }
    }
    return true;
}

struct line {
    struct str name, labels, value;
};

static bool parse_line(struct str s, struct line *out) {
    size_t n = 0;
    while (n < s.n && s.p[n] != '{' && s.p[n] != ' ') {
        n++;
    }
    out->name = str_of(s.p, n);
    s = str_of(s.p + n, s.n - n);
    if (!take_labels(&s, &out->labels) || s.n < 2 || s.p[0] != ' ') {
        return false;
    }
    out->value = str_of(s.p + 1, s.n - 1);
    return is_number(out->value);
}

static bool is_hex(struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        if (strchr("0123456789abcdef", s.p[i]) == NULL) {
            return false;
        }
    }
    return true;
}

/* "#exemplar {trace_id="…"} value time": *out is what stands behind the mark; p NULL: it is malformed. False: another line. */
static bool read_exemplar(struct str s, struct str *out) {
    struct str mark = STR(EXEMPLAR_MARK), open = STR("{trace_id=\""), close = STR("\"} "), value;
    enum { ID = TRACE_ID_HEX_BYTES - 1 };
    if (!str_starts(s, mark)) {
        return false;
    }
    s = str_of(s.p + mark.n, s.n - mark.n);
    size_t head = open.n + ID + close.n;
    bool ok = s.n > head && str_starts(s, open) && is_hex(str_of(s.p + open.n, ID)) &&
              str_starts(str_of(s.p + open.n + ID, close.n), close);
    struct str rest = ok ? str_of(s.p + head, s.n - head) : STR_NONE;
    *out = ok && str_cut(&rest, ' ', &value) && is_number(value) && is_number(rest) ? s : STR_NONE;
    return true;
}

static void add_process(struct buf *b, const char *process) {
    buf_add_c(b, "process=\"");
    for (const char *c = process; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\') {
            buf_add_char(b, '\\');
        }
        buf_add_char(b, *c >= ' ' && *c <= '~' ? *c : '_');
    }
    buf_add_char(b, '"');
}

static bool is_bucket(struct str name) {
    struct str suffix = STR("_bucket");
    return name.n > suffix.n && str_eq(str_of(name.p + name.n - suffix.n, suffix.n), suffix);
}

static void add_line(struct buf *b, const char *process, const struct line *line, struct str exemplar) {
    buf_add(b, line->name);
    buf_add_char(b, '{');
    add_process(b, process);
    if (line->labels.n > 0) {
        buf_add_char(b, ',');
        buf_add(b, line->labels);
    }
    buf_add_c(b, "} ");
    buf_add(b, line->value);
    if (exemplar.p != NULL && is_bucket(line->name)) {
        buf_add_c(b, " # ");
        buf_add(b, exemplar);
    }
    buf_add_char(b, '\n');
}

static void sort_in(struct buf texts[M_MAX], const struct metrics_part *part, bool exemplars) {
    struct str rest = part->snapshot;
    const char *end = rest.n > 0 ? memrchr(rest.p, '\n', rest.n) : NULL;
    struct str text, exemplar = STR_NONE;
    struct line line;
    int m = M_MAX;
    rest.n = end != NULL ? (size_t)(end - rest.p) : 0; /* a last line without its end may have lost digits */
    while (str_cut(&rest, '\n', &text)) {
        if (!is_printable(text) || read_exemplar(text, &exemplar)) {
            continue;
        }
        if (parse_line(text, &line) && (m = family_of(line.name, m)) != M_MAX) {
            add_line(&texts[m], part->process, &line, exemplars ? exemplar : STR_NONE);
        }
        exemplar = STR_NONE;
    }
}

static void add_family(struct buf *out, enum metric m, const struct buf *text, bool openmetrics) {
    static const char *const kinds[] = {[COUNTER] = "counter", [GAUGE] = "gauge", [HISTOGRAM] = "histogram"};
    const struct family *f = &metric_families[m];
    struct str name = f->name;
    if (text->failed != ERR_NONE && out->failed == ERR_NONE) {
        out->failed = text->failed;
    }
    if (text->n == 0) {
        return;
    }
    if (openmetrics && f->kind == COUNTER) {
        name.n -= sizeof "_total" - 1; /* there the suffix belongs to the sample */
    }
    buf_addf(out, "# HELP %.*s %s\n# TYPE %.*s %s\n", STR_ARG(name), f->help, STR_ARG(name), kinds[f->kind]);
    buf_add(out, buf_str(text));
}

void metrics_render(struct buf *out, const struct metrics_part *parts, size_t n, bool openmetrics) {
    struct buf texts[M_MAX];
    for (int m = 0; m < M_MAX; m++) {
        buf_init(&texts[m], out->max);
    }
    for (size_t i = 0; i < n; i++) {
        sort_in(texts, &parts[i], openmetrics);
    }
    for (int m = 0; m < M_MAX; m++) {
        add_family(out, (enum metric)m, &texts[m], openmetrics);
        buf_free(&texts[m]);
    }
    if (openmetrics) {
        buf_add_c(out, "# EOF\n");
    }
}
