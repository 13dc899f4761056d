/* The job types' payload schemas, compiled once, and the checks of what comes in. */
#ifndef API_TYPES_H
#define API_TYPES_H

#include <base/schema.h>
#include <jobs/type.h>

#include "call.h"

struct types;

/* Fails with the name of the type whose schema does not compile. */
MUST struct err types_new(const struct registry *r, struct types **out);
void types_free(struct types *t);

/* The one job type of a route, or for a prefix ("notify.") the first one; NULL: the route has none. */
const struct job_type *types_of_route(const struct registry *r, const struct route *route);
/* The registered name most like this one. */
const char *types_nearest(const struct registry *r, struct str name);

/* Schemas of the API's own bodies (schema/jobs.json, …), by name. */
const struct schema *types_body(const struct types *t, const char *name);
const struct schema *types_payload(const struct types *t, const struct job_type *type);
/* The documents behind them, for /openapi.json; the object is owned by t. */
const json_t *types_components(const struct types *t);

enum { CHECK_ERRORS_MAX = 16 };
struct check {
    struct schema_error errors[CHECK_ERRORS_MAX];
    size_t n;
};
/* prefix is put before the pointers, as "/payload". True: nothing is wrong. */
bool types_check(const struct schema *s, const json_t *value, const char *prefix, struct check *out);

/* The call's body as JSON, owned by the caller; answers and is NULL when it is none. Empty where that is allowed: {}. */
json_t *call_body(struct call *c);
/* Checks it; answers 422 and is false when it does not satisfy the schema. */
bool call_check(struct call *c, const struct schema *s, const json_t *value, const char *prefix);

#endif
