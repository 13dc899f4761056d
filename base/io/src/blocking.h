/* A bounded pool of threads for libraries that block, whatever their interface says. Threads start when they are needed. */
#ifndef BLOCKING_H
#define BLOCKING_H

#include <base/err.h>
#include <io/loop.h>

#include <sys/queue.h>

struct blocking;

struct blocking_job {
    STAILQ_ENTRY(blocking_job) link;        /* the pool's */
    void (*run)(struct blocking_job *job);  /* in a thread of the pool */
    void (*done)(struct blocking_job *job); /* afterwards, on the loop; the job is its owner's again */
};

MUST struct err blocking_new(struct loop *l, unsigned threads_max, struct blocking **out);
/* Jobs above the number of threads wait in order. On failure the job is still the caller's. */
MUST struct err blocking_submit(struct blocking *b, struct blocking_job *job);
/* Runs what waits, waits for what runs (the caller tells its jobs to end first), calls every done. NULL is fine. */
void blocking_close(struct blocking *b);

#endif
