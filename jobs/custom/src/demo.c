/* The demo types: one of each kind of behaviour a job can have. */
#include "custom.h"

#include <base/json.h>
#include <jobs/module_sql.h>
#include <stdlib.h>

static const struct pg_stmt note_stmt = {
    "custom.note",
    EFFECT_GATE("custom") ", n AS (INSERT INTO custom.note (root_id, text) SELECT root_id, $7::text FROM g)" EFFECT_ANSWER(
        "custom"),
    EFFECT_PARAMS + 1,
};

void demo_noop(struct attempt *a) { attempt_finish(a, OUTCOME_DONE, 200, STR("{}")); }

void demo_echo(struct attempt *a) { attempt_finish(a, OUTCOME_DONE, 200, a->payload); }

void demo_note(struct attempt *a) {
    json_t *payload;
    if (!attempt_parse(a, &payload)) {
        return;
    }
    const struct pg_value text = pg_text(json_opt_str(payload, "text", STR("")));
    const struct attempt_effect e = {
        .stmt = &note_stmt,
        .values = &text,
        .values_n = 1,
        .outcome = OUTCOME_DONE,
        .status = 200,
        .result = STR("{\"noted\":true}"),
    };
    attempt_commit(a, &e);
    json_decref(payload);
}

static const struct pg_stmt tally_stmt = {"custom.tally", "INSERT INTO custom.note (root_id, text) VALUES ($1::uuid, 'tally')",
                                          1};

static void on_tallied(void *arg, struct err err, const PGresult *res) {
    struct attempt *a = arg;
    (void)res;
    if (err_is_set(err)) {
        attempt_fail(a, err);
    } else {
        demo_sleep(a);
    }
}

/* Stream class, and so at least once: every run leaves its note, then sleeps for ms. */
void demo_tally(struct attempt *a) {
    char room[PG_UUID_BYTES];
    const struct pg_value root = pg_uuid(a->job.root, room);
    pg_exec(a->env->db, &tally_stmt, &root, PG_SHARED, 0, on_tallied, a);
}

/* Fails until so many attempts were charged; without "until" for ever. */
void demo_fail(struct attempt *a) {
    json_t *payload;
    if (!attempt_parse(a, &payload)) {
        return;
    }
    int64_t until = json_opt_i64(payload, "until", INT64_MAX);
    bool permanent = json_opt_bool(payload, "permanent", false);
    json_decref(payload);
    if ((int64_t)a->job.attempt < until) {
        attempt_fail(
            a, err_make(permanent ? ERR_REFUSED : ERR_TRANSIENT, "demo.fail was asked to fail, attempt %u", a->job.attempt + 1));
        return;
    }
    attempt_close(a, OUTCOME_DONE, 200, STR("{\"failed\":false}"));
}

struct sleeping {
    struct attempt *attempt;
    struct timer *timer;
};

static void wake(struct sleeping *s, enum job_outcome outcome, int status, struct str result) {
    timer_free(s->timer);
    attempt_finish(s->attempt, outcome, status, result);
}

static void on_slept(void *arg) { wake(arg, OUTCOME_DONE, 200, STR("{\"slept\":true}")); }

static void on_sleep_stop(struct attempt *a, bool timed_out) {
    struct sleeping *s = a->state;
    if (timed_out) {
        timer_free(s->timer);
        attempt_fail(a, err_make(ERR_TIMEOUT, "still asleep when the attempt's time was up"));
    } else {
        wake(s, OUTCOME_CANCELLED, 409, STR("{\"title\":\"Cancelled\",\"status\":409,\"code\":\"cancelled\"}"));
    }
}

void demo_sleep(struct attempt *a) {
    json_t *payload;
    if (!attempt_parse(a, &payload)) {
        return;
    }
    int64_t ms = json_opt_i64(payload, "ms", 0);
    bool fail = json_opt_bool(payload, "fail", false);
    struct sleeping *s = ARENA_NEW(a->arena, struct sleeping);
    struct err e = s != NULL ? timer_new(a->env->loop, on_slept, s, &s->timer) : err_make(ERR_NOMEM, "demo.sleep");
    json_decref(payload);
    if (!err_is_set(e) && fail) {
        timer_free(s->timer);
        e = err_make(ERR_REFUSED, "asked to fail");
    }
    if (err_is_set(e)) {
        attempt_fail(a, e);
        return;
    }
    s->attempt = a;
    a->state = s;
    a->on_stop = on_sleep_stop;
    timer_start(s->timer, ms);
}
