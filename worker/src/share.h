/* How the worker processes of a queue are divided among supervisors: each works its own share out from the same rows, and the shares add up to
 * the number wanted. */
#ifndef WORKER_SHARE_H
#define WORKER_SHARE_H

#include <stdbool.h>
#include <stddef.h>

enum { SHARE_PLACES_MAX = 256 };

/* A supervisor; all see them in the same order. */
struct share_place {
    int room; /* processes that it may have, at least 1 */
    bool me;
};

/* Mine of wanted, in proportion to room. turn: a number of the queue's own, so that what is left over does not fall to the same supervisor
 * for every queue. Which queue has how many moves no other queue's. None when I am not among the places. */
size_t share_of(size_t wanted, const struct share_place *places, size_t n, unsigned turn);

#endif
