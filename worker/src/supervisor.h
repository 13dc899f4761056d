/* Inside the supervisor: its children (worker processes), and the dead whose entries are still to be handed back. */
#ifndef WORKER_SUPERVISOR_H
#define WORKER_SUPERVISOR_H

#include "slot_table.h"

#include <base/limits.h>
#include <jobs/runtime.h>
#include <queues/quarantine.h>
#include <sys/queue.h>
#include <uv.h>
#include <worker/worker.h>

struct supervisor;

/* What becomes of an entry whose process died: back uncounted, again at once but counted, or to quarantine. */
enum fate { FATE_BACK, FATE_AGAIN, FATE_ALONE, FATE_MAX };

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
    bool leaving;      /* told to drain */
    struct mono told;  /* when */
    bool quiet;        /* told to claim nothing, */
    bool to_be_quiet;  /* as an operator wants this one to be, whatever the others are */
    bool rests;        /* quiet, and runs nothing, at the last look */
    int64_t ordered;   /* the latest order that was carried out */
    bool hung;         /* killed because it did not beat */
    uint64_t attempts; /* of its table, when follow.c looked last */
    uint64_t ran_us;
    uint64_t beats;    /* last seen, */
    struct mono beat;  /* and when it last changed */
    int64_t oom_kills; /* crash_oom_kills at its start */
    /* after its death */
    char crash[CRASH_WHY_BYTES]; /* how it died: a signal's name, "exit 1", "hung", "OOM"; empty: as it was told */
    bool killed;                 /* by somebody's SIGKILL: that says nothing about what it ran */
    int reaping;                 /* answers to come, */
    bool reap_failed;            /* one of them was an error */
    unsigned shard;              /* being reaped */
    struct stream_id cursor;
    size_t moved[FATE_MAX];
};

TAILQ_HEAD(child_list, child);

/* Of the ready processes of a queue, one behind the other by supervisor: those before mine, mine, all. */
struct deal {
    size_t first, own, all;
};

enum { SLOTS_MAX = 1024 }; /* of a queue: worker.max_processes */

/* By slot: which processes of a queue are ready. */
struct ready_set {
    uint64_t bits[SLOTS_MAX / 64];
};

/* What the processes of a queue do, as averages of the last seconds. */
struct load {
    double attempts_per_s;         /* ended */
    double run_s_per_s;            /* and the time that they took: attempts at once, in the mean */
    struct ready_set said, missed; /* as the others were told last; of those, who was not ready any more */
    struct deal deal;              /* so limits are dealt out, */
    struct mono dealt;             /* since when */
};

struct supervisor {
    struct runtime *rt;
    const struct worker_options *options;
    struct child_list alive, dead;
    struct timer *poll;
    struct mono polled; /* a supervisor that stood still itself must not blame its children */
    struct mono left;   /* when it was told to leave */
    bool ready, leaving, quiet;
    size_t told_n;          /* how many processes the service manager was told of */
    int64_t spawn_after_us; /* no new child before: a child that dies at once must not be forked in a circle */
    int64_t spawn_delay_ms;
    int types_fd; /* the declared types that processes are given; -1: none */
    /* follow.c */
    bool looking;
    struct mono said;                /* when it said last that it is there, */
    struct mono seen;                /* and when a look last found that it is */
    struct mono patient_until;       /* until then it does not believe that another supervisor is gone */
    size_t supervisors_n;            /* at the last look */
    struct load loads[LIMIT_QUEUES]; /* in the order of the queue table */
};

/* child.c */
MUST struct err child_spawn(struct supervisor *s, const struct queue_info *q, int slot, bool quarantine);
void child_signal(struct child *c, int signum);
void child_bury(struct child *c); /* reaped: forgets and frees it */

/* reap.c: what the dead held */
void reap(struct supervisor *s); /* goes on with every dead child that is not being reaped */
enum fate reap_fate(const struct child *c, const struct queue_pending *p);

/* declare.c */
MUST struct err declare_publish(struct supervisor *s);
void declare_forget(struct supervisor *s);
bool declare_again(struct supervisor *s); /* true: there are others now, and processes of the old must make room */

/* orders.c: what operators tell one process. From the first-th row of a look on there are n orders. */
void orders_take(struct supervisor *s, const PGresult *res, int first, int n);

/* quarantine.c */
void quarantine_follow(struct supervisor *s,
                       const struct queue_info *q); /* processes for the suspects of a queue, if there are any */
void crash_judge(struct child *c, int64_t status, int signum, int64_t oom_kills); /* sets crash and killed; oom_kills: now */
/* Processes that the kernel has ended for want of memory since it started; -1: it does not say. */
int64_t crash_oom_kills(void);

/* follow.c: platform.desired_workers, of which each supervisor has its share (share.h) */
void follow_look(struct supervisor *s);           /* reads what there should be, and goes by it */
void follow_change(struct supervisor *s, int by); /* the number of every queue, for all supervisors */
void follow_end(struct supervisor *s);            /* the others take over at once */

/* supervisor.c */
/* The ordinary ones; q NULL: of all queues. */
size_t supervisor_count(const struct supervisor *s, const struct queue_info *q, bool leaving_too);
void supervisor_tell_to_leave(struct child *c);
void supervisor_pass_on_quiet(
    struct supervisor *s); /* to those that are to claim nothing, or to go on, and have not been told so */
bool supervisor_may_start(const struct supervisor *s);
size_t supervisor_count_quarantine(const struct supervisor *s, const struct queue_info *q);
void supervisor_start_one(struct supervisor *s, const struct queue_info *q, bool quarantine);
void supervisor_child_gone(struct child *c, int64_t status, int signum);

#endif
