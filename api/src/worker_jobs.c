/* GET /v1/workers/{process}/jobs and /v1/jobs/{id}/attempt: what a worker process runs at this moment; which one runs a job. Worker processes are asked by
 * a message, and who is meant writes an answer into Redis (worker/src/dump.c); nobody writes anything while nobody asks. */
#include <base/crypto.h>
#include <base/json.h>
#include <queues/shard.h>

#include "handlers.h"
#include "server.h"
#include "worker_find.h"

enum { ASK_EVERY_MS = 50, WORD_BYTES = 16, JOBS_BYTES_MAX = 2 << 20 };

/* In its call's arena. */
struct look {
    struct worker worker; /* unless it is asked who runs a job */
    struct str key;       /* of the answer */
    struct mono until;
    void (*write)(const struct call *c, const json_t *answer, struct buf *b);
    void (*silent)(struct call *c);
};

/* ---- the answer ---- */

/* Without its closing brace. */
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
}

static bool may_see(const struct call *c, const json_t *job) { return call_sees(c, json_opt_str(job, "tenant", STR(""))); }

/* A key sees its own tenant's jobs, and how many there are of others. */
static void write_jobs(const struct call *c, const json_t *answer, struct buf *b) {
    const struct look *l = c->state;
    const json_t *jobs = json_object_get(answer, "jobs"), *job;
    size_t i, shown = 0;
    buf_add_c(b, "{\"process\":");
    json_add_string(b, l->worker.process);
    job_add_text(b, "consumer", l->worker.consumer);
    job_add_text(b, "queue", l->worker.queue);
    buf_addf(b, ",\"waiting\":%lld,\"ending\":%lld,\"items\":[", (long long)json_opt_i64(answer, "waiting", 0),
             (long long)json_opt_i64(answer, "ending", 0));
    json_array_foreach(jobs, i, job) {
        if (may_see(c, job)) {
            buf_add_c(b, shown++ > 0 ? "," : "");
            add_job(b, job, loop_wall(c->api->rt->loop));
            buf_add_char(b, '}');
        }
    }
    buf_addf(b, "],\"others\":%zu}", json_array_size(jobs) - shown);
}

/* Nothing where it is another tenant's. */
static void write_attempt(const struct call *c, const json_t *answer, struct buf *b) {
    const json_t *job = json_array_get(json_object_get(answer, "jobs"), 0);
    if (job == NULL || !may_see(c, job)) {
        return;
    }
    add_job(b, job, loop_wall(c->api->rt->loop));
    job_add_text(b, "process", json_opt_str(answer, "process", STR("")));
    job_add_text(b, "consumer", json_opt_str(answer, "consumer", STR("")));
    buf_add_char(b, '}');
}

static void show(struct call *c, struct str text) {
    const struct look *l = c->state;
    json_t *answer = NULL;
    struct buf b;
    struct err e = json_read(text, &answer);
    if (err_is_set(e)) {
        call_fail(c, e);
        return;
    }
    buf_init(&b, JOBS_BYTES_MAX);
    l->write(c, answer, &b);
    if (b.n > 0 || b.failed != ERR_NONE) {
        call_json(c, 200, &b);
    } else {
        l->silent(c);
    }
    buf_free(&b);
    json_decref(answer);
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
        show(c, text);
    } else if (mono_ms_since(loop_now(c->api->rt->loop), l->until) >= 0) {
        l->silent(c);
    } else {
        err = worker_ask_later(c, ASK_EVERY_MS, on_time);
        if (err_is_set(err)) {
            call_fail(c, err);
        }
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

/* whom: a consumer, or the id of a job that it runs. */
static void ask(struct call *c, struct str whom, int64_t ms) {
    struct look *l = c->state;
    uint8_t random[WORD_BYTES / 2];
    char word[WORD_BYTES + 1];
    crypto_random(random, sizeof random);
    hex_encode(random, sizeof random, word);
    l->key = arena_printf(&c->arena, KEY_ANSWER_PREFIX "%s", word);
    l->until.us = loop_now(c->api->rt->loop).us + ms * 1000;
    struct str message = arena_printf(&c->arena, "%.*s %s", STR_ARG(whom), word);
    if (l->key.p == NULL || message.p == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "asking a worker process"));
        return;
    }
    const struct str argv[] = {STR("PUBLISH"), STR(CHANNEL_ASK), message};
    broker_call(&c->api->rt->redis, 3, argv, on_published, NULL);
    read_text(c);
}

static struct look *look_new(struct call *c) {
    struct look *l = c->state = ARENA_NEW(&c->arena, struct look);
    if (l == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "asking a worker process"));
    }
    return l;
}

/* ---- GET /v1/workers/{process}/jobs ---- */

enum { PROCESS_MS = 2000 };

static void process_is_silent(struct call *c) {
    const struct look *l = c->state;
    call_problem(c, PROBLEM_WORKER_SILENT, "It was last heard of %.1f s ago", (double)l->worker.beat_age_ms / 1000);
}

static void on_found(struct call *c, struct err err, const struct process *processes, size_t n) {
    struct look *l = c->state;
    if (worker_found(c, err, processes, n, &l->worker)) {
        ask(c, l->worker.consumer, PROCESS_MS);
    }
}

void handle_workers_jobs(struct call *c) {
    struct look *l = look_new(c);
    if (l != NULL) {
        *l = (struct look){.write = write_jobs, .silent = process_is_silent};
        fleet_find_for(c, c->param, on_found);
    }
}

/* ---- GET /v1/jobs/{id}/attempt ---- */

enum { JOB_MS = 500 };

static void nobody_runs_it(struct call *c) { call_problem(c, PROBLEM_NOT_FOUND, "No worker process says that it runs it"); }

void handle_jobs_attempt(struct call *c) {
    struct look *l = call_param_uuid(c, &c->job) ? look_new(c) : NULL;
    char id[UUID_TEXT_BYTES];
    if (l != NULL) {
        *l = (struct look){.write = write_attempt, .silent = nobody_runs_it};
        uuid_text(c->job, id);
        ask(c, str_c(id), JOB_MS);
    }
}
