/* GET /v1/jobs/{id}/detail: a job for people. What the platform keeps of it, and what its root has done (deeds.h). */
#include <base/json.h>

#include "deeds.h"
#include "handlers.h"
#include "server.h"
#include "types.h"

enum { DETAIL_BYTES_MAX = 1 << 20 };

static const struct pg_stmt detail_stmt = {
    "api.job_detail",
    "SELECT coalesce(j.root_id, d.root_id), coalesce(j.type, d.type), coalesce(j.payload, d.payload), d.attempts, d.errors::text, d.fingerprint, "
    "(extract(epoch FROM d.died_at) * 1000)::bigint, (extract(epoch FROM d.replayed_at) * 1000)::bigint, "
    "(extract(epoch FROM d.discarded_at) * 1000)::bigint, substr(coalesce(j.traceparent, d.traceparent), 4, 32), j.replay_of, "
    "(SELECT json_agg(r.id ORDER BY r.id)::text FROM platform.job r WHERE r.replay_of = x.id), "
    "(SELECT min(i.key) FROM platform.idempotency i WHERE i.job_id = x.id AND i.tenant <> '_system'), d.release "
    "FROM (SELECT $1::uuid AS id) x LEFT JOIN platform.job j ON j.id = x.id LEFT JOIN platform.dead_job d ON d.id = x.id "
    "WHERE ($2::text IS NULL OR coalesce(j.tenant, d.tenant) = $2) AND coalesce(j.id, d.id) IS NOT NULL",
    2,
};

struct detail {
    struct deeds deeds;
    struct str platform; /* its part of the body, in the arena */
};

/* ---- the platform's part ---- */

static struct err add_payload(const struct call *c, struct buf *b, const struct job_type *type, struct str text) {
    json_t *payload;
    /* Of a type that is not known nobody can say what must be hidden; no JSON: of one that took no care. */
    if (type == NULL || err_is_set(json_read(text, &payload))) {
        buf_add_c(b, ",\"payload\":null");
        return OK;
    }
    struct err e = schema_mask(types_payload(c->api->types, type), &payload);
    if (!err_is_set(e)) {
        buf_add_c(b, ",\"payload\":");
        e = json_write(payload, b);
    }
    json_decref(payload);
    return e;
}

static void add_optional(struct buf *b, const char *name, const PGresult *res, int column) {
    if (!pg_col_null(res, 0, column)) {
        job_add_text(b, name, pg_col(res, 0, column));
    }
}

static struct err write_platform(struct call *c, struct buf *b, const PGresult *res) {
    struct detail *d = c->state;
    const struct module *module = NULL;
    const struct job_type *type = registry_type(c->api->rt->registry, pg_col(res, 0, 1), &module);
    struct str errors = pg_col(res, 0, 4), replays = pg_col(res, 0, 11);
    struct str payload = pg_col_bytes(res, 0, 2, &c->arena);
    d->deeds.module = type != NULL ? module : NULL;
    (void)str_copy_c(pg_col(res, 0, 0), d->deeds.root, sizeof d->deeds.root);
    buf_addf(b, "{\"id\":\"%.*s\",\"root_id\":\"%s\"", STR_ARG(c->param), d->deeds.root);
    job_add_text(b, "type", pg_col(res, 0, 1));
    if (!pg_col_null(res, 0, 3)) {
        buf_addf(b, ",\"attempts\":%lld", (long long)pg_col_int(res, 0, 3));
    }
    buf_addf(b, ",\"errors\":%.*s", STR_ARG(errors.n > 0 ? errors : STR("[]")));
    add_optional(b, "fingerprint", res, 5);
    add_optional(b, "release", res, 13);
    job_add_time(b, "died_at", (struct wall){pg_col_int(res, 0, 6)});
    job_add_time(b, "replayed_at", (struct wall){pg_col_int(res, 0, 7)});
    job_add_time(b, "discarded_at", (struct wall){pg_col_int(res, 0, 8)});
    job_add_text(b, "trace_id", pg_col(res, 0, 9));
    add_optional(b, "replay_of", res, 10);
    buf_addf(b, ",\"replays\":%.*s", STR_ARG(replays.n > 0 ? replays : STR("[]")));
    add_optional(b, "key", res, 12);
    return payload.p != NULL ? add_payload(c, b, type, payload) : err_make(ERR_NOMEM, "payload");
}

static void on_deeds(struct deeds *deeds, struct err err) {
    struct call *c = deeds->call;
    const struct detail *d = c->state;
    struct buf b;
    buf_init(&b, 2 * DETAIL_BYTES_MAX);
    buf_add(&b, d->platform);
    buf_add_char(&b, ',');
    buf_add(&b, buf_str(&deeds->json));
    buf_add_char(&b, '}');
    if (err_is_set(err)) {
        call_fail(c, err);
    } else {
        call_json(c, 200, &b);
    }
    buf_free(&b);
    buf_free(&deeds->json);
}

static void on_detail(struct call *c, const PGresult *res) {
    struct detail *d = c->state;
    struct buf b;
    if (PQntuples(res) == 0) {
        call_problem(c, PROBLEM_NOT_FOUND, "There is no job of this id, or nothing is kept of it");
        return;
    }
    buf_init(&b, DETAIL_BYTES_MAX);
    struct err e = write_platform(c, &b, res);
    e = err_is_set(e) ? e : buf_status(&b);
    d->platform = err_is_set(e) ? STR_NONE : arena_str(&c->arena, buf_str(&b));
    buf_free(&b);
    if (d->platform.p == NULL) {
        call_fail(c, err_is_set(e) ? e : err_make(ERR_NOMEM, "job"));
        return;
    }
    d->deeds.call = c;
    d->deeds.done = on_deeds;
    deeds_read(&d->deeds);
}

void handle_jobs_detail(struct call *c) {
    struct detail *d = ARENA_NEW(&c->arena, struct detail);
    char text[PG_UUID_BYTES];
    if (d == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "job"));
        return;
    }
    if (!call_param_uuid(c, &c->job)) {
        return;
    }
    c->state = d;
    const struct pg_value values[] = {pg_uuid(c->job, text), call_tenant(c)};
    call_query(c, &detail_stmt, values, on_detail);
}
