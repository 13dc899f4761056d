#include "fleet.h"

#include <base/json.h>
#include <queues/shard.h>
#include <stdio.h>
#include <stdlib.h>

#include "server.h"

enum { ALIVE_MS = 10000 };

struct reading {
    struct call *call;
    fleet_cb *cb;
    size_t n;
    struct str names[FLEET_MAX]; /* in the call's arena */
    struct process found[FLEET_MAX];
};

static void finish(struct reading *r, struct err err, size_t n) {
    struct call *c = r->call;
    r->cb(c, err, r->found, err_is_set(err) ? 0 : n);
    for (size_t i = 0; i < n; i++) {
        json_decref(r->found[i].beat);
    }
    free(r);
    call_release(c);
}

static void on_beats(void *arg, struct err err, const struct reply *reply) {
    struct reading *r = arg;
    size_t n = 0;
    for (size_t i = 0; !err_is_set(err) && i < r->n && i < reply_len(reply); i++) {
        struct str text = reply_str(reply_at(reply, i));
        json_t *beat;
        if (text.p == NULL || err_is_set(json_read(text, &beat))) {
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
        argv[i + 1] = arena_printf(&r->call->arena, KEY_PROCESS_PREFIX "%.*s", STR_ARG(r->names[i]));
        if (argv[i + 1].p == NULL) {
            finish(r, err_make(ERR_NOMEM, "processes"), 0);
            return;
        }
    }
    broker_call(&r->call->api->rt->redis, r->n + 1, argv, on_beats, r);
}

static void on_names(void *arg, struct err err, const struct reply *reply) {
    struct reading *r = arg;
    for (size_t i = 0; !err_is_set(err) && i < reply_len(reply) && r->n < FLEET_MAX; i++) {
        struct str name = arena_str(&r->call->arena, reply_str(reply_at(reply, i)));
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

void fleet_read(struct call *c, fleet_cb *cb) {
    struct reading *r = calloc(1, sizeof *r);
    char since[24];
    call_hold(c);
    if (r == NULL) {
        cb(c, err_make(ERR_NOMEM, "processes"), NULL, 0);
        call_release(c);
        return;
    }
    r->call = c;
    r->cb = cb;
    (void)snprintf(since, sizeof since, "%lld", (long long)(loop_wall(c->api->rt->loop).ms - ALIVE_MS));
    const struct str argv[] = {STR("ZRANGEBYSCORE"), STR(KEY_PROCESSES), str_c(since), STR("+inf")};
    broker_call(&c->api->rt->redis, 4, argv, on_names, r);
}
