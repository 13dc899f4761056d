/* Document to nodes. One function per kind of keyword value; which keyword has which is in schema_keywords.def. Every error
 * is "pointer: what is wrong". */
#include <stdlib.h>

#include "schema_private.h"

enum { ARENA_BLOCK_BYTES = 4096, ARENA_MAX_BYTES = 16 * 1024 * 1024 };

/* Where a keyword stands. */
struct site {
    struct schema *s;
    const json_t *schema; /* the object around it */
    const json_t *value;
    const struct schema_path *at; /* of the value */
};

static struct err no_memory(void) { return err_make(ERR_NOMEM, "out of memory"); }

static struct err refuse(const struct schema_path *at, const char *what) {
    char pointer[SCHEMA_POINTER_BYTES];
    (void)schema_path_write(at, pointer, sizeof pointer);
    return err_make(ERR_INVALID, "%s: %s", pointer, what);
}

static struct err compile_node(struct schema *s, const json_t *v, const struct schema_path *at, const struct schema_node **out);

static struct err compile_annotation(const struct site *w, struct schema_rule *r) {
    (void)w;
    (void)r;
    return OK;
}

static struct err compile_masked(const struct site *w, struct schema_rule *r) {
    (void)r;
    return json_is_boolean(w->value) ? OK : refuse(w->at, "must be true or false");
}

static struct err compile_dialect(const struct site *w, struct schema_rule *r) {
    (void)r;
    const char *uri = json_string_value(w->value);
    bool known = uri != NULL && strcmp(uri, "https://json-schema.org/draft/2020-12/schema") == 0;
    return known ? OK : refuse(w->at, "only https://json-schema.org/draft/2020-12/schema is known");
}

/* Below the root an $id would give another meaning to the references beside it. */
static struct err compile_id(const struct site *w, struct schema_rule *r) {
    (void)r;
    bool at_root = w->schema == w->s->doc;
    return at_root && json_is_string(w->value) ? OK : refuse(w->at, "must be a string, at the root of the document");
}

static struct err compile_defs(const struct site *w, struct schema_rule *r) {
    (void)r;
    const char *key;
    json_t *def;
    if (!json_is_object(w->value)) {
        return refuse(w->at, "must be an object");
    }
    json_object_foreach((json_t *)w->value, key, def) {
        const struct schema_node *node;
        struct schema_path at = {w->at, str_c(key), 0};
        TRY(compile_node(w->s, def, &at, &node));
    }
    return OK;
}

static struct err compile_type(const struct site *w, struct schema_rule *r) {
    const json_t *v = w->value;
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    for (size_t i = 0; i < n; i++) {
        unsigned bit = 0;
        struct schema_value name = schema_value_of(json_is_array(v) ? json_array_get(v, i) : v);
        if (!schema_type_find(name.text, &bit) || (r->types & bit) != 0) {
            return refuse(w->at, "must be one or several of null boolean integer number string array object");
        }
        r->types |= bit;
    }
    return n > 0 ? OK : refuse(w->at, "must not be empty");
}

static struct err compile_enum(const struct site *w, struct schema_rule *r) {
    r->value = w->value;
    return json_array_size(w->value) > 0 ? OK : refuse(w->at, "must be an array with at least one value");
}

static struct err compile_const(const struct site *w, struct schema_rule *r) {
    r->value = w->value;
    return OK;
}

static struct err compile_number(const struct site *w, struct schema_rule *r) {
    r->value = w->value;
    return json_is_number(w->value) ? OK : refuse(w->at, "must be a number");
}

static struct err compile_multiple_of(const struct site *w, struct schema_rule *r) {
    r->value = w->value;
    return json_number_value(w->value) > 0 ? OK : refuse(w->at, "must be a number above 0");
}

static struct err compile_count(const struct site *w, struct schema_rule *r) {
    if (!json_is_integer(w->value) || json_integer_value(w->value) < 0) {
        return refuse(w->at, "must be an integer of at least 0");
    }
    r->n = (size_t)json_integer_value(w->value);
    return OK;
}

static struct err compile_unique_items(const struct site *w, struct schema_rule *r) {
    r->n = json_is_true(w->value);
    return json_is_boolean(w->value) ? OK : refuse(w->at, "must be true or false");
}

static struct err compile_pattern(const struct site *w, struct schema_rule *r) {
    if (!json_is_string(w->value)) {
        return refuse(w->at, "must be a string");
    }
    r->value = w->value;
    struct err e = schema_pattern_compile(w->s, schema_value_of(w->value).text, &r->pattern);
    return e.code == ERR_INVALID ? refuse(w->at, e.detail) : e;
}

static struct err compile_format(const struct site *w, struct schema_rule *r) {
    bool known = json_is_string(w->value) && schema_format_find(schema_value_of(w->value).text, &r->format);
    return known ? OK : refuse(w->at, "must be one of uuid date-time email uri");
}

static struct err check_names(const json_t *v, const struct schema_path *at) {
    if (!json_is_array(v)) {
        return refuse(at, "must be an array of names");
    }
    for (size_t i = 0; i < json_array_size(v); i++) {
        if (!json_is_string(json_array_get(v, i))) {
            return refuse(at, "must be an array of names");
        }
    }
    return OK;
}

static struct err compile_names(const struct site *w, struct schema_rule *r) {
    r->value = w->value;
    return check_names(w->value, w->at);
}

static struct err compile_dependent_required(const struct site *w, struct schema_rule *r) {
    const char *key;
    json_t *names;
    r->value = w->value;
    if (!json_is_object(w->value)) {
        return refuse(w->at, "must be an object");
    }
    json_object_foreach((json_t *)w->value, key, names) {
        struct schema_path at = {w->at, str_c(key), 0};
        TRY(check_names(names, &at));
    }
    return OK;
}

static struct err compile_properties(const struct site *w, struct schema_rule *r) {
    const char *key;
    json_t *schema;
    if (!json_is_object(w->value)) {
        return refuse(w->at, "must be an object");
    }
    struct schema_member *members = ARENA_ARRAY(&w->s->arena, struct schema_member, json_object_size(w->value) + 1);
    if (members == NULL) {
        return no_memory();
    }
    json_object_foreach((json_t *)w->value, key, schema) {
        struct schema_member *m = &members[r->n++];
        struct schema_path at = {w->at, str_c(key), 0};
        m->name = at.name;
        TRY(compile_node(w->s, schema, &at, &m->node));
    }
    r->members = members;
    return OK;
}

static struct err compile_subschema(const struct site *w, struct schema_rule *r) {
    return compile_node(w->s, w->value, w->at, &r->node);
}

static struct err compile_additional_properties(const struct site *w, struct schema_rule *r) {
    r->value = json_object_get(w->schema, "properties");
    return compile_subschema(w, r);
}

static struct err compile_items(const struct site *w, struct schema_rule *r) {
    r->n = json_array_size(json_object_get(w->schema, "prefixItems"));
    return compile_subschema(w, r);
}

static struct err compile_branches(const struct site *w, struct schema_rule *r) {
    size_t n = json_array_size(w->value);
    if (n == 0) {
        return refuse(w->at, "must be an array with at least one schema");
    }
    const struct schema_node **nodes = ARENA_ARRAY(&w->s->arena, const struct schema_node *, n);
    if (nodes == NULL) {
        return no_memory();
    }
    for (size_t i = 0; i < n; i++) {
        struct schema_path at = {w->at, STR_NONE, i};
        TRY(compile_node(w->s, json_array_get(w->value, i), &at, &nodes[i]));
    }
    r->nodes = nodes;
    r->n = n;
    return OK;
}

/* Only the place in the document; schema_ref.c finds its node once there are all. */
static struct err compile_ref(const struct site *w, struct schema_rule *r) {
    struct str ref = schema_value_of(w->value).text;
    if (ref.p == NULL || !str_starts(ref, STR("#")) || (ref.n > 1 && ref.p[1] != '/')) {
        return refuse(w->at, "only references within the document, \"#/$defs/name\"");
    }
    r->value = schema_ref_find(w->s, ref);
    return r->value != NULL ? OK : refuse(w->at, "there is nothing at this place in the document");
}

typedef struct err compile_fn(const struct site *w, struct schema_rule *r);

static const struct keyword {
    const char *name;
    compile_fn *compile;
    bool asserts;
    enum schema_rule_kind kind;
} keywords[] = {
#define ASSERT(id, name, compile, check, look) {name, compile_##compile, true, RULE_##id},
#define NOTE(name, compile) {name, compile_##compile, false, RULE_MAX},
#include "schema_keywords.def"
#undef ASSERT
#undef NOTE
};

static const struct keyword *find_keyword(const char *name) {
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        if (strcmp(keywords[i].name, name) == 0) {
            return &keywords[i];
        }
    }
    return NULL;
}

static struct err compile_keyword(struct schema *s, struct schema_node *node, const json_t *value, const struct schema_path *at) {
    const struct keyword *k = find_keyword(at->name.p);
    if (k == NULL) {
        return str_starts(at->name, STR("x-")) ? OK : refuse(at, "unknown keyword");
    }
    struct schema_rule rule = {.kind = k->kind};
    struct site where = {s, node->source, value, at};
    TRY(k->compile(&where, &rule));
    if (k->asserts) {
        node->rules[node->n_rules++] = rule;
    }
    if (rule.kind == RULE_TYPE) { /* first: when the type is wrong the others say nothing new */
        node->rules[node->n_rules - 1] = node->rules[0];
        node->rules[0] = rule;
    }
    return OK;
}

static struct err compile_node(struct schema *s, const json_t *v, const struct schema_path *at, const struct schema_node **out) {
    char pointer[SCHEMA_POINTER_BYTES];
    size_t length = schema_path_write(at, pointer, sizeof pointer);
    if (!json_is_object(v) && !json_is_boolean(v)) {
        return refuse(at, "must be a schema: an object, true or false");
    }
    struct schema_node *node = &s->nodes[s->n_nodes++];
    node->source = v;
    node->never = json_is_false(v);
    node->masked = json_is_true(json_object_get(v, "x-masked"));
    s->masks |= node->masked;
    node->pointer = arena_str(&s->arena, str_of(pointer, length));
    node->rules = ARENA_ARRAY(&s->arena, struct schema_rule, json_object_size(v) + 1);
    if (node->pointer.p == NULL || node->rules == NULL) {
        return no_memory();
    }
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)v, key, value) {
        struct schema_path keyword_at = {at, str_c(key), 0};
        TRY(compile_keyword(s, node, value, &keyword_at));
    }
    *out = node;
    return OK;
}

/* At least as many as there are schemas. */
static size_t count_objects_and_booleans(const json_t *v) {
    const char *key;
    json_t *child;
    size_t i;
    size_t n = json_is_object(v) || json_is_boolean(v);
    if (json_is_object(v)) {
        json_object_foreach((json_t *)v, key, child) { n += count_objects_and_booleans(child); }
    }
    json_array_foreach(v, i, child) { n += count_objects_and_booleans(child); }
    return n;
}

static struct err compile_document(struct schema *s) {
    const struct schema_node *root;
    s->nodes = ARENA_ARRAY(&s->arena, struct schema_node, count_objects_and_booleans(s->doc) + 1);
    if (s->nodes == NULL) {
        return no_memory();
    }
    TRY(compile_node(s, s->doc, NULL, &root));
    return schema_ref_resolve(s);
}

struct err schema_compile(const json_t *doc, struct schema **out) {
    struct schema *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return no_memory();
    }
    arena_init(&s->arena, ARENA_BLOCK_BYTES, ARENA_MAX_BYTES);
    s->doc = json_incref((json_t *)doc);
    struct err e = compile_document(s);
    if (err_is_set(e)) {
        schema_free(s);
        return e;
    }
    *out = s;
    return OK;
}

void schema_free(struct schema *s) {
    if (s != NULL) {
        schema_pattern_free_all(s->patterns);
        arena_free(&s->arena);
        json_decref(s->doc);
        free(s);
    }
}
