/* JSON Schema 2020-12, the subset that our contracts use, compiled once into a flat array of nodes.
 * Keywords: $schema $id (both at the root only) $ref (local only) $defs · title description default examples deprecated
 * (annotations) · type enum const · properties required additionalProperties minProperties maxProperties propertyNames
 * dependentRequired · items prefixItems minItems maxItems uniqueItems · minLength maxLength pattern format · minimum maximum
 * exclusiveMinimum exclusiveMaximum multipleOf · oneOf anyOf allOf not.
 * Any other keyword, and any reference outside the document, is refused when compiling: a contract that is not enforced
 * is worse than none. Vendor annotations x-… are allowed; x-masked: true says that what the schema applies to is personal (schema_mask).
 *
 * Where the draft leaves a choice, or we depart from it:
 * - format is an assertion: uuid, date-time (RFC 3339, a date that exists), email (dot-atom @ host name), uri (RFC 3986,
 *   absolute); any other format is refused when compiling.
 * - pattern is ECMA-262 as far as PCRE2 can be set to read it: not anchored, \d and \w ASCII.
 * - Numbers compare exactly, int64 with double too; a double above 2^53 is not an integer, since it may not be the number
 *   that was sent. multipleOf with a fraction is judged to 14 digits, so that 19.99 is a multiple of 0.01.
 * - Lengths count code points. 1 and 1.0 are equal, 1 and true are not.
 * - A schema that comes back to itself without going deeper into the value is refused when compiling.
 * - A check has a number of steps; a value that needs more (uniqueItems over some 2000 items, an explosive pattern) is
 *   reported as an error at "#". */
#ifndef BASE_SCHEMA_H
#define BASE_SCHEMA_H

#include <base/err.h>
#include <base/str.h>
#include <jansson.h>

struct schema;

enum { SCHEMA_POINTER_BYTES = 160, SCHEMA_DETAIL_BYTES = 200 };

struct schema_error {
    char pointer[SCHEMA_POINTER_BYTES]; /* RFC 6901 section 6, "#/lines/0/qty"; too long: of the next ancestor that fits */
    char detail[SCHEMA_DETAIL_BYTES];   /* what is wrong and what is allowed, for a person */
};

/* *out is the caller's. ERR_INVALID names the keyword by its pointer, "#/properties/a/contains: unknown keyword"; ERR_NOMEM.
 * doc, as json_read makes it, is kept by a reference of its own: release it at will, but do not change it any more. */
MUST struct err schema_compile(const json_t *doc, struct schema **out);
void schema_free(struct schema *s);

/* Number of errors found, at most max (1 or more; stops there); 0 = valid. When no branch of oneOf or anyOf holds, the errors
 * are those of the branch that was meant, by its const member or its type, if that can be told. value as json_read makes it.
 * Allocates nothing but what PCRE2 needs. One thread at a time for one schema. */
size_t schema_check(const struct schema *s, const json_t *value, struct schema_error *errors, size_t max);

/* Puts the stars for every part of *value to which a schema with x-masked: true applies, itself included, by whatever leads there: $ref, properties,
 * additionalProperties, items, prefixItems, the branches of allOf, anyOf and oneOf (all, whether they hold or not), not; for an object
 * whose names are masked (propertyNames). What cannot be looked through within the steps of a check is hidden, too. value is the
 * caller's, as json_read makes it. ERR_NOMEM: some of it is still in clear. */
#define SCHEMA_MASK "***"
MUST struct err schema_mask(const struct schema *s, json_t **value);
bool schema_masks(const struct schema *s);                    /* false: there is nothing like that in it */
bool schema_names(const struct schema *s, struct str member); /* a member that any "properties" of it names: no secret */

#endif
