/* Inside of the schema: what schema_compile.c makes and schema_check.c walks. Recursion, in both, goes as deep as the JSON
 * (json_read's limit) times SCHEMA_INPLACE_MAX at most. */
#ifndef SCHEMA_PRIVATE_H
#define SCHEMA_PRIVATE_H

#include <base/arena.h>
#include <base/schema.h>

enum {
    SCHEMA_INPLACE_MAX = 32,            /* schemas applied to one and the same value, one inside the other ($ref, allOf …) */
    SCHEMA_STEPS_MAX = 2 * 1000 * 1000, /* rules, comparisons, items of patterns; some 50 ms: no value holds the loop up longer */
};
#define SCHEMA_TOO_COSTLY "too large for this schema: checking it would take too long"

enum schema_rule_kind {
#define ASSERT(id, name, compile, check, look) RULE_##id,
#define NOTE(name, compile)
#include "schema_keywords.def"
#undef ASSERT
#undef NOTE
    RULE_MAX
};

enum schema_format { FORMAT_UUID, FORMAT_DATE_TIME, FORMAT_EMAIL, FORMAT_URI, FORMAT_MAX };

struct schema_pattern;

struct schema_member {
    struct str name;
    const struct schema_node *node;
};

/* One keyword of one schema. The fields are the keyword's; json values belong to the document. */
struct schema_rule {
    enum schema_rule_kind kind;
    size_t n;            /* of members or nodes; a count; items: how many prefixItems come before */
    const json_t *value; /* the keyword's value; additionalProperties: the object of "properties" beside it, or NULL */
    const struct schema_node *node;
    union {
        const struct schema_member *members; /* properties */
        const struct schema_node **nodes;    /* allOf anyOf oneOf prefixItems */
        const struct schema_pattern *pattern;
        enum schema_format format;
        unsigned types; /* bits, see schema_types_of */
    };
};

struct schema_node {
    const json_t *source; /* where it stands in the document */
    struct str pointer;   /* the same for people, "#/$defs/line" */
    struct schema_rule *rules;
    size_t n_rules;
    bool never, masked, active; /* the schema false; what it applies to is personal; being measured */
    unsigned height;            /* of in-place schemas below it, itself included; 0: not known yet (schema_ref.c) */
};

struct schema {
    struct arena arena;
    json_t *doc; /* a reference */
    bool masks;  /* one of its nodes is masked */
    struct schema_node *nodes;
    size_t n_nodes;
    struct schema_pattern *patterns; /* all of them, to be freed */
};

/* Where we are in a JSON text: links on the stack, written out only when something is wrong. NULL is the root. */
struct schema_path {
    const struct schema_path *parent;
    struct str name; /* of a member; p is NULL for an item */
    size_t index;
};

/* "#/lines/0/qty", RFC 6901 section 6; what does not fit is cut to the next ancestor that does. Returns the length. */
size_t schema_path_write(const struct schema_path *at, char *out, size_t size);

/* Text in a fixed buffer, NUL-terminated at all times; ends in "…" when it did not fit. Size 0 swallows all. */
struct schema_text {
    char *p;
    size_t n, size;
    bool cut;
};
void schema_text_add(struct schema_text *t, struct str s);
void schema_text_c(struct schema_text *t, const char *s);
void schema_text_json(struct schema_text *t, const json_t *v);

/* One run of schema_check. */
struct schema_checker {
    struct schema_error *errors;
    size_t max, n;
    unsigned quiet;      /* > 0: only the verdict is wanted; nothing is recorded, the first failure ends it */
    size_t steps;        /* left */
    const char *gave_up; /* why there can be no verdict; NULL while there can */
};

/* What is checked: a JSON value, or the name of a member (json NULL), which is a string of its own. */
struct schema_value {
    const json_t *json;
    struct str text; /* when it is a string */
};
struct schema_value schema_value_of(const json_t *v);

/* False when the steps are used up: the caller returns, what it returns does not matter. */
bool schema_spend(struct schema_checker *c, size_t steps);
bool schema_give_up(struct schema_checker *c, const char *why); /* always false */

/* Opens an error; the caller writes the detail. Swallows it when the checker is quiet or full. The others are always false. */
struct schema_text schema_report(struct schema_checker *c, const struct schema_path *at);
bool schema_fail(struct schema_checker *c, const struct schema_path *at, const char *detail);
bool schema_fail_count(struct schema_checker *c, const struct schema_path *at, const char *bound, size_t n, const char *noun);
bool schema_is_over(const struct schema_checker *c); /* after a failure: whether nothing more can be said */

bool schema_check_node(struct schema_checker *c, const struct schema_node *n, const struct schema_value *v,
                       const struct schema_path *at);
bool schema_check_json(struct schema_checker *c, const struct schema_node *n, const json_t *v, const struct schema_path *at);
bool schema_check_quietly(struct schema_checker *c, const struct schema_node *n, const struct schema_value *v);

/* One per rule, in schema_object.c, schema_array.c, schema_scalar.c and schema_branch.c: whether v holds to it; if not, the
 * errors are reported. */
typedef bool schema_check_fn(struct schema_checker *c, const struct schema_rule *r, const struct schema_value *v,
                             const struct schema_path *at);
#define ASSERT(id, name, compile, check, look) schema_check_fn schema_check_##check;
#define NOTE(name, compile)
#include "schema_keywords.def"
#undef ASSERT
#undef NOTE

/* schema_value.c */
bool schema_type_find(struct str name, unsigned *out_bit);
void schema_types_text(struct schema_text *t, unsigned wanted); /* "a string or null" */
unsigned schema_types_of(const struct schema_value *v);         /* an integer is a number, too */
bool schema_equal(struct schema_checker *c, const json_t *a, const struct schema_value *b);
int schema_number_compare(const json_t *a, const json_t *b); /* < 0, 0, > 0; exact between int64 and double */
bool schema_is_multiple(const json_t *v, const json_t *of);

/* schema_pattern.c */
MUST struct err schema_pattern_compile(struct schema *s, struct str text, const struct schema_pattern **out);
void schema_pattern_free_all(struct schema_pattern *p);
bool schema_pattern_matches(struct schema_checker *c, const struct schema_pattern *p, struct str s);

/* schema_format.c */
bool schema_format_find(struct str name, enum schema_format *out);
bool schema_format_holds(enum schema_format f, struct str s);
const char *schema_format_text(enum schema_format f); /* "a date and time such as …" */

/* schema_ref.c: what stands at "#/$defs/name" (NULL: nothing); then, once all nodes are made, the nodes of all references.
 * A schema that leads back to itself without going deeper into the value is refused: it would never end. */
const json_t *schema_ref_find(const struct schema *s, struct str ref);
MUST struct err schema_ref_resolve(struct schema *s);

#endif
