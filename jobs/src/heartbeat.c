#include "heartbeat.h"

#include <base/json.h>
#include <base/log.h>
#include <base/metrics.h>
#include <jobs/slo.h>
#include <queues/shard.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BEAT_EVERY_MS = 2000, TABLE_EVERY_MS = 1000, BEAT_LIFE_S = 10, BEAT_BYTES_MAX = 4 << 20, LAG_EVERY_MS = 100 };
enum { SERVERS_MAX = 4, DOWN_BELIEVED_MS = 30000 };
#define DOWN_LIFE_S "5"

/* A server found down. */
struct down {
    const char *name;
    bool noted;
    struct mono last;
};

struct runtime_beat {
    struct runtime *rt;
    char role[16], queue[65];
    void (*beat)(void *arg, struct buf *json);
    void (*on_redis)(void *arg, bool up);
    void *arg;
    struct timer *timer, *table_timer, *lag_timer;
    struct slo_keep *slo;
    struct mono lag_expected;
    struct wall started;
    struct buf json, metrics;
    bool table_loading, table_ready;
    struct down down[SERVERS_MAX];
    size_t down_n;
    void (*ready)(void *arg);
    void *ready_arg;
};

static void on_answer(void *arg, struct err err, const struct reply *reply) {
    (void)arg;
    (void)err; /* the next beat comes in 2 s; readers judge by age */
    (void)reply;
}

static void add_member(struct buf *b, const char *name, struct str value) {
    buf_addf(b, ",\"%s\":", name);
    json_add_string(b, value);
}

static void build_json(struct runtime_beat *h) {
    struct buf *b = &h->json;
    buf_clear(b);
    buf_clear(&h->metrics);
    metrics_snapshot(&h->metrics);
    buf_addf(b, "{\"pid\":%ld,\"started_ms\":%lld,\"at_ms\":%lld,\"rss_bytes\":%lld", (long)getpid(), (long long)h->started.ms,
             (long long)loop_wall(h->rt->loop).ms, (long long)loop_memory_bytes());
    add_member(b, "role", str_c(h->role));
    add_member(b, "host", str_c(h->rt->host));
    add_member(b, "version", STR(PENSTOCK_VERSION));
    if (h->queue[0] != '\0') {
        add_member(b, "queue", str_c(h->queue));
    }
    if (h->beat != NULL) {
        h->beat(h->arg, b);
    }
    add_member(b, "metrics", buf_str(&h->metrics));
    buf_add_char(b, '}');
}

static void note(struct runtime_beat *h, const struct down *d) {
    char key[64];
    (void)snprintf(key, sizeof key, KEY_DOWN_PREFIX "%s", d->name);
    const struct str set[] = {STR("SET"), str_c(key), d->noted ? STR("1") : STR("0"), STR("EX"), STR(DOWN_LIFE_S)};
    broker_call(&h->rt->redis, 5, set, on_answer, NULL);
}

static void note_all(struct runtime_beat *h) {
    for (size_t i = 0; i < h->down_n; i++) {
        struct down *d = &h->down[i];
        d->noted = d->noted && mono_ms_since(loop_now(h->rt->loop), d->last) < DOWN_BELIEVED_MS;
        if (d->noted) {
            note(h, d);
        }
    }
}

static void on_beat(void *arg) {
    struct runtime_beat *h = arg;
    if (!redis_is_up(h->rt->redis_connection)) {
        return;
    }
    note_all(h);
    build_json(h);
    if (err_is_set(buf_status(&h->json))) {
        return; /* out of memory: the next beat may fit */
    }
    char key[128], life[8], now[24];
    (void)snprintf(key, sizeof key, KEY_PROCESS_PREFIX "%s", h->rt->process);
    (void)snprintf(life, sizeof life, "%d", BEAT_LIFE_S);
    (void)snprintf(now, sizeof now, "%lld", (long long)loop_wall(h->rt->loop).ms);
    const struct str set[] = {STR("SET"), str_c(key), buf_str(&h->json), STR("EX"), str_c(life)};
    const struct str add[] = {STR("ZADD"), STR(KEY_PROCESSES), str_c(now), str_c(h->rt->process)};
    broker_call(&h->rt->redis, 5, set, on_answer, NULL);
    broker_call(&h->rt->redis, 4, add, on_answer, NULL);
}

static void on_table(void *arg, struct err err) {
    struct runtime_beat *h = arg;
    h->table_loading = false;
    series_set(metric_series(M_DEPENDENCY_UP, "postgres", NULL, NULL), !err_is_set(err));
    if (err.code == ERR_CLOSED) {
        return;
    }
    if (!err_is_set(err) && !h->table_ready) {
        h->table_ready = true;
        h->ready(h->ready_arg);
    }
}

static void on_table_due(void *arg) {
    struct runtime_beat *h = arg;
    if (!h->table_loading) {
        h->table_loading = true;
        queue_table_load(h->rt->queues, on_table, h);
    }
}

static void on_lag(void *arg) {
    struct runtime_beat *h = arg;
    struct mono now = loop_now(h->rt->loop);
    series_observe(metric_series(M_LOOP_LAG, NULL, NULL, NULL), (double)(now.us - h->lag_expected.us) / 1e6);
    h->lag_expected = (struct mono){now.us + LAG_EVERY_MS * 1000};
    timer_start(h->lag_timer, LAG_EVERY_MS);
}

struct err heartbeat_new(struct runtime *rt, const struct runtime_options *o, struct runtime_beat **out) {
    struct runtime_beat *h = calloc(1, sizeof *h);
    if (h == NULL) {
        return err_make(ERR_NOMEM, "heartbeat");
    }
    h->rt = rt;
    (void)str_copy_c(str_c(o->role), h->role, sizeof h->role);
    (void)str_copy_c(str_c(o->queue != NULL ? o->queue : ""), h->queue, sizeof h->queue);
    h->beat = o->beat;
    h->on_redis = o->on_redis;
    h->arg = o->arg;
    h->started = loop_wall(rt->loop);
    buf_init(&h->json, BEAT_BYTES_MAX);
    buf_init(&h->metrics, BEAT_BYTES_MAX);
    struct err e = timer_new(rt->loop, on_beat, h, &h->timer);
    if (!err_is_set(e)) {
        e = timer_new(rt->loop, on_table_due, h, &h->table_timer);
    }
    if (!err_is_set(e)) {
        e = timer_new(rt->loop, on_lag, h, &h->lag_timer);
    }
    if (!err_is_set(e)) {
        e = slo_keep_new(rt, &h->slo);
    }
    if (err_is_set(e)) {
        heartbeat_free(h);
        return e;
    }
    *out = h;
    return OK;
}

void heartbeat_free(struct runtime_beat *h) {
    if (h == NULL) {
        return;
    }
    timer_free(h->timer);
    timer_free(h->table_timer);
    timer_free(h->lag_timer);
    slo_keep_free(h->slo);
    buf_free(&h->json);
    buf_free(&h->metrics);
    free(h);
}

static struct down *find_down(struct runtime_beat *h, const char *name) {
    for (size_t i = 0; i < h->down_n; i++) {
        if (strcmp(h->down[i].name, name) == 0) {
            return &h->down[i];
        }
    }
    if (h->down_n == SERVERS_MAX) {
        return NULL;
    }
    h->down[h->down_n] = (struct down){.name = name};
    return &h->down[h->down_n++];
}

void runtime_dependency(struct runtime *rt, const char *name, bool up) {
    struct down *d = rt != NULL ? find_down(rt->heartbeat, name) : NULL;
    if (d == NULL) {
        return;
    }
    bool was_noted = d->noted;
    d->noted = !up;
    d->last = loop_now(rt->loop);
    series_set(metric_series(M_DEPENDENCY_UP, name, NULL, NULL), up);
    if (d->noted != was_noted) {
        note(rt->heartbeat, d); /* at once; the beats repeat that it is down */
    }
}

void heartbeat_on_redis(void *arg, bool up, struct err why) {
    struct runtime *rt = arg;
    struct runtime_beat *h = rt->heartbeat;
    series_set(metric_series(M_DEPENDENCY_UP, "redis", NULL, NULL), up);
    if (up) {
        LOG(INFO, "redis.up", LF_C("process", rt->process));
        on_beat(h);
    } else if (why.code != ERR_CLOSED) {
        LOG(WARN, "redis.down", LF_ERR(why));
    }
    if (h->on_redis != NULL) {
        h->on_redis(h->arg, up);
    }
}

void runtime_last_words(struct runtime *rt, void (*done)(void *arg), void *arg) { slo_keep_last(rt->heartbeat->slo, done, arg); }

void runtime_start(struct runtime *rt, void (*ready)(void *arg), void *arg) {
    struct runtime_beat *h = rt->heartbeat;
    h->ready = ready;
    h->ready_arg = arg;
    timer_start_every(h->timer, BEAT_EVERY_MS);
    timer_start_every(h->table_timer, TABLE_EVERY_MS);
    slo_keep_start(h->slo);
    h->lag_expected = (struct mono){loop_now(rt->loop).us + LAG_EVERY_MS * 1000};
    timer_start(h->lag_timer, LAG_EVERY_MS);
    on_table_due(h);
}
