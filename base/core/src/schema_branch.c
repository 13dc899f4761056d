/* allOf anyOf oneOf not. The work is in the explaining: when no branch holds, the errors of the one that was meant are worth
 * more than "none of 3 holds". It is told by a member that has a const in every branch (a discriminator), else by being the
 * only branch whose types and constants fit. */
#include <stdio.h>

#include "schema_private.h"

static const json_t *own_const(const struct schema_node *n) {
    for (size_t i = 0; i < n->n_rules; i++) {
        if (n->rules[i].kind == RULE_CONST) {
            return n->rules[i].value;
        }
    }
    return NULL;
}

/* The value that a branch fixes for a member, or NULL. */
static const json_t *member_const(const struct schema_node *branch, struct str name) {
    const json_t *found = NULL;
    for (size_t i = 0; i < branch->n_rules && found == NULL; i++) {
        const struct schema_rule *r = &branch->rules[i];
        if (r->kind == RULE_REF) {
            found = member_const(r->node, name);
        }
        for (size_t k = 0; r->kind == RULE_PROPERTIES && k < r->n && found == NULL; k++) {
            found = str_eq(r->members[k].name, name) ? own_const(r->members[k].node) : NULL;
        }
    }
    return found;
}

static bool all_have_const(const struct schema_rule *r, struct str name) {
    for (size_t i = 0; i < r->n; i++) {
        if (member_const(r->nodes[i], name) == NULL) {
            return false;
        }
    }
    return true;
}

/* p is NULL when there is none. */
static struct str find_discriminator(const struct schema_rule *r, const struct schema_node *branch) {
    struct str found = STR_NONE;
    for (size_t i = 0; i < branch->n_rules && found.p == NULL; i++) {
        const struct schema_rule *inner = &branch->rules[i];
        if (inner->kind == RULE_REF) {
            found = find_discriminator(r, inner->node);
        }
        for (size_t k = 0; inner->kind == RULE_PROPERTIES && k < inner->n && found.p == NULL; k++) {
            found = all_have_const(r, inner->members[k].name) ? inner->members[k].name : STR_NONE;
        }
    }
    return found;
}

static bool explain_discriminator(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                                  struct str name, const struct schema_path *at) {
    struct schema_value member = schema_value_of(json_object_getn(v->json, name.p, name.n));
    for (size_t i = 0; i < r->n && member.json != NULL; i++) {
        if (schema_equal(c, member_const(r->nodes[i], name), &member)) {
            return schema_check_node(c, r->nodes[i], v, at);
        }
    }
    struct schema_path member_at = {at, name, 0};
    struct schema_text t = schema_report(c, member.json != NULL ? &member_at : at);
    if (member.json != NULL) {
        schema_text_c(&t, "must be one of: ");
    } else {
        schema_text_c(&t, "missing member ");
        schema_text_add(&t, name);
        schema_text_c(&t, ", one of: ");
    }
    for (size_t i = 0; i < r->n; i++) {
        schema_text_c(&t, i > 0 ? ", " : "");
        schema_text_json(&t, member_const(r->nodes[i], name));
    }
    return false;
}

static bool could_be(struct schema_checker *c, const struct schema_node *branch, const struct schema_value *v);

static bool members_could_be(struct schema_checker *c, const struct schema_rule *properties, const struct schema_value *v) {
    for (size_t i = 0; i < properties->n; i++) {
        const struct schema_member *m = &properties->members[i];
        struct schema_value member = schema_value_of(json_object_getn(v->json, m->name.p, m->name.n));
        const json_t *fixed = own_const(m->node);
        if (member.json != NULL && fixed != NULL && !schema_equal(c, fixed, &member)) {
            return false;
        }
    }
    return true;
}

/* Whether type and constants fit, leaving the rest aside. */
static bool could_be(struct schema_checker *c, const struct schema_node *branch, const struct schema_value *v) {
    bool fits = !branch->never;
    for (size_t i = 0; i < branch->n_rules && fits; i++) {
        const struct schema_rule *r = &branch->rules[i];
        if (r->kind == RULE_TYPE) {
            fits = (schema_types_of(v) & r->types) != 0;
        } else if (r->kind == RULE_CONST) {
            fits = schema_equal(c, r->value, v);
        } else if (r->kind == RULE_REF) {
            fits = could_be(c, r->node, v);
        } else if (r->kind == RULE_PROPERTIES) {
            fits = members_could_be(c, r, v);
        }
    }
    return fits;
}

/* No branch holds: says why. Always false. */
static bool explain(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                    const struct schema_path *at) {
    struct str discriminator = json_is_object(v->json) ? find_discriminator(r, r->nodes[0]) : STR_NONE;
    if (discriminator.p != NULL) {
        return explain_discriminator(c, r, v, discriminator, at);
    }
    const struct schema_node *meant = NULL;
    size_t possible = 0;
    for (size_t i = 0; i < r->n; i++) {
        if (could_be(c, r->nodes[i], v)) {
            meant = r->nodes[i];
            possible++;
        }
    }
    if (possible == 1) {
        return schema_check_node(c, meant, v, at);
    }
    char text[80];
    (void)snprintf(text, sizeof text, "fits none of the %zu allowed forms", r->n);
    return schema_fail(c, at, text);
}

bool schema_check_all_of(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                         const struct schema_path *at) {
    bool ok = true;
    for (size_t i = 0; i < r->n && (ok || !schema_is_over(c)); i++) {
        ok = schema_check_node(c, r->nodes[i], v, at) && ok;
    }
    return ok;
}

bool schema_check_any_of(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                         const struct schema_path *at) {
    for (size_t i = 0; i < r->n; i++) {
        if (schema_check_quietly(c, r->nodes[i], v)) {
            return true;
        }
    }
    return !schema_is_over(c) && explain(c, r, v, at);
}

bool schema_check_one_of(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                         const struct schema_path *at) {
    size_t holding = 0;
    for (size_t i = 0; i < r->n; i++) {
        holding += schema_check_quietly(c, r->nodes[i], v);
    }
    if (holding == 1) {
        return true;
    }
    if (holding == 0) {
        return !schema_is_over(c) && explain(c, r, v, at);
    }
    char text[80];
    (void)snprintf(text, sizeof text, "fits %zu of the %zu allowed forms, must fit exactly one", holding, r->n);
    return schema_fail(c, at, text);
}

bool schema_check_not(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                      const struct schema_path *at) {
    if (!schema_check_quietly(c, r->node, v)) {
        return true;
    }
    return schema_fail(c, at, "has a form that is not allowed here");
}

bool schema_check_ref(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                      const struct schema_path *at) {
    return schema_check_node(c, r->node, v, at);
}
