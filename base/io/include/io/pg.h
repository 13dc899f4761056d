/* Postgres: a bounded pool of pipelined libpq connections for one role.
 *
 * A statement is a value: its text, its parameters, a callback. The pool owns a copy, so it can send it again. Statements
 * handed over in one turn of the loop, and those that came while a connection was busy, go out together. Those marked
 * PG_SHARED may share one transaction (up to LIMIT_BATCH of them before one Sync, sorted by `order` so that two batches lock
 * rows in one order): the group commit that makes effects cheap. When a shared transaction fails, each of its statements is
 * run again alone, and only its own failure is reported. A statement that is not PG_SHARED is a transaction of its own.
 * Every statement must therefore be complete in itself (data-modifying CTEs) and safe to send twice.
 *
 * A lost connection after sending is ERR_PG_LOST (it may have committed); refused, shutting down, too many clients or a read
 * only server is ERR_PG_DOWN (it did not). Reconnects with full jitter, 50 ms to 2 s, at most 5 attempts a second. */
#ifndef IO_PG_H
#define IO_PG_H

#include <base/arena.h>
#include <base/buf.h>
#include <base/err.h>
#include <base/ids.h>
#include <io/loop.h>
#include <libpq-fe.h>

struct pg_pool;

struct pg_options {
    const char *url;      /* conf postgres.url */
    const char *user;     /* role; NULL: the url's */
    const char *password; /* NULL: none */
    const char *application_name;
    int connections;    /* most; opened when statements wait */
    size_t max_waiting; /* statements waiting or in flight; more are refused with ERR_BUSY */
    int64_t connect_ms, statement_ms;
    void (*on_state)(void *arg, bool up, struct err why); /* first connection up, or last one lost; may be NULL */
    void *arg;
};

/* Options are copied. Nothing connects before the first statement, or pg_pool_warm. The host in the url must be an address
 * or a socket folder: libpq resolves names blockingly. */
MUST struct err pg_pool_new(struct loop *l, const struct pg_options *o, struct pg_pool **out);
void pg_pool_warm(struct pg_pool *p);  /* opens one connection now and keeps it */
void pg_pool_close(struct pg_pool *p); /* pending statements fail with ERR_CLOSED before it returns; NULL is fine */
/* Where several pools close whose callbacks use one another: shut them all, then close them all. Pending statements fail as above; a later
 * pg_exec is answered with ERR_CLOSED before it returns. */
void pg_pool_shut(struct pg_pool *p);
bool pg_pool_is_up(const struct pg_pool *p);
struct err pg_pool_why_down(const struct pg_pool *p);
size_t pg_pool_waiting(const struct pg_pool *p);
/* The name of a statement that was handed over on behalf of owner (loop_owner) and has no answer yet; NULL: there is none. */
const char *pg_pool_waits(const struct pg_pool *p, uint32_t owner);

/* Text of a prepared statement; static const, one per query: its address names it. Prepared on each connection on first
 * use. */
struct pg_stmt {
    const char *name; /* unique in the process; shown in errors */
    const char *sql;
    int params;
};

/* A parameter: text form, or bytes for bytea (binary). NULL p is SQL NULL. */
struct pg_value {
    const char *p;
    size_t n;
    bool binary;
};
#define PG_NULL ((struct pg_value){NULL, 0, false})
static inline struct pg_value pg_text(struct str s) { return (struct pg_value){s.p != NULL ? s.p : "", s.n, false}; }
static inline struct pg_value pg_text_or_null(struct str s) { return (struct pg_value){s.p, s.n, false}; }
static inline struct pg_value pg_bytes(struct str s) { return (struct pg_value){s.p != NULL ? s.p : "", s.n, true}; }
/* Formatted into room, which must live until pg_exec returns. */
enum { PG_INT_BYTES = 24, PG_UUID_BYTES = UUID_TEXT_BYTES };
struct pg_value pg_int(int64_t v, char room[PG_INT_BYTES]);
struct pg_value pg_uuid(struct uuid u, char room[PG_UUID_BYTES]);

enum { PG_SHARED = 1 };

/* res is NULL exactly when err is set; borrowed for the callback. Rows are in text form. */
typedef void pg_cb(void *arg, struct err err, const PGresult *res);

/* The callback runs exactly once, never before pg_exec returns (a refusal included). values are copied. */
void pg_exec(struct pg_pool *p, const struct pg_stmt *stmt, const struct pg_value *values, int flags, int64_t order, pg_cb *cb,
             void *arg);

/* Columns of a result; the row must exist. */
struct str pg_col(const PGresult *res, int row, int col); /* empty for NULL */
bool pg_col_null(const PGresult *res, int row, int col);
int64_t pg_col_int(const PGresult *res, int row, int col); /* 0 for NULL */
bool pg_col_bool(const PGresult *res, int row, int col);
bool pg_col_uuid(const PGresult *res, int row, int col, struct uuid *out);
/* bytea (hex text form) decoded into the arena, NUL-terminated; p is NULL for NULL, for what is not bytea, without memory. */
struct str pg_col_bytes(const PGresult *res, int row, int col, struct arena *a);

/* Builders of array parameters ('{"a",NULL,…}'), for statements over many rows. */
void pg_array_begin(struct buf *b);
void pg_array_add(struct buf *b, struct pg_value v); /* text quoted, bytes as \x hex, NULL as NULL */
void pg_array_end(struct buf *b);

/* A session of its own that holds an advisory lock while it lives: economy among schedulers, never correctness. It pings every
 * 3 s under idle_session_timeout 10 s, so that a stopped process loses the lock by itself. Tries again every second. */
struct pg_lock;
MUST struct err pg_lock_new(struct loop *l, const struct pg_options *o, int64_t key, void (*on_change)(void *arg, bool held),
                            void *arg, struct pg_lock **out);
bool pg_lock_held(const struct pg_lock *k);
void pg_lock_close(struct pg_lock *k);

#endif
