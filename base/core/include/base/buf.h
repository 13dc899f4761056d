/* A growable byte buffer with a mandatory maximum. A failure (no memory, maximum passed) is remembered: writes after it
 * do nothing, and the owner asks once, at the end. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <base/err.h>
#include <base/str.h>

struct buf {
    char *p;
    size_t n;   /* bytes in use */
    size_t cap; /* bytes allocated */
    size_t max; /* n never passes it */
    enum err_code failed;
};

void buf_init(struct buf *b, size_t max);
void buf_free(struct buf *b);  /* and back to the state after buf_init */
void buf_clear(struct buf *b); /* keeps the memory, forgets the failure */

void buf_add_slowly(struct buf *b, struct str s); /* buf_add's: where memory or an answer is needed */
static inline void buf_add(struct buf *b, struct str s) {
    if (s.n == 0 || b->failed != ERR_NONE || s.n > b->max - b->n || s.n > b->cap - b->n) {
        buf_add_slowly(b, s);
        return;
    }
    memcpy(b->p + b->n, s.p, s.n);
    b->n += s.n;
}
static inline void buf_add_c(struct buf *b, const char *s) { buf_add(b, str_c(s)); }
static inline void buf_add_char(struct buf *b, char c) { buf_add(b, str_of(&c, 1)); }
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_drop(struct buf *b, size_t n); /* removes the first n bytes */

/* Room for n more bytes at b->p + b->n, or NULL; buf_commit says how many were written. */
char *buf_reserve(struct buf *b, size_t n);
void buf_commit(struct buf *b, size_t n);

MUST struct err buf_status(const struct buf *b);
static inline struct str buf_str(const struct buf *b) { return (struct str){b->p, b->n}; }

#endif
