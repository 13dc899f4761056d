#include "mask.h"

#include <base/json.h>

enum { SHORTEST = 3 }; /* "a" or "1" is everywhere, and tells nothing */

/* In place: a mask is never longer than what it hides. */
static void hide(char *detail, const char *text) {
    static const char stars[] = "***";
    size_t n = strlen(text);
    char *at = detail;
    while (n >= SHORTEST && (at = strcasestr(at, text)) != NULL) {
        memcpy(at, stars, sizeof stars - 1);
        memmove(at + sizeof stars - 1, at + n, strlen(at + n) + 1);
        at += sizeof stars - 1;
    }
}

/* Bounded by the depth of schemas and payloads, which json_read bounds. */
static void hide_all(char *detail, const json_t *schema, const json_t *value) {
    const char *name;
    json_t *inner;
    size_t i;
    if (json_is_true(json_object_get(schema, "x-masked")) && json_is_string(value)) {
        hide(detail, json_string_value(value));
    }
    json_object_foreach((json_t *)(uintptr_t)json_object_get(schema, "properties"), name, inner) {
        hide_all(detail, inner, json_object_get(value, name));
    }
    json_array_foreach(value, i, inner) { hide_all(detail, json_object_get(schema, "items"), inner); }
}

struct err mask_err(struct arena *a, const char *schema, struct str payload, struct err err) {
    json_t *rules = NULL, *value = NULL;
    if (schema == NULL || strstr(schema, "\"x-masked\"") == NULL || err.detail[0] == '\0') {
        return err;
    }
    char *detail = arena_alloc(a, strlen(err.detail) + 1);
    bool read = detail != NULL && !err_is_set(json_read(str_c(schema), &rules)) && !err_is_set(json_read(payload, &value));
    if (read) {
        memcpy(detail, err.detail, strlen(err.detail) + 1);
        hide_all(detail, rules, value);
    }
    json_decref(rules);
    json_decref(value);
    return (struct err){err.code, read ? detail : ""};
}
