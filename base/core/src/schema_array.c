/* The rules about items of arrays. A rule holds for every value of a type it does not speak of. */
#include <stdio.h>

#include "schema_private.h"

bool schema_check_prefix_items(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                               const struct schema_path *at) {
    bool ok = true;
    for (size_t i = 0; i < r->n && i < json_array_size(v->json) && (ok || !schema_is_over(c)); i++) {
        struct schema_path item_at = {at, STR_NONE, i};
        ok = schema_check_json(c, r->nodes[i], json_array_get(v->json, i), &item_at) && ok;
    }
    return ok;
}

bool schema_check_items(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                        const struct schema_path *at) {
    bool ok = true;
    if (r->node->never && json_array_size(v->json) > r->n) {
        return schema_fail_count(c, at, "at most", r->n, "item");
    }
    for (size_t i = r->n; i < json_array_size(v->json) && (ok || !schema_is_over(c)); i++) {
        struct schema_path item_at = {at, STR_NONE, i};
        ok = schema_check_json(c, r->node, json_array_get(v->json, i), &item_at) && ok;
    }
    return ok;
}

bool schema_check_min_items(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                            const struct schema_path *at) {
    bool holds = !json_is_array(v->json) || json_array_size(v->json) >= r->n;
    return holds || schema_fail_count(c, at, "at least", r->n, "item");
}

bool schema_check_max_items(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                            const struct schema_path *at) {
    return json_array_size(v->json) <= r->n || schema_fail_count(c, at, "at most", r->n, "item");
}

/* Pair by pair: the steps of the check bound it to some 2000 items. */
bool schema_check_unique_items(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                               const struct schema_path *at) {
    for (size_t i = 1; i < json_array_size(v->json) && r->n != 0; i++) {
        struct schema_value item = schema_value_of(json_array_get(v->json, i));
        for (size_t k = 0; k < i; k++) {
            if (schema_equal(c, json_array_get(v->json, k), &item)) {
                struct schema_path item_at = {at, STR_NONE, i};
                char text[80];
                (void)snprintf(text, sizeof text, "is the same as item %zu; items must be unique", k);
                return schema_fail(c, &item_at, text);
            }
        }
    }
    return c->gave_up == NULL;
}
