/* Types, equality and numbers as JSON Schema means them: 1 and 1.0 are the same value, true and 1 are not. */
#include <math.h>

#include "schema_private.h"

#define QUOTIENT_TOLERANCE 1e-14

enum {
    TYPE_NULL = 1 << 0,
    TYPE_BOOLEAN = 1 << 1,
    TYPE_INTEGER = 1 << 2,
    TYPE_NUMBER = 1 << 3,
    TYPE_STRING = 1 << 4,
    TYPE_ARRAY = 1 << 5,
    TYPE_OBJECT = 1 << 6,
};

static const struct {
    unsigned bit;
    const char *name, *phrase;
} types[] = {
    {TYPE_NULL, "null", "null"},          {TYPE_BOOLEAN, "boolean", "true or false"}, {TYPE_INTEGER, "integer", "an integer"},
    {TYPE_NUMBER, "number", "a number"},  {TYPE_STRING, "string", "a string"},        {TYPE_ARRAY, "array", "an array"},
    {TYPE_OBJECT, "object", "an object"},
};
enum { N_TYPES = sizeof types / sizeof types[0] };

bool schema_type_find(struct str name, unsigned *out_bit) {
    for (size_t i = 0; i < N_TYPES; i++) {
        if (str_is(name, types[i].name)) {
            *out_bit = types[i].bit;
            return true;
        }
    }
    return false;
}

void schema_types_text(struct schema_text *t, unsigned wanted) {
    const char *between = "";
    for (size_t i = N_TYPES; i-- > 0;) {
        if ((wanted & types[i].bit) != 0) {
            schema_text_c(t, between);
            schema_text_c(t, types[i].phrase);
            between = " or ";
        }
    }
}

/* Above 2^53 a double no longer names one integer, and nobody could read it as one. */
static unsigned types_of_real(double d) {
    bool integral = fabs(d) <= (double)((int64_t)1 << 53) && trunc(d) == d;
    return integral ? TYPE_NUMBER | TYPE_INTEGER : TYPE_NUMBER;
}

unsigned schema_types_of(const struct schema_value *v) {
    if (v->json == NULL) {
        return TYPE_STRING;
    }
    switch (json_typeof(v->json)) {
    case JSON_OBJECT:
        return TYPE_OBJECT;
    case JSON_ARRAY:
        return TYPE_ARRAY;
    case JSON_STRING:
        return TYPE_STRING;
    case JSON_INTEGER:
        return TYPE_INTEGER | TYPE_NUMBER;
    case JSON_REAL:
        return types_of_real(json_real_value(v->json));
    case JSON_TRUE:
    case JSON_FALSE:
        return TYPE_BOOLEAN;
    case JSON_NULL:
        return TYPE_NULL;
    }
    return 0;
}

struct schema_value schema_value_of(const json_t *v) {
    return (struct schema_value){v, json_is_string(v) ? str_of(json_string_value(v), json_string_length(v)) : STR_NONE};
}

static bool equal_arrays(struct schema_checker *c, const json_t *a, const json_t *b) {
    if (json_array_size(a) != json_array_size(b)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(a); i++) {
        struct schema_value item = schema_value_of(json_array_get(b, i));
        if (!schema_equal(c, json_array_get(a, i), &item)) {
            return false;
        }
    }
    return true;
}

static bool equal_objects(struct schema_checker *c, const json_t *a, const json_t *b) {
    const char *key;
    size_t length;
    json_t *member;
    if (json_object_size(a) != json_object_size(b)) {
        return false;
    }
    json_object_keylen_foreach((json_t *)a, key, length, member) {
        struct schema_value other = schema_value_of(json_object_getn(b, key, length));
        if (other.json == NULL || !schema_equal(c, member, &other)) {
            return false;
        }
    }
    return true;
}

bool schema_equal(struct schema_checker *c, const json_t *a, const struct schema_value *b) {
    if (!schema_spend(c, 1)) {
        return false;
    }
    if (json_is_string(a)) {
        return (b->json == NULL || json_is_string(b->json)) && str_eq(schema_value_of(a).text, b->text);
    }
    if (b->json == NULL) {
        return false;
    }
    if (json_is_number(a)) {
        return json_is_number(b->json) && schema_number_compare(a, b->json) == 0;
    }
    if (json_typeof(a) != json_typeof(b->json)) {
        return false;
    }
    return json_is_array(a) ? equal_arrays(c, a, b->json) : json_is_object(a) ? equal_objects(c, a, b->json) : true;
}

static int compare_int_real(int64_t i, double d) {
    if (d >= 0x1p63) {
        return -1;
    }
    if (d < -0x1p63) {
        return 1;
    }
    int64_t whole = (int64_t)d;
    if (i != whole) {
        return i < whole ? -1 : 1;
    }
    double rest = d - (double)whole;
    return (rest < 0) - (rest > 0);
}

int schema_number_compare(const json_t *a, const json_t *b) {
    if (json_is_integer(a) && json_is_integer(b)) {
        json_int_t x = json_integer_value(a);
        json_int_t y = json_integer_value(b);
        return (x > y) - (x < y);
    }
    if (json_is_integer(a)) {
        return compare_int_real(json_integer_value(a), json_real_value(b));
    }
    if (json_is_integer(b)) {
        return -compare_int_real(json_integer_value(b), json_real_value(a));
    }
    double x = json_real_value(a);
    double y = json_real_value(b);
    return (x > y) - (x < y);
}

bool schema_is_multiple(const json_t *v, const json_t *of) {
    if (json_is_integer(v) && json_is_integer(of)) {
        return json_integer_value(v) % json_integer_value(of) == 0;
    }
    double divisor = json_number_value(of);
    double quotient = json_number_value(v) / divisor;
    if (json_is_integer(of) || !isfinite(quotient)) {
        return fmod(json_number_value(v), divisor) == 0;
    }
    /* 19.99 is a multiple of 0.01 for whoever wrote them, though neither is a double, and so is 0.1 + 0.2 of 0.1. */
    return fabs(quotient - round(quotient)) <= QUOTIENT_TOLERANCE * fabs(quotient);
}
