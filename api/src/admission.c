#include "admission.h"

#include <math.h>

/* The door that closed at its limit opens again when some seconds' worth of jobs are gone, and no later than 0.6 of the limit: an end of
 * the load is felt soon, whatever the limit. */
#define HYSTERESIS 0.6
#define AGE_FACTOR 2 /* a queue at its limit of drain time has jobs that old at its head; twice that, the estimate was wrong */
#define SHED_FROM 0.8
#define SHED_UNTIL 0.7
#define JITTER 0.1
enum { BAND_S = 8, FILL_BAND_PCT = 5, RETRY_AFTER_MAX_S = 300, UNKNOWN_S = 30 };
static const double RATE_MIN = 0.01; /* keeps drain times finite when nothing ends at all */
/* The rate is one of the last ten seconds; of more when few jobs end, since a handful says little. */
enum { TAU_S = 10, TAU_MAX_S = 120, TAU_JOBS = 32 };

const char *admission_state_name(enum admission_state s) {
    static const char *const names[] = {
        [ADMISSION_OPEN] = "open", [ADMISSION_SHEDDING] = "shedding", [ADMISSION_CLOSED] = "closed"};
    return names[s];
}

const char *shed_name(enum shed s) {
    static const char *const names[SHED_MAX] = {
        [SHED_NOTHING] = "none", [SHED_TENANT] = "tenant_share", [SHED_DRAIN_TIME] = "drain_time",
        [SHED_AGE] = "age",      [SHED_MEMORY] = "memory",       [SHED_DEPTH] = "depth",
        [SHED_OPEN] = "open",    [SHED_BACKLOG] = "backlog",
    };
    return names[s];
}

static double rate_of(const struct pressure *p) { return fmax(p->rate, RATE_MIN); }
double admission_drain_s(const struct pressure *p) { return (double)p->waiting / rate_of(p); }

/* ---- the door ---- */

static double band_s(const struct pressure_limits *l) { return fmin((1 - HYSTERESIS) * (double)l->max_drain_s, BAND_S); }

/* So many jobs may wait when the door opens again. The figure is kept from when it closed, because a small change of the measured
 * rate would move it by more than the band; a large one moves it all the same. */
static double relieved(const struct admission *a, const struct pressure *p, const struct pressure_limits *l) {
    double limit = (double)l->max_drain_s * rate_of(p);
    return fmax(fmin(a->relieved, limit), HYSTERESIS * limit);
}

static bool fills(const struct admission *a, const struct pressure *p, const struct pressure_limits *l) {
    int most = l->max_fill_pct - (a->why == SHED_MEMORY ? FILL_BAND_PCT : 0);
    return p->fill > 0 && p->fill * 100 > most;
}

/* The reason by which the door is closed whoever asks. */
static enum shed closed_by(const struct admission *a, const struct pressure *p, const struct pressure_limits *l) {
    if (p->open >= l->max_open) {
        return SHED_OPEN;
    }
    if (p->depth >= l->max_depth) {
        return SHED_DEPTH;
    }
    if (fills(a, p, l)) {
        return SHED_MEMORY;
    }
    if (p->paused || l->max_drain_s == 0) {
        return SHED_NOTHING;
    }
    bool was = a->why == SHED_DRAIN_TIME || a->why == SHED_AGE;
    if (was ? (double)p->waiting > relieved(a, p, l) : admission_drain_s(p) > (double)l->max_drain_s) {
        return SHED_DRAIN_TIME;
    }
    return p->age_s > AGE_FACTOR * (double)l->max_drain_s - (was ? band_s(l) : 0) ? SHED_AGE : SHED_NOTHING;
}

static bool sheds(const struct admission *a, const struct pressure *p, const struct pressure_limits *l, unsigned tenants) {
    double from = a->state == ADMISSION_SHEDDING ? SHED_UNTIL : SHED_FROM;
    return tenants > 1 && !p->paused && l->max_drain_s > 0 && admission_drain_s(p) > from * (double)l->max_drain_s;
}

void admission_move(struct admission *a, const struct pressure *p, const struct pressure_limits *l, unsigned tenants) {
    enum shed why = closed_by(a, p, l);
    bool was = a->why == SHED_DRAIN_TIME || a->why == SHED_AGE;
    if ((why == SHED_DRAIN_TIME || why == SHED_AGE) && !was) {
        a->relieved = ((double)l->max_drain_s - band_s(l)) * rate_of(p);
    }
    if (why != SHED_NOTHING) {
        a->state = ADMISSION_CLOSED;
    } else if (sheds(a, p, l, tenants)) {
        a->state = ADMISSION_SHEDDING;
        why = SHED_TENANT;
    } else {
        a->state = ADMISSION_OPEN;
    }
    a->why = why;
}

static double share_of(const struct pressure *p, const struct pressure_limits *l, struct share who) {
    return (double)l->max_drain_s * rate_of(p) / (who.tenants > 0 ? who.tenants : 1);
}

enum shed admission_judge(struct admission *a, const struct pressure *p, const struct pressure_limits *l, struct share who) {
    admission_move(a, p, l, who.tenants);
    if (a->state == ADMISSION_SHEDDING && who.mine < share_of(p, l, who)) {
        return SHED_NOTHING;
    }
    return a->why;
}

/* ---- when to come again ---- */

/* By the reading. */
static double seconds_left(const struct admission *a, const struct pressure *p, const struct pressure_limits *l, enum shed why,
                           struct share who) {
    switch (why) {
    case SHED_DRAIN_TIME:
        return ((double)p->waiting - relieved(a, p, l)) / rate_of(p);
    case SHED_TENANT: /* what ends is the tenants' in the proportion in which it waits */
        return (who.mine - share_of(p, l, who)) / rate_of(p) * (double)p->waiting / fmax(who.mine, 1);
    case SHED_AGE: /* the old ones have to go, and they are all at most */
        return admission_drain_s(p);
    case SHED_MEMORY: /* other queues' jobs too: this is the part that is known */
        return p->paused ? UNKNOWN_S : admission_drain_s(p);
    case SHED_DEPTH:
        return p->paused ? UNKNOWN_S : (double)(p->depth - l->max_depth + 1) / rate_of(p);
    case SHED_OPEN:
        return p->paused ? UNKNOWN_S : (double)(p->open - l->max_open + 1) / rate_of(p);
    case SHED_NOTHING:
    case SHED_BACKLOG: /* Postgres takes thousands a second */
    case SHED_MAX:
    default:
        return 1;
    }
}

int64_t admission_retry_after_s(const struct admission *a, const struct pressure *p, const struct pressure_limits *l,
                                enum shed why, struct share who, double random01) {
    double s = ceil((seconds_left(a, p, l, why, who) - p->since_s) * (1 + JITTER * random01));
    return s < 1 ? 1 : s > RETRY_AFTER_MAX_S ? RETRY_AFTER_MAX_S : (int64_t)s;
}

/* ---- the rate ---- */

void capacity_start(struct capacity *c, int64_t slots) {
    double under_way = slots > 0 ? (double)slots : 1;
    *c = (struct capacity){.per_s = under_way, .seen = under_way};
}

void capacity_add(struct capacity *c, int64_t ended, double seconds, bool busy) {
    if (seconds <= 0 || ended < 0) {
        return; /* counters that began anew */
    }
    double seen = (double)ended / seconds;
    double tau_s = fmin(fmax(TAU_S, TAU_JOBS / fmax(c->per_s, RATE_MIN)), TAU_MAX_S);
    if (busy && c->seen_s < TAU_S) {
        c->seen_s += seconds;
        c->seen += (double)ended;
        c->per_s = c->seen / c->seen_s;
    } else if (busy || seen > c->per_s) {
        c->per_s += (seen - c->per_s) * (1 - exp(-seconds / tau_s));
    }
}
