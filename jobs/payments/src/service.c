/* payments_service, as other modules and the API call it in this process: authorize, leave and get. release.c has the fourth. */
#include "payments_private.h"

#include <stdlib.h>

bool payment_request_copy(struct arena *a, const struct payment_request *r, struct payment_request *out) {
    *out = *r;
    out->key = arena_str(a, r->key);
    out->tenant = arena_str(a, r->tenant);
    out->token = arena_str(a, r->token);
    return out->key.p != NULL && out->tenant.p != NULL && out->token.p != NULL;
}

struct authorizing {
    struct payments *m;
    struct arena arena;
    struct payment_request r;
    payment_cb *cb;
    void *arg;
};

static void finish(struct authorizing *s, struct err err, const struct payment_answer *answer) {
    s->cb(s->arg, err, answer);
    arena_free(&s->arena);
    free(s);
}

/* There is no operation under the key: the payment was released first, or the order has another one. */
static void on_payment(void *arg, struct err err, const PGresult *res) {
    struct authorizing *s = arg;
    struct payment_answer answer = {.outcome = PAYMENT_DECLINED, .code = STR("canceled")};
    if (!err_is_set(err) && (PQntuples(res) == 0 || !pg_col_uuid(res, 0, SUM_COL_ID, &answer.payment_id))) {
        err = err_make(ERR_CONFLICT, "the order has another payment");
    }
    finish(s, err, err_is_set(err) ? NULL : &answer);
}

static void answer_row(struct authorizing *s, const struct op_row *o) {
    struct payment_answer answer = {.outcome = PAYMENT_DECLINED, .payment_id = o->payment_id, .code = o->code};
    if (o->state == OP_SUCCEEDED) { /* with a code: integrity_failed */
        answer.outcome = o->code.n == 0 ? PAYMENT_OK : PAYMENT_FROZEN;
    }
    finish(s, OK, &answer);
}

static void on_run(void *arg, struct err err, const struct op_end *end) {
    struct authorizing *s = arg;
    if (err.code == ERR_NOT_FOUND) {
        const struct pg_value key = pg_text(s->r.key);
        pg_exec(s->m->env->db, &payments_stmt_payment_by_key, &key, PG_SHARED, 0, on_payment, s);
    } else if (err_is_set(err)) {
        finish(s, err, NULL);
    } else if (end->standing == OP_PENDING) {
        finish(
            s, OK,
            &(struct payment_answer){.outcome = PAYMENT_PENDING, .payment_id = end->row->payment_id, .delay_ms = end->delay_ms});
    } else {
        answer_row(s, end->row);
    }
}

static void on_opened(void *arg, struct err err, const PGresult *res) {
    struct authorizing *s = arg;
    (void)res; /* opened now or before: the row says */
    if (err_is_set(err)) {
        finish(s, err, NULL);
        return;
    }
    const struct op_goal goal = {.key = s->r.key, .generation = GENERATION_ANY, .give_up = s->r.give_up};
    op_run(s->m, &goal, on_run, s);
}

void payments_authorize(void *self, const struct payment_request *r, payment_cb *cb, void *arg) {
    struct payments *m = self;
    struct authorizing *s = calloc(1, sizeof *s);
    if (s == NULL) {
        cb(arg, err_make(ERR_NOMEM, "authorize"), NULL);
        return;
    }
    *s = (struct authorizing){.m = m, .cb = cb, .arg = arg};
    arena_init(&s->arena, 1024, 1 << 20);
    if (!payment_request_copy(&s->arena, r, &s->r)) {
        finish(s, err_make(ERR_NOMEM, "authorize"), NULL);
        return;
    }
    char payment[PG_UUID_BYTES], op[PG_UUID_BYTES], order[PG_UUID_BYTES], amount[PG_INT_BYTES], trace[TRACEPARENT_BYTES];
    struct uuid payment_id = id_new(m->env->ids);
    trace_text(&r->trace, trace);
    const struct pg_value values[] = {
        pg_uuid(payment_id, payment),
        pg_uuid(id_new(m->env->ids), op),
        pg_text(r->key),
        pg_text(r->tenant),
        pg_uuid(r->order_id, order),
        pg_int(r->amount.minor, amount),
        pg_text(str_c(r->amount.currency)),
        pg_text(r->token),
        pg_text(str_c(trace)),
        pg_text(str_c(m->provider->name)),
    };
    pg_exec(m->env->db, &payments_stmt_open_authorize, values, PG_SHARED, payment_lock_order(payment_id), on_opened, s);
}

/* --- leave --- */

struct leaving {
    void (*cb)(void *arg, struct err err);
    void *arg;
};

static void on_left(void *arg, struct err err, const struct op_end *end) {
    struct leaving *l = arg;
    (void)end;
    l->cb(l->arg, err.code == ERR_NOT_FOUND ? OK : err);
    free(l);
}

void payments_leave(void *self, struct str key, void (*cb)(void *arg, struct err err), void *arg) {
    struct leaving *l = malloc(sizeof *l);
    if (l == NULL) {
        cb(arg, err_make(ERR_NOMEM, "leave"));
        return;
    }
    *l = (struct leaving){cb, arg};
    op_run(self, &(struct op_goal){.key = key, .generation = GENERATION_ANY, .leave = true}, on_left, l);
}

/* --- get --- */

struct getting {
    view_cb *cb;
    void *arg;
};

static void on_view(void *arg, struct err err, const PGresult *res) {
    struct getting *g = arg;
    struct view view = {0};
    if (!err_is_set(err) && PQntuples(res) == 0) {
        err = err_make(ERR_NOT_FOUND, "no such payment");
    }
    if (!err_is_set(err)) {
        view = (struct view){pg_col_int(res, 0, 0), pg_col(res, 0, 1)};
    }
    g->cb(g->arg, err, err_is_set(err) ? NULL : &view);
    free(g);
}

void payments_get(void *self, struct str tenant, struct uuid payment_id, view_cb *cb, void *arg) {
    struct payments *m = self;
    struct getting *g = malloc(sizeof *g);
    char id[PG_UUID_BYTES];
    if (g == NULL) {
        cb(arg, err_make(ERR_NOMEM, "get"), NULL);
        return;
    }
    *g = (struct getting){cb, arg};
    const struct pg_value values[] = {pg_uuid(payment_id, id), pg_text(tenant)};
    pg_exec(m->env->db, &payments_stmt_view, values, PG_SHARED, 0, on_view, g);
}
