/* A module of one type and one table, on a real Postgres; where asked for, a Redis with the Functions and the journal between. */
#ifndef JOBS_DB_H
#define JOBS_DB_H

#include <jobs/module_sql.h>

#include "module_db.h"
#include "queue_redis.h"

static struct module_db db;

/* What the type's attempts do; set by the test. */
static void (*unit_handler)(struct attempt *a);
static inline void unit_start_(struct attempt *a) { unit_handler(a); }

static const struct job_type unit_types[] = {
    {.name = "unit.job", .version = 1, .queue = "default", .class = CLASS_JOURNAL, .start = unit_start_}};
static const char unit_ddl[] =
    MODULE_DDL("unit") "CREATE TABLE IF NOT EXISTS unit.fact (root_id uuid NOT NULL, text text NOT NULL CHECK (text <> 'bad'));";
static const struct module_sql unit_sql = MODULE_SQL("unit");
static const struct module unit_module = {.name = "unit", .ddl = unit_ddl, .sql = &unit_sql, .types = unit_types, .types_n = 1};

static inline int jobs_db_setup(void **state) {
    (void)state;
    (void)unit_handler;
    module_db_open(&db, &unit_module, 1);
    return 0;
}

static inline int jobs_db_teardown(void **state) {
    (void)state;
    module_db_close(&db);
    return 0;
}

/* A statement about one id, whose text comes between the two parts. */
static inline const char *of_id(struct uuid id, const char *before, const char *after) {
    char sql[512], text[UUID_TEXT_BYTES];
    uuid_text(id, text);
    (void)snprintf(sql, sizeof sql, "%s'%s'%s", before, text, after);
    return sql_text(db.admin, sql);
}

static inline void run_for_id(PGconn *c, struct uuid id, const char *before, const char *after) {
    char sql[512], text[UUID_TEXT_BYTES];
    uuid_text(id, text);
    (void)snprintf(sql, sizeof sql, "%s'%s'%s", before, text, after);
    sql_run(c, sql);
}

#endif
