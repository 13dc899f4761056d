/* GET /v1/jobs/{id}/detail: a job for people. What the platform keeps of it, and what its root has done (jobs/deeds.h). */
#include <base/json.h>
#include <jobs/deeds.h>

#include "handlers.h"
#include "server.h"
#include "types.h"

enum { DETAIL_BYTES_MAX = 1 << 20, DEEDS_BYTES_MAX = 256 * 1024 };

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
    struct call *call;
    struct str platform; /* its part of the body, in the arena */
    struct buf effects, calls;
};

/* ---- the platform's part ---- */

static void add_optional(struct buf *b, const char *name, const PGresult *res, int row, int column) {
    if (!pg_col_null(res, row, column)) {
        job_add_text(b, name, pg_col(res, row, column));
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
    add_optional(b, "fingerprint", res, 0, 5);
    add_optional(b, "release", res, 0, 13);
    job_add_time(b, "died_at", (struct wall){pg_col_int(res, 0, 6)});
    job_add_time(b, "replayed_at", (struct wall){pg_col_int(res, 0, 7)});
    job_add_time(b, "discarded_at", (struct wall){pg_col_int(res, 0, 8)});
    job_add_text(b, "trace_id", pg_col(res, 0, 9));
    add_optional(b, "replay_of", res, 0, 10);
    buf_addf(b, ",\"replays\":%.*s", STR_ARG(replays.n > 0 ? replays : STR("[]")));
    add_optional(b, "key", res, 0, 12);
    return payload.p != NULL ? job_add_payload(b, type != NULL ? types_payload(c->api->types, type) : NULL, payload)
                             : err_make(ERR_NOMEM, "payload");
}

/* ---- what its root has done ---- */

static void add_effect(struct deeds *d, const PGresult *res, int row) {
    struct buf *b = &((struct detail *)d->arg)->effects;
    buf_add_c(b, b->n > 0 ? ",{\"step\":" : "{\"step\":");
    json_add_string(b, pg_col(res, row, 0));
    job_add_text(b, "outcome", pg_col(res, row, 1));
    buf_addf(b, ",\"generation\":%lld,\"status\":%lld", (long long)pg_col_int(res, row, 2), (long long)pg_col_int(res, row, 3));
    job_add_time(b, "at", (struct wall){pg_col_int(res, row, 4)});
    buf_add_char(b, '}');
}

static void add_call(struct deeds *d, const PGresult *res, int row) {
    struct buf *b = &((struct detail *)d->arg)->calls;
    buf_add_c(b, b->n > 0 ? ",{\"kind\":" : "{\"kind\":");
    json_add_string(b, pg_col(res, row, 0));
    job_add_text(b, "state", pg_col(res, row, 1));
    job_add_time(b, "at", (struct wall){pg_col_int(res, row, 2)});
    add_optional(b, "reference", res, row, 3);
    buf_add_char(b, '}');
}

static void on_deeds(struct deeds *deeds, struct err err) {
    struct detail *d = deeds->arg;
    struct call *c = d->call;
    struct buf b;
    err = err_is_set(err) ? err : err_is_set(buf_status(&d->effects)) ? buf_status(&d->effects) : buf_status(&d->calls);
    buf_init(&b, 2 * DETAIL_BYTES_MAX);
    buf_add(&b, d->platform);
    buf_add_c(&b, ",\"effects\":[");
    buf_add(&b, buf_str(&d->effects));
    buf_add_c(&b, "],\"calls\":[");
    buf_add(&b, buf_str(&d->calls));
    buf_add_c(&b, "]}");
    if (err_is_set(err)) {
        call_fail(c, err);
    } else {
        call_json(c, 200, &b);
    }
    buf_free(&b);
    buf_free(&d->effects);
    buf_free(&d->calls);
    call_release(c);
}

static void read_deeds(struct call *c, struct detail *d) {
    d->call = c;
    d->deeds.rt = c->api->rt;
    d->deeds.on_effect = add_effect;
    d->deeds.on_call = add_call;
    d->deeds.done = on_deeds;
    d->deeds.arg = d;
    buf_init(&d->effects, DEEDS_BYTES_MAX);
    buf_init(&d->calls, DEEDS_BYTES_MAX);
    call_hold(c);
    deeds_read(&d->deeds);
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
    read_deeds(c, d);
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
