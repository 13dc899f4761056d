/* Many jobs from lines of JSON. */
#ifndef OPS_CLI_ENQUEUE_H
#define OPS_CLI_ENQUEUE_H

#include <stdio.h>

#include "options.h"

enum { ENQUEUE_PATIENCE_MS = 5 * 60 * 1000 };

struct enqueue_sum {
    int64_t enqueued, replayed, refused; /* lines; replayed: of those enqueued, by an earlier request with their key */
};

/* Every line of in, as POST /v1/jobs:batch takes it. What is refused for a time is sent again under its key, until no line has been taken for wait_ms;
 * what is refused for good is told by its number. Shows each job where the form of output has lines for it. The exit code; name is that of in. */
int enqueue_lines(const struct options *o, FILE *in, const char *name, int64_t wait_ms, struct enqueue_sum *out);

/* The file of --bulk. */
int enqueue_bulk(const struct options *o, int64_t wait_ms);

#endif
