/* The span of putting a job into a queue ("send <queue>"): its id travels with the job, as the parent of its attempts. */
#ifndef JOBS_SENDING_H
#define JOBS_SENDING_H

#include <base/ids.h>
#include <base/span.h>

struct sending {
    struct trace trace;         /* the job's */
    const struct trace *parent; /* NULL: the trace begins with it */
    const struct trace *link;   /* what the job is a repetition of; in the scope's arena; NULL: of nothing */
    struct uuid job;
    struct str queue, type, tenant;
    size_t bytes; /* of the payload */
    struct mono began;
    struct err err;
};

/* Into the scope while that is open; otherwise (scope NULL, or its request is gone) at once, if the trace is sampled. */
void sending_record(const struct sending *from, struct span_scope *scope);
/* The Function call by which n jobs were put in: part of the first recorded one's sending, linked to the others. While spans are on. */
void sending_record_call(const char *function, const struct trace *const *of, size_t n, struct mono began, struct err err);

#endif
