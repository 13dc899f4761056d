#include "op_run.h"

#include <base/arena.h>
#include <base/fault.h>
#include <base/metrics.h>
#include <io/loop.h>
#include <jobs/dependency.h>
#include <jobs/follow_up.h>
#include <stdio.h>
#include <stdlib.h>

#include "statements.h"

enum {
    ROUNDS_MAX = 12,         /* of one run: what goes on changing under it is somebody else's */
    CALL_MIN_MS = 50,        /* less time than this is not worth a call */
    RECORD_RESERVE_MS = 100, /* of the attempt's time, kept for writing the answer down */
    BUSY_AGAIN_MS = 200,
};

struct op_run {
    struct payments *m;
    struct op_goal goal;
    struct arena arena;
    struct op_row row;
    int rounds;
    bool asked; /* the answer on its way is to a question */
    struct dependency_call call;
    struct err down; /* set: the call did not leave, and this says why */
    op_run_cb *cb;
    void *arg;
};

static void load(struct op_run *r);

int64_t payment_lock_order(struct uuid payment_id) {
    int64_t order;
    memcpy(&order, payment_id.b + sizeof payment_id.b - sizeof order, sizeof order);
    return order;
}

static int64_t now_us(const struct op_run *r) { return loop_now(r->m->env->loop).us; }

static void finish(struct op_run *r, struct err err, const struct op_end *end) {
    r->cb(r->arg, err, end);
    arena_free(&r->arena);
    free(r);
}

static void finish_pending(struct op_run *r, int64_t delay_ms) { finish(r, OK, &(struct op_end){OP_PENDING, delay_ms, &r->row}); }

static void exec(struct op_run *r, const struct pg_stmt *stmt, const struct pg_value *values, pg_cb *cb, void *arg) {
    pg_exec(r->m->env->db, stmt, values, PG_SHARED, payment_lock_order(r->row.payment_id), cb, arg);
}

static int64_t ms_left(const struct op_run *r) { return mono_ms_since(r->goal.give_up, loop_now(r->m->env->loop)); }

/* --- recording --- */

static void on_recorded(void *arg, struct err err, const PGresult *res) {
    struct op_run *r = arg;
    (void)res; /* no row: another runner recorded something before; what it was, the next load says */
    if (err_is_set(err)) {
        finish(r, err, NULL);
        return;
    }
    FAILPOINT(PROVIDER_AFTER_RECORD);
    if (err_is_set(r->down)) {
        finish(r, r->down, NULL);
        return;
    }
    load(r);
}

/* A booking, kept for the statement that follows when one finds its reference taken. field: what of it does not fit; NULL: all
 * does. */
struct booking {
    struct op_run *run;
    struct provider_answer answer;
    const char *field;
};

static void record_frozen(struct booking *b);

static void on_booked(void *arg, struct err err, const PGresult *res) {
    struct booking *b = arg;
    if (err.code == ERR_PG_UNIQUE && b->answer.provider_ref.p != NULL) {
        b->field = b->field != NULL ? b->field : "provider_ref";
        b->answer.provider_ref = STR_NONE;
        record_frozen(b);
        return;
    }
    on_recorded(b->run, err, res);
}

static void record_frozen(struct booking *b) {
    struct op_run *r = b->run;
    char id[PG_UUID_BYTES], event[PG_UUID_BYTES], amount[PG_INT_BYTES];
    const struct pg_value values[] = {
        pg_uuid(r->row.id, id),      pg_text_or_null(b->answer.provider_ref), pg_int(b->answer.amount, amount),
        pg_text(b->answer.currency), pg_uuid(id_new(r->m->env->ids), event),  pg_text(str_c(b->field)),
    };
    exec(r, &payments_stmt_frozen, values, on_booked, b);
}

static void record_succeeded(struct booking *b) {
    struct op_run *r = b->run;
    const struct provider_answer *a = &b->answer;
    char id[PG_UUID_BYTES], event[PG_UUID_BYTES], amount[PG_INT_BYTES];
    const struct pg_value values[] = {pg_uuid(r->row.id, id), pg_text(a->provider_ref), pg_int(a->amount, amount),
                                      pg_text(a->currency), pg_uuid(id_new(r->m->env->ids), event)};
    exec(r, &payments_stmt_succeeded, values, on_booked, b);
}

static void record_booking(struct op_run *r, const struct provider_answer *a, const char *mismatch) {
    struct booking *b = ARENA_NEW(&r->arena, struct booking);
    struct str currency = arena_str(&r->arena, a->currency), ref = arena_str(&r->arena, a->provider_ref);
    if (b == NULL || currency.p == NULL || ref.p == NULL) {
        finish(r, err_make(ERR_NOMEM, "booking"), NULL);
        return;
    }
    *b = (struct booking){r, {.amount = a->amount, .currency = currency, .provider_ref = ref}, mismatch};
    if (mismatch != NULL) {
        record_frozen(b);
    } else {
        record_succeeded(b);
    }
}

static void record_not_done(struct op_run *r, const char *state, struct str code, const char *from) {
    char id[PG_UUID_BYTES], event[PG_UUID_BYTES], calls[PG_INT_BYTES];
    const struct pg_value values[] = {
        pg_uuid(r->row.id, id), pg_text(str_c(state)),       pg_text(code),
        pg_text(str_c(from)),   pg_int(r->row.calls, calls), pg_uuid(id_new(r->m->env->ids), event),
    };
    exec(r, &payments_stmt_not_done, values, on_recorded, r);
}

static void record_errored(struct op_run *r, const struct provider_answer *a) {
    char id[PG_UUID_BYTES], calls[PG_INT_BYTES];
    struct str code = a->code.n > 0 ? a->code : str_c(provider_outcome_name(a->outcome));
    const struct pg_value values[] = {pg_uuid(r->row.id, id), pg_text(code), pg_int(r->row.calls, calls)};
    if (!r->asked) { /* it was tried: whether and when again is the job's retry policy's */
        r->down = a->outcome == PROVIDER_NOT_SENT ? a->err : err_make(ERR_TRANSIENT, "provider: %.*s", STR_ARG(code));
    }
    exec(r, &payments_stmt_errored, values, on_recorded, r);
}

static void on_unknown(void *arg, struct err err, const PGresult *res) {
    struct op_run *r = arg;
    (void)res;
    if (err_is_set(err)) {
        finish(r, err, NULL);
        return;
    }
    FAILPOINT(PROVIDER_AFTER_RECORD);
    finish_pending(r, BUSY_AGAIN_MS);
}

static void record_unknown(struct op_run *r) {
    char id[PG_UUID_BYTES], event[PG_UUID_BYTES], sync[PG_UUID_BYTES], calls[PG_INT_BYTES], lateness[PG_INT_BYTES], step[32];
    struct uuid sync_id;
    (void)snprintf(step, sizeof step, "sync:%d", (int)r->row.calls);
    struct err e = follow_up_id(r->m->env, STR("payments"), r->row.id, str_c(step), &sync_id);
    if (err_is_set(e)) {
        finish(r, e, NULL);
        return;
    }
    const struct pg_value values[] = {
        pg_uuid(r->row.id, id),
        pg_int(r->row.calls, calls),
        pg_uuid(id_new(r->m->env->ids), event),
        pg_uuid(sync_id, sync),
        pg_int(r->m->provider->lateness_ms, lateness),
    };
    exec(r, &payments_stmt_unknown, values, on_unknown, r);
}

/* An answered question says nothing of calls, and one that the attempt's own end has cut short nothing of the provider. */
static void note_answer(struct op_run *r, const struct provider_answer *a) {
    enum call_verdict v = call_verdict_of(a->err.code);
    bool cut = call_has_failed(v) && ms_left(r) <= RECORD_RESERVE_MS;
    if (call_has_failed(v) && !cut) {
        dependency_call_why(&r->call, a->err.detail);
    }
    dependency_call_end(&r->call, cut || (r->asked && v == CALL_OK) ? CALL_UNTOLD : v, now_us(r), a->after_ms);
}

static void on_answer(void *arg, const struct provider_answer *a) {
    struct op_run *r = arg;
    note_answer(r, a);
    metric_inc(M_PROVIDER_CALLS, r->asked ? "lookup" : op_kind_name(r->row.kind), provider_outcome_name(a->outcome), NULL);
    FAILPOINT(PROVIDER_AFTER_CALL);
    switch (op_judge(&r->row, a, r->asked)) {
    case OP_RECORD_SUCCEEDED:
        record_booking(r, a, NULL);
        break;
    case OP_RECORD_FROZEN:
        record_booking(r, a, op_mismatch(&r->row, a));
        break;
    case OP_RECORD_DECLINED:
        record_not_done(r, "declined", a->code, "{sent,unknown}");
        break;
    case OP_RECORD_ERRORED:
        record_errored(r, a);
        break;
    case OP_RECORD_UNKNOWN:
        record_unknown(r);
        break;
    case OP_RECORD_NOTHING:
        finish_pending(r, op_ask_again_ms(&r->row));
        break;
    }
}

/* --- acting --- */

static int64_t call_budget(const struct op_run *r) {
    int64_t left = ms_left(r) - RECORD_RESERVE_MS, most = r->m->env->conf->payments_call_ms;
    return left < most ? left : most;
}

static void send(struct op_run *r, struct wall not_after) {
    r->asked = false;
    const struct provider_call call = {
        .kind = r->row.kind,
        .reference = r->row.id,
        .amount = r->row.amount,
        .currency = r->row.currency,
        .token = r->row.token,
        .parent = r->row.parent,
        .traceparent = r->row.traceparent,
        .not_after = not_after,
        .deadline_ms = call_budget(r),
    };
    dependency_call_begin(r->m->dependency, &r->call, r->row.calls <= 1, now_us(r));
    r->m->provider->call(r->m->provider, &call, on_answer, r);
}

static void on_gated(void *arg, struct err err, const PGresult *res) {
    struct op_run *r = arg;
    if (err_is_set(err)) {
        finish(r, err, NULL);
        return;
    }
    if (PQntuples(res) == 0) {
        load(r); /* somebody else sends it, or it must not be sent any more */
        return;
    }
    FAILPOINT(PROVIDER_AFTER_GATE);
    r->row.state = OP_SENT;
    r->row.calls = (int32_t)pg_col_int(res, 0, 0);
    send(r, (struct wall){pg_col_int(res, 0, 1)});
}

static void gate(struct op_run *r) {
    char id[PG_UUID_BYTES], budget[PG_INT_BYTES], generation[PG_INT_BYTES];
    const struct pg_value values[] = {pg_uuid(r->row.id, id), pg_int(call_budget(r), budget),
                                      pg_int(r->goal.generation, generation)};
    exec(r, &payments_stmt_gate, values, on_gated, r);
}

/* Of what is unknown already, somebody asks. */
static void leave(struct op_run *r) {
    if (r->row.state == OP_SENT) {
        record_unknown(r);
    } else {
        finish(r, OK, &(struct op_end){OP_STANDS, 0, &r->row});
    }
}

static void act(struct op_run *r) {
    if (r->goal.leave) {
        leave(r);
        return;
    }
    enum op_act next = op_next(&r->row, r->goal.no_sending);
    if (next == OP_ACT_NONE || (r->goal.ask_only && next == OP_ACT_GATE)) {
        finish(r, OK, &(struct op_end){OP_STANDS, 0, &r->row});
        return;
    }
    if (next == OP_ACT_CANCEL) {
        record_not_done(r, "canceled", STR("canceled"), "{init,errored}");
        return;
    }
    if (call_budget(r) < CALL_MIN_MS) {
        finish_pending(r, BUSY_AGAIN_MS);
        return;
    }
    int64_t wait_ms;
    if (next == OP_ACT_GATE && r->row.calls > 0 && !dependency_retry(r->m->dependency, now_us(r), &wait_ms)) {
        finish_pending(r, wait_ms);
        return;
    }
    if (next == OP_ACT_GATE) {
        gate(r);
    } else if (FAULT_SWITCH(NO_CALL_GATE)) {
        send(r, (struct wall){loop_wall(r->m->env->loop).ms + call_budget(r)});
    } else {
        r->asked = true;
        dependency_call_begin(r->m->dependency, &r->call, false, now_us(r));
        r->m->provider->lookup(r->m->provider, r->row.id, call_budget(r), on_answer, r);
    }
}

/* --- loading --- */

static struct err read_row(struct op_run *r, const PGresult *res, struct op_row *out) {
    struct op_row o = {
        .amount = pg_col_int(res, 0, OP_COL_AMOUNT),
        .calls = (int32_t)pg_col_int(res, 0, OP_COL_CALLS),
        .payment_version = pg_col_int(res, 0, OP_COL_VERSION),
        .late_in_ms = pg_col_int(res, 0, OP_COL_LATE_IN),
        .must_not_send = pg_col_bool(res, 0, OP_COL_MUST_NOT_SEND),
        .dead = pg_col_bool(res, 0, OP_COL_DEAD),
    };
    const struct {
        int col;
        struct str *to;
    } texts[] = {
        {OP_COL_CODE, &o.code},     {OP_COL_TOKEN, &o.token},           {OP_COL_PARENT, &o.parent},
        {OP_COL_TENANT, &o.tenant}, {OP_COL_STATUS, &o.payment_status}, {OP_COL_TRACE, &o.traceparent},
        {OP_COL_VIEW, &o.view},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        *texts[i].to = arena_str(&r->arena, pg_col(res, 0, texts[i].col));
        if (texts[i].to->p == NULL) {
            return err_make(ERR_NOMEM, "operation");
        }
    }
    if (!pg_col_uuid(res, 0, OP_COL_ID, &o.id) || !pg_col_uuid(res, 0, OP_COL_PAYMENT, &o.payment_id) ||
        !op_kind_parse(pg_col(res, 0, OP_COL_KIND), &o.kind) || !op_state_parse(pg_col(res, 0, OP_COL_STATE), &o.state) ||
        !str_copy_c(pg_col(res, 0, OP_COL_CURRENCY), o.currency, sizeof o.currency)) {
        return err_make(ERR_PG_ERROR, "payments.payment_op: a row that this version does not understand");
    }
    o.frozen = str_is(o.payment_status, "frozen");
    *out = o;
    return OK;
}

static void on_loaded(void *arg, struct err err, const PGresult *res) {
    struct op_run *r = arg;
    if (!err_is_set(err) && PQntuples(res) == 0) {
        err = err_make(ERR_NOT_FOUND, "operation");
    }
    if (!err_is_set(err)) {
        err = read_row(r, res, &r->row);
    }
    if (err_is_set(err)) {
        finish(r, err, NULL);
        return;
    }
    act(r);
}

static void load(struct op_run *r) {
    char id[PG_UUID_BYTES], lateness[PG_INT_BYTES], generation[PG_INT_BYTES];
    if (r->rounds++ == ROUNDS_MAX) {
        finish_pending(r, BUSY_AGAIN_MS);
        return;
    }
    bool by_key = r->goal.key.p != NULL;
    const struct pg_value values[] = {by_key ? pg_text(r->goal.key) : pg_uuid(r->goal.id, id),
                                      pg_int(r->m->provider->lateness_ms, lateness), pg_int(r->goal.generation, generation)};
    exec(r, by_key ? &payments_stmt_op_by_key : &payments_stmt_op_by_id, values, on_loaded, r);
}

void op_run(struct payments *m, const struct op_goal *g, op_run_cb *cb, void *arg) {
    struct op_run *r = calloc(1, sizeof *r);
    if (r == NULL) {
        cb(arg, err_make(ERR_NOMEM, "operation"), NULL);
        return;
    }
    *r = (struct op_run){.m = m, .goal = *g, .cb = cb, .arg = arg};
    arena_init(&r->arena, 4096, 1 << 20);
    if (g->key.p != NULL) {
        r->goal.key = arena_str(&r->arena, g->key);
        if (r->goal.key.p == NULL) {
            finish(r, err_make(ERR_NOMEM, "operation"), NULL);
            return;
        }
    }
    load(r);
}
