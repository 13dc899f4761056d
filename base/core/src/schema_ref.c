/* $ref: finding its target, and proving that no chain of references runs in circles over one value. */
#include "schema_private.h"

enum { TOKEN_MAX_BYTES = 128 };

static int hex_value(char c) {
    static const char digits[] = "0123456789abcdefABCDEF";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    if (at == NULL) {
        return -1;
    }
    int v = (int)(at - digits);
    return v < 16 ? v : v - 6;
}

static bool decode_percent(struct str s, char *out, size_t *out_n) {
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int high = i + 2 < s.n ? hex_value(s.p[i + 1]) : -1;
            int low = i + 2 < s.n ? hex_value(s.p[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            i += 2;
        }
        if (n == TOKEN_MAX_BYTES) {
            return false;
        }
        out[n++] = c;
    }
    *out_n = n;
    return true;
}

/* ~1 is "/", ~0 is "~". */
static bool decode_tilde(char *p, size_t *n) {
    size_t to = 0;
    for (size_t i = 0; i < *n; i++) {
        char c = p[i];
        if (c == '~') {
            i++;
            if (i == *n || (p[i] != '0' && p[i] != '1')) {
                return false;
            }
            c = p[i] == '0' ? '~' : '/';
        }
        p[to++] = c;
    }
    *n = to;
    return true;
}

static const json_t *child_of(const json_t *v, struct str token) {
    uint64_t index;
    if (json_is_array(v)) {
        return str_to_u64(token, &index) ? json_array_get(v, index) : NULL;
    }
    return json_object_getn(v, token.p, token.n);
}

const json_t *schema_ref_find(const struct schema *s, struct str ref) {
    const json_t *v = s->doc;
    const char *end = ref.p + ref.n;
    const char *at = ref.p + 1; /* behind "#" */
    while (at < end && v != NULL) {
        const char *start = at + 1; /* behind "/" */
        const char *slash = memchr(start, '/', (size_t)(end - start));
        char token[TOKEN_MAX_BYTES];
        size_t n;
        at = slash != NULL ? slash : end;
        bool good = decode_percent(str_of(start, (size_t)(at - start)), token, &n) && decode_tilde(token, &n);
        v = good ? child_of(v, str_of(token, n)) : NULL;
    }
    return v;
}

static const struct schema_node *node_of(const struct schema *s, const json_t *source) {
    for (size_t i = 0; i < s->n_nodes; i++) {
        if (s->nodes[i].source == source) {
            return &s->nodes[i];
        }
    }
    return NULL;
}

static struct err link_rules(struct schema *s, struct schema_node *n) {
    for (size_t i = 0; i < n->n_rules; i++) {
        struct schema_rule *r = &n->rules[i];
        if (r->kind == RULE_REF) {
            r->node = node_of(s, r->value);
            if (r->node == NULL) {
                return err_make(ERR_INVALID, "%.*s/$ref: what is at this place is not a schema", STR_ARG(n->pointer));
            }
        }
    }
    return OK;
}

static struct err measure(struct schema *s, struct schema_node *n, unsigned level);

static struct err measure_child(struct schema *s, struct schema_node *parent, const struct schema_node *child, unsigned level) {
    TRY(measure(s, &s->nodes[child - s->nodes], level));
    parent->height = child->height + 1 > parent->height ? child->height + 1 : parent->height;
    return OK;
}

/* The schemas that a rule applies to the very value it checks, not to a part of it. */
static struct err measure_rule(struct schema *s, struct schema_node *n, const struct schema_rule *r, unsigned level) {
    if (r->kind == RULE_REF || r->kind == RULE_NOT) {
        return measure_child(s, n, r->node, level);
    }
    if (r->kind == RULE_ALL_OF || r->kind == RULE_ANY_OF || r->kind == RULE_ONE_OF) {
        for (size_t i = 0; i < r->n; i++) {
            TRY(measure_child(s, n, r->nodes[i], level));
        }
    }
    return OK;
}

static struct err measure(struct schema *s, struct schema_node *n, unsigned level) {
    if (n->active) {
        return err_make(ERR_INVALID, "%.*s: leads back to itself without going deeper into the value", STR_ARG(n->pointer));
    }
    if (n->height > 0) {
        return OK;
    }
    n->active = true;
    for (size_t i = 0; i < n->n_rules && level < SCHEMA_INPLACE_MAX; i++) {
        TRY(measure_rule(s, n, &n->rules[i], level + 1));
    }
    n->active = false;
    n->height = n->height > 0 ? n->height : 1;
    if (level >= SCHEMA_INPLACE_MAX || n->height > SCHEMA_INPLACE_MAX) {
        return err_make(ERR_INVALID, "%.*s: more than %d schemas applied one inside the other", STR_ARG(n->pointer),
                        SCHEMA_INPLACE_MAX);
    }
    return OK;
}

struct err schema_ref_resolve(struct schema *s) {
    for (size_t i = 0; i < s->n_nodes; i++) {
        TRY(link_rules(s, &s->nodes[i]));
    }
    for (size_t i = 0; i < s->n_nodes; i++) {
        TRY(measure(s, &s->nodes[i], 0));
    }
    return OK;
}
