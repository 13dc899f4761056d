/* POST /v1/jobs/{id}/snooze: a delayed job at another time. Where it is delayed Redis knows, and decides; then its row says the same, for a Redis that has
 * lost its data. Between the two the answer is not out, and the same request once more mends it. */
#include <base/json.h>
#include <queues/upkeep.h>

#include "handlers.h"
#include "header.h"
#include "server.h"

#define DAY_MS ((int64_t)86400 * 1000)
enum { DUE_MAX_DAYS = 24 }; /* as of a new job */

static const struct pg_stmt get_stmt = {
    "api.snooze",
    "SELECT state, (extract(epoch FROM deadline_at) * 1000)::bigint, root_id, epoch IS NULL, type FROM platform.job "
    "WHERE id = $1::uuid AND ($2::text IS NULL OR tenant = $2)",
    2};

/* $1 job, $2 due; audited as $3 tenant, $4 author, $5 reason. */
static const struct pg_stmt keep_stmt = {
    "api.snooze_keep",
    "WITH w AS (SELECT to_timestamp($2::bigint / 1000.0) AS due), "
    "u AS (UPDATE platform.job SET due_at = w.due FROM w WHERE id = $1::uuid AND state = 'waiting'), " AUDIT_CTE(
        "w", "$3", "$4", "'job.snooze'", "$1",
        "jsonb_build_object('reason', $5::text, 'due_at', (SELECT due FROM w))") " SELECT 1",
    5};

struct snooze {
    const struct shard *shard;
    struct wall due;
    struct str reason;
    bool unseen; /* Redis has not been told of it so far */
};

static void on_kept(struct call *c, const PGresult *res) {
    const struct snooze *s = c->state;
    char id[UUID_TEXT_BYTES], due[WALL_TEXT_BYTES];
    (void)res;
    uuid_text(c->job, id);
    wall_text(s->due, due);
    call_answer(c, 200, "application/json",
                arena_printf(&c->arena, "{\"id\":\"%s\",\"state\":\"delayed\",\"due_at\":\"%s\"}", id, due));
}

static void on_moved(void *arg, struct err err, int64_t moved) {
    struct call *c = arg;
    const struct snooze *s = c->state;
    char id[PG_UUID_BYTES], due[PG_INT_BYTES];
    if (err_is_set(err)) {
        call_fail(c, err);
    } else if (moved == 0 && s->unseen) {
        call_problem(c, PROBLEM_UNAVAILABLE, "It is not in its queue yet");
    } else if (moved == 0) {
        call_problem(c, PROBLEM_NOT_DELAYED, "It waits, runs or has ended");
    } else {
        const struct pg_value values[] = {pg_uuid(c->job, id), pg_int(s->due.ms, due), pg_text(str_c(c->who.tenant)),
                                          pg_text(str_c(c->who.author)), pg_text(s->reason)};
        call_query(c, &keep_stmt, values, on_kept);
    }
    call_release(c);
}

/* root: what it was made for; its effects are kept for 30 days. */
static void move(struct call *c, struct uuid root) {
    const struct snooze *s = c->state;
    if (s->due.ms > id_ms(root) + LIMIT_SNOOZE_DAYS * DAY_MS) {
        call_problem(c, PROBLEM_INVALID, "It must be due before its %dth day", LIMIT_SNOOZE_DAYS);
        return;
    }
    call_hold(c);
    queue_snooze(&c->api->rt->redis, s->shard, c->job, s->due, on_moved, c);
}

/* What gives money back, or finds out about it, comes as soon as it can: put off, it would be as good as cancelled. */
static bool may_put_off(const struct call *c, struct str type, struct wall due) {
    const struct job_type *t = registry_type(c->api->rt->registry, type, NULL);
    return t == NULL || !t->no_cancel || due.ms <= loop_wall(c->api->rt->loop).ms;
}

static void on_row(struct call *c, const PGresult *res) {
    struct snooze *s = c->state;
    struct uuid root;
    if (PQntuples(res) == 0 || !pg_col_uuid(res, 0, 2, &root)) {
        call_problem(c, PROBLEM_NOT_FOUND, "There is no job of this id");
    } else if (!str_is(pg_col(res, 0, 0), "waiting")) {
        call_problem(c, PROBLEM_TERMINAL, "The job is %.*s", STR_ARG(pg_col(res, 0, 0)));
    } else if (!pg_col_null(res, 0, 1) && pg_col_int(res, 0, 1) <= s->due.ms) {
        call_problem(c, PROBLEM_INVALID, "Its deadline comes before");
    } else if (!may_put_off(c, pg_col(res, 0, 4), s->due)) {
        call_problem(c, PROBLEM_NO_CANCEL, "%.*s is not put off; it may be due now", STR_ARG(pg_col(res, 0, 4)));
    } else {
        s->unseen = pg_col_bool(res, 0, 3);
        move(c, root);
    }
}

static bool read_due(struct call *c, const json_t *body, struct wall *out) {
    struct wall now = loop_wall(c->api->rt->loop), due = {now.ms + json_opt_i64(body, "delay_ms", 0)};
    struct str at = json_opt_str(body, "due_at", STR_NONE);
    if (at.p != NULL && !header_time(at, &due)) {
        call_problem(c, PROBLEM_INVALID, "due_at must be a time like 2026-11-28T21:13:34.123Z");
        return false;
    }
    if (due.ms - now.ms > DUE_MAX_DAYS * DAY_MS) {
        call_problem(c, PROBLEM_INVALID, "It must be due within %d days", DUE_MAX_DAYS);
        return false;
    }
    *out = due;
    return true;
}

static void start(struct call *c, struct snooze *s, const json_t *body) {
    struct job_place place = id_job_place(c->job);
    const struct queue_info *queue = queue_table_number(c->api->rt->queues, place.queue_number);
    char id[PG_UUID_BYTES];
    if (!read_due(c, body, &s->due)) {
        return;
    }
    if (queue == NULL || place.shard >= queue->shards_n || (place.stream_class && !call_sees_stream_job(c, c->job))) {
        call_problem(c, PROBLEM_NOT_FOUND, "There is no job of this id");
        return;
    }
    s->shard = queue->shards[place.shard];
    s->reason = arena_str(&c->arena, json_opt_str(body, "reason", STR("")));
    c->state = s;
    if (place.stream_class) {
        move(c, c->job);
        return;
    }
    const struct pg_value values[] = {pg_uuid(c->job, id), call_tenant(c)};
    call_query(c, &get_stmt, values, on_row);
}

void handle_jobs_snooze(struct call *c) {
    struct snooze *s = ARENA_NEW(&c->arena, struct snooze);
    json_t *body = call_param_uuid(c, &c->job) ? call_body(c) : NULL;
    if (body == NULL) {
        return;
    }
    if (s == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "snooze"));
    } else if (call_check(c, types_body(c->api->types, "SnoozeRequest"), body, "")) {
        start(c, s, body);
    }
    json_decref(body);
}
