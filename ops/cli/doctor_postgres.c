#include "doctor.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TARGET_MAX = 6 };

static const struct {
    const char *role, *table;
} grants[] = {
#define GRANT(role, privileges, table) {#role, table},
#include "roles.def"
#undef GRANT
};

static const char *const platform_roles[] = {"api", "worker", "scheduler"};
#define MODULE_TABLES "effect event_outbox job_outbox inbox"

/* Which of the tables $1 (with spaces between) of the schema $2 are not there, or not for us. */
static const char missing_sql[] =
    "SELECT coalesce(string_agg(t, ', '), '') FROM unnest(string_to_array($1, ' ')) t WHERE "
    "CASE WHEN to_regclass($2 || '.' || t) IS NULL THEN true ELSE NOT has_table_privilege($2 || '.' || t, 'SELECT') END";
static const char queues_sql[] =
    "SELECT q.name, q.shards, coalesce(d.workers, 0) FROM platform.queue q LEFT JOIN platform.desired_workers d "
    "ON d.queue = q.name ORDER BY q.number LIMIT 64";
static const char durable_sql[] =
    "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'full_page_writes', 'synchronous_commit') "
    "AND setting = 'off' ORDER BY name LIMIT 1";
static const char clock_sql[] = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

#define ADVICE_MIGRATE "penstock migrate makes it"

struct target {
    const char *keywords[TARGET_MAX], *values[TARGET_MAX];
    char seconds[24];
};

/* user NULL: the url's. */
static void target_make(const struct doctor *d, const char *user, struct target *out) {
    const char *password = d->postgres_password[0] != '\0' ? d->postgres_password : NULL;
    (void)snprintf(out->seconds, sizeof out->seconds, "%lld", (long long)d->conf.postgres_connect_ms / 1000 + 1);
    const char *const keywords[TARGET_MAX] = {"connect_timeout", "dbname", "application_name", "user", "password", NULL};
    const char *const values[TARGET_MAX] = {out->seconds, d->conf.postgres_url, "penstock doctor", user, password, NULL};
    for (size_t i = 0; i < TARGET_MAX; i++) {
        out->keywords[i] = keywords[i];
        out->values[i] = values[i];
    }
}

static bool check_server(struct doctor *d) {
    struct target t;
    target_make(d, NULL, &t);
    PGPing ping = PQpingParams(t.keywords, t.values, 1);
    if (ping == PQPING_OK) {
        return true;
    }
    const char *why = ping == PQPING_REJECT       ? "starts, stops or has no connection left"
                      : ping == PQPING_NO_ATTEMPT ? "postgres.url is no libpq URL"
                                                  : "does not answer";
    doctor_say(d, DOCTOR_FAIL, "postgres.server", "start it, or set postgres.url", "%s", why);
    return false;
}

/* ---- one role ---- */

/* NULL: said why. */
static PGconn *connect_as(struct doctor *d, const char *what, const char *role) {
    char user[LIMIT_NAME_BYTES + 16];
    struct target t;
    (void)snprintf(user, sizeof user, "penstock_%s", role);
    target_make(d, user, &t);
    PGconn *pg = PQconnectdbParams(t.keywords, t.values, 1);
    if (PQstatus(pg) == CONNECTION_OK) {
        return pg;
    }
    doctor_say(d, DOCTOR_FAIL, what, "penstock migrate makes the roles, with the password of postgres.password_file", "%s",
               PQerrorMessage(pg));
    PQfinish(pg);
    return NULL;
}

static bool check_tables(struct doctor *d, PGconn *pg, const char *what, const char *schema, const char *tables) {
    const char *const values[] = {tables, schema};
    PGresult *res = PQexecParams(pg, missing_sql, 2, NULL, values, NULL, NULL, 0);
    bool good = false;
    if (PQresultStatus(res) != PGRES_TUPLES_OK) {
        doctor_say(d, DOCTOR_FAIL, what, ADVICE_MIGRATE, "schema %s: %s", schema, PQerrorMessage(pg));
    } else if (PQgetlength(res, 0, 0) > 0) {
        doctor_say(d, DOCTOR_FAIL, what, ADVICE_MIGRATE, "schema %s is not complete: %s", schema, PQgetvalue(res, 0, 0));
    } else {
        doctor_say(d, DOCTOR_OK, what, NULL, "%s, schema %s", PQuser(pg), schema);
        good = true;
    }
    PQclear(res);
    return good;
}

static void check_clock(struct doctor *d, PGconn *pg) {
    struct wall theirs, before = clock_wall(&clock_system);
    PGresult *res = PQexec(pg, clock_sql);
    struct wall after = clock_wall(&clock_system);
    if (PQresultStatus(res) == PGRES_TUPLES_OK && str_to_i64(str_c(PQgetvalue(res, 0, 0)), &theirs.ms)) {
        doctor_clock(d, "postgres.clock", before, theirs, after);
    }
    PQclear(res);
}

/* An accepted job is a row that was committed: that has to mean something. */
static void check_durable(struct doctor *d, PGconn *pg) {
    PGresult *res = PQexec(pg, durable_sql);
    if (PQresultStatus(res) == PGRES_TUPLES_OK) {
        bool good = PQntuples(res) == 0;
        doctor_say(d, good ? DOCTOR_OK : DOCTOR_FAIL, "postgres.durability",
                   good ? NULL : "set it to on: accepted jobs would be lost with the power", "%s%s",
                   good ? "what is committed is on disk" : PQgetvalue(res, 0, 0), good ? "" : " is off");
    }
    PQclear(res);
}

static bool mode_is(PGconn *pg, const char *mode) {
    PQconninfoOption *options = PQconninfo(pg);
    bool is = false;
    for (const PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++) {
        is |= strcmp(o->keyword, "sslmode") == 0 && o->val != NULL && strcmp(o->val, mode) == 0;
    }
    PQconninfoFree(options);
    return is;
}

static void check_tls(struct doctor *d, PGconn *pg) {
    const char *address = PQhostaddr(pg);
    bool encrypted = PQsslInUse(pg) == 1;
    bool proven = encrypted && mode_is(pg, "verify-full");
    bool here = address == NULL || address[0] == '\0' || str_starts(str_c(address), STR("127.")) || strcmp(address, "::1") == 0;
    doctor_say(d, proven || here ? DOCTOR_OK : DOCTOR_WARN, "postgres.tls",
               proven || here ? NULL : "add sslmode=verify-full and sslrootcert=FILE to postgres.url", "%s",
               proven      ? "encrypted, and the server's certificate is checked"
               : here      ? "on this machine: not needed"
               : encrypted ? "encrypted, but whoever answers is believed"
                           : "passwords and payloads go over the network in the clear");
}

static void read_queues(struct doctor *d, PGconn *pg) {
    PGresult *res = PQexec(pg, queues_sql);
    for (int row = 0; PQresultStatus(res) == PGRES_TUPLES_OK && row < PQntuples(res) && d->queues_n < LIMIT_QUEUES; row++) {
        struct doctor_queue q = {0};
        int64_t shards;
        if (str_copy_c(str_c(PQgetvalue(res, row, 0)), q.name, sizeof q.name) &&
            str_to_i64(str_c(PQgetvalue(res, row, 1)), &shards) && shards > 0 && shards <= LIMIT_SHARDS &&
            str_to_i64(str_c(PQgetvalue(res, row, 2)), &q.desired)) {
            q.shards = (unsigned)shards;
            d->queues[d->queues_n++] = q;
        }
    }
    PQclear(res);
}

static void add_platform_tables(struct buf *b, const char *role) {
    for (size_t i = 0; i < sizeof grants / sizeof grants[0]; i++) {
        if (strcmp(grants[i].role, role) == 0) {
            buf_addf(b, "%s%s", b->n > 0 ? " " : "", grants[i].table);
        }
    }
    buf_add_char(b, '\0');
}

/* A server of its own may well be there, but without anything of ours: then one line is enough. */
static bool check_platform(struct doctor *d, const char *role) {
    char what[32];
    struct buf tables;
    (void)snprintf(what, sizeof what, "postgres.%s", role);
    PGconn *pg = connect_as(d, what, role);
    if (pg == NULL) {
        return false;
    }
    buf_init(&tables, 1024);
    add_platform_tables(&tables, role);
    bool good = !err_is_set(buf_status(&tables)) && check_tables(d, pg, what, "platform", tables.p);
    buf_free(&tables);
    if (good && strcmp(role, "api") == 0) {
        read_queues(d, pg);
        check_durable(d, pg);
        check_tls(d, pg);
        check_clock(d, pg);
    }
    PQfinish(pg);
    return good;
}

void doctor_postgres(struct doctor *d) {
    if (!check_server(d)) {
        return;
    }
    for (size_t i = 0; i < sizeof platform_roles / sizeof platform_roles[0]; i++) {
        if (!check_platform(d, platform_roles[i])) {
            return;
        }
    }
    for (size_t i = 0; i < cli_registry.modules_n; i++) {
        const char *name = cli_registry.modules[i]->name;
        char what[LIMIT_NAME_BYTES + 16];
        (void)snprintf(what, sizeof what, "postgres.%s", name);
        PGconn *pg = connect_as(d, what, name);
        if (pg != NULL) {
            (void)check_tables(d, pg, what, name, MODULE_TABLES);
            PQfinish(pg);
        }
    }
}
