#include <jobs/edit.h>

#include <base/crypto.h>
#include <base/json.h>
#include <base/metrics.h>
#include <jobs/mask.h>

#define IS_DEAD                                                                                                       \
    "replayed_at IS NULL AND discarded_at IS NULL AND died_at > now() - interval '25 days' AND (class = 'stream' OR " \
    "EXISTS (SELECT FROM platform.job j WHERE j.id = d.id AND j.state = 'dead' AND j.generation = d.generation))"

static const struct pg_stmt find_stmt = {
    "jobs.edit_find",
    "SELECT " IS_DEAD ", class, root_id, generation, queue, type, payload, tenant, traceparent, errors -> -1 ->> 'span_id' "
    "FROM platform.dead_job d WHERE id = $1::uuid AND ($2::text IS NULL OR tenant = $2) "
    "UNION ALL SELECT false, 'journal', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL "
    "FROM platform.job WHERE id = $1::uuid AND ($2::text IS NULL OR tenant = $2) LIMIT 1",
    2,
};

/* $1 old, $2 its generation, $3 new, $4 shard, $5 version, $6 payload; audited as $7 tenant, $8 author, $9 reason; $10 its traceparent, $11 the bulk
 * action or NULL. Sent twice it finds what it has made. */
static const struct pg_stmt make_stmt = {
    "jobs.edit",
    "WITH d AS (UPDATE platform.dead_job d SET replayed_at = now() WHERE id = $1::uuid AND generation = $2::int AND class = 'journal' AND " IS_DEAD
    " RETURNING id, tenant, queue, type), "
    "n AS (INSERT INTO platform.job (id, root_id, tenant, queue, shard, type, type_version, payload, traceparent, replay_of, callback_url) "
    "SELECT $3::uuid, $3::uuid, tenant, queue, $4::smallint, type, $5::int, $6::bytea, $10::text, id, "
    "(SELECT j.callback_url FROM platform.job j WHERE j.id = d.id) FROM d RETURNING id), "
    "b AS (UPDATE platform.bulk SET done = done + 1 WHERE job_id = $11::uuid AND EXISTS (SELECT FROM n)), "
    "a AS (INSERT INTO platform.audit (tenant, author, action, target, detail) SELECT $7::text, $8::text, 'job.edit', $1::text, "
    "jsonb_strip_nulls(jsonb_build_object('reason', $9::text, 'job', $3::uuid, 'bulk', $11::uuid)) FROM n) "
    "SELECT id FROM n UNION ALL SELECT id FROM platform.job WHERE id = $3::uuid",
    11,
};

const char *edit_verdict_name(enum edit_verdict v) {
    static const char *const names[EDIT_VERDICTS] = {
        [EDIT_MADE] = "made",
        [EDIT_NOT_FOUND] = "not_found",
        [EDIT_NOT_DEAD] = "not_dead",
        [EDIT_UNKNOWN_TYPE] = "unknown_type",
        [EDIT_INTERNAL_TYPE] = "internal_type",
        [EDIT_STREAM_CLASS] = "stream_type",
        [EDIT_INVALID] = "invalid",
        [EDIT_ACTED] = "acted",
        [EDIT_FAILED] = "failed",
    };
    return names[v];
}

/* ---- the new payload ---- */

/* RFC 7396: target becomes what patch makes of it. What it gets is its own: the patch is for many. */
static bool merge(json_t *target, const json_t *patch) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)patch, name, value) {
        json_t *was = json_object_get(target, name);
        if (json_is_null(value)) {
            (void)json_object_del(target, name);
        } else if (!json_is_object(value)) {
            if (json_object_set_new(target, name, json_deep_copy(value)) != 0) {
                return false;
            }
        } else if ((!json_is_object(was) && json_object_set_new(target, name, json_object()) != 0) ||
                   !merge(json_object_get(target, name), value)) {
            return false;
        }
    }
    return true;
}

struct err edit_payload(const json_t *change, bool is_patch, struct str original, json_t **out) {
    json_t *was, *now;
    struct err err = json_read(original, &was);
    if (err.code == ERR_NOMEM) {
        return err;
    }
    if (err_is_set(err)) { /* it never was an object: of a type that took no care */
        was = json_object();
    }
    now = json_deep_copy(is_patch ? was : change);
    err = now == NULL || (is_patch && !merge(now, change)) ? err_make(ERR_NOMEM, "payload") : mask_restore(now, was);
    json_decref(was);
    if (err_is_set(err)) {
        json_decref(now);
        return err;
    }
    *out = now;
    return OK;
}

/* ---- the statement ---- */

static void fail(struct edit *e, struct err err) {
    e->err = err;
    e->done(e, EDIT_FAILED);
}

static void on_made(void *arg, struct err err, const PGresult *res) {
    struct edit *e = arg;
    if (err_is_set(err)) {
        fail(e, err);
    } else if (PQntuples(res) == 0) {
        e->done(e, EDIT_NOT_DEAD);
    } else {
        sending_record(&e->sending, e->scope);
        metric_inc(M_JOBS_ENQUEUED, e->queue, e->type->name, "replay");
        e->done(e, EDIT_MADE);
    }
}

static void begin_sending(struct edit *e) {
    struct sending *s = &e->sending;
    s->trace = trace_child(e->parent);
    s->parent = e->parent;
    s->job = e->id;
    s->queue = str_c(e->queue);
    s->type = str_c(e->type->name);
    s->bytes = e->payload.n;
    s->began = loop_now(e->rt->loop);
}

static void make(struct edit *e) {
    struct job_place place = id_job_place(e->old);
    char old[PG_UUID_BYTES], generation[PG_INT_BYTES], id[PG_UUID_BYTES], shard[PG_INT_BYTES], version[PG_INT_BYTES],
        bulk[PG_UUID_BYTES];
    char trace[TRACEPARENT_BYTES];
    e->id = id_new_job(&e->rt->ids, place);
    begin_sending(e);
    trace_text(&e->sending.trace, trace);
    const struct pg_value values[] = {
        pg_uuid(e->old, old),
        pg_int(e->generation, generation),
        pg_uuid(e->id, id),
        pg_int(place.shard, shard),
        pg_int(e->type->version, version),
        pg_bytes(e->payload),
        pg_text(e->tenant),
        pg_text(e->author),
        pg_text(e->reason),
        pg_text(str_c(trace)),
        uuid_is_nil(e->bulk) ? PG_NULL : pg_uuid(e->bulk, bulk),
    };
    pg_exec(e->rt->platform, &make_stmt, values, 0, 0, on_made, e);
}

/* ---- whether it may be ---- */

static void on_deeds(struct deeds *d, struct err err) {
    struct edit *e = d->arg;
    if (err_is_set(err)) {
        fail(e, err);
    } else if (d->acted) {
        e->done(e, EDIT_ACTED);
    } else {
        make(e);
    }
}

/* The stars are what they were; the whole must fit the type's schema. False: it has ended. */
static bool change(struct edit *e, struct str original) {
    struct buf text;
    json_t *payload;
    struct err err = edit_payload(e->change, e->is_patch, original, &payload);
    if (err_is_set(err)) {
        fail(e, err);
        return false;
    }
    bool fits = e->check(e, payload);
    buf_init(&text, LIMIT_PAYLOAD_BYTES);
    err = fits ? json_write(payload, &text) : OK;
    json_decref(payload);
    e->payload = fits && !err_is_set(err) ? arena_str(e->arena, buf_str(&text)) : STR_NONE;
    buf_free(&text);
    if (!fits) {
        e->done(e, EDIT_INVALID);
    } else if (e->payload.p == NULL) {
        fail(e, err_is_set(err) ? err : err_make(ERR_NOMEM, "payload"));
    }
    return e->payload.p != NULL;
}

static void take_trace(struct edit *e, const PGresult *res) {
    e->sending.tenant = arena_str(e->arena, pg_col(res, 0, 7));
    if (trace_parse(pg_col(res, 0, 8), &e->died_in)) {
        (void)hex_decode(pg_col(res, 0, 9), e->died_in.span_id, sizeof e->died_in.span_id);
        e->sending.link = &e->died_in;
    }
}

static bool take(struct edit *e, const PGresult *res) {
    struct str payload = pg_col_bytes(res, 0, 6, e->arena);
    const struct queue_info *queue = queue_table_find(e->rt->queues, pg_col(res, 0, 4));
    enum edit_verdict verdict = EDIT_MADE;
    e->generation = pg_col_int(res, 0, 3);
    e->type = registry_type(e->rt->registry, pg_col(res, 0, 5), &e->deeds.module);
    if (e->type == NULL || queue == NULL) {
        verdict = EDIT_UNKNOWN_TYPE;
    } else if (e->type->internal) {
        verdict = EDIT_INTERNAL_TYPE;
    } else if (!str_is(pg_col(res, 0, 1), "journal")) {
        verdict = EDIT_STREAM_CLASS;
    }
    if (verdict != EDIT_MADE) {
        e->done(e, verdict);
        return false;
    }
    if (payload.p == NULL || !str_copy_c(pg_col(res, 0, 2), e->deeds.root, sizeof e->deeds.root)) {
        fail(e, err_make(ERR_NOMEM, "payload"));
        return false;
    }
    e->queue = queue->name;
    take_trace(e, res);
    return change(e, payload);
}

static void on_found(void *arg, struct err err, const PGresult *res) {
    struct edit *e = arg;
    if (err_is_set(err)) {
        fail(e, err);
    } else if (PQntuples(res) == 0) {
        e->done(e, EDIT_NOT_FOUND);
    } else if (!pg_col_bool(res, 0, 0)) {
        e->done(e, EDIT_NOT_DEAD);
    } else if (take(e, res)) {
        deeds_read(&e->deeds);
    }
}

void edit_start(struct edit *e) {
    char old[PG_UUID_BYTES];
    const struct pg_value values[] = {pg_uuid(e->old, old), pg_text_or_null(e->of_tenant)};
    e->deeds = (struct deeds){.rt = e->rt, .done = on_deeds, .arg = e};
    pg_exec(e->rt->platform, &find_stmt, values, 0, 0, on_found, e);
}
