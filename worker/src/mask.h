/* What a job's schema calls personal must not come out by the text of an error, which goes into logs, spans and the dead: a mail relay
 * repeats the address that it refuses. */
#ifndef WORKER_MASK_H
#define WORKER_MASK_H

#include "kind.h"

/* The error; where its detail repeats a text, a number or a name of what schema_mask hides of the payload, one with stars for it, in the arena.
 * So for the beginning of one at the end of a detail, which was cut there. When that cannot be known, the detail is "". */
struct err mask_err(struct arena *a, struct kind *k, struct str payload, struct err err);

#endif
