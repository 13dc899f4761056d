/* io/pg.h against the store: each statement is a transaction, with a delay each way. A connection may break before the commit or after. */
#include "world.h"

#include "store.h"

#include <io/pg.h>
#include <io/timer.h>
#include <stdlib.h>

struct pg_pool {
    struct actor *actor;
    struct loop *loop;
    TAILQ_HEAD(, statement) pending;
    bool shut;
};

struct statement {
    TAILQ_ENTRY(statement) link; /* of the pool */
    LIST_ENTRY(statement) all;
    struct pg_pool *pool; /* NULL: nobody waits any more */
    const struct pg_stmt *stmt;
    struct arena arena;
    struct pg_value *values;
    pg_cb *cb;
    void *arg;
    uint32_t owner;
    struct err err;
    PGresult *res;
    bool lost, executed;
    struct event *event;
};

struct pg_lock {
    LIST_ENTRY(pg_lock) all;
    struct actor *actor;
    void (*on_change)(void *arg, bool held);
    void *arg;
    bool held; /* as far as it knows */
    struct event *event;
};

static struct {
    LIST_HEAD(, statement) statements;
    LIST_HEAD(, pg_lock) locks;
    const struct pg_lock *holder;
    int64_t down_until_us;
} server;

enum { ARENA_BLOCK = 1024, ARENA_MAX = 64 << 20, LOCK_EVERY_MS = 1000, SESSION_TIMEOUT_US = 10000000 };

static void statement_free(struct statement *s) {
    LIST_REMOVE(s, all);
    world_cancel(&s->event);
    PQclear(s->res);
    arena_free(&s->arena);
    free(s);
}

static void on_answer(void *arg) {
    struct statement *s = arg;
    if (s->pool != NULL) {
        struct loop *l = s->pool->loop;
        TAILQ_REMOVE(&s->pool->pending, s, link);
        uint32_t before = loop_own(l, s->owner);
        s->cb(s->arg, s->err, err_is_set(s->err) ? NULL : s->res);
        (void)loop_own(l, before);
    }
    statement_free(s);
}

static void answer(struct statement *s, enum err_code code) {
    s->err = (struct err){code, code != ERR_NONE ? "the connection broke" : ""};
    if (s->pool == NULL) {
        statement_free(s);
    } else {
        world_after(world_latency_us(), s->pool->actor, on_answer, s, &s->event);
    }
}

static void on_arrival(void *arg) {
    struct statement *s = arg;
    if (s->lost || world_fault(world.weather.request_loss)) {
        answer(s, ERR_PG_LOST);
        return;
    }
    if (server.down_until_us > world.now_us) {
        answer(s, ERR_PG_DOWN);
        return;
    }
    s->res = store_run(s->stmt, s->values);
    s->executed = true;
    trace("postgres <- %s: %s, %d rows", s->pool != NULL ? s->pool->actor->name : "(gone)", s->stmt->name, PQntuples(s->res));
    answer(s, world_fault(world.weather.reply_loss) ? ERR_PG_LOST : ERR_NONE);
}

void pg_exec(struct pg_pool *p, const struct pg_stmt *stmt, const struct pg_value *values, int flags, int64_t order, pg_cb *cb,
             void *arg) {
    struct statement *s = sim_new(sizeof *s);
    (void)flags;
    (void)order;
    *s = (struct statement){.stmt = stmt, .cb = cb, .arg = arg};
    LIST_INSERT_HEAD(&server.statements, s, all);
    arena_init(&s->arena, ARENA_BLOCK, ARENA_MAX);
    if (p->shut) {
        cb(arg, (struct err){ERR_CLOSED, "closed"}, NULL);
        statement_free(s);
        return;
    }
    s->pool = p;
    s->owner = loop_owner(p->loop);
    TAILQ_INSERT_TAIL(&p->pending, s, link);
    s->values = arena_alloc(&s->arena, (size_t)(stmt->params + 1) * sizeof *s->values);
    for (int i = 0; i < stmt->params; i++) {
        s->values[i] = values[i];
        s->values[i].p = values[i].p != NULL ? arena_str(&s->arena, str_of(values[i].p, values[i].n)).p : NULL;
    }
    if (!p->actor->cut) { /* the dead send nothing: pg_pool_shut answers */
        world_after(world_latency_us(), NULL, on_arrival, s, &s->event);
    }
}

struct err pg_pool_new(struct loop *l, const struct pg_options *o, struct pg_pool **out) {
    struct pg_pool *p = sim_new(sizeof *p);
    (void)o;
    p->actor = world.actor;
    p->loop = l;
    TAILQ_INIT(&p->pending);
    *out = p;
    return OK;
}

/* What is on its way may arrive: of a killed process' not all. */
void pg_pool_shut(struct pg_pool *p) {
    struct statement *s;
    if (p == NULL) {
        return;
    }
    p->shut = true;
    while ((s = TAILQ_FIRST(&p->pending)) != NULL) {
        TAILQ_REMOVE(&p->pending, s, link);
        s->pool = NULL;
        s->lost = s->lost || (p->actor->cut && world_chance(0.3));
        s->cb(s->arg, (struct err){ERR_CLOSED, "closed"}, NULL);
        if (s->event == NULL) {
            statement_free(s);
        }
    }
}

void pg_pool_close(struct pg_pool *p) {
    pg_pool_shut(p);
    free(p);
}

/* ---- the lock ---- */

static void lock_set(struct pg_lock *k, bool held) {
    if (k->held != held) {
        k->held = held;
        trace(held ? "leads" : "follows");
        k->on_change(k->arg, held);
    }
}

/* The server ends the session of who did not speak for ten seconds; he hears of it later. */
static bool is_silent(const struct pg_lock *k) { return k->actor->stopped_until > world.now_us + SESSION_TIMEOUT_US; }

static void on_lock(void *arg) {
    struct pg_lock *k = arg;
    if (server.holder != NULL && is_silent(server.holder)) {
        server.holder = NULL;
    }
    if (server.down_until_us > world.now_us) {
        server.holder = NULL;
        lock_set(k, false);
    } else {
        server.holder = server.holder == NULL ? k : server.holder;
        lock_set(k, server.holder == k);
    }
    world_after(1000 * world_between(LOCK_EVERY_MS, 3 * LOCK_EVERY_MS), k->actor, on_lock, k, &k->event);
}

struct err pg_lock_new(struct loop *l, const struct pg_options *o, int64_t key, void (*on_change)(void *arg, bool held),
                       void *arg, struct pg_lock **out) {
    struct pg_lock *k = sim_new(sizeof *k);
    (void)l;
    (void)o;
    (void)key;
    *k = (struct pg_lock){.actor = world.actor, .on_change = on_change, .arg = arg};
    LIST_INSERT_HEAD(&server.locks, k, all);
    world_after(world_latency_us(), k->actor, on_lock, k, &k->event);
    *out = k;
    return OK;
}

bool pg_lock_held(const struct pg_lock *k) { return k->held; }

void pg_lock_close(struct pg_lock *k) {
    if (k != NULL) {
        server.holder = server.holder == k ? NULL : server.holder;
        world_cancel(&k->event);
        LIST_REMOVE(k, all);
        free(k);
    }
}

/* ---- the world's hand ---- */

void pg_world_begin(void) {
    memset(&server, 0, sizeof server);
    store_begin();
}

void pg_world_end(void) {
    while (!LIST_EMPTY(&server.statements)) {
        statement_free(LIST_FIRST(&server.statements));
    }
    store_end();
}

/* Answers on their way are lost, and the marks that were not waited for on disk. */
void pg_world_fall(int64_t down_us) {
    struct statement *s;
    trace("postgres falls for %lld ms", (long long)down_us / 1000);
    server.down_until_us = world.now_us + down_us;
    server.holder = NULL;
    LIST_FOREACH(s, &server.statements, all) {
        if (s->executed) {
            s->err = (struct err){ERR_PG_LOST, "the server fell"};
        } else {
            s->lost = true;
        }
    }
    store_fall();
}

const char *pg_pool_waits(const struct pg_pool *p, uint32_t owner) {
    (void)p;
    (void)owner;
    return NULL;
}
