#include "unit.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

static long count;      /* allocations of this run */
static long fail_at;    /* 0: none */
static int fail_onward; /* the k-th only, or all from it on */

static int fails(void) {
    count++;
    return fail_at != 0 && (fail_onward ? count >= fail_at : count == fail_at);
}

void *__wrap_malloc(size_t n) { return fails() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return fails() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return fails() ? NULL : __real_realloc(p, n); }
char *__wrap_strdup(const char *s) { return fails() ? NULL : __real_strdup(s); }
char *__wrap_strndup(const char *s, size_t n) { return fails() ? NULL : __real_strndup(s, n); }

long torture_allocations(void) { return count; }
int torture_io_fails;
int torture_is_failing(void) { return fail_at != 0 || torture_io_fails; }

void torture(void (*scenario)(void *arg), void *arg) { torture_every(1, scenario, arg); }

void torture_every(long step, void (*scenario)(void *arg), void *arg) {
    json_set_alloc_funcs(__wrap_malloc, free);
    fail_at = 0;
    count = 0;
    scenario(arg);
    long n = count;
    for (fail_onward = 0; fail_onward < 2; fail_onward++) {
        for (long k = 1; k <= n; k += step) {
            count = 0;
            fail_at = k;
            scenario(arg);
        }
    }
    fail_at = 0;
    fail_onward = 0;
}
