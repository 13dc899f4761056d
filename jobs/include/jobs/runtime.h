/* What every role's process has: loop, one Redis command connection, the platform pool, the modules with their pools, the HTTP
 * client, the queue table, and a heartbeat that carries its metrics. Wired once at start by ops/cli. */
#ifndef JOBS_RUNTIME_H
#define JOBS_RUNTIME_H

#include <contracts/services.h>
#include <io/redis.h>
#include <io/service.h>
#include <jobs/dependencies.h>
#include <jobs/journal.h>
#include <jobs/type.h>

enum { RUNTIME_MODULES_MAX = 16 };

struct runtime_options {
    const char *role; /* "api", "worker", "scheduler": Redis user and Postgres role penstock_<role> */
    const struct conf *conf;
    const struct registry *registry;
    const char *queue; /* shown in the heartbeat; NULL or a worker process's queue */
    /* Adds ,"member":value pairs to the heartbeat's JSON; may be NULL. */
    void (*beat)(void *arg, struct buf *json);
    /* Redis came (back) or went; may be NULL. */
    void (*on_redis)(void *arg, bool up);
    void *arg;
};

struct runtime {
    struct loop *loop;
    struct service *service; /* told by the role */
    const struct conf *conf;
    const struct registry *registry;
    struct redis *redis_connection;
    struct broker redis; /* commands only: never a blocking read */
    struct pg_pool *platform;
    struct queue_table *queues;
    struct journal journal;
    struct http_client *http, *handlers;
    struct dependencies *dependencies;
    struct services services;
    struct module_env modules[RUNTIME_MODULES_MAX]; /* in the registry's order */
    struct id_maker ids;
    char host[64];
    char process[96]; /* "<host>:<pid>" */
    char *redis_password, *postgres_password;
    struct runtime_beat *heartbeat;
    struct otlp *otlp; /* NULL: otlp.endpoint is not set */
};

MUST struct err runtime_open(const struct runtime_options *o, struct runtime **out);
/* Loads the queue table and lets cb know; tries again every second until Postgres answers. Starts the heartbeat. */
void runtime_start(struct runtime *rt, void (*ready)(void *arg), void *arg);
/* Before an end in peace: done runs once what this process has counted for the objectives is kept, or cannot be within a second; perhaps at
 * once. */
void runtime_last_words(struct runtime *rt, void (*done)(void *arg), void *arg);
void runtime_close(struct runtime *rt); /* the loop with everything on it */
struct module_env *runtime_module(struct runtime *rt, const struct module *m);
/* What a call has shown of a server that only workers speak to, "mail": dependency_up here, and a note in Redis by which the API knows
 * that it is down; believed for 30 s. name is static. rt NULL, of a module alone: nothing. */
void runtime_dependency(struct runtime *rt, const char *name, bool up);

/* Options of another connection under this process's user. name is CLIENT SETNAME. */
struct redis_options runtime_redis_options(const struct runtime *rt, const char *role, const char *name);
/* Options of a pool under another role's name. */
struct pg_options runtime_pg_options(const struct runtime *rt, const char *role);

#endif
