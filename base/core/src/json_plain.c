/* The JSON that programs send: strings without escapes, integers, nothing out of the ordinary. It is read here in one pass, at an
 * eighth of what jansson's lexer takes for it (a call for each byte, into a buffer that grows). Whatever else there is, and whatever is
 * wrong, is jansson's: json_read.c asks it, and so there is one judge of what JSON is and one voice that says what is not. */
#include <base/json.h>
#include <base/limits.h>

#include "json_private.h"

struct reader {
    const char *p, *end;
    int depth;
};

static json_t *read_value(struct reader *r);

static void skip_space(struct reader *r) {
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t')) {
        r->p++;
    }
}

/* Behind blanks, this character. */
static bool take(struct reader *r, char c) {
    skip_space(r);
    bool is_there = r->p < r->end && *r->p == c;
    r->p += is_there;
    return is_there;
}

/* Between quotes; not what must be changed or may be refused. */
static bool take_string(struct reader *r, struct str *out) {
    if (!take(r, '"')) {
        return false;
    }
    const char *begin = r->p;
    r->p += json_plain_bytes(r->p, (size_t)(r->end - r->p));
    while (r->p < r->end && *r->p != '"') {
        unsigned char c = (unsigned char)*r->p;
        size_t n = c < 0x80 ? 1 : json_utf8_length(str_of(r->p, (size_t)(r->end - r->p)));
        if (c < 0x20 || c == '\\' || n == 0) {
            return false;
        }
        r->p += n;
        r->p += json_plain_bytes(r->p, (size_t)(r->end - r->p));
    }
    *out = str_of(begin, (size_t)(r->p - begin));
    return take(r, '"');
}

static bool is_digit(const struct reader *r) { return r->p < r->end && *r->p >= '0' && *r->p <= '9'; }

/* Of at most 18 digits: they fit. */
static json_t *read_integer(struct reader *r) {
    bool minus = *r->p == '-';
    r->p += minus;
    const char *begin = r->p;
    json_int_t v = 0;
    while (is_digit(r) && r->p - begin < 18) {
        v = 10 * v + (*r->p++ - '0');
    }
    bool is_whole = r->p > begin && !is_digit(r) && !(*begin == '0' && r->p - begin > 1) &&
                    (r->p == r->end || (*r->p != '.' && *r->p != 'e' && *r->p != 'E'));
    return is_whole ? json_integer(minus ? -v : v) : NULL;
}

static json_t *read_word(struct reader *r) {
    static const struct {
        const char *text;
        json_t *(*make)(void);
    } words[] = {{"true", json_true}, {"false", json_false}, {"null", json_null}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct str word = str_c(words[i].text);
        if (str_starts(str_of(r->p, (size_t)(r->end - r->p)), word)) {
            r->p += word.n;
            return words[i].make();
        }
    }
    return NULL;
}

static bool add_member(struct reader *r, json_t *object) {
    struct str name;
    if (!take_string(r, &name) || !take(r, ':') || json_object_getn(object, name.p, name.n) != NULL) {
        return false;
    }
    json_t *value = read_value(r);
    return value != NULL && json_object_setn_new_nocheck(object, name.p, name.n, value) == 0;
}

static bool add_item(struct reader *r, json_t *array) {
    json_t *value = read_value(r);
    return value != NULL && json_array_append_new(array, value) == 0;
}

/* Up to the closing one. */
static json_t *read_container(struct reader *r, json_t *container, char close, bool (*add)(struct reader *, json_t *)) {
    bool ok = container != NULL && ++r->depth <= LIMIT_JSON_DEPTH, is_closed = ok && take(r, close);
    while (ok && !is_closed) {
        ok = add(r, container);
        is_closed = ok && take(r, close);
        ok = is_closed || (ok && take(r, ','));
    }
    r->depth--;
    if (!is_closed) {
        json_decref(container);
        return NULL;
    }
    return container;
}

static json_t *read_value(struct reader *r) {
    struct str text;
    if (take(r, '{')) {
        return read_container(r, json_object(), '}', add_member);
    }
    if (take(r, '[')) {
        return read_container(r, json_array(), ']', add_item);
    }
    if (r->p == r->end) {
        return NULL;
    }
    if (*r->p == '"') {
        return take_string(r, &text) ? json_stringn_nocheck(text.p, text.n) : NULL;
    }
    return *r->p == '-' || is_digit(r) ? read_integer(r) : read_word(r);
}

json_t *json_read_plain(struct str text) {
    struct reader r = {.p = text.p, .end = text.p + text.n};
    skip_space(&r);
    json_t *root = r.p < r.end && (*r.p == '{' || *r.p == '[') ? read_value(&r) : NULL;
    skip_space(&r);
    if (root != NULL && r.p != r.end) {
        json_decref(root);
        root = NULL;
    }
    return root;
}
