/* The event loop of a process: one loop, one thread. Wraps libuv; files that include only this header and timer.h need no
 * <uv.h>. now() belongs to the loop: nobody keeps a time across callbacks. */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <base/clock.h>
#include <base/err.h>

struct loop;
struct uv_loop_s;

MUST struct err loop_new(struct loop **out);
/* Everything opened on it must be closed; a leaked handle is a bug: named on standard error, then abort. NULL is fine. */
void loop_free(struct loop *l);
void loop_run(struct loop *l);        /* until loop_stop, or until nothing is left to wait for */
void loop_stop(struct loop *l);       /* leaves loop_run at the end of this turn */
struct mono loop_now(struct loop *l); /* asks the clock, microseconds */
struct wall loop_wall(struct loop *l);
struct uv_loop_s *loop_uv(struct loop *l);
int64_t loop_memory_bytes(void); /* that the process has in memory; 0 where it cannot be told */

/* On whose behalf the thread runs: a number of the user's, 0 for nobody's. What is started meanwhile (a timer, a statement, a call) keeps
 * it, and its callback runs under it again; so a crash can be blamed on whoever began what led to it. */
uint32_t loop_owner(const struct loop *l);
uint32_t loop_own(struct loop *l, uint32_t owner); /* who it was before */
void loop_own_in(struct loop *l, uint32_t *cell);  /* from now on it is kept there, for others to see */

/* Work to be done once at the end of this turn of the loop, before it blocks: where batches are sent. A hook that is
 * scheduled already is not scheduled twice. The struct is the caller's and must live until it ran or was cancelled. */
struct turn_end {
    void (*run)(void *arg);
    void *arg;
    struct turn_end *next; /* the loop's */
    bool scheduled;        /* the loop's */
};
void loop_at_turn_end(struct loop *l, struct turn_end *hook);
void loop_cancel_turn_end(struct loop *l, struct turn_end *hook);

#endif
