/* The world of one run: virtual time, one random source, the events to come, and the processes (actors), each on a stack of its own for
 * as long as its main() runs. There is one world at a time. Everything that happens follows from the seed. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <base/err.h>
#include <base/ids.h>
#include <io/loop.h>
#include <stdio.h>
#include <sys/queue.h>
#include <ucontext.h>

#include "mini.h"

/* A simulated process. Dead ones stay listed until the world ends. */
struct actor {
    LIST_ENTRY(actor) link;
    char name[32];
    struct loop *loop;
    bool alive;             /* its main() has not returned */
    bool cut;               /* killed: nothing leaves it any more; it is unwound as soon as its callback has returned */
    int64_t stopped_until;  /* us; SIGSTOP */
    int64_t stood_still_us; /* the longest of its stops */
    int64_t wall_offset_ms; /* its clock is wrong by that */
    int64_t born_us;
    void (*main)(void *arg);   /* runs to its end: opens, loop_run, closes */
    void (*on_cut)(void *arg); /* it is killed, and not yet unwound; NULL: nobody asks */
    void *arg;
    ucontext_t inside, outside;
    char *stack;
    void *fiber; /* the address sanitizer's */
};

struct event {
    int64_t at_us;
    uint64_t seq;
    struct actor *owner;    /* in whose process it runs; NULL: a server's, or the world's */
    void (*run)(void *arg); /* NULL: cancelled */
    void *arg;
    struct event **where; /* told when it is gone */
    bool owned;           /* arg is freed with it, should it never run */
};

/* What this run is like; drawn from the seed. */
struct weather {
    double reply_loss, request_loss; /* of a call to Redis or Postgres: the connection breaks */
    double death;                    /* at a failpoint */
    double slow;                     /* a message takes up to two seconds */
    double sub_loss;                 /* a published message is lost */
    double skip;                     /* a row is held by somebody, and skipped */
};

struct world {
    uint64_t seed, random;
    int64_t now_us;   /* since the run began */
    int64_t epoch_ms; /* wall time at that moment */
    int64_t redis_offset_ms;
    uint64_t steps; /* events run */
    uint64_t hash;  /* over all that was traced: two runs of a seed are the same, or they are not */
    bool tracing;
    bool calm;     /* no faults any more */
    bool fine;     /* there were none from the beginning */
    bool steady;   /* only processes are to blame: servers, connections and clocks are good */
    bool poisoned; /* some jobs end the process that runs them */
    struct weather weather;
    const char *bug;     /* the one that is made, by its name; NULL: none */
    unsigned switches;   /* bits by enum fault_switch */
    struct actor *actor; /* whose callback runs */
    LIST_HEAD(, actor) actors;
    char failure[512]; /* the first broken promise; empty: none */
    struct event **heap;
    size_t heap_n, heap_cap;
    uint64_t event_seq;
};
extern struct world world;

void world_begin(uint64_t seed);
void world_end(void);  /* ends every process first */
bool world_step(void); /* the next event; false: nothing is to come */

uint64_t world_random(uint64_t n); /* below n */
int64_t world_between(int64_t from, int64_t to);
bool world_chance(double p);
bool world_fault(double p);  /* likewise, and never while it is calm */
int64_t world_wall_ms(void); /* everybody's who has a good clock */
int64_t world_latency_us(void);

/* where, when not NULL, points to the event until it ran or was cancelled. */
void world_at(int64_t at_us, struct actor *owner, void (*run)(void *arg), void *arg, struct event **where);
void world_after(int64_t us, struct actor *owner, void (*run)(void *arg), void *arg, struct event **where);
void world_after_owned(int64_t us, struct actor *owner, void (*run)(void *arg),
                       void *arg); /* arg, of sim_new, is run's to free */
void world_cancel(struct event **where);

void trace(const char *fmt, ...) PRINTF_LIKE(1, 2);
void broken(const char *fmt, ...) PRINTF_LIKE(1, 2); /* a promise is; the run ends */
void *sim_new(size_t n);                             /* zeroed; never NULL */

/* io_loop.c */
struct actor *actor_start(const char *name, void (*main)(void *arg), void *arg);
void actor_kill(struct actor *a); /* at once, or when its callback returns */
void actor_signal(struct actor *a, int signum);
void actor_stop(struct actor *a, int64_t us); /* SIGSTOP, and SIGCONT later */
void actor_settle(struct actor *a);           /* after a callback: its turn ends, or it does */

/* io_redis.c, io_sub.c, io_pg.c */
void redis_world_begin(const char *lua_from, const char *lua_to);
void redis_world_end(void);
struct mini *redis_world(void);
struct mini_loss redis_world_fall(int64_t down_us, uint64_t lost, bool torn, bool wiped);
void redis_world_stall(void); /* one connection swallows what is sent */
void sub_publish(void *self, struct str channel, struct str text);
void sub_world_end(void);
void pg_world_begin(void);
void pg_world_end(void);
void pg_world_fall(int64_t down_us);

#endif
