/* One worker process, as calls speak to it: /v1/workers/{process}. */
#ifndef API_WORKER_FIND_H
#define API_WORKER_FIND_H

#include "fleet.h"

struct call;
struct waiter;
struct job_row;

/* Strings are in the call's arena. */
struct worker {
    struct str process;    /* "<host>:<pid>", which another one may have later */
    struct str consumer;   /* its own, and no later one's */
    struct str supervisor; /* p NULL: none has started it */
    struct str queue;
    int64_t beat_age_ms;
};

/* Whether fleet_find_for found a process; otherwise answers 404, or the error. */
bool worker_there(struct call *c, struct err err, size_t n);
/* The worker process among what fleet_find_for found; otherwise answers 404 or 409, or the error, and is false. */
bool worker_found(struct call *c, struct err err, const struct process *processes, size_t n, struct worker *out);

/* Runs then in ms, or sooner when this process is about to end. ERR_BUSY: too many wait. Meanwhile the call is held by nobody but its client. */
MUST struct err worker_ask_later(struct call *c, int64_t ms, void (*then)(struct waiter *w, const struct job_row *row));

#endif
