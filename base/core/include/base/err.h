/* One error value for the whole program. A function that can fail returns struct err (warn-unused), outputs come last
 * and are untouched on failure. The code names the cause; its class decides retry, dead, 4xx or 5xx, in one table.
 * detail is never NULL; it points to static storage or into a per-thread ring of 32 messages: copy it if it must
 * outlive the call that received it. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

#define MUST __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))

enum err_class {
    ERR_CLASS_OK,
    ERR_CLASS_INFRA,     /* our own dependency or machine: release the job, charge nothing, come back */
    ERR_CLASS_TRANSIENT, /* charge an attempt, retry with backoff */
    ERR_CLASS_CONFLICT,  /* retry soon, charge an attempt */
    ERR_CLASS_UNKNOWN,   /* an outside effect may have happened: ask, never repeat blindly */
    ERR_CLASS_INVALID,   /* dead at once */
    ERR_CLASS_PERMANENT, /* dead at once */
    ERR_CLASS_MAX
};

enum err_code {
#define X(name, class, text) ERR_##name,
#include <base/err.def>
#undef X
    ERR_MAX
};

struct err {
    enum err_code code;
    const char *detail;
};

#define OK ((struct err){ERR_NONE, ""})

/* Leaves the function with the error, if there is one. */
#define TRY(expr)                        \
    do {                                 \
        struct err try_err_ = (expr);    \
        if (try_err_.code != ERR_NONE) { \
            return try_err_;             \
        }                                \
    } while (0)

/* An error with a formatted detail (cut at 255 bytes). */
struct err err_make(enum err_code code, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* The same code with "context: " before the detail: says on the way up what was being done. */
struct err err_wrap(struct err e, const char *context);

/* ERR_SYSTEM with the text of the given errno. */
struct err err_errno(int errnum, const char *what);

static inline bool err_is_set(struct err e) { return e.code != ERR_NONE; }
enum err_class err_class(enum err_code code);
const char *err_name(enum err_code code);

#endif
