/* What the Postgres tests share: a pool, outcomes of statements, and waiting for them. */
#ifndef PG_FIXTURE_H
#define PG_FIXTURE_H

#include "server.h"
#include "unit.h"
#include "wait.h"

#include <base/limits.h>
#include <io/pg.h>
#include <stdio.h>
#include <stdlib.h>

enum { PG_SOON_MS = 8000 };

struct pg_states {
    int ups, downs;
    char why[256];
};

static inline void note_pg_state(void *arg, bool up, struct err why) {
    struct pg_states *s = arg;
    s->ups += up ? 1 : 0;
    s->downs += up ? 0 : 1;
    (void)snprintf(s->why, sizeof s->why, "%s: %s", err_name(why.code), why.detail);
}

struct pg_outcome {
    int runs;
    enum err_code code;
    char detail[256];
    int rows;
    char text[128]; /* first column of the first row */
    int place;      /* how many callbacks had run before */
};

extern int callbacks_run; /* of note_pg_outcome; each test file defines it */

static inline void note_pg_outcome(void *arg, struct err err, const PGresult *res) {
    struct pg_outcome *o = arg;
    o->runs++;
    o->place = callbacks_run++;
    o->code = err.code;
    (void)snprintf(o->detail, sizeof o->detail, "%s", err.detail);
    assert_true((res == NULL) == (err.code != ERR_NONE));
    o->rows = res != NULL ? PQntuples(res) : 0;
    if (o->rows > 0 && PQnfields(res) > 0) {
        (void)snprintf(o->text, sizeof o->text, "%.*s", STR_ARG(pg_col(res, 0, 0)));
    }
}

static inline bool pg_has_run(void *arg) { return ((struct pg_outcome *)arg)->runs > 0; }
static inline bool pg_is_up(void *arg) { return pg_pool_is_up(arg); }
static inline bool pg_is_quiet(void *arg) { return pg_pool_waiting(arg) == 0; }
static inline bool pg_has_gone_down(void *arg) { return ((struct pg_states *)arg)->downs > 0; }
static inline bool pg_has_come_up(void *arg) { return ((struct pg_states *)arg)->ups > 0; }

static inline struct pg_outcome pg_ask(struct loop *l, struct pg_pool *p, const struct pg_stmt *stmt,
                                       const struct pg_value *values) {
    struct pg_outcome o = {0};
    pg_exec(p, stmt, values, 0, 0, note_pg_outcome, &o);
    assert_true(wait_until(l, PG_SOON_MS, pg_has_run, &o));
    assert_int_equal(1, o.runs);
    return o;
}

/* Runs SQL that is made up on the spot; the statement lives as long as the pool's connections. */
static inline void pg_run(struct loop *l, int port, const char *sql) {
    struct pg_stmt stmt = {"setup", sql, 0};
    struct pg_pool *p;
    char url[96];
    (void)snprintf(url, sizeof url, "postgresql://postgres@127.0.0.1:%d/postgres", port);
    struct pg_options o = {.url = url, .connections = 1, .max_waiting = 10, .connect_ms = 3000, .statement_ms = 5000};
    assert_ok(pg_pool_new(l, &o, &p));
    struct pg_outcome out = pg_ask(l, p, &stmt, NULL);
    if (out.code != ERR_NONE) {
        fail_msg("%s: %s", sql, out.detail);
    }
    pg_pool_close(p);
}

static inline struct pg_options pg_options_for(char url[96], int port, struct pg_states *s) {
    (void)snprintf(url, 96, "postgresql://127.0.0.1:%d/postgres", port);
    return (struct pg_options){.url = url,
                               .user = "postgres",
                               .application_name = "test",
                               .connections = 1,
                               .max_waiting = 1000,
                               .connect_ms = 3000,
                               .statement_ms = 2000,
                               .on_state = s != NULL ? note_pg_state : NULL,
                               .arg = s};
}

static inline struct pg_pool *pg_pool_to(struct loop *l, int port, struct pg_states *s) {
    char url[96];
    struct pg_options o = pg_options_for(url, port, s);
    struct pg_pool *p;
    assert_ok(pg_pool_new(l, &o, &p));
    return p;
}

/* libuv opens descriptors of the process with its first loop: have them before counting. */
static inline void pg_open_process_fds(void) {
    struct loop *l;
    assert_ok(loop_new(&l));
    loop_free(l);
}

#endif
