/* The book: which jobs there are, what their producers were told, and what became of them; the judge compares. The module whose types
 * they are. */
#ifndef SIM_JOBS_BOOK_H
#define SIM_JOBS_BOOK_H

#include <jobs/type.h>
#include <queues/shard.h>

#include "mini.h"

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define SIM_QUEUE "q"
enum { SIM_SHARDS_MAX = 3 };

enum sim_kind {
    KIND_PLAIN,
    KIND_SLOW,   /* runs longer than a lease */
    KIND_FLAKY,  /* its first attempts fail */
    KIND_FATAL,  /* fails for good, until an operator replays it */
    KIND_SNOOZE, /* asks to be run later, a few times */
    KIND_EXPIRES,
    KIND_POISON, /* ends the process that runs it, some times or always */
    KIND_NEXT,   /* of a type version that old workers do not know */
    KIND_MAX
};

/* When the homes are looked at: around a tear (enum mini_moment), and a fall. */
enum { HOME_BEFORE_FALL = MINI_TORN + 1, HOME_NOW, HOMES_MAX };

struct sim_key {
    UT_hash_handle hh;
    char text[16];
    struct uuid row; /* journal class: the job that the key stands for */
};

struct sim_job {
    UT_hash_handle hh;
    struct uuid id;
    bool stream_class;
    enum sim_kind kind;
    const char *type;
    int version;
    struct sim_key *key; /* NULL: none */
    int64_t run_ms, due_ms, deadline_ms;
    unsigned fails, deaths, snoozes; /* still to come; fails by attempt */
    bool acked;                      /* a producer was told so */
    bool cancel_wanted, cancelled;
    bool homes[HOMES_MAX]; /* was in Redis at that moment */
    bool replayed, lost;   /* lost: Redis fell, and it is there no more */
    unsigned notes, tallies;
    unsigned crashes;                     /* still to come */
    unsigned crashed, lone_runs, replays; /* how often */
    unsigned lone_crashes;                /* of these, in processes that ran it alone */
};

void book_begin(unsigned shards, unsigned slots);
void book_end(void);
unsigned book_shards(void);
unsigned book_slots(void);
const struct shard *book_shard(unsigned i);
bool book_bug(const char *name); /* this bug is to be made */

struct sim_key *book_key(struct str text); /* made when it is new */
struct sim_job *book_job(struct uuid id);  /* NULL: none */
struct sim_job *book_jobs(void);
struct sim_job *book_new_job(struct uuid id, bool stream_class, enum sim_kind kind);
void book_noted(struct uuid root);
void book_tallied(struct uuid root);
bool book_runs(void);    /* an attempt is under way */
void book_falling(void); /* Redis is about to fall */
void book_fallen(void);
void book_torn(void *self, enum mini_moment moment);

extern const struct module sim_module_old, sim_module_new; /* they know version 1 and version 2 of "sim.next" */

#endif
