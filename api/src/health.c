/* What probes ask, and what this process knows of itself. */
#include <base/json.h>
#include <unistd.h>

#include "handlers.h"
#include "sampler.h"
#include "server.h"

enum { HEALTH_BYTES_MAX = 64 * 1024 };

void handle_livez(struct call *c) { call_answer(c, 200, "application/json", STR("{\"status\":\"alive\"}")); }

struct checks {
    struct err postgres, redis, redis_full;
    bool table, draining;
};

static struct checks check(const struct api *api) {
    return (struct checks){
        .postgres = pg_pool_why_down(api->rt->platform),
        .redis = redis_is_up(api->rt->redis_connection) ? OK : redis_why_down(api->rt->redis_connection),
        .redis_full = sampler_redis_full(api->sampler),
        .table = api->ready,
        .draining = api->draining,
    };
}

static bool journal_works(const struct checks *k) { return k->table && !err_is_set(k->postgres); }
static bool stream_works(const struct checks *k) { return k->table && !err_is_set(k->redis) && !err_is_set(k->redis_full); }

static void add_check(struct buf *b, const char *name, struct err e) {
    buf_addf(b, "{\"name\":\"%s\",\"ok\":%s,\"detail\":", name, err_is_set(e) ? "false" : "true");
    json_add_string(b, str_c(e.detail));
    buf_add_char(b, '}');
}

static void add_checks(struct buf *b, const struct checks *k) {
    static const struct err not_loaded = {ERR_PG_DOWN, "the queue table is not loaded yet"};
    static const struct err ending = {ERR_CLOSED, "the process drains"};
    buf_add_c(b, "[");
    add_check(b, "postgres", k->postgres);
    buf_add_char(b, ',');
    add_check(b, "redis", err_is_set(k->redis) ? k->redis : k->redis_full);
    buf_add_char(b, ',');
    add_check(b, "queues", k->table ? OK : not_loaded);
    buf_add_char(b, ',');
    add_check(b, "draining", k->draining ? ending : OK);
    buf_add_char(b, ']');
}

/* What does not work, although the process is ready. */
static void add_degraded(struct buf *b, const struct checks *k) {
    const char *separator = "";
    buf_add_char(b, '[');
    if (err_is_set(k->postgres)) {
        buf_add_c(b, "\"postgres\"");
        separator = ",";
    }
    if (err_is_set(k->redis) || err_is_set(k->redis_full)) {
        buf_addf(b, "%s\"%s\"", separator, err_is_set(k->redis) ? "redis" : "redis_full");
    }
    buf_add_char(b, ']');
}

static void add_status(struct buf *b, const struct checks *k) {
    bool ready = !k->draining && (journal_works(k) || stream_works(k));
    bool whole = ready && journal_works(k) && stream_works(k);
    buf_addf(b, "{\"status\":\"%s\",\"accepts\":{\"journal\":%s,\"stream\":%s},\"degraded\":",
             whole   ? "ready"
             : ready ? "degraded"
                     : "not_ready",
             journal_works(k) ? "true" : "false", stream_works(k) ? "true" : "false");
    add_degraded(b, k);
    buf_add_c(b, ",\"checks\":");
    add_checks(b, k);
}

void handle_readyz(struct call *c) {
    struct checks k = check(c->api);
    bool ready = !k.draining && (journal_works(&k) || stream_works(&k));
    struct buf b;
    buf_init(&b, HEALTH_BYTES_MAX);
    add_status(&b, &k);
    buf_add_char(&b, '}');
    call_json(c, ready ? 200 : 503, &b);
    buf_free(&b);
}

void handle_health(struct call *c) {
    struct api *api = c->api;
    struct checks k = check(api);
    struct buf b;
    buf_init(&b, HEALTH_BYTES_MAX);
    add_status(&b, &k);
    buf_addf(&b, ",\"version\":\"" PENSTOCK_VERSION "\",\"process\":\"%s\",\"pid\":%ld,\"uptime_seconds\":%lld", api->rt->process,
             (long)getpid(), (long long)(mono_ms_since(loop_now(api->rt->loop), api->started) / 1000));
    buf_addf(
        &b,
        ",\"connections\":%zu,\"requests_open\":%zu,\"requests_waiting\":%zu,\"postgres_statements\":%zu,\"redis_calls\":%zu}",
        http_server_connections(api->server), api->open_n, wait_count(api->waits), pg_pool_waiting(api->rt->platform),
        redis_pending(api->rt->redis_connection));
    call_json(c, 200, &b);
    buf_free(&b);
}
