/* The scheduler role: what has to be done once, wherever. Every step is safe to do twice, so that several schedulers are safe too;
 * an advisory lock lets one of them do the work that costs (leadership is economy, never correctness). Promotion is done by all: it
 * needs no Postgres. */
#ifndef SCHEDULER_SCHEDULER_H
#define SCHEDULER_SCHEDULER_H

#include <jobs/type.h>

struct scheduler_options {
    const struct conf *conf;
    const struct registry *registry;
};

/* Runs until TERM; the exit status of the process. */
int scheduler_main(const struct scheduler_options *o);

#endif
