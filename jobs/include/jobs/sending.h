/* The span of putting a job into a queue ("send <queue>"): its id travels with the job, as the parent of its attempts. */
#ifndef JOBS_SENDING_H
#define JOBS_SENDING_H

#include <base/ids.h>
#include <base/span.h>

struct sending {
    struct trace trace;         /* the job's */
    const struct trace *parent; /* NULL: the trace begins with it */
    struct uuid job;
    struct str queue, type, tenant;
    size_t bytes; /* of the payload */
    struct mono began;
    struct err err;
};

/* Into the scope while that is open; otherwise (scope NULL, or its request is gone) at once, if the trace is sampled. */
void sending_record(const struct sending *from, struct span_scope *scope);

#endif
