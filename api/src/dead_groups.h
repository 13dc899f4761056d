/* Dead jobs by what they died of, as Postgres counts them: read for the sampler as often as it is cheap, and shown from memory. */
#ifndef API_DEAD_GROUPS_H
#define API_DEAD_GROUPS_H

#include <base/arena.h>
#include <base/clock.h>

struct api;

enum { DEAD_TREND_POINTS = 12, DEAD_TREND_STEP_S = 300 };

struct dead_group {
    struct str queue, tenant, fingerprint;
    int64_t n;
    struct wall first, last;
    int64_t trend[DEAD_TREND_POINTS]; /* died in these five minutes, the oldest first */
};

struct dead_groups {
    struct arena arena;
    struct dead_group *items; /* by queue and fingerprint; the largest of them, where there are too many */
    size_t n;
    struct wall at; /* 0: not read yet */
    bool reading;
    struct mono began, next;
};

void dead_groups_init(struct dead_groups *g);
void dead_groups_free(struct dead_groups *g);
void dead_groups_look(struct api *api);   /* once a second */
void dead_groups_expire(struct api *api); /* something was done to them: they are read again soon */

#endif
