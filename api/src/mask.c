#include "mask.h"

#include <base/limits.h>
#include <string.h>

static struct err hide(const json_t *schema, json_t *value, unsigned depth);

/* A member, or an item, as its own schema says. */
static struct err hide_in(json_t *holder, const char *name, size_t index, const json_t *schema, unsigned depth) {
    json_t *value = name != NULL ? json_object_get(holder, name) : json_array_get(holder, index);
    if (value == NULL || !json_is_object(schema)) {
        return OK;
    }
    if (!json_is_true(json_object_get(schema, "x-masked"))) {
        return hide(schema, value, depth + 1);
    }
    json_t *stars = json_string(MASK_TEXT);
    int rc = name != NULL ? json_object_set_new(holder, name, stars) : json_array_set_new(holder, index, stars);
    return rc == 0 ? OK : err_make(ERR_NOMEM, "payload");
}

static struct err hide_branches(const json_t *schema, json_t *value, unsigned depth) {
    static const char *const names[] = {"oneOf", "anyOf", "allOf"};
    const json_t *branch;
    size_t b;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        json_array_foreach(json_object_get(schema, names[i]), b, branch) { TRY(hide(branch, value, depth + 1)); }
    }
    return OK;
}

static struct err hide(const json_t *schema, json_t *value, unsigned depth) {
    const char *name;
    const json_t *member;
    if (depth > 2 * LIMIT_JSON_DEPTH || !json_is_object(schema)) {
        return OK;
    }
    json_object_foreach(json_object_get(schema, "properties"), name, member) {
        if (json_is_object(value)) {
            TRY(hide_in(value, name, 0, member, depth));
        }
    }
    for (size_t i = 0; json_is_array(value) && i < json_array_size(value); i++) {
        TRY(hide_in(value, NULL, i, json_object_get(schema, "items"), depth));
    }
    return hide_branches(schema, value, depth);
}

struct err mask_hide(const json_t *schema, json_t *value) {
    return hide(schema, value, 0);
}

static bool has_stars(const json_t *v) { return json_is_string(v) && strcmp(json_string_value(v), MASK_TEXT) == 0; }

struct err mask_restore(json_t *edited, const json_t *original) {
    const char *name;
    json_t *member;
    void *next;
    json_object_foreach_safe(edited, next, name, member) {
        json_t *was = json_object_get(original, name);
        if (has_stars(member) && was != NULL) {
            if (json_object_set(edited, name, was) != 0) {
                return err_make(ERR_NOMEM, "payload");
            }
        } else {
            TRY(mask_restore(member, was));
        }
    }
    for (size_t i = 0; json_is_array(edited) && i < json_array_size(edited); i++) {
        json_t *was = json_array_get(original, i);
        member = json_array_get(edited, i);
        if (has_stars(member) && was != NULL) {
            if (json_array_set(edited, i, was) != 0) {
                return err_make(ERR_NOMEM, "payload");
            }
        } else {
            TRY(mask_restore(member, was));
        }
    }
    return OK;
}
