/* POST /v1/jobs/{id}/replay: a dead job with another payload, as a new root. Only where the old one has done nothing: what it did would be
 * done twice. It is dead, so it does nothing more meanwhile; and a retry that comes in between is seen by the statement that makes the
 * new one. */
#include <base/json.h>
#include <base/metrics.h>
#include <jobs/sending.h>

#include "dead_groups.h"
#include "deeds.h"
#include "handlers.h"
#include "mask.h"
#include "server.h"

#define IS_DEAD                                                                                                       \
    "replayed_at IS NULL AND discarded_at IS NULL AND died_at > now() - interval '25 days' AND (class = 'stream' OR " \
    "EXISTS (SELECT FROM platform.job j WHERE j.id = d.id AND j.state = 'dead' AND j.generation = d.generation))"

static const struct pg_stmt find_stmt = {
    "api.edit_find",
    "SELECT " IS_DEAD ", class, root_id, generation, queue, type, payload, tenant, traceparent, errors -> -1 ->> 'span_id' "
    "FROM platform.dead_job d WHERE id = $1::uuid AND ($2::text IS NULL OR tenant = $2) "
    "UNION ALL SELECT false, 'journal', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL "
    "FROM platform.job WHERE id = $1::uuid AND ($2::text IS NULL OR tenant = $2) LIMIT 1",
    2,
};

/* $1 old, $2 its generation, $3 new, $4 shard, $5 version, $6 payload; audited as $7 tenant, $8 author, $9 reason; $10 its traceparent. Sent
 * twice it finds what it has made. */
static const struct pg_stmt make_stmt = {
    "api.edit",
    "WITH d AS (UPDATE platform.dead_job d SET replayed_at = now() WHERE id = $1::uuid AND generation = $2::int AND class = 'journal' AND " IS_DEAD
    " RETURNING id, tenant, queue, type), "
    "n AS (INSERT INTO platform.job (id, root_id, tenant, queue, shard, type, type_version, payload, traceparent, replay_of, callback_url) "
    "SELECT $3::uuid, $3::uuid, tenant, queue, $4::smallint, type, $5::int, $6::bytea, $10::text, id, "
    "(SELECT j.callback_url FROM platform.job j WHERE j.id = d.id) FROM d RETURNING id), " AUDIT_CTE(
        "n", "$7", "$8", "'job.edit'", "$1",
        "jsonb_build_object('reason', $9::text, 'job', $3::uuid)") " SELECT id FROM n UNION ALL SELECT id FROM platform.job WHERE id = $3::uuid",
    10,
};

struct edit {
    struct deeds deeds;
    json_t *payload; /* the new one */
    struct str reason;
    int64_t generation;
    const struct job_type *type;
    const struct queue_info *queue;
    struct uuid id;         /* the new one */
    struct sending sending; /* of it */
    struct trace died_in;   /* the span of the old one's last attempt, or what led to it */
};

static void on_made(struct call *c, const PGresult *res) {
    const struct edit *e = c->state;
    char id[UUID_TEXT_BYTES];
    if (PQntuples(res) == 0) {
        call_problem(c, PROBLEM_NOT_DEAD, "It was run again or put away meanwhile");
        return;
    }
    uuid_text(e->id, id);
    sending_record(&e->sending, &c->scope);
    dead_groups_expire(c->api);
    metric_inc(M_JOBS_ENQUEUED, e->queue->name, e->type->name, "replay");
    call_answer(c, 202, "application/json",
                arena_printf(&c->arena, "{\"id\":\"%s\",\"state\":\"waiting\",\"generation\":0,\"replay_of\":\"%.*s\"}", id,
                             STR_ARG(c->param)));
}

/* It comes of this request; what it repeats is one link away. */
static void begin_sending(struct edit *e, size_t bytes) {
    struct call *c = e->deeds.call;
    struct sending *s = &e->sending;
    s->trace = trace_child(&c->trace);
    s->parent = &c->trace;
    s->job = e->id;
    s->queue = str_c(e->queue->name);
    s->type = str_c(e->type->name);
    s->bytes = bytes;
    s->began = loop_now(c->api->rt->loop);
}

static void make(struct edit *e) {
    struct call *c = e->deeds.call;
    struct job_place place = id_job_place(c->job);
    char old[PG_UUID_BYTES], generation[PG_INT_BYTES], id[PG_UUID_BYTES], shard[PG_INT_BYTES], version[PG_INT_BYTES];
    char trace[TRACEPARENT_BYTES];
    struct buf payload;
    buf_init(&payload, LIMIT_PAYLOAD_BYTES);
    struct err err = json_write(e->payload, &payload);
    struct str kept = err_is_set(err) ? STR_NONE : arena_str(&c->arena, buf_str(&payload));
    buf_free(&payload);
    if (kept.p == NULL) {
        call_fail(c, err_is_set(err) ? err : err_make(ERR_NOMEM, "payload"));
        return;
    }
    e->id = id_new_job(&c->api->rt->ids, place);
    begin_sending(e, kept.n);
    trace_text(&e->sending.trace, trace);
    const struct pg_value values[] = {
        pg_uuid(c->job, old),          pg_int(e->generation, generation), pg_uuid(e->id, id),
        pg_int(place.shard, shard),    pg_int(e->type->version, version), pg_bytes(kept),
        pg_text(str_c(c->who.tenant)), pg_text(str_c(c->who.author)),     pg_text(e->reason),
        pg_text(str_c(trace)),
    };
    call_query(c, &make_stmt, values, on_made);
}

static void drop(struct edit *e) {
    json_decref(e->payload);
    e->payload = NULL;
}

static void on_deeds(struct deeds *d, struct err err) {
    struct edit *e = d->call->state;
    if (err_is_set(err)) {
        call_fail(d->call, err);
    } else if (d->acted) {
        call_problem(d->call, PROBLEM_ACTED, "Its steps or its calls of servers outside are not undone by another payload");
    } else {
        make(e);
    }
    buf_free(&d->json);
    drop(e);
}

/* The stars are what they were; the whole must fit the type's schema. */
static bool complete(struct call *c, struct edit *e, struct str original) {
    json_t *was;
    struct err err = json_read(original, &was);
    if (!err_is_set(err)) {
        err = mask_restore(e->payload, was);
        json_decref(was);
    }
    if (err.code == ERR_NOMEM) {
        call_fail(c, err);
        return false;
    }
    return call_check(c, types_payload(c->api->types, e->type), e->payload, "/payload");
}

static void take_trace(struct call *c, struct edit *e, const PGresult *res) {
    struct str span = pg_col(res, 0, 9);
    e->sending.tenant = arena_str(&c->arena, pg_col(res, 0, 7));
    if (trace_parse(pg_col(res, 0, 8), &e->died_in)) {
        (void)hex_decode(span, e->died_in.span_id, sizeof e->died_in.span_id);
        e->sending.link = &e->died_in;
    }
}

static bool take(struct call *c, struct edit *e, const PGresult *res) {
    const struct module *module = NULL;
    struct str payload = pg_col_bytes(res, 0, 6, &c->arena);
    e->generation = pg_col_int(res, 0, 3);
    e->type = registry_type(c->api->rt->registry, pg_col(res, 0, 5), &module);
    e->queue = queue_table_find(c->api->rt->queues, pg_col(res, 0, 4));
    if (e->type == NULL || e->queue == NULL) {
        call_problem(c, PROBLEM_UNKNOWN_TYPE, "This build does not know its type or its queue");
        return false;
    }
    if (e->type->internal) { /* what such a payload says it may do, its route has decided */
        call_problem(c, PROBLEM_INTERNAL_TYPE, "A job of type %s cannot be edited; retry it as it is", e->type->name);
        return false;
    }
    if (!str_is(pg_col(res, 0, 1), "journal")) {
        call_problem(c, PROBLEM_STREAM_TYPE, "Only jobs of durability journal can be edited; enqueue a new one");
        return false;
    }
    if (payload.p == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "payload"));
        return false;
    }
    e->deeds.module = module;
    take_trace(c, e, res);
    return str_copy_c(pg_col(res, 0, 2), e->deeds.root, sizeof e->deeds.root) && complete(c, e, payload);
}

static void on_found(struct call *c, const PGresult *res) {
    struct edit *e = c->state;
    if (PQntuples(res) == 0) {
        call_problem(c, PROBLEM_NOT_FOUND, "There is no job of this id");
    } else if (!pg_col_bool(res, 0, 0)) {
        call_problem(c, PROBLEM_NOT_DEAD, "It has not died, or was run again already, or died more than 25 days ago");
    } else if (take(c, e, res)) {
        e->deeds.call = c;
        e->deeds.done = on_deeds;
        deeds_read(&e->deeds);
        return;
    }
    drop(e);
}

/* call_query answers by itself when Postgres does not: then the payload goes with the call, here. */
static void on_find(void *arg, struct err err, const PGresult *res) {
    struct call *c = arg;
    if (err_is_set(err)) {
        call_fail(c, err);
        drop(c->state);
    } else {
        on_found(c, res);
    }
    call_release(c);
}

void handle_jobs_replay(struct call *c) {
    struct edit *e = ARENA_NEW(&c->arena, struct edit);
    char text[PG_UUID_BYTES];
    json_t *body = call_param_uuid(c, &c->job) ? call_body(c) : NULL;
    if (body == NULL) {
        return;
    }
    if (e == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "replay"));
    } else if (call_check(c, types_body(c->api->types, "ReplayRequest"), body, "")) {
        *e = (struct edit){.payload = json_incref(json_object_get(body, "payload")),
                           .reason = arena_str(&c->arena, json_opt_str(body, "reason", STR("")))};
        const struct pg_value values[] = {pg_uuid(c->job, text), call_tenant(c)};
        c->state = e;
        call_hold(c);
        pg_exec(c->api->rt->platform, &find_stmt, values, 0, 0, on_find, c);
    }
    json_decref(body);
}
