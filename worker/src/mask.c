#include "mask.h"

#include <base/json.h>

enum { SHORTEST = 3, NUMBER_BYTES_MAX = 64 }; /* "a" or "1" is everywhere, and tells nothing */

/* What of a detail must not be shown, however texts overlap in it. */
struct cover {
    const struct schema *schema;
    const char *detail;
    size_t n;
    char *hidden; /* for each byte of the detail 1 if it is */
};

/* How much of a text's beginning the detail has at its end. */
static size_t cut_short(const struct cover *c, struct str text) {
    size_t n = text.n < c->n ? text.n : c->n;
    while (n >= SHORTEST && strncasecmp(c->detail + c->n - n, text.p, n) != 0) {
        n--;
    }
    return n >= SHORTEST ? n : 0;
}

static void cover_text(struct cover *c, struct str text) {
    const char *at = c->detail;
    while (text.n >= SHORTEST && (at = strcasestr(at, text.p)) != NULL) {
        memset(c->hidden + (at - c->detail), 1, text.n);
        at += text.n;
    }
    size_t tail = cut_short(c, text);
    memset(c->hidden + c->n - tail, 1, tail);
}

static struct err cover_number(struct cover *c, const json_t *number) {
    struct buf text;
    buf_init(&text, NUMBER_BYTES_MAX);
    struct err e = json_write(number, &text);
    buf_add_char(&text, '\0');
    e = err_is_set(e) ? e : buf_status(&text);
    if (!err_is_set(e)) {
        cover_text(c, str_c(text.p));
    }
    buf_free(&text);
    return e;
}

/* All that a hidden value says. Bounded, as the next one, by the depth that json_read allows. */
static struct err cover_value(struct cover *c, const json_t *value) {
    const char *name;
    json_t *inner;
    size_t i;
    if (json_is_string(value)) {
        cover_text(c, str_c(json_string_value(value)));
    }
    if (json_is_number(value)) {
        return cover_number(c, value);
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, inner) {
        if (!schema_names(c->schema, str_c(name))) {
            cover_text(c, str_c(name));
        }
        TRY(cover_value(c, inner));
    }
    json_array_foreach(value, i, inner) { TRY(cover_value(c, inner)); }
    return OK;
}

/* shown: value as people may see it. */
static struct err cover_difference(struct cover *c, const json_t *value, const json_t *shown) {
    const char *name;
    json_t *inner;
    size_t i;
    if (json_is_string(shown) && !json_equal(value, shown)) {
        return cover_value(c, value);
    }
    json_object_foreach((json_t *)(uintptr_t)value, name, inner) {
        TRY(cover_difference(c, inner, json_object_get(shown, name)));
    }
    json_array_foreach(value, i, inner) { TRY(cover_difference(c, inner, json_array_get(shown, i))); }
    return OK;
}

static struct err cover_payload(struct cover *c, struct str payload) {
    json_t *value = NULL, *shown = NULL;
    struct err e = json_read(payload, &value);
    if (!err_is_set(e)) {
        e = json_read(payload, &shown);
    }
    if (!err_is_set(e)) {
        e = schema_mask(c->schema, &shown);
    }
    if (!err_is_set(e)) {
        e = cover_difference(c, value, shown);
    }
    json_decref(value);
    json_decref(shown);
    return e;
}

/* In place: the stars are never longer than what they stand for. */
static void put_stars(const struct cover *c, char *out) {
    size_t to = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (!c->hidden[i]) {
            out[to++] = out[i];
        } else if (i == 0 || !c->hidden[i - 1]) {
            memcpy(out + to, SCHEMA_MASK, strlen(SCHEMA_MASK));
            to += strlen(SCHEMA_MASK);
        }
    }
    out[to] = '\0';
}

struct err mask_err(struct arena *a, struct kind *k, struct str payload, struct err err) {
    struct cover c = {.detail = err.detail, .n = strlen(err.detail)};
    if (c.n == 0) {
        return err;
    }
    if (err_is_set(kind_schema(k, &c.schema))) {
        return (struct err){err.code, ""};
    }
    if (!schema_masks(c.schema)) {
        return err;
    }
    char *detail = arena_alloc(a, c.n + 1);
    c.hidden = arena_alloc(a, c.n);
    bool known = detail != NULL && c.hidden != NULL && !err_is_set(cover_payload(&c, payload));
    if (known) {
        memcpy(detail, err.detail, c.n + 1);
        put_stars(&c, detail);
    }
    return (struct err){err.code, known ? detail : ""};
}
