/* The pool: who waits, which connections there are, and when to open one.
 *
 * Every statement handed over ends on the list `done` with its outcome, and deliver() runs the callbacks from there. A
 * callback may do anything to the pool, also close it: deliver() then goes on inside pg_pool_close, and the object is freed by
 * the outermost leave(). */
#include "backoff.h"
#include "pg_private.h"

#include <base/limits.h>
#include <io/timer.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ANSWER_GRACE_MS = 2000, /* the server's own statement_timeout comes first */
    ATTEMPTS_PER_S = 5,
    SPARES = 64, /* refusals that need no memory */
};

struct pg_pool {
    struct loop *loop;
    struct pg_conninfo conninfo;
    int64_t connect_ms, answer_ms;
    size_t max_waiting;
    void (*on_state)(void *arg, bool up, struct err why);
    void *arg;

    struct pg_call_list waiting, done, spare;
    size_t calls_n; /* accepted and not yet delivered */
    struct turn_end turn;

    struct pg_conn **conns;
    int conns_n, conns_max, open_n; /* open: past connecting */
    bool keep;                      /* one connection is wanted even when nothing waits */
    struct timer *timer;            /* runs until the next attempt is allowed */
    unsigned failures;              /* attempts in a row */
    int64_t attempts_us[ATTEMPTS_PER_S];
    unsigned attempt_at;

    bool closed;
    bool shut;                                      /* closed, and kept for late calls until pg_pool_close */
    enum { TOLD_NOTHING, TOLD_UP, TOLD_DOWN } told; /* to on_state */
    unsigned depth;                                 /* of callbacks in progress */
    enum err_code why;
    char why_text[PG_WHY_BYTES];
};

static void destroy(struct pg_pool *p) {
    struct pg_call *c;
    while ((c = STAILQ_FIRST(&p->spare)) != NULL) {
        STAILQ_REMOVE_HEAD(&p->spare, next);
        pg_call_free(c);
    }
    loop_cancel_turn_end(p->loop, &p->turn);
    timer_free(p->timer);
    pg_conninfo_free(&p->conninfo);
    free(p->conns);
    free(p);
}

static void enter(struct pg_pool *p) { p->depth++; }

static void leave(struct pg_pool *p) {
    if (--p->depth == 0 && p->closed) {
        destroy(p);
    }
}

/* ---- outcomes ---- */

void pg_pool_done(struct pg_pool *p, struct pg_call *call) { STAILQ_INSERT_TAIL(&p->done, call, next); }

void pg_pool_again(struct pg_pool *p, struct pg_call_list *calls) {
    struct pg_call *c;
    STAILQ_FOREACH(c, calls, next) {
        PQclear(c->res);
        c->res = NULL;
        c->shared = false;
    }
    STAILQ_CONCAT(calls, &p->waiting);
    STAILQ_CONCAT(&p->waiting, calls);
}

static void deliver_one(struct pg_pool *p) {
    struct pg_call *c = STAILQ_FIRST(&p->done);
    STAILQ_REMOVE_HEAD(&p->done, next);
    p->calls_n--;
    struct pg_call copy = *c;
    uint32_t before = loop_own(p->loop, c->owner);
    pg_call_end_span(c, p->conninfo.database);
    if (c->spare) {
        STAILQ_INSERT_HEAD(&p->spare, c, next);
        pg_call_run_callback(&copy);
    } else {
        pg_call_run_callback(c);
        pg_call_free(c);
    }
    (void)loop_own(p->loop, before);
}

static void deliver(struct pg_pool *p) {
    while (!STAILQ_EMPTY(&p->done)) {
        deliver_one(p);
    }
}

static void fail_waiting(struct pg_pool *p, enum err_code code) {
    struct pg_call *c;
    while ((c = STAILQ_FIRST(&p->waiting)) != NULL) {
        STAILQ_REMOVE_HEAD(&p->waiting, next);
        pg_call_fail(c, code, p->why_text);
        pg_pool_done(p, c);
    }
}

static void set_why(struct pg_pool *p, struct err why) {
    p->why = why.code;
    (void)snprintf(p->why_text, sizeof p->why_text, "%s", why.detail);
}

/* on_state hears of changes only. */
static void tell_state(struct pg_pool *p) {
    bool up = p->open_n > 0;
    if (p->closed || p->told == (up ? TOLD_UP : TOLD_DOWN)) {
        return;
    }
    p->told = up ? TOLD_UP : TOLD_DOWN;
    if (p->on_state != NULL) {
        p->on_state(p->arg, up, pg_pool_why_down(p));
    }
}

/* ---- connections ---- */

static void remove_conn(struct pg_pool *p, const struct pg_conn *c) {
    int at = 0;
    while (p->conns[at] != c) {
        at++;
    }
    p->conns_n--;
    memmove(&p->conns[at], &p->conns[at + 1], (size_t)(p->conns_n - at) * sizeof(struct pg_conn *));
}

static bool is_connecting(const struct pg_pool *p) { return p->open_n < p->conns_n; }

/* An attempt failed. Without any connection there is no hope for those who wait; with one they are served by it. */
static void attempt_failed(struct pg_pool *p, struct err why) {
    timer_start(p->timer, backoff_ms(p->failures++));
    if (p->open_n > 0) {
        return;
    }
    set_why(p, (struct err){ERR_PG_DOWN, why.detail});
    fail_waiting(p, ERR_PG_DOWN);
    deliver(p);
    tell_state(p);
}

void pg_pool_lost(struct pg_pool *p, struct pg_conn *c, struct err why) {
    bool connecting = pg_conn_state(c) == PG_CONN_CONNECTING;
    enter(p);
    pg_conn_land(c, ERR_PG_LOST, why.detail);
    remove_conn(p, c);
    pg_conn_free(c);
    if (connecting) {
        attempt_failed(p, why);
    } else {
        p->open_n--;
        if (p->open_n == 0) {
            set_why(p, (struct err){ERR_PG_LOST, why.detail});
        }
        timer_start(p->timer, backoff_ms(0));
        loop_at_turn_end(p->loop, &p->turn);
        deliver(p);
        tell_state(p);
    }
    leave(p);
}

void pg_pool_opened(struct pg_pool *p) {
    p->open_n++;
    p->failures = 0;
    if (p->open_n == 1) {
        set_why(p, OK);
    }
}

void pg_pool_advanced(struct pg_pool *p) {
    enter(p);
    deliver(p);
    if (!p->closed) {
        loop_at_turn_end(p->loop, &p->turn);
    }
    leave(p);
}

/* False: not before the timer runs out. */
static bool may_attempt(struct pg_pool *p) {
    if (timer_is_active(p->timer)) {
        return false;
    }
    int64_t now = loop_now(p->loop).us;
    int64_t *oldest = &p->attempts_us[p->attempt_at % ATTEMPTS_PER_S];
    if (*oldest != 0 && now - *oldest < 1000000) {
        timer_start(p->timer, (1000000 - (now - *oldest)) / 1000 + 1);
        return false;
    }
    *oldest = now;
    p->attempt_at++;
    return true;
}

static void open_conn(struct pg_pool *p) {
    if (is_connecting(p) || p->conns_n == p->conns_max || !may_attempt(p)) {
        return;
    }
    struct err e = pg_conn_new(p, p->loop, &p->conninfo, p->connect_ms, p->answer_ms, &p->conns[p->conns_n]);
    if (err_is_set(e)) {
        attempt_failed(p, e);
    } else {
        p->conns_n++;
    }
}

/* ---- the turn's end ---- */

static struct pg_conn *find_idle(const struct pg_pool *p) {
    for (int i = 0; i < p->conns_n; i++) {
        if (pg_conn_state(p->conns[i]) == PG_CONN_IDLE) {
            return p->conns[i];
        }
    }
    return NULL;
}

static void take_batch(struct pg_pool *p, struct pg_call_list *out) {
    struct pg_call *c;
    STAILQ_INIT(out);
    for (int n = 0; n < LIMIT_BATCH && (c = STAILQ_FIRST(&p->waiting)) != NULL; n++) {
        STAILQ_REMOVE_HEAD(&p->waiting, next);
        STAILQ_INSERT_TAIL(out, c, next);
    }
}

/* The connections opened first are used first: under little load one is enough, and the batches are full. */
static void send_waiting(struct pg_pool *p) {
    struct pg_conn *c;
    while (!p->closed && !STAILQ_EMPTY(&p->waiting) && (c = find_idle(p)) != NULL) {
        struct pg_call_list batch;
        take_batch(p, &batch);
        struct err e = pg_conn_fly(c, &batch);
        if (err_is_set(e)) {
            pg_pool_lost(p, c, e);
        }
    }
}

static void on_turn_end(void *arg) {
    struct pg_pool *p = arg;
    enter(p);
    if (p->open_n > 0) {
        tell_state(p);
    }
    send_waiting(p);
    bool more = !STAILQ_EMPTY(&p->waiting);
    if (!p->closed && (more || (p->keep && p->conns_n == 0))) {
        open_conn(p);
    }
    bool hopeless = p->conns_n == 0 && p->failures > 0; /* known to be down, and nobody is trying just now */
    if (!p->closed && hopeless) {
        fail_waiting(p, ERR_PG_DOWN);
    }
    deliver(p);
    leave(p);
}

static void on_timer(void *arg) {
    struct pg_pool *p = arg;
    loop_at_turn_end(p->loop, &p->turn);
}

/* ---- the owner's side ---- */

/* Without memory a spare takes the refusal; without a spare the oldest refusal is told now, and its place is free. */
static struct pg_call *take_refusal(struct pg_pool *p, const struct pg_stmt *stmt) {
    struct pg_call *c;
    if (!err_is_set(pg_call_new(stmt, NULL, &c))) {
        return c;
    }
    while ((c = STAILQ_FIRST(&p->spare)) == NULL) {
        deliver_one(p);
    }
    STAILQ_REMOVE_HEAD(&p->spare, next);
    c->stmt = stmt;
    return c;
}

static void refuse(struct pg_pool *p, const struct pg_stmt *stmt, struct err why, pg_cb *cb, void *arg) {
    struct pg_call *c = take_refusal(p, stmt);
    c->cb = cb;
    c->arg = arg;
    c->owner = loop_owner(p->loop);
    pg_call_fail(c, why.code, why.detail);
    p->calls_n++;
    pg_pool_done(p, c);
}

static struct err take_call(struct pg_pool *p, const struct pg_stmt *stmt, const struct pg_value *values, struct pg_call **out) {
    if (p->closed) {
        return err_make(ERR_CLOSED, "closing");
    }
    if (p->calls_n >= p->max_waiting) {
        return err_make(ERR_BUSY, "%zu statements wait", p->calls_n);
    }
    return pg_call_new(stmt, values, out);
}

void pg_exec(struct pg_pool *p, const struct pg_stmt *stmt, const struct pg_value *values, int flags, int64_t order, pg_cb *cb,
             void *arg) {
    struct pg_call *c;
    enter(p);
    struct err e = take_call(p, stmt, values, &c);
    if (err_is_set(e)) {
        refuse(p, stmt, e, cb, arg);
    } else {
        c->cb = cb;
        c->arg = arg;
        c->order = order;
        c->owner = loop_owner(p->loop);
        c->shared = (flags & PG_SHARED) != 0;
        span_begin(&c->mark, c->owner);
        p->calls_n++;
        p->keep = true;
        STAILQ_INSERT_TAIL(&p->waiting, c, next);
    }
    if (p->shut) {
        deliver(p); /* no turn of the loop will */
    } else if (!p->closed) {
        loop_at_turn_end(p->loop, &p->turn);
    }
    leave(p);
}

static struct err add_spares(struct pg_pool *p) {
    static const struct pg_stmt none = {"none", "", 0};
    for (int i = 0; i < SPARES; i++) {
        struct pg_call *c;
        TRY(pg_call_new(&none, NULL, &c));
        c->spare = true;
        STAILQ_INSERT_HEAD(&p->spare, c, next);
    }
    return OK;
}

static struct err setup(struct pg_pool *p, const struct pg_options *o, int64_t idle_session_ms) {
    p->conns = calloc((size_t)p->conns_max, sizeof(struct pg_conn *));
    if (p->conns == NULL) {
        return err_make(ERR_NOMEM, "postgres pool");
    }
    TRY(add_spares(p));
    TRY(pg_conninfo_make(o, idle_session_ms, &p->conninfo));
    return timer_new(p->loop, on_timer, p, &p->timer);
}

struct err pg_pool_new_idle(struct loop *l, const struct pg_options *o, int64_t idle_session_ms, struct pg_pool **out) {
    struct pg_pool *p = calloc(1, sizeof *p);
    if (p == NULL) {
        return err_make(ERR_NOMEM, "postgres pool");
    }
    p->loop = l;
    p->connect_ms = o->connect_ms;
    p->answer_ms = o->statement_ms + ANSWER_GRACE_MS;
    p->max_waiting = o->max_waiting;
    p->conns_max = o->connections;
    p->on_state = o->on_state;
    p->arg = o->arg;
    p->turn = (struct turn_end){.run = on_turn_end, .arg = p};
    STAILQ_INIT(&p->waiting);
    STAILQ_INIT(&p->done);
    STAILQ_INIT(&p->spare);
    set_why(p, (struct err){ERR_PG_DOWN, "not connected yet"});
    struct err e = setup(p, o, idle_session_ms);
    if (err_is_set(e)) {
        destroy(p);
        return e;
    }
    *out = p;
    return OK;
}

struct err pg_pool_new(struct loop *l, const struct pg_options *o, struct pg_pool **out) {
    return pg_pool_new_idle(l, o, 0, out);
}

void pg_pool_warm(struct pg_pool *p) {
    p->keep = true;
    loop_at_turn_end(p->loop, &p->turn);
}

static void close_now(struct pg_pool *p) {
    p->closed = true;
    enter(p);
    loop_cancel_turn_end(p->loop, &p->turn);
    timer_stop(p->timer);
    set_why(p, (struct err){ERR_CLOSED, "closing"});
    while (p->conns_n > 0) {
        struct pg_conn *c = p->conns[--p->conns_n];
        pg_conn_land(c, ERR_CLOSED, p->why_text);
        pg_conn_free(c);
    }
    p->open_n = 0;
    fail_waiting(p, ERR_CLOSED);
    deliver(p);
    leave(p);
}

void pg_pool_shut(struct pg_pool *p) {
    if (p != NULL && !p->closed) {
        p->shut = true;
        enter(p);
        close_now(p);
    }
}

void pg_pool_close(struct pg_pool *p) {
    if (p != NULL && p->shut) {
        p->shut = false;
        leave(p);
    } else if (p != NULL && !p->closed) {
        close_now(p);
    }
}

bool pg_pool_is_up(const struct pg_pool *p) { return p->open_n > 0; }

struct err pg_pool_why_down(const struct pg_pool *p) {
    return p->open_n > 0 ? OK : (struct err){p->why, p->why_text};
}

size_t pg_pool_waiting(const struct pg_pool *p) { return p->calls_n; }

const char *pg_pool_waits(const struct pg_pool *p, uint32_t owner) {
    const char *name = pg_calls_waits(&p->waiting, owner);
    for (int i = 0; i < p->conns_n && name == NULL; i++) {
        name = pg_conn_waits(p->conns[i], owner);
    }
    return name;
}
