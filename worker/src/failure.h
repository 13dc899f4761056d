/* What is kept of the attempts that failed. */
#ifndef WORKER_FAILURE_H
#define WORKER_FAILURE_H

#include <base/arena.h>
#include <base/limits.h>
#include <base/trace.h>

/* The errors so far (JSON array text from the entry's header, which others may have written; unreadable counts as none) and this one, newest
 * last: the last LIMIT_ERRORS_KEPT of them, fewer when they would not fit into an envelope. In the arena; empty without memory.
 * span: of the attempt, for the next one to link to; NULL: it has none. */
struct str failure_add(struct arena *a, struct str errors, struct err err, int64_t at_ms, const struct trace *span);
/* The spans of those attempts, of the trace; how many. */
size_t failure_spans(struct str errors, const struct trace *trace, struct trace out[LIMIT_ERRORS_KEPT]);

/* The group of the dead that a job belongs to: type and error, with digits folded and everything else printable and free of quotes. In
 * the arena; empty without memory. */
struct str failure_group(struct arena *a, struct str type, struct err err);

#endif
