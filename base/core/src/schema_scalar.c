/* The rules about types, fixed values, numbers and strings. A rule holds for every value of a type it does not speak of. */
#include "schema_private.h"

static bool fail_json(struct schema_checker *c, const struct schema_path *at, const char *detail, const json_t *v) {
    struct schema_text t = schema_report(c, at);
    schema_text_c(&t, detail);
    schema_text_json(&t, v);
    return false;
}

bool schema_check_type(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                       const struct schema_path *at) {
    if ((schema_types_of(v) & r->types) != 0) {
        return true;
    }
    struct schema_text t = schema_report(c, at);
    schema_text_c(&t, "must be ");
    schema_types_text(&t, r->types);
    return false;
}

bool schema_check_const(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                        const struct schema_path *at) {
    return schema_equal(c, r->value, v) || fail_json(c, at, "must be ", r->value);
}

bool schema_check_enum(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                       const struct schema_path *at) {
    size_t i;
    json_t *allowed;
    json_array_foreach(r->value, i, allowed) {
        if (schema_equal(c, allowed, v)) {
            return true;
        }
    }
    struct schema_text t = schema_report(c, at);
    schema_text_c(&t, "must be one of: ");
    json_array_foreach(r->value, i, allowed) {
        schema_text_c(&t, i > 0 ? ", " : "");
        schema_text_json(&t, allowed);
    }
    return false;
}

bool schema_check_minimum(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                          const struct schema_path *at) {
    bool holds = !json_is_number(v->json) || schema_number_compare(v->json, r->value) >= 0;
    return holds || fail_json(c, at, "must be >= ", r->value);
}

bool schema_check_maximum(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                          const struct schema_path *at) {
    bool holds = !json_is_number(v->json) || schema_number_compare(v->json, r->value) <= 0;
    return holds || fail_json(c, at, "must be <= ", r->value);
}

bool schema_check_exclusive_minimum(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                                    const struct schema_path *at) {
    bool holds = !json_is_number(v->json) || schema_number_compare(v->json, r->value) > 0;
    return holds || fail_json(c, at, "must be > ", r->value);
}

bool schema_check_exclusive_maximum(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                                    const struct schema_path *at) {
    bool holds = !json_is_number(v->json) || schema_number_compare(v->json, r->value) < 0;
    return holds || fail_json(c, at, "must be < ", r->value);
}

bool schema_check_multiple_of(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                              const struct schema_path *at) {
    bool holds = !json_is_number(v->json) || schema_is_multiple(v->json, r->value);
    return holds || fail_json(c, at, "must be a multiple of ", r->value);
}

static size_t code_points(struct str s) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    }
    return n;
}

bool schema_check_min_length(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                             const struct schema_path *at) {
    bool holds = v->text.p == NULL || code_points(v->text) >= r->n;
    return holds || schema_fail_count(c, at, "at least", r->n, "character");
}

bool schema_check_max_length(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                             const struct schema_path *at) {
    bool holds = v->text.p == NULL || code_points(v->text) <= r->n;
    return holds || schema_fail_count(c, at, "at most", r->n, "character");
}

bool schema_check_pattern(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                          const struct schema_path *at) {
    if (v->text.p == NULL || schema_pattern_matches(c, r->pattern, v->text)) {
        return true;
    }
    struct schema_text t = schema_report(c, at);
    schema_text_c(&t, "must match the pattern ");
    schema_text_add(&t, schema_value_of(r->value).text);
    return false;
}

bool schema_check_format(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                         const struct schema_path *at) {
    if (v->text.p == NULL || schema_format_holds(r->format, v->text)) {
        return true;
    }
    struct schema_text t = schema_report(c, at);
    schema_text_c(&t, "must be ");
    schema_text_c(&t, schema_format_text(r->format));
    return false;
}
