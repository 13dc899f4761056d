/* The process: what it is made of, its start and its end. */
#include <base/log.h>
#include <io/signals.h>
#include <io/timer.h>
#include <stdio.h>
#include <stdlib.h>

#include "accept.h"
#include "declared.h"
#include "keys.h"
#include "limits.h"
#include "live.h"
#include "sampler.h"
#include "server.h"
#include "slo.h"
#include "types.h"

enum { DOOR_MS = 2000, DRAIN_MS = 3000, LAST_ANSWERS_MS = 1000, EXIT_CONFIG = 78 };

#define WAITS "listens, and waits for Postgres"
#define TAKES_REQUESTS "takes requests"

static void stop(struct api *api) { loop_stop(api->rt->loop); }

static void on_last_words(void *arg) { stop(arg); }

/* Drained: nothing is counted any more. */
static void leave(struct api *api) {
    if (!api->leaving) {
        api->leaving = true;
        runtime_last_words(api->rt, on_last_words, api);
    }
}

void api_call_ended(struct api *api) {
    if (api->drained && api->open_n == 0 && !api->closing) {
        leave(api);
    }
}

/* Calls may outlive their connection: what they have in flight is waited for, too. */
static void on_no_connection(void *arg) {
    struct api *api = arg;
    api->drained = true;
    api_call_ended(api);
}

static void on_drain_late(void *arg) {
    struct api *api = arg;
    if (wait_count(api->waits) == 0) {
        leave(api);
        return;
    }
    wait_all_up(api->waits); /* they are told 202 and where to look */
    timer_start(api->drain_timer, LAST_ANSWERS_MS);
}

static void on_signal(void *arg, int signum) {
    struct api *api = arg;
    if (signum == SIGHUP) {
        service_tell(api->rt->service, SERVICE_RELOADING, "reads handler.types");
        declared_reload(api);
        service_tell(api->rt->service, SERVICE_READY, "%s", api->ready ? TAKES_REQUESTS : WAITS);
        return;
    }
    if (api->draining) {
        stop(api);
        return;
    }
    api->draining = true;
    LOG(INFO, "api.draining", LF_INT("signal", signum), LF_INT("requests", api->open_n));
    service_tell(api->rt->service, SERVICE_STOPPING, "answers the last %zu requests", api->open_n);
    if (api->server == NULL) {
        leave(api);
        return;
    }
    timer_start(api->drain_timer, DRAIN_MS);
    live_end_all(api->live);                 /* they come back to another process */
    http_server_stop_accepting(api->server); /* may call on_no_connection */
}

static struct err listen_now(struct api *api) {
    const struct conf *conf = api->options->conf;
    const struct http_server_options o = {
        .listen = api->listen,
        .socket = api->socket,
        .max_connections = (size_t)conf->api_max_connections,
        .max_body_bytes = LIMIT_HTTP_BODY_BYTES,
        .header_ms = conf->api_header_ms,
        .idle_ms = conf->api_idle_ms,
        .body_bytes_per_s = conf->api_body_bytes_per_s,
        .on_head = call_on_head,
        .on_request = call_on_request,
        .on_bad = call_on_bad,
        .on_done = call_on_done,
        .on_drained = on_no_connection,
        .arg = api,
    };
    TRY(http_server_new(api->rt->loop, &o, &api->server));
    LOG(INFO, "api.listening", LF_C("listen", api->listen), LF_INT("port", http_server_port(api->server)),
        LF_BOOL("inherited", api->socket > 0));
    service_tell(api->rt->service, SERVICE_READY, api->ready ? TAKES_REQUESTS : WAITS);
    return OK;
}

/* Listens as soon as there is work that can be taken: who comes meanwhile waits in the socket's queue, if a parent holds it, which is
 * better than a refusal. But when a server does not answer, probes must find somebody who says so. */
static void open_door(struct api *api) {
    bool able = api->ready && redis_is_up(api->rt->redis_connection);
    if (api->server != NULL || !api->may_listen || api->draining || api->closing || (!able && timer_is_active(api->door_timer))) {
        return;
    }
    struct err e = listen_now(api);
    if (err_is_set(e)) {
        LOG(ERROR, "api.start_failed", LF_ERR(e));
        api->status = EXIT_FAILURE;
        stop(api);
    }
}

static void on_door(void *arg) { open_door(arg); }

static void on_table(void *arg) {
    struct api *api = arg;
    api->ready = true;
    sampler_start(api->sampler);
    slo_board_start(api->slo);
    limits_start(api->limits);
    declared_tell(api);
    service_tell(api->rt->service, SERVICE_STATUS, TAKES_REQUESTS);
    LOG(INFO, "api.ready", LF_C("process", api->rt->process));
    open_door(api);
}

static void on_redis(void *arg, bool up) {
    (void)up;
    open_door(arg);
}

static void on_keys(struct api *api, bool any) {
    if (!any) {
        (void)fprintf(
            stderr,
            "penstock: api.listen is %s, beyond loopback, and there is no live API key: make one with penstock key create\n",
            api->listen);
        api->status = EXIT_CONFIG;
        stop(api);
        return;
    }
    api->may_listen = true;
    open_door(api);
}

static void on_tell_again(void *arg) { declared_tell(arg); }

/* A socket that was handed over counts, not the setting: whether a key is needed hangs on it. */
static struct err find_listen(struct api *api) {
    if (!str_copy_c(str_c(api->options->conf->api_listen), api->listen, sizeof api->listen)) {
        return err_make(ERR_INVALID, "api.listen is too long for an address");
    }
    TRY(service_socket(&api->socket, api->listen));
    api->loopback = auth_is_loopback(api->listen);
    return OK;
}

static struct err open_parts(struct api *api) {
    const struct runtime_options runtime = {
        .role = "api", .conf = api->options->conf, .registry = api->options->registry, .on_redis = on_redis, .arg = api};
    TRY(find_listen(api));
    TRY(runtime_open(&runtime, &api->rt));
    api->started = loop_now(api->rt->loop);
    TRY(types_new(api->options->registry, &api->types));
    TRY(keys_new(api, &api->keys));
    TRY(sampler_new(api, &api->sampler));
    TRY(live_new(api, &api->live));
    TRY(limits_new(api, &api->limits));
    TRY(wait_table_new(api, &api->waits));
    TRY(accept_new(api, &api->accept));
    TRY(enter_new(api, &api->enter));
    TRY(slo_board_new(api, &api->slo));
    TRY(timer_new(api->rt->loop, on_tell_again, api, &api->tell_timer));
    TRY(timer_new(api->rt->loop, on_door, api, &api->door_timer));
    return timer_new(api->rt->loop, on_drain_late, api, &api->drain_timer);
}

/* Callbacks that are still due run while the runtime closes; what they use goes after it. */
static void close_parts(struct api *api) {
    api->closing = true;
    http_server_close(api->server);
    if (api->rt != NULL) {
        timer_free(api->door_timer);
        timer_free(api->drain_timer);
        timer_free(api->tell_timer);
        keys_stop(api->keys);
        accept_stop(api->accept);
        enter_stop(api->enter);
        wait_table_stop(api->waits);
        sampler_stop(api->sampler);
        slo_board_stop(api->slo);
        live_stop(api->live);
        limits_stop(api->limits);
        calls_free_spare(api);
        runtime_close(api->rt);
    }
    accept_free(api->accept);
    enter_free(api->enter);
    wait_table_free(api->waits);
    sampler_free(api->sampler);
    free(api->slo);
    live_free(api->live);
    limits_free(api->limits);
    keys_free(api->keys);
    types_free(api->types);
    declared_forget(api, true);
    buf_free(&api->openapi);
    dead_groups_free(&api->dead);
}

static struct err run(struct api *api) {
    static const int wanted[] = {SIGTERM, SIGINT, SIGHUP};
    struct signals *signals;
    TRY(signals_new(api->rt->loop, wanted, sizeof wanted / sizeof wanted[0], on_signal, api, &signals));
    timer_start(api->door_timer, DOOR_MS);
    if (api->loopback) {
        api->may_listen = true;
    } else {
        keys_find_any(api->keys, on_keys);
    }
    runtime_start(api->rt, on_table, api);
    loop_run(api->rt->loop);
    signals_free(signals);
    return OK;
}

int api_main(const struct api_options *o) {
    struct api api = {.options = o, .status = EXIT_SUCCESS};
    TAILQ_INIT(&api.open);
    TAILQ_INIT(&api.spare);
    STAILQ_INIT(&api.retired);
    buf_init(&api.openapi, 4 << 20);
    dead_groups_init(&api.dead);
    struct err e = open_parts(&api);
    if (!err_is_set(e)) {
        e = run(&api);
    }
    if (err_is_set(e)) {
        LOG(ERROR, "api.start_failed", LF_ERR(e));
        api.status = EXIT_FAILURE;
    }
    close_parts(&api);
    return api.status;
}
