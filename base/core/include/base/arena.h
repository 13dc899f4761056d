/* Memory that lives as long as one request or one attempt: allocated by moving a pointer, freed at once. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <base/err.h>
#include <base/str.h>

struct arena_block;

struct arena {
    struct arena_block *head; /* newest block first */
    size_t used, cap;         /* within the newest block */
    size_t total, max;        /* bytes held, and the most that may be held */
    size_t block_bytes;       /* size of an ordinary block */
};

void arena_init(struct arena *a, size_t block_bytes, size_t max);
void arena_free(struct arena *a);  /* everything; usable again afterwards */
void arena_reset(struct arena *a); /* everything but one ordinary block: no allocation in the steady state */

/* Zeroed and aligned for any type; NULL when out of memory or past the maximum. */
void *arena_alloc(struct arena *a, size_t n);
/* A NUL-terminated copy, length without the NUL; p is NULL when out of memory. */
struct str arena_str(struct arena *a, struct str s);
struct str arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

#define ARENA_NEW(a, type) ((type *)arena_alloc((a), sizeof(type)))
#define ARENA_ARRAY(a, type, n) ((type *)arena_alloc_array((a), sizeof(type), (n)))
void *arena_alloc_array(struct arena *a, size_t size, size_t n);

#endif
