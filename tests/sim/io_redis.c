/* io/redis.h against the Redis in memory. A connection carries calls in order, each way with a delay; it breaks with calls and answers on
 * their way. What a process sent before it died arrives as far as a beginning of it had left. */
#include "cluster.h"
#include "world.h"

#include <io/redis.h>
#include <stdlib.h>

enum { ARENA_BLOCK = 1024, ARENA_MAX = 64 << 20 };

/* The server's end of a connection. */
struct link {
    LIST_ENTRY(link) all;
    struct redis *client; /* NULL: gone */
    STAILQ_HEAD(, call) arrived;
    struct call *blocking;  /* an XREADGROUP that waits */
    struct event *unblock;  /* when it has waited long enough */
    uint64_t blocked_since; /* who blocked first is served first */
    bool stalled;
    unsigned calls; /* that refer to it */
};

enum place { ON_ITS_WAY, AT_SERVER, ANSWERED, NOWHERE };

struct call {
    enum place place;             /* who frees it; NOWHERE: its client */
    TAILQ_ENTRY(call) unanswered; /* of the client */
    LIST_ENTRY(call) all;
    STAILQ_ENTRY(call) arrival;
    struct link *link;
    struct redis *client; /* NULL: nobody waits for the answer any more */
    broker_cb *cb;
    void *arg;
    size_t argc;
    struct str *argv;
    struct arena arena;
    struct reply *reply;
    bool lost; /* never runs */
    struct event *event;
};

struct redis {
    LIST_ENTRY(redis) all;
    struct actor *actor;
    void (*on_state)(void *arg, bool up, struct err why);
    void *arg;
    int64_t command_ms;
    char name[32];
    bool up;
    struct link *link;
    TAILQ_HEAD(, call) unanswered;
    size_t pending;
    int64_t request_at, reply_at; /* the last one's, us */
    struct event *event;          /* connecting again */
    struct event *deadline;       /* of a stalled connection */
};

static struct {
    struct mini *mini;
    LIST_HEAD(, redis) clients;
    LIST_HEAD(, link) links;
    LIST_HEAD(, call) calls;
    int64_t down_until_us;
    uint64_t blocks;
} server;

/* ---- calls ---- */

static void call_free(struct call *c) {
    LIST_REMOVE(c, all);
    world_cancel(&c->event);
    if (--c->link->calls == 0 && c->link->client == NULL) {
        LIST_REMOVE(c->link, all);
        free(c->link);
    }
    arena_free(&c->arena);
    free(c);
}

static void forget(struct call *c) {
    TAILQ_REMOVE(&c->client->unanswered, c, unanswered);
    c->client->pending--;
    c->client = NULL;
}

static void connection_fail(struct redis *r, enum err_code code, bool goes_on);

static void on_answer(void *arg) {
    struct call *c = arg;
    struct err err = OK;
    if (c->client == NULL) {
        call_free(c);
        return;
    }
    if (world_fault(world.weather.reply_loss)) {
        trace("%s: an answer is lost, and the connection", c->client->name);
        connection_fail(c->client, ERR_REDIS_LOST, true);
        call_free(c);
        return;
    }
    forget(c);
    if (c->reply->type == REPLY_ERROR) {
        err = redis_reply_err(str_of(c->reply->str, c->reply->len));
    }
    c->cb(c->arg, err, err_is_set(err) ? NULL : c->reply);
    call_free(c);
}

static void answer(struct call *c, struct reply *reply) {
    struct redis *r = c->client;
    if (r == NULL) {
        call_free(c);
        return;
    }
    c->place = ANSWERED;
    c->reply = reply;
    r->reply_at = world.now_us + world_latency_us() > r->reply_at ? world.now_us + world_latency_us() : r->reply_at;
    world_at(r->reply_at, r->actor, on_answer, c, &c->event);
}

/* ---- the server ---- */

static int64_t server_ms(void) { return world_wall_ms() + world.redis_offset_ms; }

static void trace_call(const struct call *c, const char *who, const struct reply *reply) {
    struct str name = c->argc > 1 && str_starts(c->argv[0], STR("FCALL")) ? c->argv[1] : c->argv[0];
    char what[160];
    int n = snprintf(what, sizeof what, "%.*s", STR_ARG(name));
    for (size_t i = 1; i < c->argc && n < 130; i++) { /* ids and consumers say enough */
        struct stream_id id;
        if (stream_id_parse(c->argv[i], &id) ||
            memchr(c->argv[i].p != NULL ? c->argv[i].p : "", ':', c->argv[i].n < 4 ? c->argv[i].n : 4)) {
            n += snprintf(what + n, sizeof what - (size_t)n, " %.*s", STR_ARG(c->argv[i]));
        }
    }
    trace("redis <- %s: %s%s%s", who, what, reply != NULL && reply->type == REPLY_ERROR ? " -> " : "",
          reply != NULL && reply->type == REPLY_ERROR ? reply->str : "");
}

static struct reply *execute(struct call *c) {
    static const struct str reading = STR("XREADGROUP");
    check_call(c->argc, c->argv, c->client == NULL);
    struct reply *r = mini_call(server.mini, &c->arena, server_ms(), c->argc, c->argv);
    if (r != NULL || !str_eq(c->argv[0], reading)) {
        trace_call(c, c->client != NULL ? c->client->name : "(gone)", r);
    }
    return r;
}

static void link_work(struct link *l);

static void on_unblock(void *arg) {
    struct link *l = arg;
    struct call *c = l->blocking;
    struct reply *nothing = arena_alloc(&c->arena, sizeof *nothing);
    *nothing = (struct reply){.type = REPLY_NIL};
    l->blocking = NULL;
    l->calls++;
    answer(c, nothing);
    l->calls--;
    link_work(l);
}

static void unblock(struct link *l) {
    world_cancel(&l->unblock);
    l->blocking = NULL;
}

static struct link *first_blocked(uint64_t after) {
    struct link *l, *first = NULL;
    LIST_FOREACH(l, &server.links, all) {
        if (l->blocking != NULL && l->blocked_since > after && (first == NULL || l->blocked_since < first->blocked_since)) {
            first = l;
        }
    }
    return first;
}

/* Entries came: who waits longest gets them. */
static void serve_blocked(void) {
    struct link *l;
    uint64_t after = 0;
    while ((l = first_blocked(after)) != NULL) {
        struct call *c = l->blocking;
        after = l->blocked_since;
        struct reply *r = execute(c);
        if (r != NULL) {
            unblock(l);
            answer(c, r);
            link_work(l);
        }
    }
}

static int64_t block_us(const struct call *c) {
    int64_t ms = 2000;
    (void)str_to_i64(c->argv[7], &ms);
    return 1000 * ms;
}

static void link_work(struct link *l) {
    struct call *c;
    l->calls++; /* it stays while we look at it */
    while (l->blocking == NULL && !l->stalled && (c = STAILQ_FIRST(&l->arrived)) != NULL) {
        STAILQ_REMOVE_HEAD(&l->arrived, arrival);
        if (c->lost) {
            call_free(c);
            continue;
        }
        uint64_t before = mini_changes(server.mini);
        struct reply *r = execute(c);
        if (r != NULL) {
            answer(c, r);
        } else if (l->client == NULL) {
            call_free(c); /* its connection closed meanwhile: it would not block */
        } else {
            l->blocking = c;
            l->blocked_since = ++server.blocks;
            world_after(block_us(c), NULL, on_unblock, l, &l->unblock);
        }
        if (mini_changes(server.mini) != before) {
            serve_blocked();
        }
    }
    if (--l->calls == 0 && l->client == NULL) {
        LIST_REMOVE(l, all);
        free(l);
    }
}

static void on_arrival(void *arg) {
    struct call *c = arg;
    if (c->lost && c->client == NULL) {
        call_free(c);
    } else if (c->lost) {
        c->place = NOWHERE; /* its client will find out */
    } else {
        c->place = AT_SERVER;
        STAILQ_INSERT_TAIL(&c->link->arrived, c, arrival);
        link_work(c->link);
    }
}

/* The server notices that the other end has gone. */
static void on_gone(void *arg) {
    struct link *l = arg;
    if (l->blocking != NULL) {
        struct call *c = l->blocking;
        unblock(l);
        call_free(c);
    }
    link_work(l);
    if (--l->calls == 0) {
        LIST_REMOVE(l, all);
        free(l);
    }
}

/* ---- connections ---- */

static void on_connect(void *arg) {
    struct redis *r = arg;
    if (server.down_until_us > world.now_us) {
        world_after(world_between(50, 2000) * 1000, r->actor, on_connect, r, &r->event);
        return;
    }
    r->link = sim_new(sizeof *r->link);
    r->link->client = r;
    STAILQ_INIT(&r->link->arrived);
    LIST_INSERT_HEAD(&server.links, r->link, all);
    r->up = true;
    if (r->on_state != NULL) {
        r->on_state(r->arg, true, OK);
    }
}

/* Both ends part. all: everything that was sent arrives; else a beginning of it. */
static void link_part(struct redis *r, bool all) {
    struct link *l = r->link;
    struct call *c;
    bool lost = false;
    if (l == NULL) {
        return;
    }
    world_cancel(&r->deadline);
    TAILQ_FOREACH(c, &r->unanswered, unanswered) {
        if (c->place == ON_ITS_WAY || (c->place == AT_SERVER && l->stalled)) {
            lost = lost || (!all && world_chance(0.3));
            c->lost = c->lost || lost;
        }
    }
    l->client = NULL;
    l->stalled = false;
    l->calls++;
    r->link = NULL;
    world_at((world.now_us > r->request_at ? world.now_us : r->request_at) + world_latency_us(), NULL, on_gone, l, NULL);
}

static void fail_calls(struct redis *r, enum err_code code) {
    struct call *c;
    while ((c = TAILQ_FIRST(&r->unanswered)) != NULL) {
        forget(c);
        c->cb(c->arg, (struct err){code, "the connection broke"}, NULL);
        if (c->place == NOWHERE) {
            call_free(c);
        }
    }
}

/* goes_on: it tries to connect again. */
static void connection_fail(struct redis *r, enum err_code code, bool goes_on) {
    bool was_up = r->up;
    r->up = false;
    world_cancel(&r->event);
    link_part(r, code == ERR_CLOSED && !r->actor->cut);
    if (goes_on) {
        world_after(world_between(20, 1000) * 1000, r->actor, on_connect, r, &r->event);
    }
    fail_calls(r, code);
    if (goes_on && was_up && r->on_state != NULL) {
        r->on_state(r->arg, false, (struct err){code, "the connection broke"});
    }
}

static void send(void *self, int64_t deadline_ms, size_t argc, const struct str *argv, broker_cb *cb, void *arg) {
    struct redis *r = self;
    (void)deadline_ms;
    if (!redis_is_up(r)) {
        cb(arg, (struct err){ERR_REDIS_DOWN, "not connected"}, NULL);
        return;
    }
    struct call *c = sim_new(sizeof *c);
    *c = (struct call){.link = r->link, .client = r, .cb = cb, .arg = arg, .argc = argc};
    arena_init(&c->arena, ARENA_BLOCK, ARENA_MAX);
    c->argv = arena_alloc(&c->arena, argc * sizeof *c->argv);
    for (size_t i = 0; i < argc; i++) {
        c->argv[i] = arena_str(&c->arena, argv[i]);
    }
    TAILQ_INSERT_TAIL(&r->unanswered, c, unanswered);
    LIST_INSERT_HEAD(&server.calls, c, all);
    r->pending++;
    r->link->calls++;
    int64_t at = world.now_us + world_latency_us();
    r->request_at = at > r->request_at ? at : r->request_at;
    world_at(r->request_at, NULL, on_arrival, c, &c->event);
}

struct err redis_new(struct loop *l, const struct redis_options *o, struct redis **out) {
    struct redis *r = sim_new(sizeof *r);
    (void)l;
    *r = (struct redis){.actor = world.actor, .on_state = o->on_state, .arg = o->arg, .command_ms = o->command_ms};
    (void)snprintf(r->name, sizeof r->name, "%.20s/%.8s", world.actor->name, o->name);
    TAILQ_INIT(&r->unanswered);
    LIST_INSERT_HEAD(&server.clients, r, all);
    world_after(world_latency_us(), r->actor, on_connect, r, &r->event);
    *out = r;
    return OK;
}

void redis_close(struct redis *r) {
    if (r == NULL) {
        return;
    }
    connection_fail(r, ERR_CLOSED, false);
    world_cancel(&r->event);
    LIST_REMOVE(r, all);
    free(r);
}

bool redis_is_up(const struct redis *r) { return r != NULL && r->up && !r->actor->cut; }
struct err redis_why_down(const struct redis *r) {
    return r->up ? OK : (struct err){ERR_REDIS_DOWN, "down"};
}
struct broker redis_broker(struct redis *r) {
    return (struct broker){send, r};
}
size_t redis_pending(const struct redis *r) { return r->pending; }

/* ---- the world's hand ---- */

static uint64_t pick(void *self, uint64_t n) {
    (void)self;
    return world_random(n);
}

void redis_world_begin(const char *lua_from, const char *lua_to) {
    const struct mini_options o = {
        .random = pick, .publish = sub_publish, .look = book_torn, .taken = check_taken, .lua_from = lua_from, .lua_to = lua_to};
    memset(&server, 0, sizeof server);
    server.mini = mini_new(&o);
}

void redis_world_end(void) {
    struct call *c;
    struct link *l;
    while ((c = LIST_FIRST(&server.calls)) != NULL) {
        call_free(c);
    }
    while ((l = LIST_FIRST(&server.links)) != NULL) {
        LIST_REMOVE(l, all);
        free(l);
    }
    sub_world_end();
    mini_free(server.mini);
}

struct mini *redis_world(void) {
    return server.mini;
}

static void on_server_lost(void *arg) {
    struct redis *r = arg;
    connection_fail(r, ERR_REDIS_LOST, true);
}

/* What no client has an answer to is gone. */
static void lose_calls(struct redis *r) {
    struct call *c;
    TAILQ_FOREACH(c, &r->unanswered, unanswered) {
        if (c->place == ON_ITS_WAY) {
            c->lost = true;
        } else if (c->place == AT_SERVER) {
            c->place = NOWHERE;
        }
    }
    STAILQ_INIT(&r->link->arrived);
    unblock(r->link);
}

struct mini_loss redis_world_fall(int64_t down_us, uint64_t lost, bool torn, bool wiped) {
    struct redis *r;
    struct call *c;
    server.down_until_us = world.now_us + down_us;
    LIST_FOREACH(c, &server.calls, all) { c->lost = c->lost || c->place == ON_ITS_WAY; /* also of those who have gone */ }
    LIST_FOREACH(r, &server.clients, all) {
        if (r->up) {
            lose_calls(r);
            world_cancel(&r->event);
            world_after(world_between(0, 2000), r->actor, on_server_lost, r, &r->event);
        }
    }
    struct mini_loss loss = {.any = true};
    if (wiped) {
        mini_wipe(server.mini);
    } else {
        loss = mini_crash(server.mini, lost, torn);
    }
    trace("redis falls for %lld ms, lost %llu%s%s", (long long)down_us / 1000, (unsigned long long)lost,
          loss.torn ? ", torn" : "", wiped ? ", wiped" : "");
    return loss;
}

static void on_deadline(void *arg) {
    struct redis *r = arg;
    if (r->pending > 0) {
        connection_fail(r, ERR_REDIS_LOST, true);
    } else if (r->link != NULL) {
        r->link->stalled = false;
    }
}

void redis_world_stall(void) {
    struct redis *r;
    size_t n = 0;
    LIST_FOREACH(r, &server.clients, all) { n += r->up; }
    size_t which = n > 0 ? (size_t)world_random(n) : 0;
    LIST_FOREACH(r, &server.clients, all) {
        if (r->up && which-- == 0 && r->deadline == NULL) {
            trace("%s swallows", r->name);
            r->link->stalled = true;
            world_after(1000 * r->command_ms, r->actor, on_deadline, r, &r->deadline);
        }
    }
}
