/* Inside the supervisor: its children (worker processes), and the dead whose entries are still to be handed back. */
#ifndef WORKER_SUPERVISOR_H
#define WORKER_SUPERVISOR_H

#include "slot_table.h"

#include <jobs/runtime.h>
#include <queues/claim.h>
#include <sys/queue.h>
#include <uv.h>
#include <worker/worker.h>

struct supervisor;

struct child {
    TAILQ_ENTRY(child) link;
    struct supervisor *supervisor;
    const struct queue_info *queue;
    int slot;
    uv_process_t process;
    int table_fd;
    struct slot_table *table;
    struct mono started;
    bool leaving;     /* told to drain */
    struct mono told; /* when */
    bool quiet;       /* told to claim nothing */
    uint64_t beats;   /* last seen, */
    struct mono beat; /* and when it last changed */
    /* after its death */
    bool reaping;
    unsigned shard; /* being reaped */
    struct stream_id cursor;
    size_t handed_back, left;
};

TAILQ_HEAD(child_list, child);

struct supervisor {
    struct runtime *rt;
    const struct worker_options *options;
    struct child_list alive, dead;
    struct timer *poll;
    struct mono polled; /* a supervisor that stood still itself must not blame its children */
    struct mono left;   /* when it was told to leave */
    bool polling, ready, leaving, quiet;
    int64_t spawn_after_us; /* no new child before: a child that dies at once must not be forked in a circle */
    int64_t spawn_delay_ms;
    int types_fd; /* the declared types that processes are given; -1: none */
};

/* child.c */
MUST struct err child_spawn(struct supervisor *s, const struct queue_info *q, int slot);
void child_signal(struct child *c, int signum);
void child_bury(struct child *c); /* reaped: forgets and frees it */

/* reap.c: what the dead held. Started entries wait for their lease; the others go back at once. */
void reap(struct supervisor *s); /* goes on with every dead child that is not being reaped */

/* declare.c */
MUST struct err declare_publish(struct supervisor *s);
void declare_forget(struct supervisor *s);
bool declare_again(struct supervisor *s); /* true: there are others now, and processes of the old must make room */

/* supervisor.c */
void supervisor_child_gone(struct child *c, int64_t status, int signum);

#endif
