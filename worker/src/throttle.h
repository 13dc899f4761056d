/* How many attempts of a type there may be at once: the supervisor deals out what an operator has set (follow.c), and a process keeps to its
 * part. */
#ifndef WORKER_THROTTLE_H
#define WORKER_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

struct attempt_end;
struct held;

/* True, or the attempt has ended: it comes again, uncharged, when there may be room. */
bool throttle_enter(struct held *h);
void throttle_left(struct held *h, const struct attempt_end *end, int64_t us); /* an attempt has ended after so long */

#endif
