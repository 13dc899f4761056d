/* Errors as application/problem+json (RFC 9457). */
#ifndef API_PROBLEM_H
#define API_PROBLEM_H

#include <base/buf.h>
#include <base/err.h>
#include <base/trace.h>

enum problem_id {
#define P(id, status, code, retryable, title, hint) PROBLEM_##id,
#include "problems.def"
#undef P
    PROBLEM_MAX
};

enum { PROBLEM_BYTES_MAX = 16 * 1024 };

struct problem_error {
    struct str pointer; /* RFC 6901, "#/lines/0/qty" */
    struct str detail;
};

struct problem {
    enum problem_id id;
    struct str detail;         /* may carry text from outside */
    struct str hint;           /* p NULL: the table's */
    struct str instance;       /* the request's path; p NULL: none */
    const struct trace *trace; /* NULL: none */
    int64_t retry_after_s;     /* 0: none */
    const struct problem_error *errors;
    size_t errors_n;
};

void problem_write(struct buf *out, const struct problem *p);
int problem_status(enum problem_id id);
const char *problem_code(enum problem_id id);

/* The problem behind an error of ours, as a client should see it. */
enum problem_id problem_of(enum err_code code);

/* The problem behind a status that the HTTP server decides itself. */
enum problem_id problem_of_status(int status);

#endif
