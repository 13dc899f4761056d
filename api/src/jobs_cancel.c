/* DELETE /v1/jobs/{id}. A single-effect job is closed by its terminal effect row, which is the arbiter between this and a worker that
 * is at it; a flow is told by a step that its transactions see; a stream-class job by a note in Redis. */
#include <base/metrics.h>
#include <jobs/attempt.h>
#include <queues/envelope.h>
#include <queues/upkeep.h>

#include "handlers.h"
#include "outcome.h"
#include "server.h"

static const struct pg_stmt get_stmt = {
    "api.cancel", "SELECT " JOB_COLUMNS " FROM platform.job j WHERE j.id = $1::uuid AND ($2::text IS NULL OR j.tenant = $2)", 2};

static const struct pg_stmt dead_stmt = {"api.cancel_dead",
                                         "SELECT FROM platform.dead_job WHERE id = $1::uuid AND replayed_at IS NULL "
                                         "AND ($2::text IS NULL OR tenant = $2)",
                                         2};

#define RESULT                                                                                                             \
    "{\"type\":\"/problems/job-cancelled\",\"title\":\"The job was cancelled\",\"status\":409,\"code\":\"job_cancelled\"," \
    "\"detail\":\"It was cancelled before it took effect\"}"
enum { RESULT_STATUS = 409 };
#define STREAM_OUTCOME "cancelled 409 " RESULT /* as a worker writes it */

struct cancel {
    struct uuid id;
    const struct queue_info *queue;
    const struct shard *shard;
    const struct job_type *type;
    struct module_env *env;
    uint32_t generation;
    bool fresh; /* it was this call that closed it */
};

static void answer(struct call *c, int status, const char *state) {
    const struct cancel *k = c->state;
    char text[UUID_TEXT_BYTES];
    uuid_text(k->id, text);
    struct str body = arena_printf(&c->arena, "{\"id\":\"%s\",\"state\":\"%s\"}", text, state);
    call_answer(c, status, "application/json", body);
}

static void answer_terminal(struct call *c, struct str state) {
    if (str_is(state, "cancelled")) {
        answer(c, 200, "cancelled"); /* asked again after a lost answer */
    } else {
        call_problem(c, PROBLEM_TERMINAL, "The job is %.*s", STR_ARG(state));
    }
}

static void ignore_reply(void *arg, struct err err, const struct reply *reply) {
    (void)arg;
    (void)err; /* waiters read again every second */
    (void)reply;
}

static void answer_cancelled(struct call *c) {
    const struct cancel *k = c->state;
    const struct str argv[] = {STR("PUBLISH"), STR(CHANNEL_DONE), str_of(k->id.b, sizeof k->id.b)};
    broker_call(&c->api->rt->redis, 3, argv, ignore_reply, NULL);
    answer(c, 200, "cancelled");
}

static void count_cancelled(const struct cancel *k) {
    const char *type = k->type != NULL ? k->type->name : "unknown"; /* as workers say */
    metric_inc(M_JOBS_FINISHED, k->queue->name, type, job_outcome_name(OUTCOME_CANCELLED));
}

/* ---- journal class, single effect ---- */

static void on_removed(void *arg, struct err err, bool removed) {
    struct call *c = arg;
    (void)err; /* an entry that stays finds its job ended */
    (void)removed;
    answer_cancelled(c);
    call_release(c);
}

static void on_finished(void *arg, struct err err) {
    struct call *c = arg;
    const struct cancel *k = c->state;
    if (err_is_set(err)) {
        call_fail(c, err);
        call_release(c);
        return;
    }
    if (k->fresh) {
        count_cancelled(k);
    }
    queue_cancel(&c->api->rt->redis, k->shard, k->id, STR(""), on_removed, c);
}

static void on_closed(void *arg, struct err err, const struct effect_row *row) {
    struct call *c = arg;
    struct cancel *k = c->state;
    if (err_is_set(err)) {
        call_fail(c, err);
    } else if (row->outcome != OUTCOME_CANCELLED) {
        answer_terminal(c, str_c(job_outcome_name(row->outcome)));
    } else {
        k->fresh = row->fresh;
        const struct journal_end end = {
            .id = k->id, .generation = k->generation, .outcome = row->outcome, .status = row->status, .result = row->result};
        journal_finish(&c->api->rt->journal, &end, 1, on_finished, c);
        return;
    }
    call_release(c);
}

/* ---- flows ---- */

static void on_due(void *arg, struct err err, int64_t count) {
    struct call *c = arg;
    (void)err; /* it is seen when the job is due by itself */
    (void)count;
    answer(c, 202, "cancel_requested");
    call_release(c);
}

static void on_step(void *arg, struct err err, const struct effect_row *row) {
    struct call *c = arg;
    const struct cancel *k = c->state;
    if (err_is_set(err)) {
        call_fail(c, err);
        call_release(c);
        return;
    }
    if (row->status != 0) { /* it took effect, and its row does not say so yet */
        answer_terminal(c, str_c(job_outcome_name(row->outcome)));
        call_release(c);
        return;
    }
    queue_due_now(&c->api->rt->redis, k->shard, k->id, on_due, c);
}

/* ---- both ---- */

static void on_row(struct call *c, const PGresult *res) {
    struct cancel *k = c->state;
    const struct module *module = NULL;
    struct job_row row;
    if (PQntuples(res) == 0 || !job_row_read(res, 0, 0, &c->arena, &row)) {
        call_problem(c, PROBLEM_NOT_FOUND, "There is no job of this id");
        return;
    }
    if (!job_row_is_open(&row)) {
        answer_terminal(c, row.state);
        return;
    }
    k->type = registry_type(c->api->rt->registry, row.type, &module);
    k->env = k->type != NULL ? runtime_module(c->api->rt, module) : NULL;
    if (k->env == NULL) {
        call_problem(c, PROBLEM_UNAVAILABLE, "This process does not know jobs of type %.*s", STR_ARG(row.type));
        return;
    }
    if (k->type->no_cancel) {
        call_problem(c, PROBLEM_NO_CANCEL, "%s runs to its end", k->type->name);
        return;
    }
    c->root = row.root;
    k->generation = row.generation;
    call_hold(c);
    if (k->type->flow) {
        effect_step(k->env, c->root, k->generation, STR("cancel_request"), on_step, c);
    } else {
        effect_close(k->env, c->root, k->generation, OUTCOME_CANCELLED, RESULT_STATUS, STR(RESULT), on_closed, c);
    }
}

/* ---- stream class ---- */

static void on_noted(void *arg, struct err err, bool removed) {
    struct call *c = arg;
    if (err_is_set(err)) {
        call_fail(c, err);
    } else if (removed) {
        count_cancelled(c->state);
        answer_cancelled(c);
    } else {
        answer(c, 202, "cancel_requested");
    }
    call_release(c);
}

static void note(struct call *c) {
    const struct cancel *k = c->state;
    queue_cancel(&c->api->rt->redis, k->shard, k->id, STR(STREAM_OUTCOME), on_noted, c);
}

/* A home value: u16 length of the header, the header, the payload. */
static const struct job_type *type_of(const struct registry *r, struct str home) {
    struct envelope e;
    if (home.n < 2) {
        return NULL;
    }
    size_t n = (uint8_t)home.p[0] | (size_t)(uint8_t)home.p[1] << 8;
    if (n > home.n - 2 || err_is_set(envelope_decode(str_of(home.p + 2, n), &e))) {
        return NULL;
    }
    return registry_type(r, e.type, NULL);
}

static void on_home(void *arg, struct err err, const struct reply *reply) {
    struct call *c = arg;
    struct cancel *k = c->state;
    if (err_is_set(err)) {
        call_fail(c, err);
        call_release(c);
        return;
    }
    k->type = type_of(c->api->rt->registry, reply_str(reply));
    note(c);
}

/* Once it is gone nothing tells its type any more. */
static void ask_home(struct call *c) {
    const struct cancel *k = c->state;
    const struct str argv[] = {STR("HGET"), k->shard->key[KEY_DELAYED_HOME], str_of(k->id.b, sizeof k->id.b)};
    broker_call(&c->api->rt->redis, 3, argv, on_home, c);
}

/* Dead and handed over to Postgres: a request noted now would end the job when it is run again. When Postgres is away, Redis alone
 * tells. */
static void on_dead(void *arg, struct err err, const PGresult *res) {
    struct call *c = arg;
    if (err_is_set(err) || PQntuples(res) == 0) {
        note(c);
        return;
    }
    answer_terminal(c, STR("dead"));
    call_release(c);
}

static void ask_dead(struct call *c) {
    const struct cancel *k = c->state;
    char room[PG_UUID_BYTES];
    const struct pg_value values[] = {pg_uuid(k->id, room), call_tenant(c)};
    pg_exec(c->api->rt->platform, &dead_stmt, values, 0, 0, on_dead, c);
}

static void request(struct call *c, enum queue_found where) {
    if (where == QUEUE_FOUND_NOTHING) {
        ask_dead(c);
    } else if (where == QUEUE_FOUND_DELAYED) {
        ask_home(c);
    } else {
        note(c);
    }
}

static void on_found(void *arg, struct err err, enum queue_found where, struct wall when, struct str outcome) {
    struct call *c = arg;
    const struct cancel *k = c->state;
    struct job_row row;
    (void)when;
    if (err_is_set(err)) {
        call_fail(c, err);
    } else if (where == QUEUE_FOUND_OUTCOME && outcome_parse(outcome, k->id, &row)) {
        answer_terminal(c, row.state);
    } else if (where == QUEUE_FOUND_DEAD) {
        answer_terminal(c, STR("dead"));
    } else {
        request(c, where);
        return;
    }
    call_release(c);
}

void handle_jobs_cancel(struct call *c) {
    struct cancel *k = ARENA_NEW(&c->arena, struct cancel);
    char room[PG_UUID_BYTES];
    if (k == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "cancel"));
        return;
    }
    if (!call_param_uuid(c, &k->id)) {
        return;
    }
    struct job_place place = id_job_place(k->id);
    k->queue = queue_table_number(c->api->rt->queues, place.queue_number);
    c->state = k;
    c->job = k->id;
    if (k->queue == NULL || place.shard >= k->queue->shards_n || (place.stream_class && !call_sees_stream_job(c, k->id))) {
        call_problem(c, PROBLEM_NOT_FOUND, "There is no job of this id");
        return;
    }
    k->shard = k->queue->shards[place.shard];
    if (place.stream_class) {
        call_hold(c);
        queue_find(&c->api->rt->redis, k->shard, k->id, on_found, c);
        return;
    }
    const struct pg_value values[] = {pg_uuid(k->id, room), call_tenant(c)};
    call_query(c, &get_stmt, values, on_row);
}
