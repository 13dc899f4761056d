/* Queues as operators see and steer them; the figures are the sampler's. */
#include <base/json.h>

#include "door.h"
#include "handlers.h"
#include "sampler.h"
#include "server.h"

enum { QUEUES_BYTES_MAX = 256 * 1024 };

static void write_depth(struct buf *b, const struct queue_sample *s) {
    const struct queue_depth *d = &s->depth;
    int64_t dead = s->dead + d->dead; /* those that Postgres has, and those on their way there */
    buf_addf(b,
             ",\"known\":%s,\"depth\":{\"waiting\":%lld,\"running\":%lld,\"delayed\":%lld,\"parked\":%lld,\"dead\":%lld,"
             "\"unplaced\":%lld}",
             s->known ? "true" : "false", (long long)d->waiting, (long long)d->running, (long long)d->delayed,
             (long long)d->parked, (long long)dead, (long long)s->unmarked);
}

static void write_queue(struct call *c, struct buf *b, const struct queue_info *q) {
    const struct queue_sample *s = sampler_find(c->api->sampler, q);
    struct pressure p = sampler_pressure(c->api->sampler, s);
    buf_addf(b, "{\"name\":\"%s\",\"version\":%lld,\"paused\":%s,\"shards\":%u,\"slots\":%d", q->name, (long long)q->version,
             q->paused ? "true" : "false", q->shards_n, q->slots);
    buf_addf(b, ",\"limits\":{\"max_depth\":%lld,\"max_open\":%lld,\"max_drain_seconds\":%lld,\"max_fill_percent\":%d}",
             (long long)q->max_depth, (long long)q->max_open, (long long)q->max_drain_s, q->max_fill_pct);
    write_depth(b, s);
    buf_addf(b, ",\"oldest_age_seconds\":%.3f", sampler_oldest_age_s(s, loop_now(c->api->rt->loop)));
    job_add_time(b, "next_due_at", s->depth.next_due);
    buf_addf(b, ",\"done_per_second\":%.1f,\"drain_seconds\":%.1f", s->capacity.per_s, admission_drain_s(&p));
    door_write(c->api->sampler, q, s, b);
    buf_addf(b, ",\"workers\":{\"desired\":%lld}}", (long long)s->desired.workers);
}

void handle_queues_list(struct call *c) {
    const struct queue_table *t = c->api->rt->queues;
    struct buf b;
    buf_init(&b, QUEUES_BYTES_MAX);
    buf_add_c(&b, "{\"items\":[");
    for (size_t i = 0; i < queue_table_count(t); i++) {
        buf_add_c(&b, i > 0 ? "," : "");
        write_queue(c, &b, queue_table_at(t, i));
    }
    buf_add_c(&b, "]}");
    call_json(c, 200, &b);
    buf_free(&b);
}

void handle_queues_get(struct call *c) {
    const struct queue_info *q = call_param_queue(c);
    struct buf b;
    if (q == NULL) {
        return;
    }
    buf_init(&b, QUEUES_BYTES_MAX);
    write_queue(c, &b, q);
    call_json(c, 200, &b);
    buf_free(&b);
}

/* ---- pause, resume ---- */

static const struct pg_stmt pause_stmt = {
    "api.pause",
    "WITH u AS (UPDATE platform.queue SET paused = $2::bool, version = version + 1 WHERE name = $1 RETURNING name, paused, version), " AUDIT_CTE(
        "u", "$3", "$4", "$5", "$1", "jsonb_build_object('reason', $6::text)") " SELECT name, paused, version FROM u",
    6,
};

static void on_paused(struct call *c, const PGresult *res) {
    if (PQntuples(res) == 0) {
        call_problem(c, PROBLEM_NOT_FOUND, "There is no such queue any more");
        return;
    }
    call_answer(c, 200, "application/json",
                arena_printf(&c->arena, "{\"name\":\"%.*s\",\"paused\":%s,\"version\":%lld}", STR_ARG(pg_col(res, 0, 0)),
                             pg_col_bool(res, 0, 1) ? "true" : "false", (long long)pg_col_int(res, 0, 2)));
}

static void set_paused(struct call *c, bool paused) {
    const struct queue_info *q = call_param_queue(c);
    json_t *body = q != NULL ? call_body(c) : NULL;
    if (body == NULL) {
        return;
    }
    if (call_check(c, types_body(c->api->types, "Reason"), body, "")) {
        const struct pg_value values[] = {
            pg_text(str_c(q->name)),
            pg_text(paused ? STR("true") : STR("false")),
            pg_text(str_c(c->who.tenant)),
            pg_text(str_c(c->who.author)),
            pg_text(paused ? STR("queue.pause") : STR("queue.resume")),
            pg_text(json_opt_str(body, "reason", STR(""))),
        };
        call_query(c, &pause_stmt, values, on_paused);
    }
    json_decref(body);
}

void handle_queues_pause(struct call *c) { set_paused(c, true); }
void handle_queues_resume(struct call *c) { set_paused(c, false); }
