/* The lock lives in the one session of a pool of its own; losing the session is losing the lock. */
#include "pg_private.h"

#include <io/timer.h>
#include <stdlib.h>

enum { TRY_MS = 1000, IDLE_MS = 10000 };

struct pg_lock {
    struct loop *loop;
    struct pg_pool *pool;
    struct timer *timer;
    void (*on_change)(void *arg, bool held);
    void *arg;
    int64_t key, idle_ms;
    bool held;
    struct mono confirmed; /* last answer of the session that holds it */
};

static const struct pg_stmt try_lock = {"pg_lock.try", "SELECT pg_try_advisory_lock($1)", 1};
static const struct pg_stmt ping = {"pg_lock.ping", "SELECT 1", 0};

/* The owner's callback comes last: it may close us in it. */
static void set_held(struct pg_lock *k, bool held) {
    if (k->held == held) {
        return;
    }
    k->held = held;
    timer_start_every(k->timer, held ? k->idle_ms * 3 / 10 : TRY_MS);
    if (k->on_change != NULL) {
        k->on_change(k->arg, held);
    }
}

static void on_tried(void *arg, struct err err, const PGresult *res) {
    struct pg_lock *k = arg;
    if (err.code == ERR_NONE && pg_col_bool(res, 0, 0)) {
        k->confirmed = loop_now(k->loop);
        set_held(k, true);
    }
}

static void on_pinged(void *arg, struct err err, const PGresult *res) {
    struct pg_lock *k = arg;
    (void)res;
    if (err.code == ERR_NONE && k->held) {
        k->confirmed = loop_now(k->loop);
    }
}

static void on_timer(void *arg) {
    struct pg_lock *k = arg;
    if (pg_pool_waiting(k->pool) > 0) {
        return; /* still waiting for the last answer */
    }
    if (k->held) {
        pg_exec(k->pool, &ping, NULL, 0, 0, on_pinged, k);
    } else {
        char room[PG_INT_BYTES];
        struct pg_value value = pg_int(k->key, room);
        pg_exec(k->pool, &try_lock, &value, 0, 0, on_tried, k);
    }
}

static void on_state(void *arg, bool up, struct err why) {
    struct pg_lock *k = arg;
    (void)why;
    if (!up) {
        set_held(k, false);
    }
}

static struct err setup(struct pg_lock *k, const struct pg_options *o) {
    struct pg_options own = *o;
    own.connections = 1;
    own.max_waiting = 1;
    own.on_state = on_state;
    own.arg = k;
    TRY(pg_pool_new_idle(k->loop, &own, k->idle_ms, &k->pool));
    return timer_new(k->loop, on_timer, k, &k->timer);
}

struct err pg_lock_new_idle(struct loop *l, const struct pg_options *o, int64_t key, int64_t idle_ms,
                            void (*on_change)(void *arg, bool held), void *arg, struct pg_lock **out) {
    struct pg_lock *k = calloc(1, sizeof *k);
    if (k == NULL) {
        return err_make(ERR_NOMEM, "postgres lock");
    }
    k->loop = l;
    k->on_change = on_change;
    k->arg = arg;
    k->key = key;
    k->idle_ms = idle_ms;
    struct err e = setup(k, o);
    if (err_is_set(e)) {
        pg_pool_close(k->pool);
        free(k);
        return e;
    }
    timer_start_every(k->timer, TRY_MS);
    on_timer(k);
    *out = k;
    return OK;
}

struct err pg_lock_new(struct loop *l, const struct pg_options *o, int64_t key, void (*on_change)(void *arg, bool held),
                       void *arg, struct pg_lock **out) {
    return pg_lock_new_idle(l, o, key, IDLE_MS, on_change, arg, out);
}

/* A process that was stopped for a while does not take its old answer for granted. */
bool pg_lock_held(const struct pg_lock *k) { return k->held && mono_ms_since(loop_now(k->loop), k->confirmed) < k->idle_ms; }

void pg_lock_close(struct pg_lock *k) {
    if (k != NULL) {
        timer_free(k->timer);
        pg_pool_close(k->pool);
        free(k);
    }
}
