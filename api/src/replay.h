/* Dead jobs back to life. Journal class: one transaction makes the row wait again in a newer generation, and the relay places it.
 * Stream class: jobs/revive.h. */
#ifndef API_REPLAY_H
#define API_REPLAY_H

#include <base/ids.h>
#include <base/limits.h>
#include <base/str.h>

struct call;

struct replayed {
    struct uuid id;
    uint32_t generation; /* the new one */
};

struct replay {
    struct call *call;
    struct str queue;               /* p NULL: any */
    struct str fingerprint;         /* p NULL: any */
    struct str ids;                 /* Postgres array of uuid, in the arena; p NULL: any */
    struct str reason;              /* for the audit; may be empty */
    size_t limit;                   /* at most LIMIT_BATCH; the oldest first */
    void (*done)(struct replay *r); /* once; not after a failure, which has answered the call */
    /* the outcome */
    struct replayed jobs[LIMIT_BATCH];
    size_t n;
    /* inside */
    size_t entering;
};

/* r is in the call's arena. */
void replay_start(struct replay *r);

#endif
