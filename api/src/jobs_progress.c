/* POST /v1/jobs/{id}/progress: how far a job is, as its handler says. Kept beside the row, which the worker's statements have to themselves. */
#include <base/json.h>

#include "handlers.h"
#include "server.h"
#include "types.h"

enum { PROGRESS_BYTES_MAX = 4096 };

static const struct pg_stmt progress_stmt = {
    "api.progress",
    "WITH j AS (SELECT id, state FROM platform.job WHERE id = $1::uuid AND ($2::text IS NULL OR tenant = $2)), "
    "u AS (INSERT INTO platform.job_progress (job_id, progress) SELECT id, $3::jsonb FROM j WHERE state = 'waiting' "
    "ON CONFLICT (job_id) DO UPDATE SET progress = excluded.progress) SELECT state FROM j",
    3,
};

/* A handler that is told 409 may stop: the job has ended. That its own attempt was given up it learns by the closed connection. */
static void on_noted(struct call *c, const PGresult *res) {
    struct str progress = *(struct str *)c->state;
    struct buf b;
    if (PQntuples(res) == 0) {
        call_problem(c, PROBLEM_NOT_FOUND, "There is no job of this id and of class journal");
        return;
    }
    if (!str_is(pg_col(res, 0, 0), "waiting")) {
        call_problem(c, PROBLEM_TERMINAL, "It is %s", PQgetvalue(res, 0, 0));
        return;
    }
    buf_init(&b, 2 * PROGRESS_BYTES_MAX);
    buf_add_char(&b, '{');
    buf_add_c(&b, "\"id\":");
    json_add_string(&b, c->param);
    buf_add_c(&b, ",\"progress\":");
    buf_add(&b, progress);
    buf_add_char(&b, '}');
    call_json(c, 200, &b);
    buf_free(&b);
}

static struct str *keep(struct call *c, const json_t *body) {
    struct str *kept = ARENA_NEW(&c->arena, struct str);
    struct buf text;
    buf_init(&text, PROGRESS_BYTES_MAX);
    struct err e = json_write(body, &text);
    if (kept != NULL && !err_is_set(e)) {
        *kept = arena_str(&c->arena, buf_str(&text));
    }
    buf_free(&text);
    return kept != NULL && kept->p != NULL ? kept : NULL;
}

void handle_jobs_progress(struct call *c) {
    struct uuid id;
    char room[PG_UUID_BYTES];
    if (!call_param_uuid(c, &id)) {
        return;
    }
    json_t *body = call_body(c);
    if (body == NULL) {
        return;
    }
    c->job = id;
    if (call_check(c, types_body(c->api->types, "ProgressRequest"), body, "")) {
        struct str *progress = c->state = keep(c, body);
        if (progress == NULL) {
            call_fail(c, err_make(ERR_NOMEM, "progress"));
        } else {
            const struct pg_value values[] = {pg_uuid(id, room), call_tenant(c), pg_text(*progress)};
            call_query(c, &progress_stmt, values, on_noted);
        }
    }
    json_decref(body);
}
