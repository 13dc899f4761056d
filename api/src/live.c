/* GET /v1/live, GET /v1/live/history: the viewers. */
#include "live.h"

#include <io/timer.h>
#include <stdlib.h>
#include <sys/queue.h>

#include "handlers.h"
#include "keys.h"
#include "lookers.h"
#include "server.h"
#include "snapshot.h"

enum {
    TICK_MS = 1000,
    FIGURES_TICKS = 5, /* heartbeats come every 2 s, and their metrics take longer to read */
    MISSES_MAX = 5,    /* on end: then a viewer is cut */
    UNSURE_MAX = 30,   /* seconds without a word of its key */
    SNAPSHOT_BYTES_MAX = 1 << 20,
    HISTORY_BYTES_MAX = 1 << 20,
};

/* In its call's arena. */
struct viewer {
    struct call *call;
    LIST_ENTRY(viewer) link;
    struct looker looker;
    unsigned misses, unsure;
};

struct live {
    struct api *api;
    struct timer *timer;
    LIST_HEAD(, viewer) viewers;
    struct lookers lookers;   /* the same */
    uint64_t number;          /* of the latest snapshot */
    struct buf event;         /* the latest, as it is sent; empty: it is too old */
    bool reading;             /* the heartbeats are being read, */
    enum fleet_detail detail; /* so much of them */
    unsigned ticks;
    struct fleet_view fleet;
};

/* ---- viewers ---- */

static void on_ended(struct call *c) {
    struct viewer *v = c->state;
    struct live *l = c->api->live;
    LIST_REMOVE(v, link);
    lookers_leave(&l->lookers, &v->looker);
    if (l->lookers.n == 0) {
        timer_stop(l->timer);
        buf_clear(&l->event);
    }
}

/* A session ends when its time is up or its key is revoked. */
bool live_may_stay(const struct call *c, unsigned *unsure) {
    const struct api_key *key;
    if (!c->who.keyed) {
        return true;
    }
    if (c->who.session_ends_s > 0 && loop_wall(c->api->rt->loop).ms >= c->who.session_ends_s * 1000) {
        return false;
    }
    if (!keys_know(c->api->keys, str_c(c->who.author), &key)) {
        return ++*unsure < UNSURE_MAX;
    }
    *unsure = 0;
    if (key == NULL || c->who.session_ends_s == 0) {
        return key != NULL && api_key_opens(key, c->who.secret_hash);
    }
    return crypto_equal(c->who.secret_hash, key->secret_hash, SHA256_BYTES);
}

static void send_to(struct viewer *v, struct str event) {
    struct http_request *req = v->call->req;
    if (!live_may_stay(v->call, &v->unsure)) {
        http_stream_cut(req);
    } else if (http_stream_send(req, event)) {
        v->misses = 0; /* the viewer may be gone by now: its call is held by send_all */
    } else if (++v->misses > MISSES_MAX) {
        http_stream_cut(req);
    }
}

/* Sending may end any viewer's stream, but no other's than its own. */
static void send_all(struct live *l) {
    struct viewer *v, *next;
    for (v = LIST_FIRST(&l->viewers); v != NULL; v = next) {
        struct call *c = v->call;
        next = LIST_NEXT(v, link);
        call_hold(c);
        send_to(v, buf_str(&l->event));
        call_release(c);
    }
}

void live_end_all(struct live *l) {
    while (!LIST_EMPTY(&l->viewers)) {
        http_stream_cut(LIST_FIRST(&l->viewers)->call->req);
    }
}

/* ---- snapshots ---- */

static void make(struct live *l) {
    struct buf *b = &l->event;
    buf_clear(b);
    buf_addf(b, "event: snapshot\nid: %llu\ndata: ", (unsigned long long)++l->number);
    snapshot_write(l->api, &l->fleet, l->number, b);
    buf_add_c(b, "\n\n");
    if (err_is_set(buf_status(b))) {
        buf_clear(b);
        buf_add_c(b, ": no memory for a snapshot\n\n");
    }
}

static void make_and_send(struct live *l) {
    if (l->lookers.n > 0 && !l->api->closing) {
        make(l);
        send_all(l);
    }
}

static void on_fleet(void *arg, struct err err, const struct process *processes, size_t n) {
    struct live *l = arg;
    l->reading = false;
    if (!err_is_set(err)) {
        fleet_view_take(&l->fleet, l->api, l->detail, processes, n);
    }
    make_and_send(l);
}

/* While Redis does not say who is alive, what was known is shown. */
static void on_tick(void *arg) {
    struct live *l = arg;
    if (l->reading) {
        make_and_send(l);
        return;
    }
    l->reading = true;
    l->detail = l->ticks++ % FIGURES_TICKS == 0 ? FLEET_METRICS : FLEET_BRIEF;
    fleet_read(l->api, l->detail, on_fleet, l);
}

/* ---- the routes ---- */

static void add_viewer(struct live *l, struct call *c, struct viewer *v) {
    struct buf first;
    buf_init(&first, SNAPSHOT_BYTES_MAX);
    buf_add_c(&first, "retry: 2000\n\n");
    buf_add(&first, buf_str(&l->event));
    v->call = c;
    c->state = v;
    LIST_INSERT_HEAD(&l->viewers, v, link);
    if (!call_stream(c, buf_str(&first), on_ended)) {
        on_ended(c);
    }
    buf_free(&first);
    if (l->lookers.n > 0 && !timer_is_active(l->timer)) {
        timer_start_every(l->timer, TICK_MS);
        on_tick(l);
    }
}

void handle_live(struct call *c) {
    struct live *l = c->api->live;
    struct viewer *v = ARENA_NEW(&c->arena, struct viewer);
    if (str_is(c->req->method, "HEAD")) {
        call_answer(c, 200, "text/event-stream", STR(""));
    } else if (c->api->draining) {
        call_problem(c, PROBLEM_DRAINING, "Another process shows what is going on");
    } else if (v == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "viewer"));
    } else if (lookers_enter(&l->lookers, &v->looker, c)) {
        add_viewer(l, c, v);
    }
}

void handle_live_history(struct call *c) {
    struct buf b;
    buf_init(&b, HISTORY_BYTES_MAX);
    snapshot_write_history(c->api, &b);
    call_json(c, 200, &b);
    buf_free(&b);
}

/* ---- life ---- */

struct err live_new(struct api *api, struct live **out) {
    struct live *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return err_make(ERR_NOMEM, "live");
    }
    l->api = api;
    LIST_INIT(&l->viewers);
    buf_init(&l->event, SNAPSHOT_BYTES_MAX);
    fleet_view_init(&l->fleet);
    struct err e = timer_new(api->rt->loop, on_tick, l, &l->timer);
    if (err_is_set(e)) {
        live_free(l);
        return e;
    }
    *out = l;
    return OK;
}

void live_stop(struct live *l) {
    if (l != NULL) {
        timer_free(l->timer);
        l->timer = NULL;
    }
}

void live_free(struct live *l) {
    if (l != NULL) {
        fleet_view_free(&l->fleet);
        buf_free(&l->event);
        free(l);
    }
}
