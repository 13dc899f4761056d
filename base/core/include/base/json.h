/* jansson, with the project's rules: no duplicate keys, a depth limit, no top-level scalars, and numbers whose fraction is
 * zero are integers everywhere (606.0 becomes 606; 606.5 stays a real and is refused where an integer is asked for).
 * Getters answer with an error that carries a JSON pointer, for problem+json. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <base/buf.h>
#include <base/err.h>
#include <base/str.h>
#include <jansson.h>

/* *out, an object or an array, is the caller's (json_decref). The caller bounds the size of text. ERR_INVALID with line, column
 * and what to do; ERR_TOO_LARGE when deeper than LIMIT_JSON_DEPTH; ERR_NOMEM. A real with zero fraction stays real above 2^53,
 * where a double may not be the number that was sent. */
MUST struct err json_read(struct str text, json_t **out);

/* Appends the compact text of any value, members in order. Reals show 15 digits where these keep all values, else 17. */
MUST struct err json_write(const json_t *v, struct buf *out);

/* Members of an object. Strings are borrowed from the object. ERR_INVALID "#/name: must be an integer"; an optional member that
 * is missing, or not of the type, gives fallback. */
MUST struct err json_get_str(const json_t *o, const char *name, struct str *out);
MUST struct err json_get_i64(const json_t *o, const char *name, int64_t *out);
struct str json_opt_str(const json_t *o, const char *name, struct str fallback);
int64_t json_opt_i64(const json_t *o, const char *name, int64_t fallback);
bool json_opt_bool(const json_t *o, const char *name, bool fallback);

/* Writing without building a tree: appends "text" with JSON escapes (control characters, quotes, invalid UTF-8 as U+FFFD). */
void json_add_string(struct buf *b, struct str s);
bool json_is_utf8(struct str s); /* all of it */

/* Call once at start: seeds jansson's hash function and puts the guard of json_read before its allocation functions
 * (json_read.c says why; json_read does it too where they were set later). */
void json_setup(void);

#endif
