/* What a schema calls personal. One walk finds it, along every rule by which a schema applies to a value or a part of it. Where it cannot
 * tell it hides more: a branch counts whether it holds or not, and so does what stands below "not". */
#include "schema_private.h"

/* One value, which as many schemas may hide as apply to it. */
struct masking {
    size_t steps; /* left: what costs more is hidden unseen */
    bool hide;    /* the value that is being looked at, as a whole */
};

static struct err look(struct masking *m, const struct schema_node *n, json_t *value);

/* Of a member, or an item: whether it is to be hidden says nothing of what it stands in. */
static struct err look_inside(struct masking *m, const struct schema_node *n, json_t *part, bool *out_hide) {
    bool outer = m->hide;
    m->hide = false;
    struct err e = look(m, n, part);
    *out_hide = m->hide;
    m->hide = outer;
    return e;
}

static struct err look_at_member(struct masking *m, const struct schema_node *n, json_t *object, struct str name) {
    json_t *member = json_object_getn(object, name.p, name.n);
    bool hide = false;
    if (member != NULL) {
        TRY(look_inside(m, n, member, &hide));
    }
    bool done = !hide || json_object_setn_new_nocheck(object, name.p, name.n, json_string(SCHEMA_MASK)) == 0;
    return done ? OK : err_make(ERR_NOMEM, "masking");
}

static struct err look_at_item(struct masking *m, const struct schema_node *n, json_t *array, size_t i) {
    bool hide;
    TRY(look_inside(m, n, json_array_get(array, i), &hide));
    return !hide || json_array_set_new(array, i, json_string(SCHEMA_MASK)) == 0 ? OK : err_make(ERR_NOMEM, "masking");
}

/* ---- what a rule applies schemas to ---- */

static struct err look_at_nothing(struct masking *m, const struct schema_rule *r, json_t *value) {
    (void)m;
    (void)r;
    (void)value;
    return OK;
}

static struct err look_at_value(struct masking *m, const struct schema_rule *r, json_t *value) { return look(m, r->node, value); }

static struct err look_at_branches(struct masking *m, const struct schema_rule *r, json_t *value) {
    for (size_t i = 0; i < r->n; i++) {
        TRY(look(m, r->nodes[i], value));
    }
    return OK;
}

static struct err look_at_members(struct masking *m, const struct schema_rule *r, json_t *value) {
    for (size_t i = 0; i < r->n; i++) {
        TRY(look_at_member(m, r->members[i].node, value, r->members[i].name));
    }
    return OK;
}

/* Putting another value for a name disturbs no iteration. */
static struct err look_at_others(struct masking *m, const struct schema_rule *r, json_t *value) {
    const char *key;
    size_t length;
    json_t *member;
    json_object_keylen_foreach(value, key, length, member) {
        if (json_object_getn(r->value, key, length) == NULL) {
            TRY(look_at_member(m, r->node, value, str_of(key, length)));
        }
    }
    return OK;
}

/* A name cannot be hidden without its object. */
static struct err look_at_names(struct masking *m, const struct schema_rule *r, json_t *value) {
    return json_object_size(value) > 0 ? look(m, r->node, NULL) : OK;
}

static struct err look_at_items(struct masking *m, const struct schema_rule *r, json_t *value) {
    for (size_t i = r->n; i < json_array_size(value); i++) {
        TRY(look_at_item(m, r->node, value, i));
    }
    return OK;
}

static struct err look_at_first_items(struct masking *m, const struct schema_rule *r, json_t *value) {
    for (size_t i = 0; i < r->n && i < json_array_size(value); i++) {
        TRY(look_at_item(m, r->nodes[i], value, i));
    }
    return OK;
}

typedef struct err look_fn(struct masking *m, const struct schema_rule *r, json_t *value);

static look_fn *const looks[] = {
#define ASSERT(id, name, compile, check, look) [RULE_##id] = look_at_##look,
#define NOTE(name, compile)
#include "schema_keywords.def"
#undef ASSERT
#undef NOTE
};
_Static_assert(sizeof looks / sizeof looks[0] == RULE_MAX, "one look per rule");

/* value NULL: the name of a member. */
static struct err look(struct masking *m, const struct schema_node *n, json_t *value) {
    size_t cost = 1 + n->n_rules;
    m->hide |= n->masked || m->steps < cost;
    m->steps -= m->hide ? 0 : cost;
    for (size_t i = 0; i < n->n_rules && !m->hide; i++) {
        TRY(looks[n->rules[i].kind](m, &n->rules[i], value));
    }
    return OK;
}

struct err schema_mask(const struct schema *s, json_t **value) {
    struct masking m = {.steps = SCHEMA_STEPS_MAX};
    if (!s->masks) {
        return OK;
    }
    TRY(look(&m, &s->nodes[0], *value));
    json_t *stars = m.hide ? json_string(SCHEMA_MASK) : json_incref(*value);
    if (stars == NULL) {
        return err_make(ERR_NOMEM, "masking");
    }
    json_decref(*value);
    *value = stars;
    return OK;
}

bool schema_masks(const struct schema *s) { return s->masks; }

bool schema_names(const struct schema *s, struct str member) {
    for (size_t i = 0; i < s->n_nodes; i++) {
        for (size_t r = 0; r < s->nodes[i].n_rules; r++) {
            const struct schema_rule *rule = &s->nodes[i].rules[r];
            for (size_t k = 0; rule->kind == RULE_PROPERTIES && k < rule->n; k++) {
                if (str_eq(rule->members[k].name, member)) {
                    return true;
                }
            }
        }
    }
    return false;
}
