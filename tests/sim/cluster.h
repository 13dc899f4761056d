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
    struct actor *actor;      /* the last one that ran here */
    struct slot_table *table; /* a worker's; read by the supervisor after its death */
    struct runtime *rt;       /* an API's or a supervisor's, while it runs */
    struct event *again;      /* it is started again */
};

void cluster_begin(const struct conf *conf);
void cluster_end(void);
void cluster_calm(void);                 /* no fault any more; everything runs, and is new */
unsigned cluster_workers(void);          /* places for them */
struct place_of_work *cluster_api(void); /* one that runs; NULL: none */

/* producers.c: in an API process */
void producers_begin(unsigned requests);
void producers_end(void);
bool producers_are_done(void); /* every request was answered */

/* supervisor.c */
void reaper_main(void *arg);                    /* a place_of_work */
void supervisor_bury(struct slot_table *table); /* a worker's, whose process has gone; it is ours now */
void supervisor_end(void);

/* check.c */
void check_begin(void);
void check_step(void);                                /* what must be so at every moment */
bool check_quiet(void);                               /* nothing is left to do */
const char *check_unrest(void);                       /* NULL, or what is */
void check_end(void);                                 /* what must be so then */
void check_call(size_t argc, const struct str *argv); /* Redis is about to run it */
void check_taken(void *self, struct str stream, struct str holder, int64_t idle_ms, struct stream_id id);
void check_falling(void);                 /* Redis is about to fall */
void check_fallen(struct mini_loss loss); /* it did */

#endif
