/* Schedules paused, resumed, and run now. */
#include <base/json.h>

#include "schedules.h"
#include "server.h"

/* ---- POST /v1/schedules/{id}/pause, resume ---- */

/* What was due in the pause is left out: ticks count from now on. Resuming what goes on changes nothing. */
static const struct pg_stmt pause_stmt = {
    "api.schedule_pause",
    "WITH u AS (UPDATE platform.schedule SET next_at = CASE WHEN paused AND NOT $4::bool THEN greatest(next_at, now()) ELSE next_at END, "
    "paused = $4::bool, version = version + 1 WHERE " SCHEDULE_OF_PATH
    " RETURNING *), " AUDIT_CTE("u", "$1", "$5", "$6", "(SELECT name FROM u)",
                                "jsonb_build_object('reason', $7::text)") " SELECT " SCHEDULE_COLUMNS " FROM u",
    SCHEDULE_PATH_VALUES + 4,
};

static void set_paused(struct call *c, bool paused) {
    json_t *body = call_body(c);
    if (body == NULL) {
        return;
    }
    if (call_check(c, types_body(c->api->types, "Reason"), body, "")) {
        struct pg_value values[SCHEDULE_PATH_VALUES + 4];
        schedule_path_values(c, values);
        values[3] = pg_text(paused ? STR("true") : STR("false"));
        values[4] = pg_text(str_c(c->who.author));
        values[5] = pg_text(paused ? STR("schedule.pause") : STR("schedule.resume"));
        values[6] = pg_text(json_opt_str(body, "reason", STR("")));
        call_query(c, &pause_stmt, values, schedule_answer);
    }
    json_decref(body);
}

void handle_schedules_pause(struct call *c) { set_paused(c, true); }
void handle_schedules_resume(struct call *c) { set_paused(c, false); }

/* ---- POST /v1/schedules/{id}/run ---- */

/* A job as POST /v1/jobs would take it. Who asked for it is noted before it is accepted: afterwards a crash could come between. A
 * repetition is not noted again, as far as keys are known here. */
static const struct pg_stmt run_stmt = {
    "api.schedule_run",
    "WITH s AS (SELECT * FROM platform.schedule WHERE " SCHEDULE_OF_PATH
    "), asked AS (SELECT FROM s WHERE NOT EXISTS (SELECT FROM platform.idempotency WHERE tenant = $4 AND key = $6)), " AUDIT_CTE(
        "asked", "$4", "$5", "'schedule.run'", "(SELECT name FROM s)",
        "jsonb_build_object('key', $6::text)") " SELECT json_build_object('type', type, 'type_version', type_version, 'queue', queue, "
                                               "'payload', convert_from(payload, 'UTF8')::json)::text FROM s",
    SCHEDULE_PATH_VALUES + 3,
};

static void on_found(struct call *c, const PGresult *res) {
    struct submit *s = submit_new(c);
    json_t *request = NULL;
    if (PQntuples(res) == 0) {
        call_problem(c, PROBLEM_NOT_FOUND, "There is no schedule \"%.*s\"", STR_ARG(c->param));
        return;
    }
    struct err e = s != NULL ? json_read(pg_col(res, 0, 0), &request) : err_make(ERR_NOMEM, "job");
    if (err_is_set(e)) {
        call_fail(c, e);
        return;
    }
    if (submit_request(s, request, "JobRequest", STR(""))) {
        s->a.done = answer_acceptance;
        acceptance_start(&s->a);
    } else {
        call_problem_full(c, &s->problem);
    }
    json_decref(request);
}

void handle_schedules_run(struct call *c) {
    struct pg_value values[SCHEDULE_PATH_VALUES + 3];
    schedule_path_values(c, values);
    values[3] = pg_text(str_c(c->who.tenant));
    values[4] = pg_text(str_c(c->who.author));
    values[5] = pg_text(c->key);
    call_query(c, &run_stmt, values, on_found);
}
