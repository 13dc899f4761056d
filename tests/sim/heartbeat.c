/* jobs/src/heartbeat.c without heartbeats and metrics: the queue table, once a second. */
#include "../../jobs/src/heartbeat.h"

#include "world.h"

#include <io/timer.h>
#include <stdlib.h>

enum { TABLE_EVERY_MS = 1000 };

struct runtime_beat {
    struct runtime *rt;
    void (*on_redis)(void *arg, bool up);
    void *arg;
    struct timer *timer;
    bool loading, is_ready;
    void (*ready)(void *arg);
    void *ready_arg;
};

static void on_table(void *arg, struct err err) {
    struct runtime_beat *h = arg;
    h->loading = false;
    if (!err_is_set(err) && !h->is_ready) {
        h->is_ready = true;
        h->ready(h->ready_arg);
    }
}

static void on_due(void *arg) {
    struct runtime_beat *h = arg;
    if (!h->loading) {
        h->loading = true;
        queue_table_load(h->rt->queues, on_table, h);
    }
}

struct err heartbeat_new(struct runtime *rt, const struct runtime_options *o, struct runtime_beat **out) {
    struct runtime_beat *h = sim_new(sizeof *h);
    *h = (struct runtime_beat){.rt = rt, .on_redis = o->on_redis, .arg = o->arg};
    *out = h;
    return timer_new(rt->loop, on_due, h, &h->timer);
}

void heartbeat_free(struct runtime_beat *h) {
    if (h != NULL) {
        timer_free(h->timer);
        free(h);
    }
}

void heartbeat_on_redis(void *arg, bool up, struct err why) {
    const struct runtime *rt = arg;
    const struct runtime_beat *h = rt->heartbeat;
    (void)why;
    if (h->on_redis != NULL) {
        h->on_redis(h->arg, up);
    }
}

void runtime_start(struct runtime *rt, void (*ready)(void *arg), void *arg) {
    struct runtime_beat *h = rt->heartbeat;
    h->ready = ready;
    h->ready_arg = arg;
    timer_start_every(h->timer, TABLE_EVERY_MS);
    on_due(h);
}

void runtime_last_words(struct runtime *rt, void (*done)(void *arg), void *arg) {
    (void)rt;
    done(arg);
}

void runtime_dependency(struct runtime *rt, const char *name, bool up) {
    (void)rt;
    (void)name;
    (void)up;
}
