#include "autoscale_plan.h"

#include <math.h>
#include <stdio.h>

/* How full the slots may be: beyond FULL there should be more processes, and there are fewer once they would be below SPARE. Between the two
 * nothing moves. */
static const double full = 0.8, spare = 0.6, growth_over_s = 5, least_attempts_per_s = 0.02;

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t within(int64_t v, const struct autoscale_bounds *b) { return larger(b->min, smaller(v, larger(b->min, b->max))); }

/* What comes is what goes and what there is more of. */
static void learn(struct autoscale *a, const struct autoscale_sight *x) {
    if (a->seen_ms != 0 && x->now_ms > a->seen_ms) {
        double dt = (double)(x->now_ms - a->seen_ms) / 1000;
        a->growth_per_s += ((double)(x->ready - a->ready) / dt - a->growth_per_s) * (1 - exp(-dt / growth_over_s));
    }
    a->seen_ms = x->now_ms;
    a->ready = x->ready;
    if (x->attempts_per_s >= least_attempts_per_s) {
        a->service_s = x->run_s_per_s / x->attempts_per_s;
    }
}

static void forget(struct autoscale *a) {
    a->seen_ms = 0;
    a->growth_per_s = 0;
    a->low_since_ms = 0;
}

struct need {
    double arrivals_per_s;
    bool late;    /* the oldest job waits longer than it should */
    bool crowded; /* the slots that there are are taken */
    double slots; /* for what comes, and when it is late for what waits, too */
};

static struct need need_of(const struct autoscale *a, const struct autoscale_bounds *b, const struct autoscale_sight *x) {
    struct need n = {
        .arrivals_per_s = fmax(0, x->attempts_per_s + a->growth_per_s),
        .late = x->age_s > b->target_age_s,
        .crowded = (double)x->busy >= full * (double)(x->running * x->slots),
    };
    n.slots = n.arrivals_per_s * a->service_s;
    if (n.late) {
        n.slots += (double)x->waiting * a->service_s / b->target_age_s;
    }
    return n;
}

/* Processes for so many slots of which no more than a part may be busy. Where jobs are, one must be; that it does not know how long an
 * attempt takes must not stop it. */
static int64_t processes(const struct need *n, const struct autoscale *a, const struct autoscale_sight *x, double part) {
    int64_t wanted = (int64_t)fmin(ceil(n->slots / (part * (double)x->slots) - 1e-9), 1e6);
    if (n->late && n->crowded && a->service_s <= 0) {
        wanted = larger(wanted, 2 * x->workers);
    }
    return larger(wanted, x->ready > 0);
}

static const char *duration(double s, char room[24]) {
    (void)snprintf(room, 24, s < 0.001 ? "%.1f ms" : s < 1 ? "%.0f ms" : s < 10 ? "%.1f s" : "%.0f s", s < 1 ? s * 1000 : s);
    return room;
}

/* "need 34 slots: 420/s x 80 ms, age 7 s > 5 s" */
static int say_need(const struct need *n, const struct autoscale *a, const struct autoscale_bounds *b,
                    const struct autoscale_sight *x, char out[AUTOSCALE_REASON_BYTES]) {
    char service[24], age[24], target[24];
    int used;
    if (a->service_s > 0) {
        used = snprintf(out, AUTOSCALE_REASON_BYTES,
                        n->arrivals_per_s < 10 ? "need %.0f slots: %.1f/s x %s" : "need %.0f slots: %.0f/s x %s", ceil(n->slots),
                        n->arrivals_per_s, duration(a->service_s, service));
    } else {
        used = snprintf(out, AUTOSCALE_REASON_BYTES, "%lld wait, none has ended yet", (long long)x->waiting);
    }
    if (n->late) {
        used += snprintf(out + used, (size_t)(AUTOSCALE_REASON_BYTES - used), ", age %s > %s", duration(x->age_s, age),
                         duration(b->target_age_s, target));
    }
    return used;
}

static void settle(struct autoscale *a, const struct autoscale_sight *x, int64_t workers, struct autoscale_plan *out) {
    out->workers = workers;
    out->tell = true;
    a->changed = true;
    a->changed_ms = x->now_ms;
    a->low_since_ms = 0;
    a->stuck = false;
}

/* Wanted and not had: said once. */
static void stick(struct autoscale *a, struct autoscale_plan *out) {
    out->tell = !a->stuck;
    a->stuck = true;
}

static void plan_more(struct autoscale *a, const struct autoscale_bounds *b, const struct autoscale_sight *x,
                      const struct need *n, int64_t wanted, struct autoscale_plan *out) {
    int used = say_need(n, a, b, x, out->reason);
    size_t room = (size_t)(AUTOSCALE_REASON_BYTES - used);
    bool ready = x->workers == 0 || (x->running >= x->workers && n->crowded);
    a->low_since_ms = 0;
    if (a->changed && x->now_ms - a->changed_ms < AUTOSCALE_UP_MS && x->workers > 0) {
        return;
    }
    if (ready && within(wanted, b) > x->workers) {
        settle(a, x, within(wanted, b), out);
    } else if (ready) {
        (void)snprintf(out->reason + used, room, "; max %lld", (long long)b->max);
        stick(a, out);
    } else if (n->late && x->running >= x->workers) {
        long long slots = x->running * x->slots;
        (void)snprintf(out->reason + used, room, ", but %lld of %lld slots busy: more would not help", (long long)x->busy, slots);
        stick(a, out);
    }
}

static void plan_fewer(struct autoscale *a, const struct autoscale_bounds *b, const struct autoscale_sight *x,
                       const struct need *n, int64_t wanted, struct autoscale_plan *out) {
    if (a->low_since_ms == 0) {
        a->low_since_ms = x->now_ms;
        a->low_most = wanted;
    }
    a->low_most = larger(a->low_most, wanted);
    if (x->now_ms - a->low_since_ms < AUTOSCALE_DOWN_MS) {
        return;
    }
    int64_t workers = a->low_most;
    if (x->workers > larger(b->min, b->max)) {
        (void)snprintf(out->reason, AUTOSCALE_REASON_BYTES, "max %lld", (long long)b->max);
    } else if (n->slots < 0.05) {
        (void)snprintf(out->reason, AUTOSCALE_REASON_BYTES, "idle for %d s", AUTOSCALE_DOWN_MS / 1000);
    } else {
        int used = say_need(n, a, b, x, out->reason);
        (void)snprintf(out->reason + used, (size_t)(AUTOSCALE_REASON_BYTES - used), ", no more for %d s",
                       AUTOSCALE_DOWN_MS / 1000);
    }
    settle(a, x, workers, out);
}

void autoscale_plan(struct autoscale *a, const struct autoscale_bounds *b, const struct autoscale_sight *x,
                    struct autoscale_plan *out) {
    *out = (struct autoscale_plan){.workers = x->workers};
    if (x->workers < b->min) {
        (void)snprintf(out->reason, AUTOSCALE_REASON_BYTES, "min %lld", (long long)b->min);
        settle(a, x, b->min, out);
        return;
    }
    if (x->paused || !x->known) {
        forget(a);
        return;
    }
    learn(a, x);
    struct need n = need_of(a, b, x);
    int64_t more = processes(&n, a, x, full), enough = within(processes(&n, a, x, spare), b);
    if (enough < x->workers) {
        plan_fewer(a, b, x, &n, enough, out);
    } else if (more > x->workers) {
        plan_more(a, b, x, &n, more, out);
    } else {
        a->low_since_ms = 0;
        if (a->stuck && !n.late) {
            a->stuck = false;
            (void)say_need(&n, a, b, x, out->reason);
            out->tell = true;
        }
    }
}
