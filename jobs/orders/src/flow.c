#include "flow.h"

#include <stdio.h>

enum { ROUNDS_MAX = 12, AGAIN_MS = 200, DOUBT_AGAIN_MS = 1000 };

int64_t order_lock_order(struct uuid order) {
    int64_t n;
    memcpy(&n, order.b + sizeof order.b - sizeof n, sizeof n);
    return n;
}

/* --- reading --- */

static struct err read_row(struct flow *f, const PGresult *res, struct order_row *out) {
    struct order_row o = {
        .exists = pg_col_uuid(res, 0, COL_ID, &o.id),
        .version = pg_col_int(res, 0, COL_VERSION),
        .total = pg_col_int(res, 0, COL_TOTAL),
        .capture = pg_col_bool(res, 0, COL_CAPTURE),
        .cancel_requested = pg_col_bool(res, 0, COL_CANCEL_REQUESTED),
        .place_is_over = pg_col_bool(res, 0, COL_PLACE_IS_OVER),
        .closed = pg_col_bool(res, 0, COL_CLOSED),
        .own = pg_col_bool(res, 0, COL_OWN),
        .late = attempt_is_late(f->a),
    };
    const struct {
        int col;
        struct str *to;
    } texts[] = {{COL_STATUS, &o.status},
                 {COL_TENANT, &o.tenant},
                 {COL_CUSTOMER, &o.customer_id},
                 {COL_TOKEN, &o.token},
                 {COL_VIEW, &o.view}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        *texts[i].to = arena_str(f->a->arena, pg_col(res, 0, texts[i].col));
        if (texts[i].to->p == NULL) {
            return err_make(ERR_NOMEM, "order");
        }
    }
    (void)str_copy_c(pg_col(res, 0, COL_CURRENCY), o.currency, sizeof o.currency);
    *out = o;
    return OK;
}

static void on_loaded(void *arg, struct err err, const PGresult *res) {
    struct flow *f = arg;
    if (!err_is_set(err)) {
        err = read_row(f, res, &f->row);
    }
    if (err_is_set(err)) {
        attempt_fail(f->a, err);
        return;
    }
    f->act(f);
}

void flow_load(struct flow *f) {
    char order[PG_UUID_BYTES], root[PG_UUID_BYTES], generation[PG_INT_BYTES];
    if (f->rounds++ == ROUNDS_MAX) {
        attempt_later(f->a, AGAIN_MS, err_make(ERR_CONFLICT, "the order keeps changing"));
        return;
    }
    const struct pg_value values[] = {pg_uuid(f->order, order), pg_uuid(f->a->job.root, root), pg_text(f->a->job.tenant),
                                      pg_int(f->a->job.generation, generation)};
    pg_exec(f->a->env->db, &orders_stmt_load, values, PG_SHARED, order_lock_order(f->order), on_loaded, f);
}

/* --- steps --- */

void flow_on_step(void *arg, struct err err, const PGresult *res) {
    struct flow *f = arg;
    (void)res; /* no row: somebody else was faster; the order says what there is to do now */
    if (err_is_set(err)) {
        attempt_fail(f->a, err);
        return;
    }
    flow_load(f);
}

void flow_exec(struct flow *f, const struct pg_stmt *stmt, const struct pg_value *values) {
    pg_exec(f->a->env->db, stmt, values, PG_SHARED, order_lock_order(f->order), flow_on_step, f);
}

void flow_move(struct flow *f, const char *status, bool own) {
    char order[PG_UUID_BYTES], root[PG_UUID_BYTES], version[PG_INT_BYTES];
    const struct pg_value values[] = {pg_uuid(f->order, order), pg_int(f->row.version, version), pg_text(str_c(status)),
                                      own ? pg_uuid(f->a->job.root, root) : PG_NULL};
    flow_exec(f, &orders_stmt_move, values);
}

/* --- payments --- */

struct str flow_payment_key(struct uuid order, char room[FLOW_PAYMENT_KEY_BYTES]) {
    char text[UUID_TEXT_BYTES];
    uuid_text(order, text);
    (void)snprintf(room, FLOW_PAYMENT_KEY_BYTES, "%s:authorize", text);
    return str_c(room);
}

bool flow_payment(struct flow *f, struct payment_request *out) {
    char key[FLOW_PAYMENT_KEY_BYTES];
    *out = (struct payment_request){
        .key = arena_str(f->a->arena, flow_payment_key(f->order, key)),
        .tenant = f->row.tenant,
        .order_id = f->order,
        .amount = {.minor = f->row.total},
        .token = f->row.token,
        .trace = *attempt_trace(f->a),
        .give_up = f->a->give_up,
    };
    memcpy(out->amount.currency, f->row.currency, sizeof out->amount.currency);
    if (out->key.p == NULL) {
        attempt_fail(f->a, err_make(ERR_NOMEM, "payment request"));
        return false;
    }
    return true;
}

void flow_unpaid(struct flow *f, struct err err, const struct payment_answer *answer) {
    bool nothing_left = err.code == ERR_NET_NOT_SENT || err.code == ERR_TRANSIENT; /* the provider has nothing of it */
    if (nothing_left || err_class(err.code) == ERR_CLASS_INFRA) {
        attempt_fail(f->a, err);
    } else if (err_is_set(err)) {
        attempt_later(f->a, DOUBT_AGAIN_MS, err);
    } else {
        attempt_later(f->a, answer->delay_ms, err_make(ERR_NET_UNKNOWN, "the payment is not decided yet"));
    }
}

struct release {
    struct flow *f;
    void (*released)(struct flow *f);
    void (*refused)(struct flow *f, struct str code);
};

static void on_released(void *arg, struct err err, const struct payment_answer *answer) {
    const struct release *r = arg;
    if (err_is_set(err) || answer->outcome == PAYMENT_PENDING) {
        flow_unpaid(r->f, err, answer);
    } else if (answer->outcome == PAYMENT_OK) {
        r->released(r->f);
    } else {
        r->refused(r->f, answer->code);
    }
}

void flow_release(struct flow *f, void (*released)(struct flow *f), void (*refused)(struct flow *f, struct str code)) {
    const struct payments_service *payments = &f->a->env->services->payments;
    struct payment_request request;
    struct release *r = ARENA_NEW(f->a->arena, struct release);
    char root[UUID_TEXT_BYTES];
    uuid_text(f->a->job.root, root);
    /* A replay may try anew what was declined. */
    struct str key = arena_printf(f->a->arena, "%s:release:%u", root, (unsigned)f->a->job.generation);
    if (r == NULL || key.p == NULL) {
        attempt_fail(f->a, err_make(ERR_NOMEM, "release"));
        return;
    }
    if (!flow_payment(f, &request)) {
        return;
    }
    *r = (struct release){f, released, refused};
    payments->release(payments->self, &request, key, on_released, r);
}

/* --- endings --- */

void flow_commit(struct flow *f, const struct attempt_effect *e) {
    struct attempt_effect with_order = *e;
    if (e->result.p == NULL) {
        attempt_fail(f->a, err_make(ERR_NOMEM, "result"));
        return;
    }
    with_order.order = order_lock_order(f->order);
    attempt_commit(f->a, &with_order);
}

void flow_close(struct flow *f, enum job_outcome outcome, int status, struct str result) {
    flow_commit(f, &(struct attempt_effect){.stmt = &orders_sql.close, .outcome = outcome, .status = status, .result = result});
}

void flow_refuse(struct flow *f, enum job_outcome outcome, const struct refusal *r) {
    flow_close(f, outcome, r->status, refusal_json(f->a->arena, r));
}

void flow_expire(struct flow *f) {
    flow_refuse(f, OUTCOME_EXPIRED,
                &(struct refusal){410, "expired", "Expired", STR("its deadline passed before it was begun"), NULL});
}

void flow_commit_canceled(struct flow *f, enum job_outcome outcome, int status, struct str result) {
    char order[PG_UUID_BYTES], version[PG_INT_BYTES], event[PG_UUID_BYTES];
    const struct pg_value values[] = {pg_uuid(f->order, order), pg_int(f->row.version + 1, version),
                                      pg_uuid(id_new(f->a->env->ids), event)};
    flow_commit(f, &(struct attempt_effect){.stmt = &orders_stmt_canceled,
                                            .values = values,
                                            .values_n = sizeof values / sizeof values[0],
                                            .outcome = outcome,
                                            .status = status,
                                            .result = result});
}
