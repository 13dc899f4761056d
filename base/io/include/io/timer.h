/* Timers of a loop. One allocation each, made once by the object that owns it. */
#ifndef IO_TIMER_H
#define IO_TIMER_H

#include <base/err.h>
#include <io/loop.h>

struct timer;

MUST struct err timer_new(struct loop *l, void (*cb)(void *arg), void *arg, struct timer **out);
void timer_start(struct timer *t, int64_t ms); /* once; restarts a running one */
void timer_start_every(struct timer *t, int64_t ms);
void timer_stop(struct timer *t);
bool timer_is_active(const struct timer *t);
void timer_free(struct timer *t); /* the callback never runs again; NULL is fine */

#endif
