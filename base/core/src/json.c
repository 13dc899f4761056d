/* Getters and writers; reading is in json_read.c. */
#include <base/json.h>

#include <stdio.h>
#include <stdlib.h>

#include "json_private.h"

void json_setup(void) {
    json_guard_install();
    json_object_seed(0);
}

static struct err member_error(const char *name, const char *what) { return err_make(ERR_INVALID, "#/%s: %s", name, what); }

struct err json_get_str(const json_t *o, const char *name, struct str *out) {
    const json_t *v = json_object_get(o, name);
    if (!json_is_string(v)) {
        return member_error(name, v == NULL ? "missing" : "must be a string");
    }
    *out = str_of(json_string_value(v), json_string_length(v));
    return OK;
}

struct err json_get_i64(const json_t *o, const char *name, int64_t *out) {
    const json_t *v = json_object_get(o, name);
    if (!json_is_integer(v)) {
        return member_error(name, v == NULL ? "missing" : "must be an integer");
    }
    *out = (int64_t)json_integer_value(v);
    return OK;
}

struct str json_opt_str(const json_t *o, const char *name, struct str fallback) {
    const json_t *v = json_object_get(o, name);
    return json_is_string(v) ? str_of(json_string_value(v), json_string_length(v)) : fallback;
}

int64_t json_opt_i64(const json_t *o, const char *name, int64_t fallback) {
    const json_t *v = json_object_get(o, name);
    return json_is_integer(v) ? (int64_t)json_integer_value(v) : fallback;
}

bool json_opt_bool(const json_t *o, const char *name, bool fallback) {
    const json_t *v = json_object_get(o, name);
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

/* 15 digits show 0.1 as 0.1; they do not keep the value of every double, 17 do. */
static bool survives_15_digits(double d) {
    char text[40];
    (void)snprintf(text, sizeof text, "%.15g", d);
    return strtod(text, NULL) == d;
}

static bool all_survive_15_digits(const json_t *v) {
    const char *key;
    json_t *child;
    size_t i;
    if (json_is_object(v)) {
        json_object_foreach((json_t *)v, key, child) {
            if (!all_survive_15_digits(child)) {
                return false;
            }
        }
    } else if (json_is_array(v)) {
        json_array_foreach(v, i, child) {
            if (!all_survive_15_digits(child)) {
                return false;
            }
        }
    }
    return !json_is_real(v) || survives_15_digits(json_real_value(v));
}

static void add_real(struct buf *b, const json_t *v, size_t digits) {
    char text[64];
    size_t n = json_dumpb(v, text, sizeof text, JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));
    if (n == 0 || n > sizeof text) {
        b->failed = ERR_NOMEM;
    } else {
        buf_add(b, str_of(text, n));
    }
}

static void add_value(struct buf *b, const json_t *v, size_t digits);

static void add_members(struct buf *b, const json_t *v, size_t digits) {
    const char *key, *comma = "";
    size_t key_n;
    json_t *child;
    buf_add_char(b, '{');
    json_object_keylen_foreach((json_t *)v, key, key_n, child) {
        buf_add_c(b, comma);
        json_add_string(b, str_of(key, key_n));
        buf_add_char(b, ':');
        add_value(b, child, digits);
        comma = ",";
    }
    buf_add_char(b, '}');
}

static void add_items(struct buf *b, const json_t *v, size_t digits) {
    json_t *child;
    size_t i;
    buf_add_char(b, '[');
    json_array_foreach(v, i, child) {
        buf_add_c(b, i > 0 ? "," : "");
        add_value(b, child, digits);
    }
    buf_add_char(b, ']');
}

static void add_value(struct buf *b, const json_t *v, size_t digits) {
    char room[I64_TEXT_BYTES];
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        add_members(b, v, digits);
        break;
    case JSON_ARRAY:
        add_items(b, v, digits);
        break;
    case JSON_STRING:
        json_add_string(b, str_of(json_string_value(v), json_string_length(v)));
        break;
    case JSON_INTEGER:
        buf_add(b, str_from_i64(json_integer_value(v), room));
        break;
    case JSON_REAL:
        add_real(b, v, digits);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        buf_add_c(b, json_is_true(v) ? "true" : "false");
        break;
    case JSON_NULL:
        buf_add_c(b, "null");
        break;
    }
}

struct err json_write(const json_t *v, struct buf *out) {
    add_value(out, v, all_survive_15_digits(v) ? 15 : 17);
    return buf_status(out);
}

/* Length of the sequence that a first byte announces; 0: it is none. */
static size_t announced_length(unsigned char first) {
    if (first < 0x80) {
        return 1;
    }
    if (first >= 0xC2 && first <= 0xDF) {
        return 2;
    }
    if ((first & 0xF0) == 0xE0) {
        return 3;
    }
    return first >= 0xF0 && first <= 0xF4 ? 4 : 0;
}

size_t json_utf8_length(struct str s) {
    const unsigned char *p = (const unsigned char *)s.p;
    size_t n = announced_length(p[0]);
    if (n < 2) {
        return n;
    }
    /* overlong forms, surrogates and what is above U+10FFFF all show in the second byte */
    unsigned char low = p[0] == 0xE0 ? 0xA0 : p[0] == 0xF0 ? 0x90 : 0x80;
    unsigned char high = p[0] == 0xED ? 0x9F : p[0] == 0xF4 ? 0x8F : 0xBF;
    if (n > s.n || p[1] < low || p[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return n;
}

bool json_is_utf8(struct str s) {
    size_t i = 0, n = 1;
    while (i < s.n && n > 0) {
        n = json_utf8_length(str_of(s.p + i, s.n - i));
        i += n;
    }
    return n > 0;
}

static void add_escaped(struct buf *b, char c) {
    static const char names[] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r', ['"'] = '"', ['\\'] = '\\'};
    size_t at = (unsigned char)c;
    if (at < sizeof names && names[at] != '\0') {
        buf_add_char(b, '\\');
        buf_add_char(b, names[at]);
    } else {
        buf_addf(b, "\\u%04x", (unsigned)at);
    }
}

void json_add_string(struct buf *b, struct str s) {
    buf_add_char(b, '"');
    size_t plain = 0; /* start of the bytes that need no change and are not copied yet */
    for (size_t i = json_plain_bytes(s.p, s.n); i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        bool is_special = c < 0x20 || c == '"' || c == '\\';
        size_t n = c < 0x80 ? 1 : json_utf8_length(str_of(s.p + i, s.n - i));
        bool changes = n == 0 || is_special;
        if (changes) {
            buf_add(b, str_of(s.p + plain, i - plain));
        }
        if (n == 0) {
            buf_add_c(b, "\xEF\xBF\xBD");
        } else if (changes) {
            add_escaped(b, s.p[i]);
        }
        i += n != 0 ? n : 1;
        plain = changes ? i : plain;
        i += json_plain_bytes(s.p + i, s.n - i);
    }
    buf_add(b, str_of(s.p + plain, s.n - plain));
    buf_add_char(b, '"');
}
