/* What every target includes. A target states promises of what it calls; a broken one ends the process, and libFuzzer keeps the
 * input. Inputs of several texts have FUZZ_BETWEEN between them, a byte that none of the formats allows. */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include <base/buf.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define FUZZ_BETWEEN '\x1e'

#define PROMISE(holds)                                                                        \
    do {                                                                                      \
        if (!(holds)) {                                                                       \
            (void)fprintf(stderr, "%s:%d: broken promise: %s\n", __FILE__, __LINE__, #holds); \
            abort();                                                                          \
        }                                                                                     \
    } while (0)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next text of the input, empty when there is none, in memory of just its size (free its p): a read past its end is seen. */
static inline struct str fuzz_text(struct str *rest) {
    struct str s = STR("");
    (void)str_cut(rest, FUZZ_BETWEEN, &s);
    char *copy = malloc(s.n > 0 ? s.n : 1);
    PROMISE(copy != NULL);
    memcpy(copy, s.p, s.n);
    return str_of(copy, s.n);
}

static inline char *fuzz_c_string(struct str s) {
    char *copy = strndup(s.p, s.n);
    PROMISE(copy != NULL);
    return copy;
}

/* The number in "line 17, column 3: …" or "file:17: …" behind prefix; 0: the text is another one. */
static inline long fuzz_line_of(const char *detail, const char *prefix) {
    size_t n = strlen(prefix);
    return strncmp(detail, prefix, n) == 0 ? strtol(detail + n, NULL, 10) : 0;
}

static inline long fuzz_lines(struct str text) {
    long n = 1;
    for (size_t i = 0; i < text.n; i++) {
        n += text.p[i] == '\n';
    }
    return n;
}

#endif
