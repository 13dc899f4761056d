/* One connection in pipeline mode. A flight is what is sent at once: units, each ended by a Sync and so a transaction of its
 * own. A unit is either one Parse (a statement's first use here), or the statements that share a transaction, or one
 * statement. Answers come in the order of sending: every statement's result, a NULL behind it, and the Sync's own at the end
 * of the unit. An error makes libpq answer PIPELINE_ABORTED for the rest of its unit; an error of the commit itself comes
 * between the last statement and the Sync's answer. Only the Sync's answer says committed, so a unit is decided there.
 *
 * No callback of a caller runs in this file before pg_pool_advanced or pg_pool_lost, which are the last thing done. */
#include "pg_private.h"

#include <base/limits.h>
#include <io/poll.h>
#include <io/timer.h>
#include <stdio.h>
#include <stdlib.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* Kept per statement and connection. */
struct prepared {
    UT_hash_handle hh;
    const struct pg_stmt *stmt; /* key: the address */
    char name[16];              /* on the server */
    enum { UNKNOWN, ASKED, READY } state;
    enum err_code failed; /* why the last Parse failed */
    char *detail;
};

struct unit {
    struct prepared *prepare;  /* a Parse; else: */
    struct pg_call_list calls; /* ordered as sent */
    struct pg_call *current;   /* whose result is due */
    size_t calls_n;
    PGresult *error; /* the first */
};

struct pg_conn {
    struct pg_pool *pool;
    struct loop *loop;
    int64_t answer_ms;
    enum pg_conn_state state;
    PGconn *pg;
    struct poll *poll;
    struct timer *timer; /* connect deadline, then that of the flight */
    struct prepared *prepared;
    unsigned names;
    struct unit units[2 * LIMIT_BATCH];
    size_t units_n, unit_at;
    bool null_seen;              /* the last PQgetResult ended a statement */
    char farewell[PG_WHY_BYTES]; /* the FATAL message that came before the end */
};

/* ---- the end ---- */

static struct err link_err(struct pg_conn *c, enum err_code code) {
    if (c->farewell[0] != '\0') {
        return err_make(code, "%s", c->farewell);
    }
    const char *text = PQerrorMessage(c->pg);
    size_t n = strlen(text);
    while (n > 0 && text[n - 1] == '\n') {
        n--;
    }
    return err_make(code, "%.*s", (int)n, text);
}

static void free_prepared(struct pg_conn *c) {
    struct prepared *p, *next;
    HASH_ITER(hh, c->prepared, p, next) {
        HASH_DEL(c->prepared, p);
        free(p->detail);
        free(p);
    }
}

void pg_conn_free(struct pg_conn *c) {
    poll_free(c->poll);
    timer_free(c->timer);
    PQfinish(c->pg);
    free_prepared(c);
    free(c);
}

void pg_conn_land(struct pg_conn *c, enum err_code code, const char *why) {
    for (; c->unit_at < c->units_n; c->unit_at++) {
        struct unit *u = &c->units[c->unit_at];
        struct pg_call *call;
        while ((call = STAILQ_FIRST(&u->calls)) != NULL) {
            STAILQ_REMOVE_HEAD(&u->calls, next);
            pg_call_fail(call, code, why);
            pg_pool_done(c->pool, call);
        }
        PQclear(u->error);
        u->error = NULL;
    }
}

/* ---- results ---- */

static void note_error(struct unit *u, PGresult *res) {
    if (u->error == NULL) {
        u->error = res;
    } else {
        PQclear(res);
    }
}

static void finish_prepare(struct unit *u) {
    struct prepared *p = u->prepare;
    free(p->detail);
    p->detail = NULL;
    p->failed = ERR_NONE;
    p->state = READY;
    if (u->error != NULL) {
        struct err e = pg_result_err(u->error);
        p->state = UNKNOWN; /* the next use asks again */
        p->failed = e.code;
        p->detail = strdup(e.detail);
    }
}

/* A statement that runs alone has failed. When its Parse did, that is the error worth telling. */
static void fail_alone(struct pg_conn *c, struct unit *u, struct pg_call *call) {
    struct prepared *p;
    HASH_FIND_PTR(c->prepared, &call->stmt, p);
    struct err e = pg_result_err(u->error);
    if (p != NULL && p->failed != ERR_NONE && pg_result_is(u->error, "26000")) {
        e = (struct err){p->failed, p->detail != NULL ? p->detail : e.detail};
    }
    pg_call_fail(call, e.code, e.detail);
}

static void finish_calls(struct pg_conn *c, struct unit *u) {
    struct pg_call *call;
    if (u->error != NULL && u->calls_n > 1) {
        pg_pool_again(c->pool, &u->calls);
        return;
    }
    while ((call = STAILQ_FIRST(&u->calls)) != NULL) {
        STAILQ_REMOVE_HEAD(&u->calls, next);
        if (u->error != NULL) {
            fail_alone(c, u, call);
        }
        pg_pool_done(c->pool, call);
    }
}

static void finish_unit(struct pg_conn *c, struct unit *u) {
    c->unit_at++;
    if (u->prepare != NULL) {
        finish_prepare(u);
    } else {
        finish_calls(c, u);
    }
    PQclear(u->error);
    u->error = NULL;
    if (c->unit_at == c->units_n) {
        c->state = PG_CONN_IDLE;
        timer_stop(c->timer);
    } else {
        timer_start(c->timer, c->answer_ms);
    }
}

static struct err take_result(struct pg_conn *c, PGresult *res) {
    struct unit *u = &c->units[c->unit_at];
    ExecStatusType status = PQresultStatus(res);
    if (status == PGRES_PIPELINE_SYNC) {
        PQclear(res);
        finish_unit(c, u);
    } else if (status == PGRES_PIPELINE_ABORTED) {
        PQclear(res);
    } else if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK) {
        if (u->prepare != NULL || u->current == NULL || u->current->res != NULL) {
            PQclear(res);
        } else {
            u->current->res = res;
        }
    } else if (pg_result_ends_session(res)) {
        struct err e = pg_result_err(res);
        PQclear(res);
        return err_make(ERR_PG_LOST, "%s", e.detail);
    } else {
        note_error(u, res);
    }
    return OK;
}

static struct err read_results(struct pg_conn *c) {
    while (c->state == PG_CONN_FLYING && PQisBusy(c->pg) == 0) {
        PGresult *res = PQgetResult(c->pg);
        if (res != NULL) {
            c->null_seen = false;
            TRY(take_result(c, res));
            continue;
        }
        if (c->null_seen) {
            return err_make(ERR_PG_LOST, "out of step with the server");
        }
        c->null_seen = true;
        struct unit *u = &c->units[c->unit_at];
        if (u->current != NULL) {
            u->current = STAILQ_NEXT(u->current, next);
        }
    }
    return OK;
}

/* ---- sending ---- */

static struct err flush(struct pg_conn *c) {
    int rc = PQflush(c->pg);
    if (rc < 0) {
        return link_err(c, ERR_PG_LOST);
    }
    poll_watch(c->poll, POLL_READ | (rc > 0 ? POLL_WRITE : 0));
    return OK;
}

static struct unit *new_unit(struct pg_conn *c) {
    struct unit *u = &c->units[c->units_n++];
    *u = (struct unit){0};
    STAILQ_INIT(&u->calls);
    return u;
}

static struct err end_unit(struct pg_conn *c) { return PQpipelineSync(c->pg) == 1 ? OK : link_err(c, ERR_PG_LOST); }

static struct prepared *get_prepared(struct pg_conn *c, const struct pg_stmt *stmt) {
    struct prepared *p;
    HASH_FIND_PTR(c->prepared, &stmt, p);
    if (p != NULL) {
        return p;
    }
    p = calloc(1, sizeof *p);
    if (p == NULL) {
        return NULL;
    }
    p->stmt = stmt;
    (void)snprintf(p->name, sizeof p->name, "s%u", c->names++);
    HASH_ADD_PTR(c->prepared, stmt, p);
    if (p->hh.tbl == NULL) { /* uthash found no memory */
        free(p);
        return NULL;
    }
    return p;
}

/* A Parse gets a Sync of its own: when it fails, only the statements that need it fail. */
static struct err prepare(struct pg_conn *c, struct prepared *p) {
    if (p->state != UNKNOWN) {
        return OK;
    }
    if (PQsendPrepare(c->pg, p->name, p->stmt->sql, p->stmt->params, NULL) != 1) {
        return link_err(c, ERR_PG_LOST);
    }
    p->state = ASKED;
    new_unit(c)->prepare = p;
    return end_unit(c);
}

/* Asks for what is not prepared yet. Calls for which there is no memory are failed and taken out of the list. */
static struct err prepare_all(struct pg_conn *c, struct pg_call_list *calls) {
    struct pg_call_list rest = STAILQ_HEAD_INITIALIZER(rest);
    struct err e = OK;
    struct pg_call *call;
    while ((call = STAILQ_FIRST(calls)) != NULL) {
        STAILQ_REMOVE_HEAD(calls, next);
        struct prepared *p = get_prepared(c, call->stmt);
        if (p == NULL) {
            pg_call_fail(call, ERR_NOMEM, "prepared statement");
            pg_pool_done(c->pool, call);
            continue;
        }
        STAILQ_INSERT_TAIL(&rest, call, next);
        if (!err_is_set(e)) {
            e = prepare(c, p);
        }
    }
    STAILQ_CONCAT(calls, &rest);
    return e;
}

static void add_ordered(struct unit *u, struct pg_call *call) {
    struct pg_call *behind = NULL, *at;
    STAILQ_FOREACH(at, &u->calls, next) {
        if (at->order > call->order) {
            break;
        }
        behind = at;
    }
    if (behind == NULL) {
        STAILQ_INSERT_HEAD(&u->calls, call, next);
    } else {
        STAILQ_INSERT_AFTER(&u->calls, behind, call, next);
    }
    u->calls_n++;
}

/* Every call gets into a unit before anything is sent, so that none is forgotten when sending fails. */
static size_t make_units(struct pg_conn *c, struct pg_call_list *calls) {
    size_t first = c->units_n;
    struct unit *shared = NULL;
    struct pg_call *call;
    while ((call = STAILQ_FIRST(calls)) != NULL) {
        STAILQ_REMOVE_HEAD(calls, next);
        struct unit *u = call->shared && shared != NULL ? shared : new_unit(c);
        if (call->shared) {
            shared = u;
        }
        add_ordered(u, call);
    }
    return first;
}

static struct err send_unit(struct pg_conn *c, struct unit *u) {
    struct pg_call *call;
    u->current = STAILQ_FIRST(&u->calls);
    STAILQ_FOREACH(call, &u->calls, next) {
        struct prepared *p;
        HASH_FIND_PTR(c->prepared, &call->stmt, p);
        if (p == NULL ||
            PQsendQueryPrepared(c->pg, p->name, call->stmt->params, call->values, call->lengths, call->formats, 0) != 1) {
            return link_err(c, ERR_PG_LOST);
        }
    }
    return end_unit(c);
}

struct err pg_conn_fly(struct pg_conn *c, struct pg_call_list *calls) {
    c->units_n = c->unit_at = 0;
    struct err e = prepare_all(c, calls);
    size_t first = make_units(c, calls);
    TRY(e);
    for (size_t i = first; i < c->units_n; i++) {
        TRY(send_unit(c, &c->units[i]));
    }
    if (c->units_n == 0) {
        return OK;
    }
    c->state = PG_CONN_FLYING;
    timer_start(c->timer, c->answer_ms);
    return flush(c);
}

/* ---- events ---- */

static void on_ready(void *arg, int events);

static struct err enter_pipeline(struct pg_conn *c) {
    if (PQsetnonblocking(c->pg, 1) != 0 || PQenterPipelineMode(c->pg) != 1) {
        return link_err(c, ERR_PG_DOWN);
    }
    c->state = PG_CONN_IDLE;
    timer_stop(c->timer);
    poll_watch(c->poll, POLL_READ);
    pg_pool_opened(c->pool);
    return OK;
}

/* libpq may close its socket and open another one, even under the same number: nothing is watched while it works. */
static struct err advance_connect(struct pg_conn *c) {
    poll_watch(c->poll, 0);
    PostgresPollingStatusType status = PQconnectPoll(c->pg);
    if (status == PGRES_POLLING_FAILED) {
        return link_err(c, ERR_PG_DOWN);
    }
    if (PQsocket(c->pg) != poll_fd(c->poll)) {
        poll_free(c->poll);
        c->poll = NULL;
        TRY(poll_new(c->loop, PQsocket(c->pg), on_ready, c, &c->poll));
    }
    if (status == PGRES_POLLING_OK) {
        return enter_pipeline(c);
    }
    poll_watch(c->poll, status == PGRES_POLLING_READING ? POLL_READ : POLL_WRITE);
    return OK;
}

/* What arrived before the end is still read: it may say "committed". */
static struct err advance_flight(struct pg_conn *c, int events) {
    bool alive = (events & POLL_READ) == 0 || PQconsumeInput(c->pg) == 1;
    TRY(read_results(c));
    if (!alive) {
        return link_err(c, ERR_PG_LOST);
    }
    if (c->state == PG_CONN_IDLE) {
        (void)PQisBusy(c->pg); /* reads a notice or a farewell */
    }
    return flush(c);
}

static void on_ready(void *arg, int events) {
    struct pg_conn *c = arg;
    struct err e = c->state == PG_CONN_CONNECTING ? advance_connect(c) : advance_flight(c, events);
    if (err_is_set(e)) {
        pg_pool_lost(c->pool, c, e);
    } else {
        pg_pool_advanced(c->pool);
    }
}

/* When this process was stopped for a while, the answers may lie in the socket: they are read first. */
static struct err on_deadline(struct pg_conn *c) {
    if (c->state == PG_CONN_CONNECTING) {
        return err_make(ERR_PG_DOWN, "no connection before the deadline");
    }
    size_t before = c->unit_at;
    TRY(advance_flight(c, POLL_READ));
    return c->unit_at > before ? OK : err_make(ERR_PG_LOST, "no answer before the deadline");
}

static void on_timer(void *arg) {
    struct pg_conn *c = arg;
    struct err e = on_deadline(c);
    if (err_is_set(e)) {
        pg_pool_lost(c->pool, c, e);
    } else {
        pg_pool_advanced(c->pool);
    }
}

/* Notices go nowhere, but for the one that says why the server hangs up. */
static void on_notice(void *arg, const PGresult *res) {
    struct pg_conn *c = arg;
    if (pg_result_ends_session(res)) {
        (void)snprintf(c->farewell, sizeof c->farewell, "%s", pg_result_err(res).detail);
    }
}

static struct err start_connect(struct pg_conn *c, const struct pg_conninfo *ci, int64_t connect_ms) {
    TRY(timer_new(c->loop, on_timer, c, &c->timer));
    c->pg = PQconnectStartParams(ci->keywords, ci->values, 0);
    if (c->pg == NULL) {
        return err_make(ERR_NOMEM, "postgres connection");
    }
    if (PQstatus(c->pg) == CONNECTION_BAD) {
        return link_err(c, ERR_PG_DOWN);
    }
    (void)PQsetNoticeReceiver(c->pg, on_notice, c);
    TRY(poll_new(c->loop, PQsocket(c->pg), on_ready, c, &c->poll));
    poll_watch(c->poll, POLL_WRITE);
    timer_start(c->timer, connect_ms);
    return OK;
}

struct err pg_conn_new(struct pg_pool *p, struct loop *l, const struct pg_conninfo *ci, int64_t connect_ms, int64_t answer_ms,
                       struct pg_conn **out) {
    struct pg_conn *c = calloc(1, sizeof *c);
    if (c == NULL) {
        return err_make(ERR_NOMEM, "postgres connection");
    }
    c->pool = p;
    c->loop = l;
    c->answer_ms = answer_ms;
    struct err e = start_connect(c, ci, connect_ms);
    if (err_is_set(e)) {
        pg_conn_free(c);
        return e;
    }
    *out = c;
    return OK;
}

enum pg_conn_state pg_conn_state(const struct pg_conn *c) { return c->state; }

const char *pg_conn_waits(const struct pg_conn *c, uint32_t owner) {
    const char *name = NULL;
    for (size_t i = c->unit_at; i < c->units_n && name == NULL; i++) {
        name = pg_calls_waits(&c->units[i].calls, owner);
    }
    return name;
}
