/* GET /v1/workers/{process}/jobs: what a worker process runs at this moment. It is asked for it by a message, and writes its answer into Redis
 * (worker/src/dump.c); nobody writes anything while nobody asks. */
#include <base/crypto.h>
#include <base/json.h>
#include <queues/shard.h>

#include "handlers.h"
#include "server.h"
#include "worker_find.h"

enum { ANSWERED_WITHIN_MS = 2000, ASK_EVERY_MS = 50, WORD_BYTES = 17, JOBS_BYTES_MAX = 2 << 20 };

/* In its call's arena. */
struct look {
    struct worker worker;
    char word[WORD_BYTES];
    struct str key;
    struct mono until;
};

/* ---- the answer ---- */

static void add_job(struct buf *b, const json_t *job, struct wall now) {
    int64_t since_ms = json_opt_i64(job, "since_ms", 0);
    buf_add_c(b, "{\"id\":");
    json_add_string(b, json_opt_str(job, "id", STR("")));
    job_add_text(b, "type", json_opt_str(job, "type", STR("")));
    buf_addf(b, ",\"attempt\":%lld", (long long)json_opt_i64(job, "attempt", 0));
    job_add_time(b, "started_at", (struct wall){since_ms});
    buf_addf(b, ",\"run_seconds\":%.3f,\"stopping\":%s", (double)(now.ms > since_ms ? now.ms - since_ms : 0) / 1000,
             json_opt_bool(job, "stopping", false) ? "true" : "false");
    static const char *const texts[] = {"waits_for", "server"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct str text = json_opt_str(job, texts[i], STR_NONE);
        if (text.p != NULL) {
            job_add_text(b, texts[i], text);
        }
    }
    buf_add_char(b, '}');
}

/* A key sees its own tenant's jobs, and how many there are of others. */
static void write_jobs(const struct call *c, const struct look *l, const json_t *dump, struct buf *b) {
    const json_t *job;
    size_t i, shown = 0;
    buf_add_c(b, "{\"process\":");
    json_add_string(b, l->worker.process);
    job_add_text(b, "consumer", l->worker.consumer);
    job_add_text(b, "queue", l->worker.queue);
    buf_addf(b, ",\"waiting\":%lld,\"ending\":%lld,\"items\":[", (long long)json_opt_i64(dump, "waiting", 0),
             (long long)json_opt_i64(dump, "ending", 0));
    json_array_foreach(json_object_get(dump, "jobs"), i, job) {
        if (call_sees(c, json_opt_str(job, "tenant", STR("")))) {
            buf_add_c(b, shown++ > 0 ? "," : "");
            add_job(b, job, loop_wall(c->api->rt->loop));
        }
    }
    buf_addf(b, "],\"others\":%zu}", json_array_size(json_object_get(dump, "jobs")) - shown);
}

static void answer(struct call *c, struct str text) {
    json_t *dump = NULL;
    struct buf b;
    struct err e = json_read(text, &dump);
    if (err_is_set(e)) {
        call_fail(c, e);
        return;
    }
    buf_init(&b, JOBS_BYTES_MAX);
    write_jobs(c, c->state, dump, &b);
    call_json(c, 200, &b);
    buf_free(&b);
    json_decref(dump);
}

/* ---- asking ---- */

static void on_time(struct waiter *w, const struct job_row *row);

static void on_text(void *arg, struct err err, const struct reply *reply) {
    struct call *c = arg;
    const struct look *l = c->state;
    struct str text = err_is_set(err) ? STR_NONE : reply_str(reply_at(reply, 0));
    if (err_is_set(err)) {
        call_fail(c, err);
    } else if (text.p != NULL) {
        answer(c, text);
    } else if (mono_ms_since(loop_now(c->api->rt->loop), l->until) >= 0) {
        call_problem(c, PROBLEM_WORKER_SILENT, "It was last heard of %.1f s ago", (double)l->worker.beat_age_ms / 1000);
    } else {
        (void)worker_ask_later(c, ASK_EVERY_MS, on_time);
    }
    call_release(c);
}

static void read_text(struct call *c) {
    const struct look *l = c->state;
    const struct str argv[] = {STR("MGET"), l->key};
    call_hold(c);
    broker_call(&c->api->rt->redis, 2, argv, on_text, c);
}

static void on_time(struct waiter *w, const struct job_row *row) {
    (void)row;
    read_text(call_of_waiter(w));
}

static void on_published(void *arg, struct err err, const struct reply *reply) {
    (void)arg;
    (void)err; /* the read behind it fails likewise */
    (void)reply;
}

static void on_found(struct call *c, struct err err, const struct process *processes, size_t n) {
    struct look *l = c->state;
    uint8_t random[WORD_BYTES / 2];
    if (!worker_found(c, err, processes, n, &l->worker)) {
        return;
    }
    crypto_random(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++) {
        (void)snprintf(l->word + 2 * i, 3, "%02x", random[i]);
    }
    l->key = arena_printf(&c->arena, KEY_PROCESS_PREFIX "%.*s:%s", STR_ARG(l->worker.process), l->word);
    l->until.us = loop_now(c->api->rt->loop).us + ANSWERED_WITHIN_MS * 1000;
    struct str message = arena_printf(&c->arena, "%.*s %s", STR_ARG(l->worker.consumer), l->word);
    if (l->key.p == NULL || message.p == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "jobs of a process"));
        return;
    }
    const struct str argv[] = {STR("PUBLISH"), STR(CHANNEL_ASK), message};
    broker_call(&c->api->rt->redis, 3, argv, on_published, NULL);
    read_text(c);
}

void handle_workers_jobs(struct call *c) {
    struct look *l = c->state = ARENA_NEW(&c->arena, struct look);
    if (l == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "jobs of a process"));
        return;
    }
    fleet_find_for(c, c->param, on_found);
}
