/* The walk of a value along the nodes: steps, errors, and which function checks which rule. Nothing is allocated. */
#include <stdio.h>

#include "schema_private.h"

bool schema_give_up(struct schema_checker *c, const char *why) {
    c->gave_up = why;
    return false;
}

bool schema_spend(struct schema_checker *c, size_t steps) {
    if (c->gave_up != NULL) {
        return false;
    }
    if (c->steps < steps) {
        return schema_give_up(c, SCHEMA_TOO_COSTLY);
    }
    c->steps -= steps;
    return true;
}

struct schema_text schema_report(struct schema_checker *c, const struct schema_path *at) {
    if (c->quiet > 0 || c->n == c->max) {
        return (struct schema_text){0};
    }
    struct schema_error *e = &c->errors[c->n++];
    (void)schema_path_write(at, e->pointer, sizeof e->pointer);
    e->detail[0] = '\0';
    return (struct schema_text){.p = e->detail, .size = sizeof e->detail};
}

bool schema_fail(struct schema_checker *c, const struct schema_path *at, const char *detail) {
    struct schema_text t = schema_report(c, at);
    schema_text_c(&t, detail);
    return false;
}

bool schema_fail_count(struct schema_checker *c, const struct schema_path *at, const char *bound, size_t n, const char *noun) {
    char text[80];
    (void)snprintf(text, sizeof text, "must have %s %zu %s%s", bound, n, noun, n == 1 ? "" : "s");
    return schema_fail(c, at, text);
}

bool schema_is_over(const struct schema_checker *c) { return c->quiet > 0 || c->n == c->max || c->gave_up != NULL; }

static schema_check_fn *const checks[] = {
#define ASSERT(id, name, compile, check, look) [RULE_##id] = schema_check_##check,
#define NOTE(name, compile)
#include "schema_keywords.def"
#undef ASSERT
#undef NOTE
};
_Static_assert(sizeof checks / sizeof checks[0] == RULE_MAX, "one check per rule");

bool schema_check_node(struct schema_checker *c, const struct schema_node *n, const struct schema_value *v,
                       const struct schema_path *at) {
    bool ok = true;
    if (!schema_spend(c, 1)) {
        return false;
    }
    if (n->never) {
        return schema_fail(c, at, "must be left out");
    }
    for (size_t i = 0; i < n->n_rules && (ok || !schema_is_over(c)); i++) {
        if (!schema_spend(c, 1)) {
            return false;
        }
        ok = checks[n->rules[i].kind](c, &n->rules[i], v, at) && ok;
        if (!ok && n->rules[i].kind == RULE_TYPE) {
            return false; /* the other rules would only say the same again */
        }
    }
    return ok;
}

bool schema_check_json(struct schema_checker *c, const struct schema_node *n, const json_t *v, const struct schema_path *at) {
    struct schema_value value = schema_value_of(v);
    return schema_check_node(c, n, &value, at);
}

bool schema_check_quietly(struct schema_checker *c, const struct schema_node *n, const struct schema_value *v) {
    c->quiet++;
    bool ok = schema_check_node(c, n, v, NULL);
    c->quiet--;
    return ok;
}

size_t schema_check(const struct schema *s, const json_t *value, struct schema_error *errors, size_t max) {
    struct schema_checker c = {.errors = errors, .max = max, .steps = SCHEMA_STEPS_MAX};
    (void)schema_check_json(&c, &s->nodes[0], value, NULL);
    if (c.gave_up != NULL) { /* no verdict: what was found may be wrong, and under "not" even the opposite */
        c.n = 0;
        c.quiet = 0;
        (void)schema_fail(&c, NULL, c.gave_up);
    }
    return c.n;
}
