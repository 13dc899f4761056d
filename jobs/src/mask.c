#include <jobs/mask.h>

#include <base/schema.h>
#include <string.h>

static bool has_stars(const json_t *v) { return json_is_string(v) && strcmp(json_string_value(v), SCHEMA_MASK) == 0; }

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
