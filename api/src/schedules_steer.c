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

/* A job as POST /v1/jobs would take it. */
static const struct pg_stmt run_stmt = {
    "api.schedule_run",
    "SELECT name, json_build_object('type', type, 'type_version', type_version, 'queue', queue, 'payload', "
    "convert_from(payload, 'UTF8')::json)::text FROM platform.schedule WHERE " SCHEDULE_OF_PATH,
    SCHEDULE_PATH_VALUES,
};

static const struct pg_stmt run_audit_stmt = {
    "api.schedule_run_audit",
    "INSERT INTO platform.audit (tenant, author, action, target, detail) "
    "VALUES ($1, $2, 'schedule.run', $3, jsonb_build_object('key', $4::text, 'job', $5::text))",
    5,
};

struct running {
    struct submit *submit;
    struct str name; /* the schedule's */
};

static void on_audited(struct call *c, const PGresult *res) {
    struct running *r = c->state;
    (void)res;
    answer_acceptance(&r->submit->a);
}

/* What was refused, or had been accepted before, has run nothing. */
static void on_accepted(struct acceptance *a) {
    struct call *c = a->call;
    struct running *r = c->state;
    char job[UUID_TEXT_BYTES];
    if (a->verdict != ACCEPTED_FRESH) {
        answer_acceptance(a);
        return;
    }
    uuid_text(a->id, job);
    const struct pg_value values[] = {
        pg_text(str_c(c->who.tenant)), pg_text(str_c(c->who.author)), pg_text(r->name), pg_text(c->key), pg_text(str_c(job)),
    };
    call_query(c, &run_audit_stmt, values, on_audited);
}

static void on_found(struct call *c, const PGresult *res) {
    struct running *r = ARENA_NEW(&c->arena, struct running);
    struct submit *s = submit_new(c);
    json_t *request = NULL;
    if (PQntuples(res) == 0) {
        call_problem(c, PROBLEM_NOT_FOUND, "There is no schedule \"%.*s\"", STR_ARG(c->param));
        return;
    }
    struct str name = arena_str(&c->arena, pg_col(res, 0, 0));
    struct err e = r != NULL && s != NULL && name.p != NULL ? json_read(pg_col(res, 0, 1), &request) : err_make(ERR_NOMEM, "job");
    if (err_is_set(e)) {
        call_fail(c, e);
        return;
    }
    *r = (struct running){s, name};
    c->state = r;
    if (submit_request(s, request, "JobRequest", STR(""))) {
        s->a.done = on_accepted;
        acceptance_start(&s->a);
    } else {
        call_problem_full(c, &s->problem);
    }
    json_decref(request);
}

void handle_schedules_run(struct call *c) {
    struct pg_value values[SCHEDULE_PATH_VALUES];
    schedule_path_values(c, values);
    call_query(c, &run_stmt, values, on_found);
}
