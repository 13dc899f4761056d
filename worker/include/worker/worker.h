/* The worker role: a supervisor and its worker processes. A worker process serves one queue: one blocking reader, `slots` attempts at
 * once, one loop. The supervisor keeps as many of them as platform.desired_workers says, hands back what a dead
 * one held, and has suspects of its crash run by processes of quarantine: one entry at a time, so that it is known by itself. */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H

#include <jobs/type.h>

struct worker_options {
    const struct conf *conf;
    struct registry *registry; /* HUP puts other declared types into it */
    const char *queue;         /* process only */
    bool quarantine;           /* process only: it runs suspects, one at a time */
    int slot;                  /* process only: which of the supervisor's */
    int table_fd;              /* process only: the slot table; -1 without a supervisor */
};

/* Run until TERM (or INT); the exit status of the process. Both log what they do.
 * supervisor: TTIN and TTOU change the desired number of every queue by one, TSTP quiets (CONT wakes), HUP reads
 * handler.types anew, TERM drains, twice: at once. */
int supervisor_main(const struct worker_options *o);
int worker_process_main(const struct worker_options *o);

#endif
