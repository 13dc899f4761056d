/* Signals as callbacks of the loop. */
#ifndef IO_SIGNALS_H
#define IO_SIGNALS_H

#include <base/err.h>
#include <io/loop.h>
#include <signal.h>
#include <stddef.h>

struct signals;

/* The listed signals no longer have their default effect. Keeps the loop alive no longer than anything else does. */
MUST struct err signals_new(struct loop *l, const int *signums, size_t n, void (*cb)(void *arg, int signum), void *arg,
                            struct signals **out);
void signals_free(struct signals *s); /* NULL is fine */

#endif
