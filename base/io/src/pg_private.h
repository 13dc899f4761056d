/* What the files of the Postgres client share: pg.c (pool) → pg_conn.c (connection) → pg_call.c, pg_conninfo.c. */
#ifndef IO_PG_PRIVATE_H
#define IO_PG_PRIVATE_H

#include <base/span.h>
#include <io/pg.h>
#include <sys/queue.h>

enum { PG_WHY_BYTES = 256 };

/* ---- pg_conninfo.c: where the server is and who we are there ---- */

enum { PG_CONNINFO_MAX = 64 }; /* libpq 15 knows 41 keywords, and we add some again */

struct pg_conninfo {
    const char *keywords[PG_CONNINFO_MAX], *values[PG_CONNINFO_MAX]; /* for PQconnectStartParams */
    int n;
    PQconninfoOption *parsed; /* the url; owned, as is what follows */
    char *user, *password, *application_name, *options, *hostaddr;
    const char *database; /* of the url; NULL: the server's own idea */
};
/* idle_session_ms: server-side idle_session_timeout; 0: none. */
MUST struct err pg_conninfo_make(const struct pg_options *o, int64_t idle_session_ms, struct pg_conninfo *out);
void pg_conninfo_free(struct pg_conninfo *c);

/* ---- pg_call.c: one statement handed over, until its callback ran ---- */

struct pg_call {
    STAILQ_ENTRY(pg_call) next;
    const struct pg_stmt *stmt;
    pg_cb *cb;
    void *arg;
    int64_t order;
    uint32_t owner; /* loop_owner when it was handed over */
    struct span_mark mark;
    bool shared; /* may share a transaction; cleared when it must run alone */
    bool spare;  /* preallocated for refusals without memory */
    enum err_code failed;
    char *detail;  /* of the failure; NULL without memory */
    PGresult *res; /* its answer, not yet committed until the call is done */
    const char **values;
    int *lengths, *formats;
};
STAILQ_HEAD(pg_call_list, pg_call);

/* values NULL: a call that is only to be refused. ERR_INVALID: a text parameter holds a NUL byte, which libpq would cut. */
MUST struct err pg_call_new(const struct pg_stmt *stmt, const struct pg_value *values, struct pg_call **out);
void pg_call_free(struct pg_call *c);
void pg_call_fail(struct pg_call *c, enum err_code code, const char *detail);
void pg_call_run_callback(struct pg_call *c);
void pg_call_end_span(const struct pg_call *c, const char *database); /* before its callback; database is the pool's */

/* The error behind a failed result: code by SQLSTATE, "SQLSTATE message". */
struct err pg_result_err(const PGresult *res);
bool pg_result_ends_session(const PGresult *res); /* FATAL, PANIC, or libpq's own: the connection is gone */
bool pg_result_is(const PGresult *res, const char *sqlstate);

/* ---- pg_conn.c: one connection ---- */

struct pg_conn;
enum pg_conn_state { PG_CONN_CONNECTING, PG_CONN_IDLE, PG_CONN_FLYING };

/* answer_ms: a connection in flight from which nothing came for so long is given up. */
MUST struct err pg_conn_new(struct pg_pool *p, struct loop *l, const struct pg_conninfo *ci, int64_t connect_ms,
                            int64_t answer_ms, struct pg_conn **out);
void pg_conn_free(struct pg_conn *c); /* takes nothing with it: pg_conn_land first */
enum pg_conn_state pg_conn_state(const struct pg_conn *c);
const char *pg_conn_waits(const struct pg_conn *c, uint32_t owner);           /* as pg_pool_waits, of what is in flight */
const char *pg_calls_waits(const struct pg_call_list *calls, uint32_t owner); /* as pg_pool_waits */

/* Sends the calls (at most LIMIT_BATCH; taken) to an idle connection: the shared ones before one Sync, each other before its
 * own. An error: the connection must be given up. */
MUST struct err pg_conn_fly(struct pg_conn *c, struct pg_call_list *calls);
void pg_conn_land(struct pg_conn *c, enum err_code code, const char *why); /* fails what is in flight; the pool gets it as done */

/* ---- pg.c: what a connection tells its pool ---- */

void pg_pool_done(struct pg_pool *p, struct pg_call *call);              /* has its result or its failure; callback later */
void pg_pool_again(struct pg_pool *p, struct pg_call_list *calls);       /* to be sent again, each alone; taken */
void pg_pool_opened(struct pg_pool *p);                                  /* CONNECTING → IDLE */
void pg_pool_advanced(struct pg_pool *p);                                /* runs callbacks: the connection may be gone after it */
void pg_pool_lost(struct pg_pool *p, struct pg_conn *c, struct err why); /* likewise; c is gone */

/* A pool whose sessions end when idle for so long; pg_lock.c. */
MUST struct err pg_pool_new_idle(struct loop *l, const struct pg_options *o, int64_t idle_session_ms, struct pg_pool **out);
/* pg_lock_new with another time after which a session that was not heard of is gone; a ping comes every 3/10 of it. */
MUST struct err pg_lock_new_idle(struct loop *l, const struct pg_options *o, int64_t key, int64_t idle_ms,
                                 void (*on_change)(void *arg, bool held), void *arg, struct pg_lock **out);

#endif
