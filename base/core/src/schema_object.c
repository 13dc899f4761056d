/* The rules about members of objects. A rule holds for every value of a type it does not speak of. */
#include "schema_private.h"

bool schema_check_properties(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                             const struct schema_path *at) {
    bool ok = true;
    for (size_t i = 0; i < r->n && json_is_object(v->json) && (ok || !schema_is_over(c)); i++) {
        struct schema_path member_at = {at, r->members[i].name, 0};
        const json_t *member = json_object_getn(v->json, member_at.name.p, member_at.name.n);
        ok = (member == NULL || schema_check_json(c, r->members[i].node, member, &member_at)) && ok;
    }
    return ok;
}

static bool fail_unknown(struct schema_checker *c, const struct schema_path *at, const json_t *known) {
    const char *key;
    json_t *schema;
    struct schema_text t = schema_report(c, at);
    schema_text_c(&t, "unknown member; allowed: ");
    const char *between = "";
    json_object_foreach((json_t *)known, key, schema) {
        schema_text_c(&t, between);
        schema_text_c(&t, key);
        between = ", ";
    }
    schema_text_c(&t, json_object_size(known) == 0 ? "none" : "");
    return false;
}

bool schema_check_additional_properties(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                                        const struct schema_path *at) {
    const char *key;
    size_t length;
    json_t *member;
    bool ok = true;
    json_object_keylen_foreach((json_t *)v->json, key, length, member) {
        if (json_object_getn(r->value, key, length) != NULL) {
            continue;
        }
        struct schema_path member_at = {at, str_of(key, length), 0};
        ok = (r->node->never ? fail_unknown(c, &member_at, r->value) : schema_check_json(c, r->node, member, &member_at)) && ok;
        if (!ok && schema_is_over(c)) {
            return false;
        }
    }
    return ok;
}

bool schema_check_property_names(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                                 const struct schema_path *at) {
    const char *key;
    size_t length;
    json_t *member;
    bool ok = true;
    json_object_keylen_foreach((json_t *)v->json, key, length, member) {
        struct schema_value name = {NULL, str_of(key, length)};
        struct schema_path member_at = {at, name.text, 0};
        ok = schema_check_node(c, r->node, &name, &member_at) && ok;
        if (!ok && schema_is_over(c)) {
            return false;
        }
    }
    return ok;
}

/* because: the member whose presence asks for the names, or NULL. */
static bool check_present(struct schema_checker *c, const json_t *object, const json_t *names, const char *because,
                          const struct schema_path *at) {
    size_t i;
    json_t *name;
    bool ok = true;
    json_array_foreach(names, i, name) {
        if (json_object_getn(object, json_string_value(name), json_string_length(name)) != NULL) {
            continue;
        }
        ok = false;
        struct schema_text t = schema_report(c, at);
        schema_text_c(&t, "missing member ");
        schema_text_add(&t, schema_value_of(name).text);
        schema_text_c(&t, because != NULL ? ", required beside " : "");
        schema_text_c(&t, because != NULL ? because : "");
    }
    return ok;
}

bool schema_check_required(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                           const struct schema_path *at) {
    return !json_is_object(v->json) || check_present(c, v->json, r->value, NULL, at);
}

bool schema_check_dependent_required(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                                     const struct schema_path *at) {
    const char *key;
    json_t *names;
    bool ok = true;
    json_object_foreach((json_t *)r->value, key, names) {
        if (json_object_get(v->json, key) != NULL) {
            ok = check_present(c, v->json, names, key, at) && ok;
        }
    }
    return ok;
}

bool schema_check_min_properties(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                                 const struct schema_path *at) {
    bool holds = !json_is_object(v->json) || json_object_size(v->json) >= r->n;
    return holds || schema_fail_count(c, at, "at least", r->n, "member");
}

bool schema_check_max_properties(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                                 const struct schema_path *at) {
    return json_object_size(v->json) <= r->n || schema_fail_count(c, at, "at most", r->n, "member");
}
