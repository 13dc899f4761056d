/* The spans of a worker process: one per attempt, with what was done in it, and one per batch that is finished or settled. */
#ifndef WORKER_RECORD_H
#define WORKER_RECORD_H

#include "process.h"

void record_open(struct process *p);                 /* calls made on behalf of an entry find its scope from now on */
void record_begin(struct held *h);                   /* its attempt begins */
const struct trace *record_id(const struct held *h); /* its attempt's span; NULL: it has none */
/* The attempt has ended: number, and how long it took. Recorded when its trace is, when it was charged for a failure, and when it was slow
 * for its type. */
void record_attempt(struct held *h, const struct attempt_end *end, uint32_t number, int64_t us);
/* Entries that came in by one read, which began then: a span of its own, linked to those of theirs that are recorded. */
void record_receive(const struct process *p, struct held *const *held, size_t n, struct mono began);
void record_finish(struct held *const *held, size_t n, struct mono began, struct err err);
void record_settle(const struct process *p, struct held *const *held, size_t n, struct mono began, struct err err);

#endif
