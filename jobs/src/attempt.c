#include <jobs/attempt.h>

#include <base/crypto.h>
#include <base/fault.h>
#include <base/json.h>
#include <base/limits.h>
#include <jobs/module_sql.h>
#include <stdlib.h>

enum { EFFECT_VALUES_MAX = 32, RACE_LIMIT = 3, RESERVE_SHARE = 10, RESERVE_MAX_MS = 500 };

bool attempt_is_stream(const struct attempt *a) { return id_job_place(a->job.id).stream_class; }

const struct trace *attempt_trace(const struct attempt *a) { return a->scope.number != 0 ? &a->scope.trace : &a->job.trace; }

static int64_t now_us(const struct attempt *a) { return loop_now(a->env->loop).us; }

bool attempt_enter(struct attempt *a, struct dependency *d) {
    int64_t wait_ms;
    if (d == NULL || dependency_enter(d, &a->place, now_us(a), &wait_ms)) {
        return true;
    }
    if (d->circuit == CIRCUIT_CLOSED || dependency_spares(d, now_us(a))) {
        attempt_later(a, wait_ms,
                      err_make(ERR_BUSY, "%s: %s", d->name, d->circuit == CIRCUIT_CLOSED ? "no room" : "does not answer"));
    } else {
        attempt_fail(a, err_make(ERR_TRANSIENT, "%s: has not answered for a day", d->name));
    }
    return false;
}

bool attempt_may_call(const struct attempt *a, int64_t *out_wait_ms) {
    return a->job.attempt == 0 || dependency_retry(a->place.dependency, now_us(a), out_wait_ms);
}

static void at_least(int64_t *delay_ms, int64_t ms) { *delay_ms = *delay_ms > ms ? *delay_ms : ms; }

/* One that failed with its server comes again when that wants it; and nothing is charged while it is away. */
static struct attempt_end spare(struct attempt *a, const struct attempt_end *end) {
    struct dependency *d = a->place.dependency;
    struct attempt_end e = *end;
    if (e.kind != END_FAILED || !call_has_failed(call_verdict_of(e.err.code))) {
        return e;
    }
    at_least(&e.delay_ms, dependency_asked_ms(d, now_us(a)));
    if (dependency_spares(d, now_us(a))) {
        e.kind = END_LATER;
        at_least(&e.delay_ms, dependency_wait_ms(d, now_us(a)));
    }
    return e;
}

void attempt_end(struct attempt *a, const struct attempt_end *end) {
    struct attempt_end e = *end;
    if (a->place.dependency != NULL) {
        e = spare(a, end);
        dependency_leave(&a->place);
    }
    a->on_end(a, &e);
}

void attempt_finish(struct attempt *a, enum job_outcome outcome, int status, struct str result) {
    struct attempt_end end = {.kind = END_FINISHED, .outcome = outcome, .status = status, .result = arena_str(a->arena, result)};
    if (end.result.p == NULL) {
        attempt_fail(a, err_make(ERR_NOMEM, "result"));
        return;
    }
    attempt_end(a, &end);
}

void attempt_fail(struct attempt *a, struct err err) {
    struct attempt_end end = {.kind = END_FAILED, .err = err};
    attempt_end(a, &end);
}

void attempt_later(struct attempt *a, int64_t delay_ms, struct err why) {
    struct attempt_end end = {.kind = END_LATER, .err = why, .delay_ms = delay_ms};
    attempt_end(a, &end);
}

void attempt_snooze(struct attempt *a, int64_t delay_ms) {
    int64_t now = loop_wall(a->env->loop).ms;
    int64_t left = id_ms(a->job.root) + LIMIT_SNOOZE_DAYS * INT64_C(86400000) - now;
    struct attempt_end end = {.kind = END_SNOOZED};
    if (left <= 0) {
        attempt_fail(a, err_make(ERR_EXPIRED, "snoozed for %d days", LIMIT_SNOOZE_DAYS));
        return;
    }
    end.delay_ms = delay_ms < left ? delay_ms : left;
    attempt_end(a, &end);
}

int64_t attempt_ms_left(const struct attempt *a) {
    int64_t left = mono_ms_since(a->give_up, loop_now(a->env->loop));
    return left > 0 ? left : 0;
}

int64_t attempt_call_ms(const struct attempt *a) {
    int64_t left = attempt_ms_left(a), reserve = left / RESERVE_SHARE;
    return left - (reserve < RESERVE_MAX_MS ? reserve : RESERVE_MAX_MS);
}

enum call_verdict attempt_call_verdict(const struct attempt *a, enum err_code code) {
    enum call_verdict v = call_verdict_of(code);
    bool cut = a->hurried && attempt_ms_left(a) <= RESERVE_MAX_MS;
    return cut && call_has_failed(v) ? CALL_UNTOLD : v;
}

bool attempt_is_late(const struct attempt *a) {
    return a->job.deadline.ms != 0 && a->job.deadline.ms <= loop_wall(a->env->loop).ms;
}

bool attempt_parse(struct attempt *a, json_t **out) {
    struct err e = json_read(a->payload, out);
    if (err_is_set(e)) {
        attempt_fail(a, e);
        return false;
    }
    return true;
}

/* One effect statement on its way, run again when it lost a race it could not see (EFFECT_ANSWER). Borrows nothing. */
struct effect_call {
    struct module_env *env;
    const struct pg_stmt *stmt;
    struct arena arena; /* values */
    struct pg_value values[EFFECT_VALUES_MAX];
    int64_t order;
    int flags, races;
    void (*done)(void *arg, struct err err, const struct effect_row *row);
    void *arg;
};

static void effect_call_free(struct effect_call *c) {
    arena_free(&c->arena);
    free(c);
}

static void on_effect(void *arg, struct err err, const PGresult *res);

static void effect_call_send(struct effect_call *c) { pg_exec(c->env->db, c->stmt, c->values, c->flags, c->order, on_effect, c); }

static struct err read_row(struct effect_call *c, const PGresult *res, struct effect_row *out) {
    struct effect_row row = {
        .fresh = pg_col_bool(res, 0, 0),
        .generation = (uint32_t)pg_col_int(res, 0, 1),
        .status = (int)pg_col_int(res, 0, 3),
    };
    if (!job_outcome_parse(pg_col(res, 0, 2), &row.outcome)) {
        return err_make(ERR_PG_ERROR, "%s: outcome \"%.*s\"", c->stmt->name, STR_ARG(pg_col(res, 0, 2)));
    }
    if (!pg_col_null(res, 0, 4)) {
        row.result = pg_col_bytes(res, 0, 4, &c->arena);
        if (row.result.p == NULL) {
            return err_make(ERR_NOMEM, "%s: result", c->stmt->name);
        }
    }
    *out = row;
    return OK;
}

static void on_effect(void *arg, struct err err, const PGresult *res) {
    struct effect_call *c = arg;
    struct effect_row row;
    if (!err_is_set(err) && PQntuples(res) == 0 && c->races++ < RACE_LIMIT) {
        effect_call_send(c);
        return;
    }
    if (!err_is_set(err)) {
        err = PQntuples(res) > 0 ? read_row(c, res, &row) : err_make(ERR_PG_CONFLICT, "%s: lost every race", c->stmt->name);
    }
    c->done(c->arg, err, err_is_set(err) ? NULL : &row);
    effect_call_free(c);
}

static struct pg_value keep(struct arena *a, struct pg_value v, bool *out_failed) {
    if (v.p == NULL) {
        return v;
    }
    struct str copy = arena_str(a, str_of(v.p, v.n));
    *out_failed |= copy.p == NULL;
    return (struct pg_value){copy.p, copy.n, v.binary};
}

struct effect_spec {
    const struct pg_stmt *stmt;
    struct uuid root;
    struct str step;
    uint32_t generation;
    enum job_outcome outcome;
    int status;
    struct str result;
    const struct pg_value *values;
    size_t values_n;
    int64_t order;
    int flags;
};

static struct effect_call *effect_call_new(struct module_env *env, const struct effect_spec *s) {
    struct effect_call *c = calloc(1, sizeof *c);
    if (c == NULL || s->values_n > EFFECT_VALUES_MAX - EFFECT_PARAMS) {
        free(c);
        return NULL;
    }
    c->env = env;
    c->stmt = s->stmt;
    c->order = s->order;
    c->flags = s->flags;
    arena_init(&c->arena, 2048, 1 << 20);
    char root[PG_UUID_BYTES], generation[PG_INT_BYTES], status[PG_INT_BYTES];
    const struct pg_value head[EFFECT_PARAMS] = {
        pg_uuid(s->root, root),
        pg_text(s->step),
        pg_int(s->generation, generation),
        pg_text(str_c(job_outcome_name(s->outcome))),
        pg_int(s->status, status),
        s->result.p != NULL ? pg_bytes(s->result) : PG_NULL,
    };
    bool failed = false;
    for (size_t i = 0; i < EFFECT_PARAMS; i++) {
        c->values[i] = keep(&c->arena, head[i], &failed);
    }
    for (size_t i = 0; i < s->values_n; i++) {
        c->values[EFFECT_PARAMS + i] = keep(&c->arena, s->values[i], &failed);
    }
    if (failed) {
        effect_call_free(c);
        return NULL;
    }
    return c;
}

static void on_committed(void *arg, struct err err, const struct effect_row *row);

/* What attempt_commit must remember until the statement is answered. In the attempt's arena. */
struct commit {
    struct attempt *attempt;
    enum job_outcome outcome;
    bool follow_ups;
};

#ifdef PENSTOCK_FAULTS
/* Negative control: under a step name of its own every run finds its gate open. */
static void disarm_arbiter(struct effect_call *c) {
    uint8_t random[8];
    char step[2 * sizeof random + 1];
    bool failed = false;
    crypto_random(random, sizeof random);
    hex_encode(random, sizeof random, step);
    c->values[1] = keep(&c->arena, pg_text(str_c(step)), &failed);
}
#else
static inline void disarm_arbiter(struct effect_call *c) { (void)c; }
#endif

void attempt_commit(struct attempt *a, const struct attempt_effect *e) {
    struct commit *commit = ARENA_NEW(a->arena, struct commit);
    const struct effect_spec spec = {
        .stmt = e->stmt,
        .root = a->job.root,
        .step = STR(""),
        .generation = a->job.generation,
        .outcome = e->outcome,
        .status = e->status,
        .result = e->result,
        .values = e->values,
        .values_n = e->values_n,
        .order = e->order,
        .flags = PG_SHARED,
    };
    struct effect_call *c = commit != NULL ? effect_call_new(a->env, &spec) : NULL;
    if (c == NULL) {
        attempt_fail(a, err_make(ERR_NOMEM, "%s", e->stmt->name));
        return;
    }
    if (FAULT_SWITCH(NO_ARBITER)) {
        disarm_arbiter(c);
    }
    *commit = (struct commit){a, e->outcome, e->follow_ups};
    c->done = on_committed;
    c->arg = commit;
    FAILPOINT(EFFECT_BEFORE);
    effect_call_send(c);
}

static void on_committed(void *arg, struct err err, const struct effect_row *row) {
    struct commit *commit = arg;
    struct attempt *a = commit->attempt;
    if (err_is_set(err)) {
        attempt_fail(a, err);
        return;
    }
    FAILPOINT(EFFECT_AFTER);
    struct str result = arena_str(a->arena, row->result);
    if (result.p == NULL) { /* the effect stands: the next run takes it over with its result */
        attempt_fail(a, err_make(ERR_NOMEM, "result"));
        return;
    }
    struct attempt_end end = {
        .kind = END_FINISHED,
        .outcome = row->outcome,
        .status = row->status,
        .result = result,
        .absorbed = !row->fresh,
        .stale = !row->fresh && (row->outcome != commit->outcome || row->generation > a->job.generation),
        .follow_ups = commit->follow_ups,
    };
    attempt_end(a, &end);
}

void attempt_close(struct attempt *a, enum job_outcome outcome, int status, struct str result) {
    const struct attempt_effect e = {.stmt = &a->env->module->sql->close, .outcome = outcome, .status = status, .result = result};
    attempt_commit(a, &e);
}

static void effect_run(struct module_env *env, const struct effect_spec *spec, effect_cb *cb, void *arg) {
    struct effect_call *c = effect_call_new(env, spec);
    if (c == NULL) {
        cb(arg, err_make(ERR_NOMEM, "%s", spec->stmt->name), NULL);
        return;
    }
    c->done = cb;
    c->arg = arg;
    effect_call_send(c);
}

void effect_close(struct module_env *env, struct uuid root, uint32_t generation, enum job_outcome outcome, int status,
                  struct str result, effect_cb *cb, void *arg) {
    const struct effect_spec spec = {
        .stmt = &env->module->sql->close,
        .root = root,
        .step = STR(""),
        .generation = generation,
        .outcome = outcome,
        .status = status,
        .result = result,
        .flags = PG_SHARED,
    };
    effect_run(env, &spec, cb, arg);
}

void effect_step(struct module_env *env, struct uuid root, uint32_t generation, struct str step, effect_cb *cb, void *arg) {
    const struct effect_spec spec = {
        .stmt = &env->module->sql->step, .root = root, .step = step, .generation = generation, .outcome = OUTCOME_DONE};
    effect_run(env, &spec, cb, arg);
}
