/* One call of an operation, from its faults to its answer. It outlives its connection: a provider books what it has
 * received, whether the client still waits or not. */
#ifndef SIM_ORDER_H
#define SIM_ORDER_H

#include "sim.h"

enum { ORDERS_MAX = 65536, TOKEN_BYTES = 256 };

struct order_spec {
    struct book_entry entry; /* seq and at are not set yet */
    struct str token;        /* borrowed */
    int64_t not_after_ms;
};

/* Takes it on, or answers that it cannot. */
void order_take(struct sim *s, struct http_request *req, const struct order_spec *spec);
/* The end-of-turn hook: what has arrived in this turn is judged, written and synced together, then answered. */
void order_commit(void *sim);

#endif
