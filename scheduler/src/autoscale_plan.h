/* How many worker processes a queue should have, from what is seen of it: arrivals × service time, and the age of the oldest job. Pure. */
#ifndef SCHEDULER_AUTOSCALE_PLAN_H
#define SCHEDULER_AUTOSCALE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

enum {
    AUTOSCALE_UP_MS = 10000,   /* after a change, before one more process: until those that came show in the figures */
    AUTOSCALE_DOWN_MS = 60000, /* fewer must have been enough for so long */
    AUTOSCALE_REASON_BYTES = 160
};

struct autoscale_bounds {
    int64_t min, max;
    double target_age_s;
};

/* What is seen at one look. */
struct autoscale_sight {
    int64_t now_ms;         /* of any clock that goes forward */
    bool known;             /* the rest is of the last seconds */
    bool paused;            /* the queue */
    int64_t workers, slots; /* processes that there should be; attempts at once in each */
    int64_t running;        /* processes that there are */
    int64_t busy;           /* attempts that run */
    double attempts_per_s;  /* ended */
    double run_s_per_s;     /* the time that those took */
    int64_t waiting, ready; /* jobs; ready: waiting or claimed */
    double age_s;           /* of the oldest that waits */
};

/* What is remembered of a queue from look to look; all zero at first. */
struct autoscale {
    int64_t seen_ms, ready; /* of the last look with something to see; seen_ms 0: there was none */
    double growth_per_s;    /* of the jobs that are ready: an average of some seconds */
    double service_s;       /* time of an attempt; 0: never seen */
    bool changed;
    int64_t changed_ms;
    int64_t low_since_ms, low_most; /* since when fewer are enough, and the most that were wanted since; since 0: they are not */
    bool stuck;                     /* more are wanted, and there will not be: the reason says why */
};

struct autoscale_plan {
    int64_t workers;
    bool tell; /* workers or reason are not what they were */
    char reason[AUTOSCALE_REASON_BYTES];
};

/* Paused, or nothing known: as it was. More at once when the processes that are there have their slots full and it is not enough; fewer when
 * they would have been enough, with room to spare, for AUTOSCALE_DOWN_MS. */
void autoscale_plan(struct autoscale *a, const struct autoscale_bounds *b, const struct autoscale_sight *x,
                    struct autoscale_plan *out);

#endif
