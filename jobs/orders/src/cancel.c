/* order.cancel: gives the money back and cancels the order. order.release does the same for an order whose flow was closed as
 * expired: it is left by a trigger (orders.sql). */
#include <base/json.h>
#include <stdio.h>

#include "orders_private.h"

enum { PLACING_AGAIN_MS = 300 };

static void refuse_illegal(struct flow *f) {
    struct str detail = arena_printf(f->a->arena, "the order is %.*s", STR_ARG(f->row.status));
    flow_refuse(f, OUTCOME_DONE,
                &(struct refusal){409, "illegal_state", "The order's state does not allow this", detail, ",\"allowed\":[]"});
}

static void refuse_stale(struct flow *f) {
    struct str detail = arena_printf(f->a->arena, "the order is at version %lld", (long long)f->row.version);
    flow_refuse(f, OUTCOME_DONE, &(struct refusal){412, "stale_version", "The order has changed since", detail, NULL});
}

static void done(struct flow *f) { flow_close(f, OUTCOME_DONE, 200, f->row.view); }

static void released(struct flow *f) {
    if (str_is(f->row.status, "canceling")) {
        flow_commit_canceled(f, OUTCOME_DONE, 200, f->row.view);
    } else {
        done(f);
    }
}

/* The order stays canceling: somebody may ask again, when what is in the way is out of it. */
static void not_released(struct flow *f, struct str code) {
    struct str detail = arena_printf(f->a->arena, "the payment could not be given back: %.*s", STR_ARG(code));
    flow_refuse(f, OUTCOME_DONE,
                &(struct refusal){409, "payment_not_released", "The payment could not be given back", detail,
                                  ",\"allowed\":[\"cancel\"]"});
}

static void sweep_not_released(struct flow *f, struct str code) {
    attempt_fail(f->a, err_make(ERR_REFUSED, "the payment could not be given back: %.*s", STR_ARG(code)));
}

static void on_requested(void *arg, struct err err, const PGresult *res) {
    struct flow *f = arg;
    (void)res;
    if (err_is_set(err)) {
        attempt_fail(f->a, err);
    } else {
        attempt_later(f->a, PLACING_AGAIN_MS, err_make(ERR_CONFLICT, "the order is being placed"));
    }
}

static void request(struct flow *f) {
    char order[PG_UUID_BYTES], root[PG_UUID_BYTES], version[PG_INT_BYTES];
    if (f->row.cancel_requested) {
        on_requested(f, OK, NULL);
        return;
    }
    const struct pg_value values[] = {pg_uuid(f->order, order), pg_int(f->row.version, version), pg_uuid(f->a->job.root, root)};
    pg_exec(f->a->env->db, &orders_stmt_request_cancel, values, PG_SHARED, order_lock_order(f->order), on_requested, f);
}

static void act(struct flow *f) {
    switch (order_cancel_next(&f->row, f->if_version)) {
    case CANCEL_EXPIRE:
        flow_expire(f);
        break;
    case CANCEL_NOT_FOUND:
        flow_refuse(f, OUTCOME_DONE, &(struct refusal){404, "order_not_found", "No such order", STR(""), NULL});
        break;
    case CANCEL_STALE:
        refuse_stale(f);
        break;
    case CANCEL_TAKE_OVER:
    case CANCEL_ILLEGAL:
        refuse_illegal(f);
        break;
    case CANCEL_REQUEST:
        request(f);
        break;
    case CANCEL_TO_CANCELING:
        flow_move(f, "canceling", true);
        break;
    case CANCEL_RELEASE:
        flow_release(f, released, not_released);
        break;
    case CANCEL_DONE:
        done(f);
        break;
    }
}

static void act_sweep(struct flow *f) {
    bool open = str_is(f->row.status, "expired") || str_is(f->row.status, "canceling");
    if (f->row.closed || !f->row.exists || !open) {
        flow_close(f, OUTCOME_DONE, 200, STR("{}"));
    } else {
        flow_release(f, released, sweep_not_released);
    }
}

static void start(struct attempt *a, void (*next)(struct flow *f)) {
    struct flow *f = ARENA_NEW(a->arena, struct flow);
    struct str order;
    json_t *payload;
    if (f == NULL) {
        attempt_fail(a, err_make(ERR_NOMEM, "attempt"));
        return;
    }
    if (!attempt_parse(a, &payload)) {
        return;
    }
    *f = (struct flow){.a = a, .if_version = json_opt_i64(payload, "if_version", 0), .act = next};
    struct err e = json_get_str(payload, "order_id", &order);
    if (!err_is_set(e) && !uuid_parse(order, &f->order)) {
        e = err_make(ERR_INVALID, "order_id is no UUID");
    }
    json_decref(payload);
    if (err_is_set(e)) {
        attempt_fail(a, e);
        return;
    }
    flow_load(f);
}

void job_cancel_start(struct attempt *a) { start(a, act); }
void job_release_start(struct attempt *a) { start(a, act_sweep); }
