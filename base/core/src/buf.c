#include <base/buf.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_BYTES = 256 }; /* most never grow */

void buf_init(struct buf *b, size_t max) { *b = (struct buf){.max = max}; }

void buf_free(struct buf *b) {
    free(b->p);
    buf_init(b, b->max);
}

void buf_clear(struct buf *b) {
    b->n = 0;
    b->failed = ERR_NONE;
}

char *buf_reserve(struct buf *b, size_t n) {
    if (b->failed != ERR_NONE) {
        return NULL;
    }
    if (n > b->max - b->n) {
        b->failed = ERR_TOO_LARGE;
        return NULL;
    }
    if (b->cap - b->n < n) {
        size_t want = b->n + n;
        size_t cap = b->cap != 0 ? b->cap : FIRST_BYTES;
        while (cap < want) {
            cap *= 2;
        }
        char *p = realloc(b->p, cap);
        if (p == NULL) {
            b->failed = ERR_NOMEM;
            return NULL;
        }
        b->p = p;
        b->cap = cap;
    }
    return b->p + b->n;
}

void buf_commit(struct buf *b, size_t n) { b->n += n; }

void buf_add_slowly(struct buf *b, struct str s) {
    if (s.n == 0) {
        return;
    }
    char *to = buf_reserve(b, s.n);
    if (to != NULL) {
        memcpy(to, s.p, s.n);
        b->n += s.n;
    }
}

void buf_addf(struct buf *b, const char *fmt, ...) {
    va_list ap;
    size_t most = b->cap < b->max ? b->cap : b->max, room = b->failed == ERR_NONE ? most - b->n : 0;
    va_start(ap, fmt);
    int n = vsnprintf(room > 0 ? b->p + b->n : NULL, room, fmt, ap); /* with a NUL that we do not keep */
    va_end(ap);
    if (n >= 0 && (size_t)n < room) {
        b->n += (size_t)n;
        return;
    }
    char *to = n >= 0 ? buf_reserve(b, (size_t)n + 1) : NULL;
    if (to == NULL) {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(to, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->n += (size_t)n;
}

void buf_drop(struct buf *b, size_t n) {
    b->n -= n;
    if (b->n > 0) {
        memmove(b->p, b->p + n, b->n);
    }
}

struct err buf_status(const struct buf *b) {
    if (b->failed == ERR_NONE) {
        return OK;
    }
    if (b->failed == ERR_NOMEM) {
        return err_make(ERR_NOMEM, "out of memory");
    }
    return err_make(b->failed, "more than %zu bytes", b->max);
}
