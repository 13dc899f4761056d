/* Admission by measured pressure (Little's law): whether a queue takes more, from whom, and for how long not. Pure arithmetic over
 * figures that the sampler brings; no clock of its own.
 *
 * A queue's door is open; or shedding, when the wait nears its limit: tenants beyond their share are refused, so that the others still
 * get in; or closed. It closes by the time that its jobs take to drain, by the age of the oldest, by how full Redis is (so that
 * queues that matter less stop first), and by its depth. */
#ifndef API_ADMISSION_H
#define API_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

enum admission_state { ADMISSION_OPEN, ADMISSION_SHEDDING, ADMISSION_CLOSED };
const char *admission_state_name(enum admission_state s); /* "open", "shedding", "closed" */

enum shed { SHED_NOTHING, SHED_TENANT, SHED_DRAIN_TIME, SHED_AGE, SHED_MEMORY, SHED_DEPTH, SHED_OPEN, SHED_BACKLOG, SHED_MAX };
const char *shed_name(enum shed s); /* "none", "tenant_share", "drain_time", … */

/* What is known of a queue at a moment. */
struct pressure {
    int64_t waiting; /* ready to run, and what came since the reading */
    int64_t depth;   /* waiting, running, delayed, parked in Redis */
    int64_t open;    /* that, and journal rows that Redis has not seen */
    double rate;     /* jobs per second that the workers can end */
    double age_s;    /* of the oldest waiting job */
    double fill;    /* of Redis's memory, 0 to 1; 0: not known, or it takes nothing at all: then the journal carries what comes */
    bool paused;    /* then drain time and age say nothing */
    double since_s; /* the reading: what ended meanwhile is not in waiting */
};
struct pressure_limits {
    int64_t max_depth, max_open;
    int64_t max_drain_s; /* 0: neither drain time nor age count */
    int max_fill_pct;
};

/* Who asks: how many of the waiting jobs are this tenant's, and how many tenants have some. */
struct share {
    double mine;
    unsigned tenants;
};

/* The door of a queue; zeroed, it is open. */
struct admission {
    enum admission_state state;
    enum shed why;   /* NOTHING exactly when open */
    double relieved; /* closed by drain time: so many may wait when it opens again */
};

double admission_drain_s(const struct pressure *p);

/* What becomes of the door, by these figures. */
void admission_move(struct admission *a, const struct pressure *p, const struct pressure_limits *l, unsigned tenants);
/* Moves the door, and says whether it is shut to who. */
enum shed admission_judge(struct admission *a, const struct pressure *p, const struct pressure_limits *l, struct share who);

/* Until the cause is expected to be gone, 1 to 300: at least that long, and up to a tenth longer by random01, so that clients do not
 * come back together. */
int64_t admission_retry_after_s(const struct admission *a, const struct pressure *p, const struct pressure_limits *l,
                                enum shed why, struct share who, double random01);

/* What a queue's workers can do, from what they ended. While jobs wait all the time, what they end is what they can; when
 * nothing waits it only shows that they can do at least that. In the first seconds what is under way counts as ended: of jobs that
 * take long, none has by then. */
struct capacity {
    double per_s;
    double seen, seen_s; /* jobs, and busy seconds, of the beginning */
};
void capacity_start(struct capacity *c, int64_t slots); /* before anything was seen: one process, a second each */
void capacity_add(struct capacity *c, int64_t ended, double seconds, bool busy);

#endif
