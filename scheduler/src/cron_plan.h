/* Which ticks of a schedule are to be made now. Pure. */
#ifndef SCHEDULER_CRON_PLAN_H
#define SCHEDULER_CRON_PLAN_H

#include <base/cron.h>
#include <base/limits.h>

/* What becomes of ticks that were due while no scheduler was there. */
enum cron_missed {
    MISSED_SKIP, /* only those that are CRON_ON_TIME_MS late or less */
    MISSED_ONCE, /* the latest of them */
    MISSED_ALL,  /* each, the oldest first, but no more than the latest CRON_CATCH_UP_MAX */
};
bool cron_missed_parse(struct str s, enum cron_missed *out);

enum {
    CRON_ON_TIME_MS = 60000,
    CRON_CATCH_UP_MAX = 1000,
    CRON_WALK_MAX = 20000, /* ticks looked at in one plan: some milliseconds */
};

struct cron_plan {
    struct wall ticks[LIMIT_BATCH]; /* to be made, ascending */
    size_t n;
    struct wall next; /* no tick before it is still to be made; it may be due as well: another plan */
    int64_t dropped;
};

/* from: no tick before it is still to be made. most: ticks in one plan, 1 to LIMIT_BATCH. False: the expression never ticks again. */
bool cron_plan_make(const struct cron *c, const struct zone *z, enum cron_missed missed, struct wall from, struct wall now,
                    size_t most, struct cron_plan *out);

#endif
