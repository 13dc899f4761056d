/* JSON Schema 2020-12, the subset that our contracts use, compiled once into a flat array of nodes.
 * Keywords: $schema $id $ref($defs, local only) $defs title description default examples deprecated (annotations) ·
 * type enum const · properties required additionalProperties(bool or schema) minProperties maxProperties propertyNames ·
 * items prefixItems minItems maxItems uniqueItems · minLength maxLength pattern format · minimum maximum exclusiveMinimum
 * exclusiveMaximum multipleOf · oneOf anyOf allOf not · dependentRequired. Formats checked: uuid date-time email uri.
 * Any other keyword, and any reference outside the document, is refused when compiling: a contract that is not enforced
 * is worse than none. Vendor annotations x-… are allowed. */
#ifndef BASE_SCHEMA_H
#define BASE_SCHEMA_H

#include <base/err.h>
#include <base/str.h>
#include <jansson.h>

struct schema;

enum { SCHEMA_POINTER_BYTES = 160, SCHEMA_DETAIL_BYTES = 200 };

struct schema_error {
    char pointer[SCHEMA_POINTER_BYTES]; /* RFC 6901, "#/lines/0/qty" */
    char detail[SCHEMA_DETAIL_BYTES];   /* what is wrong and what is allowed, for a person */
};

/* *out is the caller's. The error names the keyword and its pointer. doc is borrowed for the call only. */
MUST struct err schema_compile(const json_t *doc, struct schema **out);
void schema_free(struct schema *s);

/* Number of errors found, at most max (stops there); 0 = valid. */
size_t schema_check(const struct schema *s, const json_t *value, struct schema_error *errors, size_t max);

#endif
