/* A scheduler without its timers, on a real Postgres (under the roles of ops/cli/roles.def) and a real Redis, with a registry of three
 * small modules: "src" makes events, "one" and "two" hear them. What the timers would do is done by the tests. */
#ifndef SCHEDULER_DB_H
#define SCHEDULER_DB_H

#include <base/log.h>
#include <jobs/event.h>
#include <jobs/module_sql.h>
#include <jobs/runtime.h>

#include "../../../scheduler/src/scheduler.h"
#include "module_db.h"
#include "queue_redis.h"

static struct module_db db; /* server and admin only */
static struct queue_redis redis;
static struct conf conf;
static struct scheduler scheduler;

/* --- the modules --- */

/* What hearing means; set by the test that wants to know. */
static void (*on_hear)(const struct module *who, struct module_env *env, const struct event *e, event_done_cb *cb, void *arg);

static inline void hear_(struct module_env *env, const struct event *e, event_done_cb *cb, void *arg) {
    if (on_hear != NULL) {
        on_hear(env->module, env, e, cb, arg);
    } else {
        cb(arg, OK, false);
    }
}

static const char src_ddl[] = MODULE_DDL("src"), one_ddl[] = MODULE_DDL("one"), two_ddl[] = MODULE_DDL("two");
static const struct module_sql src_sql = MODULE_SQL("src"), one_sql = MODULE_SQL("one"), two_sql = MODULE_SQL("two");
static const struct event_consumer one_hears[] = {{"thing.made", hear_}, {"thing.gone", hear_}},
                                   two_hears[] = {{"thing.made", hear_}};
static const struct module src = {.name = "src", .ddl = src_ddl, .sql = &src_sql},
                           one = {.name = "one", .ddl = one_ddl, .sql = &one_sql, .consumers = one_hears, .consumers_n = 2},
                           two = {.name = "two", .ddl = two_ddl, .sql = &two_sql, .consumers = two_hears, .consumers_n = 1};
static const struct module *const modules[] = {&src, &one, &two};
static const struct registry registry = {.modules = modules, .modules_n = 3};

/* --- servers --- */

static inline void make_role_(const char *role) {
    char sql[160];
    (void)snprintf(sql, sizeof sql, "CREATE ROLE penstock_%s LOGIN; GRANT USAGE ON SCHEMA platform TO penstock_%s", role, role);
    sql_run(db.admin, sql);
}

static inline void grant_(const char *role, const char *privileges, const char *table) {
    char sql[256];
    (void)snprintf(sql, sizeof sql, "GRANT %s ON platform.%s TO penstock_%s", privileges, table, role);
    sql_run(db.admin, sql);
}

static inline void migrate_(void) {
    char *platform = module_db_read_file(SOURCE_ROOT "/ops/migrations/platform.sql");
    sql_run(db.admin, platform);
    free(platform);
    make_role_("api");
    make_role_("worker");
    make_role_("scheduler");
#define GRANT(role, privileges, table) grant_(#role, privileges, table);
#include "../../../ops/cli/roles.def"
#undef GRANT
    for (size_t i = 0; i < registry.modules_n; i++) {
        module_db_schema_(&db, registry.modules[i]);
    }
}

static inline void start_servers(void) {
    char text[96];
    log_setup("test", LOG_LEVEL_ERROR);
    db.server = server_postgres_start(NULL);
    redis.server = server_redis_start(NULL);
    assert_true(db.server != NULL && redis.server != NULL);
    db.admin = module_db_connect(&db, "postgres");
    migrate_();
    (void)snprintf(text, sizeof text, "redis://127.0.0.1:%d", server_port(redis.server));
    (void)setenv("PENSTOCK_REDIS_URL", text, 1);
    (void)snprintf(text, sizeof text, "postgresql://127.0.0.1:%d/postgres", server_port(db.server));
    (void)setenv("PENSTOCK_POSTGRES_URL", text, 1);
    assert_ok(conf_load(NULL, &conf));
}

/* --- the scheduler --- */

static inline bool redis_is_known_(void *arg) {
    (void)arg;
    return redis_is_up(scheduler.rt->redis_connection) && scheduler.run_id[0] != '\0';
}

static inline bool leads_(void *arg) {
    (void)arg;
    return scheduler_leads(&scheduler);
}

static inline void on_redis_(void *arg, bool up) {
    (void)arg;
    if (up) {
        scheduler.run_id[0] = '\0';
        epoch_ask_run_id(&scheduler);
    }
}

static inline void scheduler_start(void) {
    bool loaded = false;
    static const struct runtime_options o = {.role = "scheduler", .conf = &conf, .registry = &registry, .on_redis = on_redis_};
    scheduler = (struct scheduler){.ready = true};
    assert_ok(runtime_open(&o, &scheduler.rt));
    struct loop *l = scheduler.rt->loop;
    const struct pg_options lock = runtime_pg_options(scheduler.rt, "penstock_scheduler");
    assert_ok(pg_lock_new(l, &lock, 1, NULL, NULL, &scheduler.leader));
    queue_table_load(scheduler.rt->queues, module_db_queues_loaded_, &loaded);
    assert_true(wait_until(l, MODULE_DB_WAIT_MS, module_db_flag_, &loaded));
    assert_true(wait_until(l, MODULE_DB_WAIT_MS, redis_is_known_, NULL));
    assert_true(wait_until(l, MODULE_DB_WAIT_MS, leads_, NULL));
    watch_sync(&scheduler);
    redis.loop = l;
    queue_redis_connect(&redis);
}

static inline void scheduler_end(void) {
    scheduler.stopping = true;
    redis_close(redis.redis);
    pg_lock_close(scheduler.leader);
    for (size_t i = 0; i < scheduler.watches_n; i++) {
        timer_free(scheduler.watches[i]->promote_timer);
        scheduler.watches[i]->promote_timer = NULL;
    }
    runtime_close(scheduler.rt);
    for (size_t i = 0; i < scheduler.watches_n; i++) {
        watch_free(scheduler.watches[i]);
    }
}

static inline int scheduler_db_setup(void **state) {
    (void)state;
    start_servers();
    scheduler_start();
    return 0;
}

static inline int scheduler_db_teardown(void **state) {
    (void)state;
    scheduler_end();
    conf_free(&conf);
    PQfinish(db.admin);
    server_stop(db.server);
    server_stop(redis.server);
    return 0;
}

/* --- its shards --- */

static inline struct shard_watch *watch_of(const char *queue) {
    for (size_t i = 0; i < scheduler.watches_n; i++) {
        if (strcmp(scheduler.watches[i]->queue->name, queue) == 0) {
            return scheduler.watches[i];
        }
    }
    fail_msg("no queue %s", queue);
    return NULL;
}

static inline bool is_settled_(void *arg) {
    const struct shard_watch *w = arg;
    return !w->looking && !w->healing && !w->moving_dead && !w->auditing && !w->promoting;
}

/* The look of one second, and whatever it begins, to its end. */
static inline void look(struct shard_watch *w) {
    watch_look(w);
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, is_settled_, w));
}

static inline struct uuid id_in(unsigned number, bool stream_class) {
    return id_new_job(&scheduler.rt->ids, (struct job_place){.queue_number = (uint16_t)number, .stream_class = stream_class});
}

static inline const char *of_id(struct uuid id, const char *before, const char *after) {
    char sql[512], text[UUID_TEXT_BYTES];
    uuid_text(id, text);
    (void)snprintf(sql, sizeof sql, "%s'%s'%s", before, text, after);
    return sql_text(db.admin, sql);
}

static inline int count_jobs(const char *where) {
    char sql[256];
    (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM platform.job WHERE %s", where);
    return sql_int(db.admin, sql);
}

/* A journal job of queue "default", written three seconds ago; epoch and due in SQL. */
static inline struct uuid add_job(const char *epoch, const char *due) {
    struct uuid id = id_in(0, false);
    char sql[640], text[UUID_TEXT_BYTES];
    uuid_text(id, text);
    (void)snprintf(
        sql, sizeof sql,
        "INSERT INTO platform.job (id, root_id, tenant, queue, shard, type, type_version, payload, traceparent, epoch, due_at, "
        "created_at) VALUES ('%s', '%s', 'acme', 'default', 0, 'unit.job', 1, '{}', "
        "'00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', %s, %s, now() - interval '3 seconds')",
        text, text, epoch, due);
    sql_run(db.admin, sql);
    return id;
}

#endif
