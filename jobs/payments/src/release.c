/* payments_service.release: looks at the payment, does the next thing (op.h, payment_release_next), looks again. */
#include "payments_private.h"

#include <stdlib.h>

enum { ROUNDS_MAX = 12, WAIT_MS = 500 };

struct releasing {
    struct payments *m;
    struct arena arena;
    struct payment_request r;
    struct str key;
    struct uuid payment, op;
    bool op_is_ours;
    struct str op_key;
    int rounds;
    payment_cb *cb;
    void *arg;
};

static void look(struct releasing *s);

static void finish(struct releasing *s, struct err err, const struct payment_answer *answer) {
    s->cb(s->arg, err, answer);
    arena_free(&s->arena);
    free(s);
}

static void finish_as(struct releasing *s, enum payment_outcome outcome, struct str code, int64_t delay_ms) {
    finish(s, OK, &(struct payment_answer){outcome, s->payment, code, delay_ms});
}

/* --- undoing by an operation of our own --- */

static void on_undone(void *arg, struct err err, const struct op_end *end) {
    struct releasing *s = arg;
    if (err.code == ERR_NOT_FOUND) {
        look(s); /* the payment changed before ours was opened */
    } else if (err_is_set(err)) {
        finish(s, err, NULL);
    } else if (end->standing == OP_PENDING) {
        finish_as(s, PAYMENT_PENDING, STR(""), end->delay_ms);
    } else if (end->row->state == OP_DECLINED) {
        finish_as(s, PAYMENT_DECLINED, end->row->code, 0);
    } else {
        look(s);
    }
}

static void on_opened(void *arg, struct err err, const PGresult *res) {
    struct releasing *s = arg;
    (void)res;
    if (err_is_set(err) && err.code != ERR_PG_UNIQUE) {
        finish(s, err, NULL);
        return;
    }
    const struct op_goal goal = {.key = s->op_key, .generation = GENERATION_ANY, .give_up = s->r.give_up};
    op_run(s->m, &goal, on_undone, s);
}

static void undo(struct releasing *s, enum op_kind kind, int64_t amount, struct str key) {
    s->op_key = key;
    if (key.p == NULL) {
        finish(s, err_make(ERR_NOMEM, "release"), NULL);
        return;
    }
    const struct open_spec spec = {
        .payment = s->payment,
        .tenant = s->r.tenant,
        .key = key,
        .reason = kind == OP_REFUND ? STR("released") : STR_NONE,
        .want = {.kind = kind, .amount = amount},
        .trace = s->r.trace,
    };
    op_open(s->m, &spec, on_opened, s);
}

static void undo_hold(struct releasing *s) { undo(s, OP_VOID, 0, arena_printf(&s->arena, "%.*s:void", STR_ARG(s->key))); }

/* The key says from where on it refunds: one that is done must not stand for what is left after it. */
static void undo_captures(struct releasing *s, const struct payment_sums *p) {
    undo(s, OP_REFUND, payment_left(p, OP_REFUND),
         arena_printf(&s->arena, "%.*s:refund:%lld", STR_ARG(s->key), (long long)p->refunded));
}

/* --- what is there already --- */

static void on_decided(void *arg, struct err err, const struct op_end *end) {
    struct releasing *s = arg;
    if (err_is_set(err) && err.code != ERR_NOT_FOUND) {
        finish(s, err, NULL);
    } else if (!err_is_set(err) && end->standing == OP_PENDING) {
        finish_as(s, PAYMENT_PENDING, STR(""), end->delay_ms);
    } else {
        look(s);
    }
}

/* What a release opened, this one or another, is driven by whoever comes by: no job of its own does. What a job opened and has
 * not sent is canceled, so that neither a slow job nor a dead one is in the way; what it has sent is asked about. */
static void decide_op(struct releasing *s) {
    const struct op_goal goal = {
        .id = s->op, .generation = GENERATION_ANY, .no_sending = !s->op_is_ours, .give_up = s->r.give_up};
    op_run(s->m, &goal, on_decided, s);
}

static void on_buried(void *arg, struct err err, const PGresult *res) {
    struct releasing *s = arg;
    (void)res; /* no row: an authorize was faster; it is there now */
    if (err_is_set(err)) {
        finish(s, err, NULL);
        return;
    }
    look(s);
}

static void bury(struct releasing *s) {
    char payment[PG_UUID_BYTES], order[PG_UUID_BYTES], amount[PG_INT_BYTES], trace[TRACEPARENT_BYTES];
    trace_text(&s->r.trace, trace);
    const struct pg_value values[] = {
        pg_uuid(id_new(s->m->env->ids), payment),
        pg_text(s->r.key),
        pg_text(s->r.tenant),
        pg_uuid(s->r.order_id, order),
        pg_int(s->r.amount.minor, amount),
        pg_text(str_c(s->r.amount.currency)),
        pg_text(s->r.token),
        pg_text(str_c(trace)),
    };
    pg_exec(s->m->env->db, &payments_stmt_bury, values, PG_SHARED, 0, on_buried, s);
}

static void act(struct releasing *s, const struct payment_sums *sums, bool has_op) {
    switch (payment_release_next(sums, has_op)) {
    case RELEASE_DONE:
        finish_as(s, PAYMENT_OK, STR(""), 0);
        break;
    case RELEASE_DECIDE_OP:
        decide_op(s);
        break;
    case RELEASE_VOID:
        undo_hold(s);
        break;
    case RELEASE_REFUND:
        undo_captures(s, sums);
        break;
    case RELEASE_WAIT:
        finish_as(s, PAYMENT_PENDING, STR(""), WAIT_MS);
        break;
    case RELEASE_REFUSE:
        finish_as(s, PAYMENT_FROZEN, STR("payment_frozen"), 0);
        break;
    }
}

static void on_looked(void *arg, struct err err, const PGresult *res) {
    struct releasing *s = arg;
    if (err_is_set(err)) {
        finish(s, err, NULL);
        return;
    }
    if (PQntuples(res) == 0) {
        bury(s);
        return;
    }
    if (!pg_col_uuid(res, 0, SUM_COL_ID, &s->payment)) {
        finish(s, err_make(ERR_PG_ERROR, "payment id"), NULL);
        return;
    }
    bool has_op = pg_col_uuid(res, 0, SUM_COL_OP, &s->op);
    s->op_is_ours = pg_col_bool(res, 0, SUM_COL_OURS);
    struct payment_sums sums = payment_sums_read(res);
    act(s, &sums, has_op);
}

static void look(struct releasing *s) {
    if (s->rounds++ == ROUNDS_MAX) {
        finish_as(s, PAYMENT_PENDING, STR(""), WAIT_MS);
        return;
    }
    const struct pg_value key = pg_text(s->r.key);
    pg_exec(s->m->env->db, &payments_stmt_payment_by_key, &key, PG_SHARED, 0, on_looked, s);
}

void payments_release(void *self, const struct payment_request *r, struct str key, payment_cb *cb, void *arg) {
    struct releasing *s = calloc(1, sizeof *s);
    if (s == NULL) {
        cb(arg, err_make(ERR_NOMEM, "release"), NULL);
        return;
    }
    *s = (struct releasing){.m = self, .cb = cb, .arg = arg};
    arena_init(&s->arena, 1024, 1 << 20);
    s->key = arena_str(&s->arena, key);
    if (s->key.p == NULL || !payment_request_copy(&s->arena, r, &s->r)) {
        finish(s, err_make(ERR_NOMEM, "release"), NULL);
        return;
    }
    look(s);
}
