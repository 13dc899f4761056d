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

enum { DRAIN_MS = 10000, LAST_ANSWERS_MS = 1000, EXIT_CONFIG = 78 };

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
    if (api->draining && api->open_n == 0 && !api->closing) {
        leave(api);
    }
}

static void on_drained(void *arg) {
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
        declared_reload(api);
        return;
    }
    if (api->draining) {
        stop(api);
        return;
    }
    api->draining = true;
    LOG(INFO, "api.draining", LF_INT("signal", signum), LF_INT("requests", api->open_n));
    if (api->server != NULL) {
        http_server_stop_accepting(api->server);
    }
    live_end_all(api->live); /* they come back to another process */
    if (api->open_n == 0) {
        leave(api);
    } else {
        timer_start(api->drain_timer, DRAIN_MS);
    }
}

static void on_table(void *arg) {
    struct api *api = arg;
    api->ready = true;
    sampler_start(api->sampler);
    slo_board_start(api->slo);
    limits_start(api->limits);
    declared_tell(api);
    LOG(INFO, "api.ready", LF_C("process", api->rt->process));
}

static struct err listen_now(struct api *api) {
    const struct conf *conf = api->options->conf;
    const struct http_server_options o = {
        .listen = conf->api_listen,
        .max_connections = (size_t)conf->api_max_connections,
        .max_body_bytes = LIMIT_HTTP_BODY_BYTES,
        .header_ms = conf->api_header_ms,
        .idle_ms = conf->api_idle_ms,
        .body_bytes_per_s = conf->api_body_bytes_per_s,
        .on_head = call_on_head,
        .on_request = call_on_request,
        .on_bad = call_on_bad,
        .on_done = call_on_done,
        .arg = api,
    };
    TRY(http_server_new(api->rt->loop, &o, &api->server));
    LOG(INFO, "api.listening", LF_C("listen", conf->api_listen), LF_INT("port", http_server_port(api->server)));
    return OK;
}

static void on_keys(struct api *api, bool any) {
    if (!any) {
        (void)fprintf(
            stderr,
            "penstock: api.listen is %s, beyond loopback, and there is no live API key: make one with penstock key create\n",
            api->options->conf->api_listen);
        api->status = EXIT_CONFIG;
        stop(api);
        return;
    }
    struct err e = listen_now(api);
    if (err_is_set(e)) {
        LOG(ERROR, "api.start_failed", LF_ERR(e));
        api->status = EXIT_FAILURE;
        stop(api);
    }
}

static void on_tell_again(void *arg) { declared_tell(arg); }

static struct err open_parts(struct api *api) {
    const struct runtime_options runtime = {.role = "api", .conf = api->options->conf, .registry = api->options->registry};
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
    return timer_new(api->rt->loop, on_drained, api, &api->drain_timer);
}

/* Callbacks that are still due run while the runtime closes; what they use goes after it. */
static void close_parts(struct api *api) {
    api->closing = true;
    http_server_close(api->server);
    if (api->rt != NULL) {
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
}

static struct err run(struct api *api) {
    static const int wanted[] = {SIGTERM, SIGINT, SIGHUP};
    struct signals *signals;
    TRY(signals_new(api->rt->loop, wanted, sizeof wanted / sizeof wanted[0], on_signal, api, &signals));
    struct err e = OK;
    if (api->loopback) {
        e = listen_now(api);
    } else {
        keys_find_any(api->keys, on_keys);
    }
    if (!err_is_set(e)) {
        runtime_start(api->rt, on_table, api);
        loop_run(api->rt->loop);
    }
    signals_free(signals);
    return e;
}

int api_main(const struct api_options *o) {
    struct api api = {.options = o, .loopback = auth_is_loopback(o->conf->api_listen), .status = EXIT_SUCCESS};
    TAILQ_INIT(&api.open);
    TAILQ_INIT(&api.spare);
    STAILQ_INIT(&api.retired);
    buf_init(&api.openapi, 4 << 20);
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
