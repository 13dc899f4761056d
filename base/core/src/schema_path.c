/* Pointers and details of errors, into fixed buffers: no allocation while checking. */
#include <stdio.h>

#include "schema_private.h"

/* One reference token: "~" and "/" as RFC 6901 asks, then what a URI fragment does not allow as %XX. */
static size_t write_token(struct str name, char *out, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < name.n; i++) {
        unsigned char c = (unsigned char)name.p[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     (c != '\0' && strchr("-._!$&'()*+,;=:@?", c) != NULL);
        char piece[4] = {(char)c, '\0'};
        if (c == '~' || c == '/') {
            (void)snprintf(piece, sizeof piece, "~%d", c == '/');
        } else if (!plain) {
            (void)snprintf(piece, sizeof piece, "%%%02X", c);
        }
        size_t length = strlen(piece);
        if (n + length >= size) {
            return SIZE_MAX;
        }
        memcpy(out + n, piece, length);
        n += length;
    }
    return n;
}

/* Length so far; *full once a token did not fit. */
static size_t write_path(const struct schema_path *at, char *out, size_t size, bool *full) {
    if (at == NULL) {
        out[0] = '#';
        return 1;
    }
    size_t n = write_path(at->parent, out, size, full);
    char digits[24];
    struct str token = at->name;
    if (token.p == NULL) {
        token = str_of(digits, (size_t)snprintf(digits, sizeof digits, "%zu", at->index));
    }
    if (*full || n + 2 > size) {
        *full = true;
        return n;
    }
    size_t length = write_token(token, out + n + 1, size - n - 1);
    if (length == SIZE_MAX) {
        *full = true;
        return n;
    }
    out[n] = '/';
    return n + 1 + length;
}

size_t schema_path_write(const struct schema_path *at, char *out, size_t size) {
    bool full = false;
    size_t n = write_path(at, out, size - 1, &full);
    out[n] = '\0';
    return n;
}

void schema_text_add(struct schema_text *t, struct str s) {
    static const struct str ellipsis = {"\xE2\x80\xA6", 3};
    if (t->cut || t->size == 0) {
        return;
    }
    size_t room = t->size - 1 - ellipsis.n - t->n;
    if (s.n > room) {
        s.n = room;
        while (s.n > 0 && ((unsigned char)s.p[s.n] & 0xC0) == 0x80) {
            s.n--; /* not within a character */
        }
        t->cut = true;
    }
    memcpy(t->p + t->n, s.p, s.n);
    t->n += s.n;
    if (t->cut) {
        memcpy(t->p + t->n, ellipsis.p, ellipsis.n);
        t->n += ellipsis.n;
    }
    t->p[t->n] = '\0';
}

void schema_text_c(struct schema_text *t, const char *s) { schema_text_add(t, str_c(s)); }

static int add_piece(const char *p, size_t n, void *arg) {
    schema_text_add(arg, str_of(p, n));
    return 0;
}

void schema_text_json(struct schema_text *t, const json_t *v) {
    if (t->size > 0 && !t->cut) {
        (void)json_dump_callback(v, add_piece, t, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    }
}
