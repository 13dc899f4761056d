/* GET /v1/jobs/{id}: the row for the journal class, what Redis still knows for the stream class. */
#include <base/crypto.h>
#include <queues/upkeep.h>
#include <stdio.h>

#include "handlers.h"
#include "outcome.h"
#include "sampler.h"
#include "server.h"

enum { JOB_BYTES_MAX = 256 * 1024, ETAG_BYTES = 40, LATE_MS = 2000 };

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

struct get {
    struct uuid id;
    struct job_place place;
    const struct shard *shard;
    struct job_row row;
    int64_t wait_ms; /* left to wait; 0: show it as it is */
};

static void look(struct call *c);

/* ---- answers ---- */

static void answer(struct call *c, const struct buf *body) {
    uint8_t hash[SHA256_BYTES];
    char etag[ETAG_BYTES];
    struct err e = buf_status(body);
    if (!err_is_set(e)) {
        e = sha256(buf_str(body), hash);
    }
    if (err_is_set(e)) {
        call_fail(c, e);
        return;
    }
    etag[0] = '"';
    hex_encode(hash, 16, etag + 1);
    etag[33] = '"';
    etag[34] = '\0';
    call_tagged(c, str_c(etag), buf_str(body));
}

static void answer_nothing(struct call *c) { call_problem(c, PROBLEM_NOT_FOUND, "There is no job of this id"); }

static void answer_journal(struct call *c, const struct job_row *row, struct str state, struct wall started) {
    struct buf body;
    buf_init(&body, JOB_BYTES_MAX);
    job_write(&body, row, state, started);
    answer(c, &body);
    buf_free(&body);
}

/* state p NULL: it has ended, and how was not kept. */
static void answer_stream(struct call *c, const struct get *g, struct str state, struct wall when,
                          const struct job_row *outcome) {
    const struct queue_info *q = queue_table_number(c->api->rt->queues, g->place.queue_number);
    char id[UUID_TEXT_BYTES];
    struct buf body;
    uuid_text(g->id, id);
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
    answer(c, &body);
    buf_free(&body);
}

/* ---- waiting ---- */

static void on_waited(struct waiter *w, const struct job_row *row) {
    struct call *c = call_of_waiter(w);
    struct get *g = c->state;
    g->wait_ms = 0;
    if (row == NULL) {
        look(c);
    } else if (!g->place.stream_class && !call_sees(c, row->tenant)) { /* it was faster than our own look */
        answer_nothing(c);
    } else if (g->place.stream_class) {
        answer_stream(c, g, row->state, (struct wall){0}, row->status != 0 ? row : NULL);
    } else {
        answer_journal(c, row, row->state, (struct wall){0});
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
    struct call *c = arg;
    const struct get *g = c->state;
    (void)outcome;
    struct str state = err_is_set(err) ? STR("waiting") : state_of(where);
    answer_journal(c, &g->row, state, str_is(state, "running") ? when : (struct wall){0});
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

static void on_row(struct call *c, const PGresult *res) {
    struct get *g = c->state;
    if (PQntuples(res) == 0) {
        wait_remove(&c->waiter);
        answer_nothing(c);
        return;
    }
    bool read = job_row_read(res, 0, 0, &c->arena, &g->row);
    g->row.progress = pg_col(res, 0, JOB_COLUMNS_N);
    if (!read || !keep_strings(&c->arena, &g->row)) {
        call_fail(c, err_make(ERR_NOMEM, "job"));
        return;
    }
    c->root = g->row.root;
    if (!job_row_is_open(&g->row)) {
        wait_remove(&c->waiter);
        answer_journal(c, &g->row, g->row.state, (struct wall){0});
    } else if (!waits_on(c)) {
        call_hold(c);
        queue_find(&c->api->rt->redis, g->shard, g->id, on_place, c);
    }
}

/* ---- stream class ---- */

/* Neither running nor delayed nor ended as far as Redis tells: it waits, unless everything that old has gone from the queue. */
static bool may_wait(struct call *c, const struct get *g, int64_t since_ms) {
    const struct queue_info *q = queue_table_number(c->api->rt->queues, g->place.queue_number);
    const struct queue_sample *s = sampler_find(c->api->sampler, q);
    struct wall now = loop_wall(c->api->rt->loop);
    if (!s->known || now.ms - since_ms < LATE_MS) {
        return true;
    }
    double age_s = sampler_oldest_age_s(s, loop_now(c->api->rt->loop));
    return s->depth.waiting > 0 && age_s * 1000 >= (double)(now.ms - since_ms - LATE_MS);
}

/* Not in Redis: dead and handed over to Postgres, perhaps. When that is away, Redis alone tells. */
static void on_dead(void *arg, struct err err, const PGresult *res) {
    struct call *c = arg;
    struct get *g = c->state;
    bool died = !err_is_set(err) && PQntuples(res) > 0 && job_row_read(res, 0, 0, &c->arena, &g->row);
    if (died && !job_row_is_open(&g->row)) {
        wait_remove(&c->waiter);
        answer_stream(c, g, STR("dead"), (struct wall){0}, NULL);
    } else if (!waits_on(c)) {
        int64_t since_ms = died ? g->row.created.ms : id_ms(g->id);
        answer_stream(c, g, may_wait(c, g, since_ms) ? STR("waiting") : STR_NONE, (struct wall){0}, NULL);
    }
    call_release(c);
}

static void ask_dead(struct call *c) {
    const struct get *g = c->state;
    char room[PG_UUID_BYTES];
    const struct pg_value values[] = {pg_uuid(g->id, room), call_tenant(c)};
    call_hold(c);
    pg_exec(c->api->rt->platform, &dead_stmt, values, 0, 0, on_dead, c);
}

static void on_found(void *arg, struct err err, enum queue_found where, struct wall when, struct str outcome) {
    struct call *c = arg;
    struct get *g = c->state;
    struct job_row row;
    if (err_is_set(err)) {
        wait_remove(&c->waiter);
        call_fail(c, err);
    } else if (where == QUEUE_FOUND_OUTCOME && outcome_parse(outcome, g->id, &row)) {
        wait_remove(&c->waiter);
        answer_stream(c, g, row.state, (struct wall){0}, &row);
    } else if (where == QUEUE_FOUND_DEAD) {
        wait_remove(&c->waiter);
        answer_stream(c, g, STR("dead"), (struct wall){0}, NULL);
    } else if (where == QUEUE_FOUND_NOTHING) {
        ask_dead(c);
    } else if (!waits_on(c)) {
        answer_stream(c, g, state_of(where), when, NULL);
    }
    call_release(c);
}

/* ---- both ---- */

static void look(struct call *c) {
    struct get *g = c->state;
    if (g->place.stream_class) {
        call_hold(c);
        queue_find(&c->api->rt->redis, g->shard, g->id, on_found, c);
        return;
    }
    char room[PG_UUID_BYTES];
    const struct pg_value values[] = {pg_uuid(g->id, room), call_tenant(c)};
    call_query(c, &get_stmt, values, on_row);
}

static const struct shard *shard_of(struct call *c, struct job_place place) {
    const struct queue_info *q = queue_table_number(c->api->rt->queues, place.queue_number);
    return q != NULL && place.shard < q->shards_n ? q->shards[place.shard] : NULL;
}

void handle_jobs_get(struct call *c) {
    struct get *g = ARENA_NEW(&c->arena, struct get);
    if (g == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "job"));
        return;
    }
    if (!call_param_uuid(c, &g->id) || (g->wait_ms = call_wait_ms(c, 0)) < 0) {
        return;
    }
    c->state = g;
    c->job = g->id;
    g->place = id_job_place(g->id);
    g->shard = shard_of(c, g->place);
    if (g->shard == NULL || (g->place.stream_class && !call_sees_stream_job(c, g->id))) {
        answer_nothing(c);
        return;
    }
    if (g->wait_ms > 0) {
        struct err e = wait_add(c->api->waits, &c->waiter, g->id, g->wait_ms, on_waited);
        if (err_is_set(e)) {
            call_fail(c, e);
            return;
        }
    }
    look(c);
}
