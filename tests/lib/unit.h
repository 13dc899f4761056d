/* What every unit test includes: cmocka, and the torture of allocations. */
#ifndef TESTS_UNIT_H
#define TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* Runs the scenario once to count its allocations, then again with the k-th of them failing once, and again with the
 * k-th and all later ones failing, for every k. The scenario must clean up after itself in every case; the address
 * sanitizer finds what it leaks. It may ask torture_is_failing() to know whether success can be expected. */
void torture(void (*scenario)(void *arg), void *arg);
/* The same for every step-th k: of a scenario of very many allocations that are alike. */
void torture_every(long step, void (*scenario)(void *arg), void *arg);
/* The same for system calls: once for each k, the k-th on a socket or file of the scenario reads one byte or writes a half, is interrupted, or
 * finds the socket not ready, and so until it is polled. None of these is an error: the scenario must succeed. Or its connection is reset,
 * refused, the file cannot be read: then torture_is_failing. Then all calls, short; all reset; and some at random, more of them with TEST_FULL.
 * No descriptor may be left. */
void torture_io(void (*scenario)(void *arg), void *arg);
extern int torture_io_fails; /* torture_io's own */
int torture_is_failing(void);
/* Allocations that do not count. */
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
char *__real_strdup(const char *s);
long torture_allocations(void); /* so far: two equal readings prove that nothing between them allocated */

#define assert_ok(expr)                                                         \
    do {                                                                        \
        struct err assert_err_ = (expr);                                        \
        if (assert_err_.code != ERR_NONE) {                                     \
            fail_msg("%s: %s", err_name(assert_err_.code), assert_err_.detail); \
        }                                                                       \
    } while (0)
#define assert_err(expected, expr) assert_int_equal((expected), (expr).code)
#define assert_str(expected, s)                                     \
    do {                                                            \
        struct str assert_s_ = (s);                                 \
        struct str assert_x_ = str_c(expected);                     \
        assert_int_equal(assert_x_.n, assert_s_.n);                 \
        assert_memory_equal(assert_x_.p, assert_s_.p, assert_x_.n); \
    } while (0)

#endif
