/* Rows that did not reach Redis — a crash between commit and enqueue, Redis away — and follow-ups that a dead worker left in an outbox. */
#include "scheduler.h"

#include <base/fault.h>
#include <base/log.h>
#include <base/metrics.h>
#include <stdlib.h>

static void relay_jobs(struct scheduler *s);

static void on_relayed(void *arg, struct err err, size_t moved, bool more) {
    struct scheduler *s = arg;
    s->relaying = false;
    if (err_is_set(err) || moved == 0) {
        return; /* what failed is still unmarked */
    }
    FAILPOINT(RELAY_AFTER_MARK);
    series_add(metric_series(M_RELAYED, "job", NULL, NULL), (double)moved);
    if (more) {
        relay_jobs(s);
    }
}

static void relay_jobs(struct scheduler *s) {
    if (!s->relaying && redis_is_up(s->rt->redis_connection) && !FAULT_SWITCH(NO_RELAY)) {
        s->relaying = true;
        journal_relay(&s->rt->journal, on_relayed, s);
    }
}

struct copying {
    struct scheduler *scheduler;
    size_t module;
};

static void on_copied(void *arg, struct err err, size_t moved, bool more) {
    struct copying *c = arg;
    struct scheduler *s = c->scheduler;
    s->outbox_running[c->module] = false;
    if (!err_is_set(err) && moved > 0) {
        FAILPOINT(RELAY_AFTER_OUTBOX_COPY);
        series_add(metric_series(M_RELAYED, "outbox", NULL, NULL), (double)moved);
    }
    free(c);
    if (!err_is_set(err) && more) {
        relay_tick(s);
    }
}

static void copy_outbox(struct scheduler *s, size_t module) {
    struct copying *c = s->outbox_running[module] ? NULL : malloc(sizeof *c);
    if (c == NULL) {
        return;
    }
    *c = (struct copying){s, module};
    s->outbox_running[module] = true;
    outbox_copy(&s->rt->journal, &s->rt->modules[module], on_copied, c);
}

void relay_tick(struct scheduler *s) {
    if (!scheduler_leads(s)) {
        return;
    }
    relay_jobs(s);
    for (size_t m = 0; m < s->rt->registry->modules_n; m++) {
        copy_outbox(s, m);
    }
}
