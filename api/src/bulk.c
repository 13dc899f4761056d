/* POST /v1/bulk: many jobs by a filter, as a job (jobs/bulk). Without "expect" it is a dry run: how many there are, and some of them. With it the job
 * is made, for no more than so many and none that came after it. */
#include <base/json.h>
#include <jobs/bulk_filter.h>
#include <jobs/edit.h>

#include "handlers.h"
#include "server.h"
#include "types.h"

enum { BULK_BYTES_MAX = 64 * 1024, PER_SECOND = 50 };
enum op { OP_RETRY, OP_DISCARD, OP_CANCEL, OP_EDIT, OPS };
static const char *const ops[OPS] = {"retry", "discard", "cancel", "edit"};

#define DRY(from, filter)                                                                                              \
    "WITH m AS (SELECT id FROM " from " WHERE " filter ") SELECT (SELECT count(*) FROM m), (SELECT json_agg(id) FROM " \
    "(SELECT id FROM m ORDER BY id LIMIT 10) s)"
static const struct pg_stmt dry_stmts[OPS] = {
    [OP_RETRY] = {"api.bulk_retry", DRY("platform.dead_job d", BULK_FILTER_RETRY), BULK_FILTER_PARAMS},
    [OP_DISCARD] = {"api.bulk_discard", DRY("platform.dead_job d", BULK_FILTER_DEAD), BULK_FILTER_PARAMS},
    [OP_CANCEL] = {"api.bulk_cancel", DRY("platform.job j", BULK_FILTER_OPEN), BULK_FILTER_PARAMS},
    /* The same, and of the sample type and payload. */
    [OP_EDIT] =
        {"api.bulk_edit",
         "WITH m AS (SELECT d.id FROM platform.dead_job d WHERE " BULK_FILTER_JOURNAL
         "), s AS (SELECT id FROM m ORDER BY id LIMIT 10) SELECT (SELECT count(*) FROM m), (SELECT json_agg(id ORDER BY id) FROM s), "
         "d.id, d.type, d.payload FROM (SELECT) one LEFT JOIN platform.dead_job d ON d.id IN (SELECT id FROM s) ORDER BY d.id",
         BULK_FILTER_PARAMS},
};

/* ---- dry run ---- */

static void answer_counted(struct call *c, const PGresult *res, struct str more) {
    struct str sample = pg_col_null(res, 0, 1) ? STR("[]") : pg_col(res, 0, 1);
    call_answer(c, 200, "application/json",
                arena_printf(&c->arena, "{\"matched\":%lld,\"sample\":%.*s%.*s}", (long long)pg_col_int(res, 0, 0),
                             STR_ARG(sample), STR_ARG(more)));
}

static void on_counted(struct call *c, const PGresult *res) { answer_counted(c, res, STR("")); }

/* Why the job of that row would be left; "": it would not. */
static struct err refusal_of(struct call *c, const PGresult *res, int row, char out[SCHEMA_POINTER_BYTES + SCHEMA_DETAIL_BYTES]) {
    const json_t *patch = c->state;
    const struct job_type *type = registry_type(c->api->rt->registry, pg_col(res, row, 3), NULL);
    struct str original = pg_col_bytes(res, row, 4, &c->arena);
    struct check found;
    json_t *payload;
    out[0] = '\0';
    if (type == NULL || type->internal) {
        (void)str_copy_c(type == NULL ? STR("a type that this build does not know") : STR("a type that cannot be edited"), out,
                         SCHEMA_DETAIL_BYTES);
        return OK;
    }
    if (original.p == NULL) {
        return err_make(ERR_NOMEM, "payload");
    }
    TRY(edit_payload(patch, true, original, &payload));
    if (!types_check(types_payload(c->api->types, type), payload, "/payload", &found)) {
        (void)snprintf(out, SCHEMA_POINTER_BYTES + SCHEMA_DETAIL_BYTES, "%s %s", found.errors[0].pointer, found.errors[0].detail);
    }
    json_decref(payload);
    return OK;
}

static struct err refusals(struct call *c, const PGresult *res, struct buf *out) {
    bool first = true;
    buf_add_c(out, ",\"refused\":[");
    for (int row = 0; row < PQntuples(res) && !pg_col_null(res, row, 2); row++) {
        char why[SCHEMA_POINTER_BYTES + SCHEMA_DETAIL_BYTES];
        TRY(refusal_of(c, res, row, why));
        if (why[0] != '\0') {
            buf_addf(out, "%s{\"id\":\"%.*s\"", first ? "" : ",", STR_ARG(pg_col(res, row, 2)));
            job_add_text(out, "detail", str_c(why));
            buf_add_char(out, '}');
            first = false;
        }
    }
    buf_add_char(out, ']');
    return buf_status(out);
}

static void on_edits_counted(void *arg, struct err err, const PGresult *res) {
    struct call *c = arg;
    struct buf b;
    buf_init(&b, BULK_BYTES_MAX);
    err = err_is_set(err) ? err : refusals(c, res, &b);
    if (err_is_set(err)) {
        call_fail(c, err);
    } else {
        answer_counted(c, res, buf_str(&b));
    }
    buf_free(&b);
    json_decref(c->state);
    call_release(c);
}

static void dry_run(struct call *c, const json_t *body, enum op op) {
    const json_t *filter = json_object_get(body, "filter");
    char until[PG_INT_BYTES];
    const struct pg_value values[BULK_FILTER_PARAMS] = {
        call_tenant(c),
        pg_text_or_null(json_opt_str(filter, "queue", STR_NONE)),
        pg_text_or_null(json_opt_str(filter, "type", STR_NONE)),
        pg_text_or_null(json_opt_str(filter, "fingerprint", STR_NONE)),
        pg_int(loop_wall(c->api->rt->loop).ms, until),
    };
    if (op != OP_EDIT) {
        call_query(c, &dry_stmts[op], values, on_counted);
        return;
    }
    c->state = json_incref(json_object_get(body, "patch"));
    call_hold(c);
    pg_exec(c->api->rt->platform, &dry_stmts[op], values, 0, 0, on_edits_counted, c);
}

/* ---- the job ---- */

static bool add(json_t *o, const char *name, json_t *value) { return json_object_set_new(o, name, value) == 0; }

/* What is not asked for is left out. */
static bool add_text(json_t *o, const char *name, struct str s) { return s.p == NULL || add(o, name, json_stringn(s.p, s.n)); }

/* NULL: no memory. A filter that is missing would mean any. */
static json_t *payload_of(const struct call *c, const json_t *body) {
    json_t *o = json_object();
    const json_t *filter = json_object_get(body, "filter");
    json_t *patch = json_object_get(body, "patch");
    struct pg_value tenant = call_tenant(c);
    bool ok = add(o, "of_tenant", tenant.p != NULL ? json_stringn(tenant.p, tenant.n) : json_null()) &&
              add_text(o, "op", json_opt_str(body, "op", STR_NONE)) &&
              add_text(o, "queue", json_opt_str(filter, "queue", STR_NONE)) &&
              add_text(o, "type", json_opt_str(filter, "type", STR_NONE)) &&
              add_text(o, "fingerprint", json_opt_str(filter, "fingerprint", STR_NONE)) &&
              (patch == NULL || json_object_set(o, "patch", patch) == 0) && add_text(o, "author", str_c(c->who.author)) &&
              add_text(o, "tenant", str_c(c->who.tenant)) && add_text(o, "reason", json_opt_str(body, "reason", STR(""))) &&
              add(o, "until_ms", json_integer(loop_wall(c->api->rt->loop).ms)) &&
              add(o, "most", json_integer(json_opt_i64(body, "expect", 0))) &&
              add(o, "per_second", json_integer(json_opt_i64(body, "rate_per_second", PER_SECOND)));
    if (!ok) {
        json_decref(o);
        o = NULL;
    }
    return o;
}

static void make(struct call *c, const json_t *body) {
    struct submit *s = submit_new(c);
    json_t *payload = payload_of(c, body);
    if (s == NULL || payload == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "bulk"));
    } else if (c->key.p == NULL) {
        call_problem(c, PROBLEM_KEY_MISSING, "A bulk action is done once per key");
    } else if (!submit_job(s, registry_type(c->api->rt->registry, STR("bulk.run"), NULL), payload, "", c->req->body)) {
        call_problem_full(c, &s->problem);
    } else {
        s->a.done = answer_acceptance;
        acceptance_start(&s->a);
    }
    json_decref(payload);
}

void handle_bulk_post(struct call *c) {
    json_t *body = call_body(c);
    enum op op = OP_RETRY;
    if (body == NULL) {
        return;
    }
    if (call_check(c, types_body(c->api->types, "BulkRequest"), body, "")) {
        while (op < OP_EDIT && !str_is(json_opt_str(body, "op", STR("")), ops[op])) {
            op++;
        }
        if (json_object_get(body, "expect") == NULL) {
            dry_run(c, body, op);
        } else {
            make(c, body);
        }
    }
    json_decref(body);
}

/* ---- pause, resume; DELETE /v1/jobs/{id} stops it ---- */

static const struct pg_stmt pause_stmt = {
    "api.bulk_pause",
    "WITH j AS (SELECT id FROM platform.job WHERE id = $1::uuid AND type = 'bulk.run' AND state = 'waiting' AND ($2::text IS NULL OR tenant = $2)), "
    "u AS (INSERT INTO platform.bulk (job_id, paused) SELECT id, $3::bool FROM j ON CONFLICT (job_id) DO UPDATE SET paused = excluded.paused "
    "RETURNING job_id, done, paused), " AUDIT_CTE("u", "$4", "$5", "$6", "$1",
                                                  "jsonb_build_object('reason', $7::text)") " SELECT job_id, paused, done FROM u",
    7,
};

static void on_paused(struct call *c, const PGresult *res) {
    if (PQntuples(res) == 0) {
        call_problem(c, PROBLEM_NOT_FOUND, "There is no bulk action of this id that goes on");
        return;
    }
    call_answer(c, 200, "application/json",
                arena_printf(&c->arena, "{\"id\":\"%.*s\",\"paused\":%s,\"done\":%lld}", STR_ARG(pg_col(res, 0, 0)),
                             pg_col_bool(res, 0, 1) ? "true" : "false", (long long)pg_col_int(res, 0, 2)));
}

static void set_paused(struct call *c, bool paused) {
    char room[PG_UUID_BYTES];
    json_t *body = call_param_uuid(c, &c->job) ? call_body(c) : NULL;
    if (body == NULL) {
        return;
    }
    if (call_check(c, types_body(c->api->types, "Reason"), body, "")) {
        const struct pg_value values[] = {
            pg_uuid(c->job, room),
            call_tenant(c),
            pg_text(paused ? STR("true") : STR("false")),
            pg_text(str_c(c->who.tenant)),
            pg_text(str_c(c->who.author)),
            pg_text(paused ? STR("bulk.pause") : STR("bulk.resume")),
            pg_text(json_opt_str(body, "reason", STR(""))),
        };
        call_query(c, &pause_stmt, values, on_paused);
    }
    json_decref(body);
}

void handle_bulk_pause(struct call *c) { set_paused(c, true); }
void handle_bulk_resume(struct call *c) { set_paused(c, false); }
