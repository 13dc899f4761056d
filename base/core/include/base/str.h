/* Bytes that come from outside are a pointer and a length: never NUL-terminated, never measured with strlen.
 * struct str borrows; whoever owns the bytes says so. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_NONE ((struct str){NULL, 0})
#define STR_ARG(s) (int)(s).n, (s).p != NULL ? (s).p : "" /* for "%.*s" */

static inline struct str str_c(const char *c) { return (struct str){c, c != NULL ? strlen(c) : 0}; }
static inline struct str str_of(const void *p, size_t n) { return (struct str){p, n}; }
static inline bool str_eq(struct str a, struct str b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }
static inline bool str_is(struct str a, const char *c) { return str_eq(a, str_c(c)); }

bool str_eq_nocase(struct str a, struct str b); /* ASCII only */
bool str_starts(struct str s, struct str prefix);
struct str str_trim(struct str s); /* spaces and tabs at both ends */

/* Splits at the first sep: out_head before it, *s after it. False (and nothing changed) when s is empty; the last piece
 * has no separator behind it. */
bool str_cut(struct str *s, char sep, struct str *out_head);

/* The whole string as a decimal integer ("-" allowed in the first); false on anything else or overflow. */
bool str_to_i64(struct str s, int64_t *out);
bool str_to_u64(struct str s, uint64_t *out);

enum { U64_DIGITS = 20, I64_TEXT_BYTES = 21 };
/* Decimal: into the (at most U64_DIGITS) bytes before end, the result is where it begins; somewhere in room, with a NUL. */
char *str_put_u64(char *end, uint64_t v);
struct str str_from_i64(int64_t v, char room[I64_TEXT_BYTES]);

/* 1..max characters of [A-Za-z0-9_.-]: what a queue, tenant or type name may be. Such a name is safe in a Redis key. */
bool str_is_name(struct str s, size_t max);

/* Levenshtein's distance, of the first STR_DISTANCE_MAX bytes of each: which name was meant. */
enum { STR_DISTANCE_MAX = 64 };
size_t str_distance(struct str a, struct str b);

/* Copies into a fixed buffer and terminates it; false, and an empty string, when it does not fit. */
bool str_copy_c(struct str s, char *out, size_t size);

#endif
