#include <jobs/runtime.h>

#include "heartbeat.h"

#include <base/json.h>
#include <base/log.h>
#include <base/metrics.h>
#include <io/otlp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PLATFORM_WAITING_MAX = 20000, MODULE_WAITING_MAX = 20000, HTTP_IN_FLIGHT_MAX = 256, HTTP_WAITING_MAX = 4096 };

struct redis_options runtime_redis_options(const struct runtime *rt, const char *role, const char *name) {
    return (struct redis_options){
        .url = rt->conf->redis_url,
        .user = rt->redis_password[0] != '\0' ? role : NULL,
        .password = rt->redis_password[0] != '\0' ? rt->redis_password : NULL,
        .name = name,
        .connect_ms = rt->conf->redis_connect_ms,
        .command_ms = rt->conf->redis_command_ms,
    };
}

struct pg_options runtime_pg_options(const struct runtime *rt, const char *role) {
    return (struct pg_options){
        .url = rt->conf->postgres_url,
        .user = role,
        .password = rt->postgres_password[0] != '\0' ? rt->postgres_password : NULL,
        .application_name = role,
        .connections = (int)rt->conf->postgres_pool,
        .max_waiting = PLATFORM_WAITING_MAX,
        .connect_ms = rt->conf->postgres_connect_ms,
        .statement_ms = rt->conf->postgres_statement_ms,
    };
}

static void name_process(struct runtime *rt) {
    if (gethostname(rt->host, sizeof rt->host) != 0) {
        (void)snprintf(rt->host, sizeof rt->host, "localhost");
    }
    rt->host[sizeof rt->host - 1] = '\0';
    for (char *c = rt->host; *c != '\0'; c++) {
        if (!str_is_name(str_of(c, 1), 1)) {
            *c = '-'; /* it becomes part of keys and consumer names */
        }
    }
    (void)snprintf(rt->process, sizeof rt->process, "%s:%ld", rt->host, (long)getpid());
}

static struct err open_module(struct runtime *rt, const struct module *m, struct module_env *env) {
    char role[80];
    (void)snprintf(role, sizeof role, "penstock_%s", m->name);
    struct pg_options o = runtime_pg_options(rt, role);
    o.max_waiting = MODULE_WAITING_MAX;
    *env = (struct module_env){.module = m,
                               .loop = rt->loop,
                               .http = rt->http,
                               .handlers = rt->handlers,
                               .dependencies = rt->dependencies,
                               .conf = rt->conf,
                               .services = &rt->services,
                               .queues = rt->queues,
                               .ids = &rt->ids,
                               .runtime = rt};
    struct err e = pg_pool_new(rt->loop, &o, &env->db);
    if (!err_is_set(e) && m->open != NULL) {
        e = m->open(env, &rt->services);
    }
    if (err_is_set(e)) { /* what did not open is not closed */
        pg_pool_close(env->db);
        *env = (struct module_env){0};
    }
    return e;
}

static struct err open_connections(struct runtime *rt, const struct runtime_options *o) {
    char role[80];
    (void)snprintf(role, sizeof role, "penstock_%s", o->role);
    TRY(loop_new(&rt->loop));
    TRY(service_new(rt->loop, &rt->service));
    TRY(conf_secret(rt->conf->redis_password_file, &rt->redis_password));
    TRY(conf_secret(rt->conf->postgres_password_file, &rt->postgres_password));
    struct redis_options redis = runtime_redis_options(rt, role, rt->process);
    redis.on_state = heartbeat_on_redis;
    redis.arg = rt;
    TRY(heartbeat_new(rt, o, &rt->heartbeat));
    TRY(redis_new(rt->loop, &redis, &rt->redis_connection));
    rt->redis = redis_broker(rt->redis_connection);
    struct pg_options platform = runtime_pg_options(rt, role);
    TRY(pg_pool_new(rt->loop, &platform, &rt->platform));
    TRY(queue_table_new(rt->platform, &rt->queues));
    rt->journal = (struct journal){rt->platform, &rt->redis, rt->queues};
    const struct http_client_options http = {.max_in_flight = HTTP_IN_FLIGHT_MAX,
                                             .max_waiting = HTTP_WAITING_MAX,
                                             .allow_cidr = rt->conf->webhook_allow_cidr,
                                             .user_agent = "penstock/" PENSTOCK_VERSION};
    TRY(http_client_new(rt->loop, &http, &rt->http));
    struct http_client_options handlers = http;
    handlers.allow_cidr = rt->conf->handler_allow_cidr;
    return http_client_new(rt->loop, &handlers, &rt->handlers);
}

static struct err open_telemetry(struct runtime *rt, const struct runtime_options *o) {
    const struct otlp_options options = {
        .endpoint = o->conf->otlp_endpoint,
        .headers = o->conf->otlp_headers,
        .sample_per_million = o->conf->otlp_sample_per_million,
        .resource = {.role = str_c(o->role), .process = str_c(rt->process), .host = str_c(rt->host), .pid = getpid()},
    };
    return otlp_new(rt->loop, &options, &rt->otlp);
}

struct err runtime_open(const struct runtime_options *o, struct runtime **out) {
    struct runtime *rt = calloc(1, sizeof *rt);
    if (rt == NULL) {
        return err_make(ERR_NOMEM, "runtime");
    }
    rt->conf = o->conf;
    rt->registry = o->registry;
    rt->ids.clock = &clock_system;
    name_process(rt);
    json_setup();
    struct err e = dependencies_new(&rt->dependencies);
    if (!err_is_set(e)) {
        e = open_connections(rt, o);
    }
    if (!err_is_set(e) && o->conf->otlp_endpoint[0] != '\0') {
        e = open_telemetry(rt, o);
    }
    for (size_t i = 0; i < o->registry->modules_n && i < RUNTIME_MODULES_MAX && !err_is_set(e); i++) {
        e = open_module(rt, o->registry->modules[i], &rt->modules[i]);
    }
    if (err_is_set(e)) {
        runtime_close(rt);
        return e;
    }
    series_set(metric_series(M_BUILD_INFO, PENSTOCK_VERSION, NULL, NULL), 1);
    *out = rt;
    return OK;
}

void runtime_close(struct runtime *rt) {
    if (rt == NULL) {
        return;
    }
    /* First whatever may still call back, then what it calls. */
    http_client_close(rt->http);
    http_client_close(rt->handlers);
    for (size_t i = 0; i < RUNTIME_MODULES_MAX && rt->modules[i].module != NULL; i++) {
        pg_pool_shut(rt->modules[i].db);
    }
    pg_pool_shut(rt->platform);
    redis_close(rt->redis_connection);
    for (size_t i = 0; i < RUNTIME_MODULES_MAX && rt->modules[i].module != NULL; i++) {
        if (rt->modules[i].module->close != NULL) {
            rt->modules[i].module->close(&rt->modules[i]);
        }
        pg_pool_close(rt->modules[i].db);
    }
    pg_pool_close(rt->platform);
    heartbeat_free(rt->heartbeat);
    queue_table_free(rt->queues);
    dependencies_free(rt->dependencies);
    otlp_close(rt->otlp);
    service_free(rt->service);
    loop_free(rt->loop);
    free(rt->redis_password);
    free(rt->postgres_password);
    free(rt);
}

struct module_env *runtime_module(struct runtime *rt, const struct module *m) {
    for (size_t i = 0; i < RUNTIME_MODULES_MAX && rt->modules[i].module != NULL; i++) {
        if (rt->modules[i].module == m) {
            return &rt->modules[i];
        }
    }
    return NULL;
}
