/* Inside the supervisor: its children (worker processes), and the dead whose entries are still to be handed back. */
#ifndef WORKER_SUPERVISOR_H
#define WORKER_SUPERVISOR_H

#include "slot_table.h"

#include <jobs/runtime.h>
#include <queues/quarantine.h>
#include <sys/queue.h>
#include <uv.h>
#include <worker/worker.h>

struct supervisor;

struct child {
    TAILQ_ENTRY(child) link;
    struct supervisor *supervisor;
    const struct queue_info *queue;
    int slot;
    bool quarantine; /* runs suspects, one at a time, until there are none */
    uv_process_t process;
    int table_fd;
    struct slot_table *table;
    struct mono started;
    bool leaving;     /* told to drain */
    struct mono told; /* when */
    bool quiet;       /* told to claim nothing */
    bool hung;        /* killed because it did not beat */
    uint64_t beats;   /* last seen, */
    struct mono beat; /* and when it last changed */
    /* after its death */
    char crash[CRASH_WHY_BYTES]; /* how it died; empty: as it was told, and nothing that it ran is suspect */
    int reaping;                 /* answers to come, */
    bool reap_failed;            /* one of them was an error */
    unsigned shard;              /* being reaped */
    struct stream_id cursor;
    size_t handed_back, suspects;
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
MUST struct err child_spawn(struct supervisor *s, const struct queue_info *q, int slot, bool quarantine);
void child_signal(struct child *c, int signum);
void child_bury(struct child *c); /* reaped: forgets and frees it */

/* reap.c: what the dead held. What a process ran that crashed is suspect; the rest goes back at once. */
void reap(struct supervisor *s); /* goes on with every dead child that is not being reaped */

/* declare.c */
MUST struct err declare_publish(struct supervisor *s);
void declare_forget(struct supervisor *s);
bool declare_again(struct supervisor *s); /* true: there are others now, and processes of the old must make room */

/* quarantine.c */
void quarantine_follow(struct supervisor *s,
                       const struct queue_info *q); /* processes for the suspects of a queue, if there are any */
/* How a child died, for :c, the dead and the metrics: a signal's name, "exit 1", "hung"; empty when it was no crash. */
void crash_name(const struct child *c, int64_t status, int signum, char out[CRASH_WHY_BYTES]);

/* supervisor.c */
size_t supervisor_count_quarantine(const struct supervisor *s, const struct queue_info *q);
void supervisor_start_one(struct supervisor *s, const struct queue_info *q, bool quarantine);
void supervisor_child_gone(struct child *c, int64_t status, int signum);

#endif
