/* penstock enqueue --bulk */
#ifndef OPS_CLI_ENQUEUE_H
#define OPS_CLI_ENQUEUE_H

#include "options.h"

enum { ENQUEUE_PATIENCE_MS = 5 * 60 * 1000 };

/* Every line of the file of --bulk, as POST /v1/jobs:batch takes it. What is refused for a time is sent again under its key, until no line has been
 * taken for wait_ms. */
int enqueue_bulk(const struct options *o, int64_t wait_ms);

#endif
