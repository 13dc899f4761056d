/* penstock migrate: everything the servers must have before a role starts, made or brought up to date; safe to run again. Works under the
 * administrators' URLs (PENSTOCK_ADMIN_POSTGRES_URL, PENSTOCK_ADMIN_REDIS_URL; default: the roles' own), blocking: it is a command. */
#include "migrate.h"
#include "cli.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

static const char platform_ddl[] =
#include "platform.sql.inc"
    ;

static const struct {
    const char *role, *privileges, *table;
} grants[] = {
#define GRANT(role, privileges, table) {#role, privileges, table},
#include "roles.def"
#undef GRANT
};

static const char *const roles[] = {"api", "worker", "scheduler"};

/* Statements of those who work meanwhile hold locks that ours need, and want ours. We are the ones to let go, and come again. */
static const char begin[] =
    "SET client_min_messages = warning; BEGIN; SET LOCAL lock_timeout = '500ms'; "
    "SELECT set_config('deadlock_timeout', '10ms', true) WHERE current_setting('is_superuser') = 'on'; SELECT pg_advisory_xact_lock(5260801)";
enum { TRIES_MAX = 100 };

static bool is_in_the_way(const PGresult *res) {
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    return state != NULL && (strcmp(state, "55P03") == 0 || strcmp(state, "40P01") == 0); /* lock_timeout, deadlock */
}

static struct err run(PGconn *pg, const char *what, const char *sql) {
    PGresult *res = PQexec(pg, sql);
    ExecStatusType status = PQresultStatus(res);
    struct err e = OK;
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
        e = err_make(is_in_the_way(res) ? ERR_PG_CONFLICT : ERR_PG_ERROR, "%s: %s", what, PQresultErrorMessage(res));
    }
    PQclear(res);
    return e;
}

static struct err runf(PGconn *pg, const char *what, const char *fmt, ...) PRINTF_LIKE(3, 4);
static struct err runf(PGconn *pg, const char *what, const char *fmt, ...) {
    char sql[1024];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(sql, sizeof sql, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof sql) {
        return err_make(ERR_TOO_LARGE, "%s: statement too long", what);
    }
    return run(pg, what, sql);
}

/* LOGIN, with the common password; nothing else. */
static struct err make_role(PGconn *pg, const char *name, const char *password) {
    char *quoted = PQescapeLiteral(pg, password, strlen(password));
    if (quoted == NULL) {
        return err_make(ERR_NOMEM, "role %s", name);
    }
    struct err e = runf(
        pg, name,
        "DO $$BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'penstock_%s') THEN CREATE ROLE penstock_%s; END IF; END$$; "
        "ALTER ROLE penstock_%s LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD %s",
        name, name, name, password[0] != '\0' ? quoted : "NULL");
    PQfreemem(quoted);
    return e;
}

static struct err migrate_platform(PGconn *pg, const char *password) {
    TRY(run(pg, "platform.sql", platform_ddl));
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        TRY(make_role(pg, roles[i], password));
        TRY(runf(pg, roles[i],
                 "GRANT USAGE ON SCHEMA platform TO penstock_%s; REVOKE ALL ON ALL TABLES IN SCHEMA platform FROM penstock_%s",
                 roles[i], roles[i]));
    }
    for (size_t i = 0; i < sizeof grants / sizeof grants[0]; i++) {
        TRY(runf(pg, grants[i].table, "GRANT %s ON platform.%s TO penstock_%s", grants[i].privileges, grants[i].table,
                 grants[i].role));
    }
    return OK;
}

/* A module's tables belong to the administrator; its role may use the rows. What its ddl takes back (an append-only ledger) stays so, because
 * the privileges come by default, when the table is made. */
static struct err migrate_module(PGconn *pg, const struct module *m, const char *password) {
    TRY(make_role(pg, m->name, password));
    TRY(runf(pg, m->name,
             "CREATE SCHEMA IF NOT EXISTS %s; GRANT USAGE ON SCHEMA %s TO penstock_%s; "
             "ALTER DEFAULT PRIVILEGES IN SCHEMA %s GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO penstock_%s; "
             "ALTER DEFAULT PRIVILEGES IN SCHEMA %s GRANT USAGE ON SEQUENCES TO penstock_%s",
             m->name, m->name, m->name, m->name, m->name, m->name, m->name));
    return run(pg, m->name, m->ddl);
}

static struct err migrate_all(PGconn *pg, const char *password) {
    TRY(run(pg, "begin", begin));
    TRY(migrate_platform(pg, password));
    for (size_t i = 0; i < cli_registry.modules_n; i++) {
        TRY(migrate_module(pg, cli_registry.modules[i], password));
    }
    return run(pg, "commit", "COMMIT");
}

static struct err migrate_postgres(const char *url, const char *password) {
    PGconn *pg = PQconnectdb(url);
    struct err e =
        PQstatus(pg) == CONNECTION_OK ? migrate_all(pg, password) : err_make(ERR_PG_DOWN, "Postgres: %s", PQerrorMessage(pg));
    for (int tries = 1; e.code == ERR_PG_CONFLICT && tries < TRIES_MAX; tries++) {
        struct err pause = run(pg, "pause", "ROLLBACK; SELECT pg_sleep(0.1 + 0.4 * random())");
        e = err_is_set(pause) ? pause : migrate_all(pg, password);
    }
    PQfinish(pg);
    return e;
}

static const char *env_or(const char *name, const char *fallback) {
    const char *v = getenv(name);
    return v != NULL && v[0] != '\0' ? v : fallback;
}

static struct err migrate(const struct conf *conf) {
    char *pg_password = NULL, *redis_password = NULL;
    struct err e = conf_secret(conf->postgres_password_file, &pg_password);
    if (!err_is_set(e)) {
        e = conf_secret(conf->redis_password_file, &redis_password);
    }
    if (!err_is_set(e)) {
        e = migrate_postgres(env_or("PENSTOCK_ADMIN_POSTGRES_URL", conf->postgres_url), pg_password);
    }
    if (!err_is_set(e)) {
        e = migrate_redis(env_or("PENSTOCK_ADMIN_REDIS_URL", conf->redis_url), redis_password);
    }
    free(pg_password);
    free(redis_password);
    return e;
}

int cli_migrate(int argc, char **argv) {
    struct conf conf;
    (void)argv;
    if (argc > 0) {
        return cli_usage("migrate takes no arguments");
    }
    if (!cli_conf(&conf)) {
        return EXIT_CONFIG;
    }
    struct err e = migrate(&conf);
    conf_free(&conf);
    if (err_is_set(e)) {
        (void)fprintf(stderr, "penstock migrate: %s\n", e.detail);
        return e.code == ERR_PG_DOWN || e.code == ERR_REDIS_DOWN ? EXIT_UNAVAILABLE : EXIT_FAILURE;
    }
    (void)printf("migrated: platform, %zu modules, Redis users and Functions\n", cli_registry.modules_n);
    return EXIT_SUCCESS;
}
