/* What a job's schema calls personal must not come out by the text of an error, which goes into logs, spans and the dead: a mail relay
 * repeats the address that it refuses. */
#ifndef WORKER_MASK_H
#define WORKER_MASK_H

#include <base/arena.h>

/* The error; where its detail has a text of the payload whose schema says "x-masked" (in "properties" and "items", however deep), one with
 * stars for it, in the arena. Without memory the detail is "". */
struct err mask_err(struct arena *a, const char *schema, struct str payload, struct err err);

#endif
