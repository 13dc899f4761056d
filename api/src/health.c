/* What probes ask, and what this process knows of itself. */
#include <unistd.h>

#include "accept.h"
#include "handlers.h"
#include "health.h"
#include "server.h"

enum { HEALTH_BYTES_MAX = 64 * 1024 };

void handle_livez(struct call *c) { call_answer(c, 200, "application/json", STR("{\"status\":\"alive\"}")); }

/* What is the matter with each server; NULL: nothing. The words are ours: anybody may ask, and a library's would name hosts. */
struct checks {
    const char *postgres, *redis, *mail;
    bool redis_full, table, draining;
};

static struct checks check(const struct api *api) {
    struct checks k = {.table = api->ready, .draining = api->draining};
    if (err_is_set(pg_pool_why_down(api->rt->platform))) {
        k.postgres = "cannot be reached";
    } else if (accept_is_refused(api->accept)) {
        k.postgres = "takes no jobs: it refuses them, or does not answer";
    }
    if (!redis_is_up(api->rt->redis_connection)) {
        k.redis = "cannot be reached";
    } else if (api->redis.full) {
        k.redis = "refuses writes";
        k.redis_full = true;
    }
    k.mail = api->redis.mail_down ? "does not answer workers" : NULL;
    return k;
}

static bool journal_works(const struct checks *k) { return k->table && k->postgres == NULL; }
static bool stream_works(const struct checks *k) { return k->table && k->redis == NULL; }

static bool is_ready(const struct checks *k) { return !k->draining && (journal_works(k) || stream_works(k)); }

static void add_check(struct buf *b, const char *name, const char *why, const char *separator) {
    buf_addf(b, "%s{\"name\":\"%s\",\"ok\":%s,\"detail\":\"%s\"}", separator, name, why != NULL ? "false" : "true",
             why != NULL ? why : "");
}

static void add_checks(struct buf *b, const struct checks *k) {
    buf_add_char(b, '[');
    add_check(b, "postgres", k->postgres, "");
    add_check(b, "redis", k->redis, ",");
    add_check(b, "mail", k->mail, ",");
    add_check(b, "queues", k->table ? NULL : "the queue table is not loaded yet", ",");
    add_check(b, "draining", k->draining ? "the process drains" : NULL, ",");
    buf_add_char(b, ']');
}

/* What does not work, although the process is ready. */
static void add_degraded(struct buf *b, const struct checks *k) {
    const char *const names[] = {
        k->postgres != NULL ? "postgres" : NULL,
        k->redis == NULL ? NULL
        : k->redis_full  ? "redis_full"
                         : "redis",
        k->mail != NULL ? "mail" : NULL,
    };
    const char *separator = "";
    buf_add_char(b, '[');
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i] != NULL) {
            buf_addf(b, "%s\"%s\"", separator, names[i]);
            separator = ",";
        }
    }
    buf_add_char(b, ']');
}

static void add_status(struct buf *b, const struct checks *k) {
    bool ready = is_ready(k);
    bool whole = ready && journal_works(k) && stream_works(k) && k->mail == NULL;
    buf_addf(b, "{\"status\":\"%s\",\"accepts\":{\"journal\":%s,\"stream\":%s},\"degraded\":",
             whole   ? "ready"
             : ready ? "degraded"
                     : "not_ready",
             journal_works(k) ? "true" : "false", stream_works(k) ? "true" : "false");
    add_degraded(b, k);
    buf_add_c(b, ",\"checks\":");
    add_checks(b, k);
}

void health_write_brief(const struct api *api, struct buf *b) {
    struct checks k = check(api);
    const char *const degraded[][2] = {{"postgres", k.postgres}, {"redis", k.redis}, {"mail", k.mail}};
    const char *separator = "";
    buf_addf(b, "\"ready\":%s,\"degraded\":[", is_ready(&k) ? "true" : "false");
    for (size_t i = 0; i < sizeof degraded / sizeof degraded[0]; i++) {
        if (degraded[i][1] != NULL) {
            buf_addf(b, "%s\"%s: %s\"", separator, degraded[i][0], degraded[i][1]);
            separator = ",";
        }
    }
    buf_add_char(b, ']');
}

void handle_readyz(struct call *c) {
    struct checks k = check(c->api);
    bool ready = is_ready(&k);
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
