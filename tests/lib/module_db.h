/* One module on a real Postgres: its schema, its role, its pool, an environment around it, and attempts run to their ends. For
 * tests of the domain modules; everything static, so that each executable links only its own module. */
#ifndef TESTS_MODULE_DB_H
#define TESTS_MODULE_DB_H

#include <base/conf.h>
#include <contracts/services.h>
#include <io/loop.h>
#include <io/pg.h>
#include <jobs/attempt.h>
#include <jobs/journal.h>
#include <jobs/type.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server.h"
#include "unit.h"
#include "wait.h"

enum { MODULE_DB_WAIT_MS = 20000 };

struct module_db {
    struct server *server;
    PGconn *admin; /* superuser, for looking and for the illegal */
    struct loop *loop;
    struct pg_pool *db, *platform;
    struct queue_table *queues;
    struct id_maker ids;
    struct conf conf;
    struct services services;
    struct module_env env;
};

static inline void sql_run(PGconn *c, const char *sql) {
    PGresult *res = PQexec(c, sql);
    ExecStatusType status = PQresultStatus(res);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(c));
    }
    PQclear(res);
}

/* The SQLSTATE a statement fails with; "" when it does not. */
static inline const char *sql_state(PGconn *c, const char *sql) {
    static char state[6];
    PGresult *res = PQexec(c, sql);
    const char *code = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    (void)snprintf(state, sizeof state, "%s", code != NULL ? code : "");
    PQclear(res);
    return state;
}

/* One value as text, in one of a few rotating buffers. */
static inline const char *sql_text(PGconn *c, const char *sql) {
    static char texts[8][2048];
    static unsigned next;
    char *text = texts[next++ % 8];
    PGresult *res = PQexec(c, sql);
    if (PQresultStatus(res) != PGRES_TUPLES_OK) {
        fail_msg("%s: %s", sql, PQerrorMessage(c));
    }
    (void)snprintf(text, sizeof texts[0], "%s", PQntuples(res) > 0 ? PQgetvalue(res, 0, 0) : "");
    PQclear(res);
    return text;
}

static inline int sql_int(PGconn *c, const char *sql) { return (int)strtol(sql_text(c, sql), NULL, 10); }

static inline char *module_db_read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    (void)fclose(f);
    return text;
}

static inline void module_db_queues_loaded_(void *arg, struct err err) {
    assert_ok(err);
    *(bool *)arg = true;
}

static inline bool module_db_flag_(void *arg) { return *(bool *)arg; }

static inline void module_db_silent_(void *arg, const char *text) {
    (void)arg;
    (void)text;
}

static inline PGconn *module_db_connect(struct module_db *m, const char *user) {
    char url[160];
    (void)snprintf(url, sizeof url, "host=127.0.0.1 port=%d dbname=postgres user=%s", server_port(m->server), user);
    PGconn *c = PQconnectdb(url);
    assert_int_equal(CONNECTION_OK, PQstatus(c));
    (void)PQsetNoticeProcessor(c, module_db_silent_, NULL);
    return c;
}

static inline struct pg_pool *module_db_pool_(struct module_db *m, const char *user, int connections) {
    struct pg_pool *p = NULL;
    char url[96];
    (void)snprintf(url, sizeof url, "postgresql://127.0.0.1:%d/postgres", server_port(m->server));
    const struct pg_options o = {.url = url,
                                 .user = user,
                                 .application_name = user,
                                 .connections = connections,
                                 .max_waiting = 10000,
                                 .connect_ms = 5000,
                                 .statement_ms = 10000};
    assert_ok(pg_pool_new(m->loop, &o, &p));
    return p;
}

/* As ops/cli/migrate.c does it. */
static inline void module_db_schema_(struct module_db *m, const struct module *module) {
    const char *n = module->name;
    char sql[1024];
    (void)snprintf(sql, sizeof sql,
                   "CREATE ROLE penstock_%s LOGIN; CREATE SCHEMA %s; GRANT USAGE ON SCHEMA %s TO penstock_%s; "
                   "ALTER DEFAULT PRIVILEGES IN SCHEMA %s GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO penstock_%s; "
                   "ALTER DEFAULT PRIVILEGES IN SCHEMA %s GRANT USAGE ON SEQUENCES TO penstock_%s",
                   n, n, n, n, n, n, n, n);
    sql_run(m->admin, sql);
    sql_run(m->admin, module->ddl);
    sql_run(m->admin, module->ddl); /* every migrate runs it again */
}

/* connections 1 makes what is handed over in one turn share transactions; more let it run side by side. */
static inline void module_db_open(struct module_db *m, const struct module *module, int connections) {
    char role[80];
    bool loaded = false;
    *m = (struct module_db){.ids = {.clock = &clock_system}};
    m->server = server_postgres_start(NULL);
    assert_non_null(m->server);
    m->admin = module_db_connect(m, "postgres");
    char *platform = module_db_read_file(SOURCE_ROOT "/ops/migrations/platform.sql");
    sql_run(m->admin, platform);
    free(platform);
    module_db_schema_(m, module);
    assert_ok(conf_load(NULL, &m->conf));
    assert_ok(loop_new(&m->loop));
    (void)snprintf(role, sizeof role, "penstock_%s", module->name);
    m->db = module_db_pool_(m, role, connections);
    m->platform = module_db_pool_(m, "postgres", 1);
    assert_ok(queue_table_new(m->platform, &m->queues));
    queue_table_load(m->queues, module_db_queues_loaded_, &loaded);
    assert_true(wait_until(m->loop, MODULE_DB_WAIT_MS, module_db_flag_, &loaded));
    m->env = (struct module_env){.module = module,
                                 .loop = m->loop,
                                 .db = m->db,
                                 .conf = &m->conf,
                                 .services = &m->services,
                                 .queues = m->queues,
                                 .ids = &m->ids};
    if (module->open != NULL) {
        assert_ok(module->open(&m->env, &m->services));
    }
}

static inline void module_db_close(struct module_db *m) {
    pg_pool_close(m->db);
    pg_pool_close(m->platform);
    if (m->env.module->close != NULL) {
        m->env.module->close(&m->env);
    }
    queue_table_free(m->queues);
    loop_free(m->loop);
    conf_free(&m->conf);
    PQfinish(m->admin);
    server_stop(m->server);
}

/* --- attempts --- */

struct module_run {
    struct attempt attempt;
    struct arena arena;
    struct attempt_end end;
    int ends;
};

static inline void module_run_on_end_(struct attempt *a, const struct attempt_end *end) {
    struct module_run *r = (struct module_run *)((char *)a - offsetof(struct module_run, attempt));
    r->end = *end;
    r->ends++;
}

static inline bool module_run_ended_(void *arg) { return ((struct module_run *)arg)->ends > 0; }

static inline const struct job_type *module_type(const struct module *m, const char *name) {
    for (size_t i = 0; i < m->types_n; i++) {
        if (strcmp(m->types[i].name, name) == 0) {
            return &m->types[i];
        }
    }
    fail_msg("no type %s", name);
    return NULL;
}

/* An attempt that has not begun; attempt.type->start begins it. payload is borrowed. */
static inline void module_run_prepare(struct module_db *m, struct module_run *r, const char *type, struct uuid root,
                                      uint32_t generation, const char *payload) {
    *r = (struct module_run){0};
    arena_init(&r->arena, 4096, 1 << 20);
    r->attempt = (struct attempt){
        .type = module_type(m->env.module, type),
        .job = {.schema_version = 1,
                .id = root,
                .root = root,
                .generation = generation,
                .trace = trace_new(),
                .tenant = STR("default"),
                .type = str_c(type)},
        .payload = str_c(payload),
        .arena = &r->arena,
        .env = &m->env,
        .give_up = {loop_now(m->loop).us + 10000000},
        .on_end = module_run_on_end_,
    };
}

/* Starts an attempt; wait for it with module_run_wait, release it with module_run_free. */
static inline void module_run_start(struct module_db *m, struct module_run *r, const char *type, struct uuid root,
                                    uint32_t generation, const char *payload) {
    module_run_prepare(m, r, type, root, generation, payload);
    r->attempt.type->start(&r->attempt);
}

static inline void module_run_wait(struct module_db *m, struct module_run *r) {
    assert_true(wait_until(m->loop, MODULE_DB_WAIT_MS, module_run_ended_, r));
    assert_int_equal(1, r->ends);
}

static inline void module_run_free(struct module_run *r) { arena_free(&r->arena); }

/* A job id in the shard of the queue, as the API makes them. */
static inline struct uuid module_job_id(struct module_db *m, const char *queue) {
    const struct queue_info *q = queue_table_find(m->queues, str_c(queue));
    assert_non_null(q);
    return id_new_job(&m->ids, (struct job_place){.queue_number = q->number});
}

#endif
