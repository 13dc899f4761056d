/* jansson, with the project's rules: no duplicate keys, a depth limit, no top-level scalars, and numbers whose fraction is
 * zero are integers everywhere (606.0 becomes 606; 606.5 stays a real and is refused where an integer is asked for).
 * Getters answer with an error that carries a JSON pointer, for problem+json. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <base/buf.h>
#include <base/err.h>
#include <base/str.h>
#include <jansson.h>

/* *out is the caller's (json_decref). ERR_INVALID with line, column and what to do; ERR_TOO_LARGE when deeper than
 * LIMIT_JSON_DEPTH; ERR_NOMEM. */
MUST struct err json_read(struct str text, json_t **out);

/* Appends the compact text. */
MUST struct err json_write(const json_t *v, struct buf *out);

/* Members of an object. Strings are borrowed from the object. A missing optional member gives fallback. */
MUST struct err json_get_str(const json_t *o, const char *name, struct str *out);
MUST struct err json_get_i64(const json_t *o, const char *name, int64_t *out);
struct str json_opt_str(const json_t *o, const char *name, struct str fallback);
int64_t json_opt_i64(const json_t *o, const char *name, int64_t fallback);
bool json_opt_bool(const json_t *o, const char *name, bool fallback);

/* Writing without building a tree: appends "text" with JSON escapes (control characters, quotes, invalid UTF-8 as U+FFFD). */
void json_add_string(struct buf *b, struct str s);

/* Call once at start: seeds the hash function (json_object_seed). */
void json_setup(void);

#endif
