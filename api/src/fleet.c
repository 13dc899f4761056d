#include "fleet.h"

#include <base/json.h>
#include <queues/shard.h>
#include <stdio.h>
#include <stdlib.h>

#include "server.h"

enum { ALIVE_MS = 10000, NAMES_BLOCK_BYTES = 4096, NAMES_BYTES = 1 << 20, BEAT_BYTES_MAX = 64 * 1024 };

struct reading {
    struct api *api;
    enum fleet_detail detail;
    fleet_cb *cb;
    void *arg;
    struct arena arena;
    size_t n;
    struct str names[FLEET_MAX]; /* in the arena */
    struct process found[FLEET_MAX];
};

static void finish(struct reading *r, struct err err, size_t n) {
    r->cb(r->arg, err, r->found, err_is_set(err) ? 0 : n);
    for (size_t i = 0; i < n; i++) {
        json_decref(r->found[i].beat);
    }
    arena_free(&r->arena);
    free(r);
}

/* The metrics are the last member (jobs/src/heartbeat.c); where they are not, the whole is read. */
static struct err read_beat(const struct reading *r, struct str text, json_t **out) {
    static const struct str metrics = STR(",\"metrics\":\"");
    const char *at = r->detail == FLEET_BRIEF ? memmem(text.p, text.n, metrics.p, metrics.n) : NULL;
    if (at == NULL) {
        return json_read(text, out);
    }
    struct buf brief;
    buf_init(&brief, BEAT_BYTES_MAX);
    buf_add(&brief, str_of(text.p, (size_t)(at - text.p)));
    buf_add_char(&brief, '}');
    struct err e = buf_status(&brief);
    if (!err_is_set(e)) {
        e = json_read(buf_str(&brief), out);
    }
    buf_free(&brief);
    return e;
}

static void on_beats(void *arg, struct err err, const struct reply *reply) {
    struct reading *r = arg;
    size_t n = 0;
    for (size_t i = 0; !err_is_set(err) && i < r->n && i < reply_len(reply); i++) {
        struct str text = reply_str(reply_at(reply, i));
        json_t *beat;
        if (text.p == NULL || err_is_set(read_beat(r, text, &beat))) {
            continue; /* gone between the two calls, or not ours */
        }
        if (json_is_object(beat)) {
            r->found[n++] = (struct process){r->names[i], beat};
        } else {
            json_decref(beat);
        }
    }
    finish(r, err, n);
}

static void ask_beats(struct reading *r) {
    struct str argv[FLEET_MAX + 1] = {STR("MGET")};
    for (size_t i = 0; i < r->n; i++) {
        argv[i + 1] = arena_printf(&r->arena, KEY_PROCESS_PREFIX "%.*s", STR_ARG(r->names[i]));
        if (argv[i + 1].p == NULL) {
            finish(r, err_make(ERR_NOMEM, "processes"), 0);
            return;
        }
    }
    broker_call(&r->api->rt->redis, r->n + 1, argv, on_beats, r);
}

static void on_names(void *arg, struct err err, const struct reply *reply) {
    struct reading *r = arg;
    for (size_t i = 0; !err_is_set(err) && i < reply_len(reply) && r->n < FLEET_MAX; i++) {
        struct str name = arena_str(&r->arena, reply_str(reply_at(reply, i)));
        if (name.p != NULL && name.n > 0) {
            r->names[r->n++] = name;
        }
    }
    if (err_is_set(err) || r->n == 0) {
        finish(r, err, 0);
    } else {
        ask_beats(r);
    }
}

/* NULL: no memory, and cb knows. */
static struct reading *begin(struct api *api, enum fleet_detail detail, fleet_cb *cb, void *arg) {
    struct reading *r = calloc(1, sizeof *r);
    if (r == NULL) {
        cb(arg, err_make(ERR_NOMEM, "processes"), NULL, 0);
        return NULL;
    }
    r->api = api;
    r->detail = detail;
    r->cb = cb;
    r->arg = arg;
    arena_init(&r->arena, NAMES_BLOCK_BYTES, NAMES_BYTES);
    return r;
}

void fleet_read(struct api *api, enum fleet_detail detail, fleet_cb *cb, void *arg) {
    struct reading *r = begin(api, detail, cb, arg);
    char since[24];
    if (r == NULL) {
        return;
    }
    (void)snprintf(since, sizeof since, "%lld", (long long)(loop_wall(api->rt->loop).ms - ALIVE_MS));
    const struct str argv[] = {STR("ZRANGEBYSCORE"), STR(KEY_PROCESSES), str_c(since), STR("+inf")};
    broker_call(&api->rt->redis, 4, argv, on_names, r);
}

/* In the call's arena. */
struct ask {
    struct call *call;
    fleet_call_cb *cb;
};

static void on_fleet(void *arg, struct err err, const struct process *processes, size_t n) {
    struct ask *ask = arg;
    struct call *c = ask->call;
    ask->cb(c, err, processes, n);
    call_release(c);
}

/* NULL: no memory, and cb knows. */
static struct ask *ask_new(struct call *c, fleet_call_cb *cb) {
    struct ask *ask = ARENA_NEW(&c->arena, struct ask);
    if (ask == NULL) {
        cb(c, err_make(ERR_NOMEM, "processes"), NULL, 0);
        return NULL;
    }
    *ask = (struct ask){c, cb};
    call_hold(c);
    return ask;
}

void fleet_read_for(struct call *c, enum fleet_detail detail, fleet_call_cb *cb) {
    struct ask *ask = ask_new(c, cb);
    if (ask != NULL) {
        fleet_read(c->api, detail, on_fleet, ask);
    }
}

/* Other keys of that prefix hold no process: a process says its role. */
static void on_found(void *arg, struct err err, const struct process *processes, size_t n) {
    on_fleet(arg, err, processes, n > 0 && json_opt_str(processes[0].beat, "role", STR_NONE).p != NULL ? n : 0);
}

void fleet_find_for(struct call *c, struct str name, fleet_call_cb *cb) {
    struct ask *ask = ask_new(c, cb);
    struct reading *r = ask != NULL ? begin(c->api, FLEET_BRIEF, on_found, ask) : NULL;
    if (r != NULL) {
        r->names[r->n++] = name; /* in the call's arena */
        ask_beats(r);
    }
}
