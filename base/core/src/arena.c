#include <base/arena.h>

#include <stdalign.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct arena_block {
    struct arena_block *next;
    size_t size; /* of data */
    alignas(max_align_t) char data[];
};

void arena_init(struct arena *a, size_t block_bytes, size_t max) { *a = (struct arena){.block_bytes = block_bytes, .max = max}; }

static void free_blocks(struct arena_block *b) {
    while (b != NULL) {
        struct arena_block *next = b->next;
        free(b);
        b = next;
    }
}

void arena_free(struct arena *a) {
    free_blocks(a->head);
    arena_init(a, a->block_bytes, a->max);
}

void arena_reset(struct arena *a) {
    struct arena_block *keep = NULL;
    for (struct arena_block *b = a->head; b != NULL;) {
        struct arena_block *next = b->next;
        if (keep == NULL && b->size == a->block_bytes) {
            keep = b;
        } else {
            free(b);
        }
        b = next;
    }
    a->head = keep;
    a->used = 0;
    a->cap = a->total = keep != NULL ? keep->size : 0;
    if (keep != NULL) {
        keep->next = NULL;
    }
}

static bool add_block(struct arena *a, size_t n) {
    size_t size = n > a->block_bytes ? n : a->block_bytes;
    if (size > a->max - a->total) {
        size = n; /* near the maximum an exact block may still fit */
    }
    if (size > a->max - a->total) {
        return false;
    }
    struct arena_block *b = malloc(sizeof *b + size);
    if (b == NULL) {
        return false;
    }
    b->next = a->head;
    b->size = size;
    a->head = b;
    a->used = 0;
    a->cap = size;
    a->total += size;
    return true;
}

static void *take(struct arena *a, size_t n) {
    const size_t align = alignof(max_align_t);
    if (n > SIZE_MAX - align) {
        return NULL;
    }
    n = (n + align - 1) & ~(align - 1);
    if (a->cap - a->used < n && !add_block(a, n)) {
        return NULL;
    }
    if (a->head == NULL) {
        return NULL; /* n == 0 on an empty arena */
    }
    void *p = a->head->data + a->used;
    a->used += n;
    return p;
}

void *arena_alloc(struct arena *a, size_t n) {
    void *p = take(a, n);
    return p != NULL ? memset(p, 0, n) : NULL;
}

void *arena_alloc_array(struct arena *a, size_t size, size_t n) {
    size_t bytes;
    return __builtin_mul_overflow(size, n, &bytes) ? NULL : arena_alloc(a, bytes);
}

struct str arena_str(struct arena *a, struct str s) {
    char *p = s.n < SIZE_MAX ? take(a, s.n + 1) : NULL;
    if (p == NULL) {
        return STR_NONE;
    }
    if (s.n > 0) {
        memcpy(p, s.p, s.n);
    }
    p[s.n] = '\0';
    return (struct str){p, s.n};
}

struct str arena_printf(struct arena *a, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n >= 0 ? take(a, (size_t)n + 1) : NULL;
    if (p == NULL) {
        return STR_NONE;
    }
    va_start(ap, fmt);
    (void)vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return (struct str){p, (size_t)n};
}
