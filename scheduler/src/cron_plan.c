#include "cron_plan.h"

bool cron_missed_parse(struct str s, enum cron_missed *out) {
    static const char *const names[] = {[MISSED_SKIP] = "skip", [MISSED_ONCE] = "once", [MISSED_ALL] = "all"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (str_is(s, names[i])) {
            *out = (enum cron_missed)i;
            return true;
        }
    }
    return false;
}

/* The latest ticks that are due, in a ring. */
struct due {
    struct wall ring[CRON_CATCH_UP_MAX];
    int64_t keep, total;
};

static int64_t kept(const struct due *d) { return d->total < d->keep ? d->total : d->keep; }
static struct wall oldest(const struct due *d, int64_t i) { return d->ring[(d->total - kept(d) + i) % d->keep]; }

static void take(const struct due *d, struct wall next, int64_t most, struct cron_plan *out) {
    int64_t n = kept(d) < most ? kept(d) : most;
    for (int64_t i = 0; i < n; i++) {
        out->ticks[i] = oldest(d, i);
    }
    out->n = (size_t)n;
    out->next = n < kept(d) ? oldest(d, n) : next;
    out->dropped = d->total - kept(d);
}

bool cron_plan_make(const struct cron *c, const struct zone *z, enum cron_missed missed, struct wall from, struct wall now,
                    size_t most, struct cron_plan *out) {
    struct due due = {.keep = missed == MISSED_ALL ? CRON_CATCH_UP_MAX : 1};
    struct wall tick = {from.ms - 1};
    *out = (struct cron_plan){0};
    for (;;) {
        if (!cron_next(c, z, tick, &tick)) {
            return false;
        }
        if (tick.ms > now.ms) {
            break;
        }
        if (due.total == CRON_WALK_MAX) { /* the next plan begins where the latest of these are */
            out->next = oldest(&due, 0);
            out->dropped = due.total - kept(&due);
            return true;
        }
        due.ring[due.total++ % due.keep] = tick;
    }
    take(&due, tick, (int64_t)most, out);
    if (missed == MISSED_SKIP && out->n > 0 && now.ms - out->ticks[0].ms > CRON_ON_TIME_MS) {
        out->n = 0;
        out->dropped++;
    }
    return true;
}
