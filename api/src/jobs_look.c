#include "jobs_look.h"

#include <queues/upkeep.h>
#include <stdio.h>

#include "outcome.h"
#include "sampler.h"
#include "server.h"

enum { JOB_BYTES_MAX = 256 * 1024, LATE_MS = 2000 };

static const struct pg_stmt get_stmt = {
    "api.job",
    "SELECT " JOB_COLUMNS
    ", p.progress::text FROM platform.job j LEFT JOIN platform.job_progress p ON p.job_id = j.id AND j.state = 'waiting' "
    "WHERE j.id = $1::uuid AND ($2::text IS NULL OR j.tenant = $2)",
    2};

/* One that runs again is shown as Redis has it: since when, is its created_at. */
static const struct pg_stmt dead_stmt = {
    "api.dead_job",
    "SELECT " DEAD_COLUMNS " FROM platform.dead_job d WHERE d.id = $1::uuid AND ($2::text IS NULL OR d.tenant = $2)", 2};

void job_look_answer_missing(struct call *c) { call_problem(c, PROBLEM_NOT_FOUND, "There is no job of this id"); }

/* ---- what is shown ---- */

static void show(struct job_look *l, struct str state, const struct buf *body, bool ended) {
    struct err e = buf_status(body);
    if (err_is_set(e)) {
        l->failed(l, e);
    } else {
        l->shown(l, state, buf_str(body), ended);
    }
}

static void show_journal(struct job_look *l, const struct job_row *row, struct str state, struct wall started) {
    struct buf body;
    buf_init(&body, JOB_BYTES_MAX);
    job_write(&body, row, state, started);
    show(l, state, &body, !job_row_is_open(row));
    buf_free(&body);
}

/* state p NULL: it has ended, and how was not kept. */
static void show_stream(struct job_look *l, struct str state, struct wall when, const struct job_row *outcome, bool ended) {
    const struct queue_info *q = queue_table_number(l->call->api->rt->queues, l->place.queue_number);
    char id[UUID_TEXT_BYTES];
    struct buf body;
    uuid_text(l->id, id);
    buf_init(&body, JOB_BYTES_MAX);
    buf_addf(&body, "{\"id\":\"%s\"", id);
    job_add_text(&body, "queue", str_c(q->name));
    buf_add_c(&body, ",\"durability\":\"stream\"");
    if (state.p != NULL) {
        job_add_text(&body, "state", state);
        job_add_time(&body, str_is(state, "delayed") ? "due_at" : "started_at", when);
    }
    if (outcome != NULL) {
        buf_addf(&body, ",\"status\":%d,\"result\":%.*s", outcome->status,
                 STR_ARG(outcome->result.n > 0 ? outcome->result : STR("null")));
    }
    buf_addf(&body,
             ",\"tracked\":%s,\"links\":{\"self\":\"/v1/jobs/%s\",\"wait\":\"/v1/jobs/%s?wait=30s\",\"cancel\":\"/v1/jobs/%s\"}}",
             state.p != NULL ? "true" : "false", id, id, id);
    show(l, state, &body, ended);
    buf_free(&body);
}

void job_look_tell(struct job_look *l, const struct job_row *ended) {
    if (!l->place.stream_class && !call_sees(l->call, ended->tenant)) { /* it was faster than our own look */
        l->missing(l);
    } else if (l->place.stream_class) {
        show_stream(l, ended->state, (struct wall){0}, ended->status != 0 ? ended : NULL, true);
    } else {
        show_journal(l, ended, ended->state, (struct wall){0});
    }
}

/* True: the job goes on, and so does the wait. */
static bool waits_on(const struct call *c) { return c->waiter.entry != NULL; }

/* ---- journal class ---- */

static struct str state_of(enum queue_found where) {
    switch (where) {
    case QUEUE_FOUND_RUNNING:
        return STR("running");
    case QUEUE_FOUND_DELAYED:
        return STR("delayed");
    case QUEUE_FOUND_PARKED:
        return STR("parked");
    case QUEUE_FOUND_NOTHING:
    case QUEUE_FOUND_OUTCOME:
    case QUEUE_FOUND_DEAD:
    default:
        return STR("waiting");
    }
}

static void on_place(void *arg, struct err err, enum queue_found where, struct wall when, struct str outcome) {
    struct job_look *l = arg;
    struct call *c = l->call;
    (void)outcome;
    struct str state = err_is_set(err) ? STR("waiting") : state_of(where);
    show_journal(l, &l->row, state, str_is(state, "running") ? when : (struct wall){0});
    call_release(c);
}

static bool keep_strings(struct arena *a, struct job_row *row) {
    row->tenant = arena_str(a, row->tenant);
    row->queue = arena_str(a, row->queue);
    row->type = arena_str(a, row->type);
    row->state = arena_str(a, row->state);
    row->progress = arena_str(a, row->progress);
    return row->tenant.p != NULL && row->queue.p != NULL && row->type.p != NULL && row->state.p != NULL &&
           row->progress.p != NULL;
}

static void read_row(struct job_look *l, const PGresult *res) {
    struct call *c = l->call;
    bool read = job_row_read(res, 0, 0, l->arena, &l->row);
    l->row.progress = pg_col(res, 0, JOB_COLUMNS_N);
    if (!read || !keep_strings(l->arena, &l->row)) {
        l->failed(l, err_make(ERR_NOMEM, "job"));
        return;
    }
    c->root = l->row.root;
    if (!job_row_is_open(&l->row)) {
        show_journal(l, &l->row, l->row.state, (struct wall){0});
    } else if (!waits_on(c)) {
        call_hold(c);
        queue_find(&c->api->rt->redis, l->shard, l->id, on_place, l);
    }
}

static void on_row(void *arg, struct err err, const PGresult *res) {
    struct job_look *l = arg;
    struct call *c = l->call;
    if (err_is_set(err)) {
        l->failed(l, err);
    } else if (PQntuples(res) == 0) {
        l->missing(l);
    } else {
        read_row(l, res);
    }
    call_release(c);
}

/* ---- stream class ---- */

/* Neither running nor delayed nor ended as far as Redis tells: it waits, unless everything that old has gone from the queue. */
bool job_look_may_wait(const struct job_look *l) {
    const struct api *api = l->call->api;
    const struct queue_info *q = queue_table_number(api->rt->queues, l->place.queue_number);
    const struct queue_sample *s = sampler_find(api->sampler, q);
    struct wall now = loop_wall(api->rt->loop);
    if (!s->known || now.ms - l->since_ms < LATE_MS) {
        return true;
    }
    double age_s = sampler_oldest_age_s(s, loop_now(api->rt->loop));
    return s->depth.waiting > 0 && age_s * 1000 >= (double)(now.ms - l->since_ms - LATE_MS);
}

/* Not in Redis: dead and handed over to Postgres, perhaps. When that is away, Redis alone tells. */
static void on_dead(void *arg, struct err err, const PGresult *res) {
    struct job_look *l = arg;
    struct call *c = l->call;
    bool died = !err_is_set(err) && PQntuples(res) > 0 && job_row_read(res, 0, 0, l->arena, &l->row);
    if (died && !job_row_is_open(&l->row)) {
        show_stream(l, STR("dead"), (struct wall){0}, NULL, true);
    } else if (!waits_on(c)) {
        l->since_ms = died ? l->row.created.ms : id_ms(l->id);
        bool waits = job_look_may_wait(l);
        show_stream(l, waits ? STR("waiting") : STR_NONE, (struct wall){0}, NULL, !waits);
    }
    call_release(c);
}

static void ask_dead(struct job_look *l) {
    struct call *c = l->call;
    char room[PG_UUID_BYTES];
    const struct pg_value values[] = {pg_uuid(l->id, room), call_tenant(c)};
    call_hold(c);
    pg_exec(c->api->rt->platform, &dead_stmt, values, 0, 0, on_dead, l);
}

static void on_found(void *arg, struct err err, enum queue_found where, struct wall when, struct str outcome) {
    struct job_look *l = arg;
    struct call *c = l->call;
    struct job_row row;
    if (err_is_set(err)) {
        l->failed(l, err);
    } else if (where == QUEUE_FOUND_OUTCOME && outcome_parse(outcome, l->id, &row)) {
        show_stream(l, row.state, (struct wall){0}, &row, true);
    } else if (where == QUEUE_FOUND_DEAD) {
        show_stream(l, STR("dead"), (struct wall){0}, NULL, true);
    } else if (where == QUEUE_FOUND_NOTHING) {
        ask_dead(l);
    } else if (!waits_on(c)) {
        show_stream(l, state_of(where), when, NULL, false);
    }
    call_release(c);
}

/* ---- both ---- */

void job_look(struct job_look *l) {
    struct call *c = l->call;
    char room[PG_UUID_BYTES];
    call_hold(c);
    if (l->place.stream_class) {
        queue_find(&c->api->rt->redis, l->shard, l->id, on_found, l);
        return;
    }
    const struct pg_value values[] = {pg_uuid(l->id, room), call_tenant(c)};
    pg_exec(c->api->rt->platform, &get_stmt, values, 0, 0, on_row, l);
}

static const struct shard *shard_of(const struct call *c, struct job_place place) {
    const struct queue_info *q = queue_table_number(c->api->rt->queues, place.queue_number);
    return q != NULL && place.shard < q->shards_n ? q->shards[place.shard] : NULL;
}

bool job_look_init(struct call *c, struct job_look *out) {
    struct uuid id;
    if (!call_param_uuid(c, &id)) {
        return false;
    }
    *out = (struct job_look){.call = c, .arena = &c->arena, .id = id, .place = id_job_place(id)};
    out->shard = shard_of(c, out->place);
    c->job = id;
    if (out->shard == NULL || (out->place.stream_class && !call_sees_stream_job(c, id))) {
        job_look_answer_missing(c);
        return false;
    }
    return true;
}
