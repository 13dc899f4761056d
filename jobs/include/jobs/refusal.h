/* A business refusal: the job is done, and its answer is a problem (RFC 9457) with a 4xx of its own. */
#ifndef JOBS_REFUSAL_H
#define JOBS_REFUSAL_H

#include <base/arena.h>

struct refusal {
    int status;
    const char *code; /* "payment_declined"; the type is made of it */
    const char *title;
    struct str detail;   /* for a person; may carry text from outside */
    const char *members; /* further members, JSON text ",\"allowed\":[]"; NULL: none */
};

/* p is NULL when out of memory. */
struct str refusal_json(struct arena *a, const struct refusal *r);

#endif
