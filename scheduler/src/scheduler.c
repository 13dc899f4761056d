#include "scheduler.h"

#include <base/log.h>
#include <base/metrics.h>
#include <io/signals.h>
#include <queues/shard.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    LEADER_KEY = 0x50454E01,
    SECOND_MS = 1000,
    RELAY_MS = 250,
    AUDIT_MS = 10000,
    SCALE_MS = 2000,
    RETAIN_MS = 600000,
    FORGET_AFTER_MS = 60000
};

bool scheduler_leads(const struct scheduler *s) { return s->ready && !s->stopping && pg_lock_held(s->leader); }

static void look_at_all(struct scheduler *s) {
    watch_sync(s);
    for (size_t i = 0; i < s->watches_n; i++) {
        watch_look(s->watches[i]);
    }
}

static void on_forgotten(void *arg, struct err err, const struct reply *reply) {
    (void)arg;
    (void)err;
    (void)reply;
}

/* Processes that have not been heard of for a minute leave the list of heartbeats. */
static void forget_processes(struct scheduler *s) {
    char until[24];
    (void)snprintf(until, sizeof until, "%lld", (long long)(loop_wall(s->rt->loop).ms - FORGET_AFTER_MS));
    const struct str argv[] = {STR("ZREMRANGEBYSCORE"), STR(KEY_PROCESSES), STR("-inf"), str_c(until)};
    broker_call(&s->rt->redis, 4, argv, on_forgotten, NULL);
}

static void on_second(void *arg) {
    struct scheduler *s = arg;
    if (redis_is_up(s->rt->redis_connection)) {
        if (s->run_id[0] == '\0') {
            epoch_ask_run_id(s);
        }
        look_at_all(s);
        forget_processes(s);
    }
}

static void on_relay(void *arg) {
    struct scheduler *s = arg;
    relay_tick(s);
    events_tick(s);
}

static void on_audit(void *arg) {
    audit_tick(arg);
    aof_look(arg);
}
static void on_retain(void *arg) { retain_tick(arg); }
static void on_scale(void *arg) { autoscale_tick(arg); }
static void on_cron(void *arg) { cron_tick(arg); }

static void on_redis(void *arg, bool up) {
    struct scheduler *s = arg;
    s->run_id[0] = '\0';
    if (up) {
        epoch_ask_run_id(s);
        if (s->ready) {
            look_at_all(s);
        }
    }
}

/* "<delayed key> <due ms>" */
static void on_due(void *arg, struct str channel, struct str message) {
    struct scheduler *s = arg;
    struct str key;
    int64_t due;
    (void)channel;
    if (!str_cut(&message, ' ', &key) || !str_to_i64(message, &due)) {
        return;
    }
    for (size_t i = 0; i < s->watches_n; i++) {
        if (str_eq(key, s->watches[i]->shard->key[KEY_DELAYED])) {
            promote_arm(s->watches[i], due - loop_wall(s->rt->loop).ms);
        }
    }
}

static void on_leader(void *arg, bool held) {
    struct scheduler *s = arg;
    series_set(metric_series(M_SCHEDULER_LEADS, NULL, NULL, NULL), held);
    LOG(INFO, held ? "scheduler.leads" : "scheduler.follows", LF_C("process", s->rt->process));
    autoscale_forget(s);
    service_tell(s->rt->service, SERVICE_STATUS, held ? "leads" : "stands by: another scheduler leads");
    if (held && s->ready) {
        cron_tick(s); /* the one before may have died at a tick */
    }
}

static void on_ready(void *arg) {
    struct scheduler *s = arg;
    s->ready = true;
    series_set(metric_series(M_SCHEDULER_LEADS, NULL, NULL, NULL), scheduler_leads(s));
    aof_look(s);
    LOG(INFO, "scheduler.ready", LF_C("process", s->rt->process));
    timer_start_every(s->second, SECOND_MS);
    timer_start_every(s->relay_timer, RELAY_MS);
    timer_start_every(s->audit_timer, AUDIT_MS);
    timer_start_every(s->retain_timer, RETAIN_MS);
    timer_start_every(s->scale_timer, SCALE_MS);
    cron_tick(s);
    on_second(s);
}

static void on_signal(void *arg, int signum) {
    struct scheduler *s = arg;
    (void)signum;
    s->stopping = true;
    service_tell(s->rt->service, SERVICE_STOPPING, "stops");
    loop_stop(s->rt->loop); /* every step may be cut anywhere: that is what they are made for */
}

static void add_beat(void *arg, struct buf *json) {
    struct scheduler *s = arg;
    buf_addf(json, ",\"leads\":%s", scheduler_leads(s) ? "true" : "false");
}

static struct err open_parts(struct scheduler *s) {
    static const char *const channels[] = {CHANNEL_DUE};
    const struct redis_sub_options due = {.connection = runtime_redis_options(s->rt, "penstock_scheduler", "due"),
                                          .channels = channels,
                                          .channels_n = 1,
                                          .on_message = on_due,
                                          .arg = s};
    const struct pg_options lock = runtime_pg_options(s->rt, "penstock_scheduler");
    TRY(redis_sub_new(s->rt->loop, &due, &s->due));
    TRY(pg_lock_new(s->rt->loop, &lock, LEADER_KEY, on_leader, s, &s->leader));
    TRY(timer_new(s->rt->loop, on_second, s, &s->second));
    TRY(timer_new(s->rt->loop, on_relay, s, &s->relay_timer));
    TRY(timer_new(s->rt->loop, on_audit, s, &s->audit_timer));
    TRY(timer_new(s->rt->loop, on_scale, s, &s->scale_timer));
    TRY(autoscale_new(s));
    TRY(timer_new(s->rt->loop, on_cron, s, &s->cron_timer));
    return timer_new(s->rt->loop, on_retain, s, &s->retain_timer);
}

static void scheduler_close(struct scheduler *s) {
    s->stopping = true;
    if (s->rt == NULL) {
        return;
    }
    timer_free(s->second);
    timer_free(s->relay_timer);
    timer_free(s->audit_timer);
    timer_free(s->retain_timer);
    timer_free(s->cron_timer);
    timer_free(s->scale_timer);
    redis_sub_close(s->due);
    pg_lock_close(s->leader);
    struct runtime *rt = s->rt;
    for (size_t i = 0; i < s->watches_n; i++) {
        timer_free(s->watches[i]->promote_timer);
        s->watches[i]->promote_timer = NULL;
    }
    runtime_close(rt); /* pending calls come back here with ERR_CLOSED: the watches must still be there */
    for (size_t i = 0; i < s->watches_n; i++) {
        watch_free(s->watches[i]);
    }
    autoscale_free(s);
}

int scheduler_main(const struct scheduler_options *o) {
    struct scheduler *s = calloc(1, sizeof *s);
    struct signals *signals = NULL;
    static const int wanted[] = {SIGTERM, SIGINT};
    if (s == NULL) {
        return EXIT_FAILURE;
    }
    s->options = o;
    const struct runtime_options runtime = {
        .role = "scheduler", .conf = o->conf, .registry = o->registry, .beat = add_beat, .on_redis = on_redis, .arg = s};
    struct err e = runtime_open(&runtime, &s->rt);
    if (!err_is_set(e)) {
        e = open_parts(s);
    }
    if (!err_is_set(e)) {
        e = signals_new(s->rt->loop, wanted, sizeof wanted / sizeof wanted[0], on_signal, s, &signals);
    }
    if (!err_is_set(e)) {
        runtime_start(s->rt, on_ready, s);
        service_tell(s->rt->service, SERVICE_READY, "waits for Postgres");
        loop_run(s->rt->loop);
    } else {
        LOG(ERROR, "scheduler.start_failed", LF_ERR(e));
    }
    signals_free(signals);
    scheduler_close(s);
    free(s);
    return err_is_set(e) ? EXIT_FAILURE : EXIT_SUCCESS;
}
