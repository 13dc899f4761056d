/* The cluster: which processes there are, what befalls them, and who asks them for what. */
#ifndef SIM_CLUSTER_H
#define SIM_CLUSTER_H

#include "jobs_book.h"
#include "world.h"

#include <jobs/runtime.h>

enum role { ROLE_API, ROLE_WORKER, ROLE_SCHEDULER, ROLE_SUPERVISOR, ROLE_MAX };

/* A place where a process runs, again and again. */
struct place_of_work {
    enum role role;
    int number;
    bool is_new;              /* knows the new version of the types */
    bool closed;              /* nothing is started here any more */
    bool was_used;            /* something ran here */
    bool quarantine;          /* for suspects; a process runs here when the supervisor wants one */
    struct actor *actor;      /* the last one that ran here */
    bool told;                /* to end */
    int signum;               /* that killed it */
    struct sim_job *job;      /* that was started last */
    struct slot_table *table; /* a worker's */
    struct slot_table *left;  /* as it was when it was killed */
    struct runtime *rt;       /* an API's or a supervisor's, while it runs */
    struct event *again;      /* it is started again */
};

void cluster_begin(const struct conf *conf);
void cluster_end(void);
void cluster_calm(void);                 /* no fault any more; everything runs, and is new */
unsigned cluster_workers(void);          /* places where there were some */
struct place_of_work *cluster_api(void); /* one that runs; NULL: none */
size_t cluster_lone(void);               /* processes of quarantine, or about to be */
void cluster_start_lone(void);
void cluster_crash(int signum); /* the process that runs ends itself */
bool cluster_looked_away(void); /* nobody saw how a process died, or one of quarantine was silent for long */
void cluster_look_away(void);
bool cluster_stood_still(void); /* a worker did, for long */

/* producers.c: in an API process */
void producers_begin(unsigned requests);
void producers_end(void);
bool producers_are_done(void); /* every request was answered */

/* supervisor.c */
void reaper_main(void *arg);                   /* a place_of_work */
void supervisor_see(struct place_of_work *p);  /* the slot table as it is: its process is killed */
void supervisor_bury(struct place_of_work *p); /* a worker's, whose process has gone */

/* check.c */
void check_begin(void);
void check_step(void);                                           /* what must be so at every moment */
bool check_quiet(void);                                          /* nothing is left to do */
const char *check_unrest(void);                                  /* NULL, or what is */
void check_end(void);                                            /* what must be so then */
void check_call(size_t argc, const struct str *argv, bool gone); /* Redis is about to run it; gone: whose caller is */
void check_taken(void *self, struct str stream, struct str holder, int64_t idle_ms, struct stream_id id);
void check_falling(void);                 /* Redis is about to fall */
void check_fallen(struct mini_loss loss); /* it did */

#endif
