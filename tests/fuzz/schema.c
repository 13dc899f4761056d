/* A schema and a value. The verdict does not depend on how it is asked for, and an accepted value is within the limits that the schema
 * states in plain sight: a second, simple reading of the commonest keywords. */
#include <base/json.h>
#include <base/schema.h>

#include "fuzz.h"

enum { ERRORS_MAX = 4, DEPTH_MAX = 8 };

static size_t characters(const json_t *v) {
    size_t n = 0;
    for (const char *p = json_string_value(v), *end = p + json_string_length(v); p < end; p++) {
        n += ((unsigned char)*p & 0xC0) != 0x80;
    }
    return n;
}

/* What is counted of a value of that type; at most the keyword's number. */
static void judge_count(const json_t *schema, const char *least, const char *most, size_t n) {
    const json_t *min = json_object_get(schema, least), *max = json_object_get(schema, most);
    PROMISE(!json_is_integer(min) || (json_int_t)n >= json_integer_value(min));
    PROMISE(!json_is_integer(max) || (json_int_t)n <= json_integer_value(max));
}

static void judge_number(const json_t *schema, const json_t *v) {
    const json_t *min = json_object_get(schema, "minimum"), *max = json_object_get(schema, "maximum");
    if (json_is_integer(v)) {
        PROMISE(!json_is_integer(min) || json_integer_value(v) >= json_integer_value(min));
        PROMISE(!json_is_integer(max) || json_integer_value(v) <= json_integer_value(max));
    }
}

static void judge_type(const json_t *schema, const json_t *v) {
    static const char *const names[] = {"object", "array", "string", "integer", "number", "boolean", "boolean", "null"};
    const char *wanted = json_string_value(json_object_get(schema, "type"));
    const char *have = names[json_typeof(v)];
    bool number = json_is_number(v) && wanted != NULL && (strcmp(wanted, "number") == 0 || strcmp(wanted, "integer") == 0);
    PROMISE(wanted == NULL || strcmp(wanted, have) == 0 || number);
    const json_t *fixed = json_object_get(schema, "const");
    PROMISE(fixed == NULL || json_is_number(fixed) || json_is_array(fixed) || json_is_object(fixed) || json_equal(fixed, v));
}

static void judge_accepted(const json_t *schema, const json_t *v, int depth);

static void judge_object(const json_t *schema, const json_t *v, int depth) {
    const json_t *properties = json_object_get(schema, "properties"), *required = json_object_get(schema, "required");
    const char *name;
    json_t *child;
    size_t i;
    judge_count(schema, "minProperties", "maxProperties", json_object_size(v));
    json_array_foreach(required, i, child) { PROMISE(json_object_get(v, json_string_value(child)) != NULL); }
    json_object_foreach((json_t *)(uintptr_t)v, name, child) {
        const json_t *rule = json_object_get(properties, name);
        PROMISE(rule != NULL || !json_is_false(json_object_get(schema, "additionalProperties")));
        judge_accepted(rule, child, depth + 1);
    }
}

static void judge_accepted(const json_t *schema, const json_t *v, int depth) {
    size_t i;
    json_t *child;
    PROMISE(!json_is_false(schema));
    if (!json_is_object(schema) || depth > DEPTH_MAX) {
        return;
    }
    judge_type(schema, v);
    judge_number(schema, v);
    if (json_is_string(v)) {
        judge_count(schema, "minLength", "maxLength", characters(v));
    } else if (json_is_array(v)) {
        judge_count(schema, "minItems", "maxItems", json_array_size(v));
        json_array_foreach(v, i, child) {
            judge_accepted(json_object_get(schema, "prefixItems") == NULL ? json_object_get(schema, "items") : NULL, child,
                           depth + 1);
        }
    } else if (json_is_object(v)) {
        judge_object(schema, v, depth);
    }
    json_array_foreach(json_object_get(schema, "allOf"), i, child) { judge_accepted(child, v, depth + 1); }
}

/* Errors, at most max, all well formed. */
static size_t check(const struct schema *s, const json_t *v, size_t max, struct schema_error errors[ERRORS_MAX]) {
    size_t n = schema_check(s, v, errors, max);
    PROMISE(n <= max);
    for (size_t i = 0; i < n; i++) {
        PROMISE(errors[i].pointer[0] == '#' && json_is_utf8(str_c(errors[i].pointer)));
        PROMISE(errors[i].detail[0] != '\0' && json_is_utf8(str_c(errors[i].detail)));
    }
    return n;
}

static bool gave_up(const struct schema_error *e) { return strstr(e->detail, "too large for this schema") != NULL; }

static struct schema *compile_text(const json_t *doc) {
    struct buf text;
    json_t *read = NULL;
    struct schema *s = NULL;
    buf_init(&text, 16 * 1024 * 1024);
    PROMISE(!err_is_set(json_write(doc, &text)) && !err_is_set(json_read(buf_str(&text), &read)));
    PROMISE(!err_is_set(schema_compile(read, &s)));
    json_decref(read);
    buf_free(&text);
    return s;
}

/* {"not": schema} holds where the schema does not. References in it would lead elsewhere then. */
static void judge_not(json_t *doc, const json_t *v, bool holds) {
    struct schema_error errors[ERRORS_MAX];
    struct schema *s = NULL;
    json_t *wrapped = json_pack("{s:O}", "not", doc);
    if (!err_is_set(schema_compile(wrapped, &s))) {
        size_t n = check(s, v, ERRORS_MAX, errors);
        PROMISE((n > 0) == holds || (n > 0 && gave_up(errors)));
    }
    schema_free(s);
    json_decref(wrapped);
}

/* What is hidden stays hidden, where nothing is to be hidden nothing is, and what is marked in plain sight is. */
static void judge_mask(const json_t *doc, const struct schema *s, const json_t *v) {
    json_t *once = json_deep_copy(v), *member;
    const char *name;
    PROMISE(!err_is_set(schema_mask(s, &once)));
    PROMISE(schema_masks(s) || json_equal(once, v));
    json_object_foreach(json_object_get(doc, "properties"), name, member) {
        const json_t *shown = json_object_get(once, name);
        bool hidden = shown == NULL || (json_is_string(shown) && strcmp(json_string_value(shown), SCHEMA_MASK) == 0);
        PROMISE(hidden || !json_is_true(json_object_get(member, "x-masked")));
    }
    json_t *twice = json_deep_copy(once);
    PROMISE(!err_is_set(schema_mask(s, &twice)) && json_equal(once, twice));
    json_decref(twice);
    json_decref(once);
}

static void judge(json_t *doc, const struct schema *s, const json_t *v) {
    struct schema_error errors[ERRORS_MAX], first[ERRORS_MAX];
    size_t n = check(s, v, ERRORS_MAX, errors);
    judge_mask(doc, s, v);
    if (n > 0 && gave_up(errors)) {
        return;
    }
    if (n == 0) {
        judge_accepted(doc, v, 0);
    }
    PROMISE((check(s, v, 1, first) > 0) == (n > 0));
    struct schema *again = compile_text(doc);
    PROMISE(check(again, v, ERRORS_MAX, first) == n);
    for (size_t i = 0; i < n; i++) {
        PROMISE(strcmp(errors[i].pointer, first[i].pointer) == 0 && strcmp(errors[i].detail, first[i].detail) == 0);
    }
    schema_free(again);
    char *text = json_dumps(doc, JSON_ENCODE_ANY);
    if (strchr(text, '$') == NULL) {
        judge_not(doc, v, n == 0);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct str rest = str_of(data, size), doc_text = STR("");
    json_t *doc = NULL, *value = NULL;
    struct schema *s = NULL;
    (void)str_cut(&rest, FUZZ_BETWEEN, &doc_text);
    if (!err_is_set(json_read(doc_text, &doc))) {
        struct err e = schema_compile(doc, &s);
        PROMISE(!err_is_set(e) || (e.code == ERR_INVALID && e.detail[0] == '#'));
        if (!err_is_set(e) && !err_is_set(json_read(rest, &value))) {
            judge(doc, s, value);
        }
    }
    schema_free(s);
    json_decref(doc);
    json_decref(value);
    return 0;
}
