/* order.place: insert the order, have it paid for, confirm it. The step it is at is the order's status, so that a runner that
 * comes after a crash goes on where the last one stopped. */
#include <base/json.h>
#include <jobs/follow_up.h>
#include <stdio.h>

#include "orders_private.h"

static void refuse_cancelled(struct flow *f) {
    static const struct refusal cancelled = {409, "cancelled", "Cancelled on request before it was confirmed", {"", 0}, NULL};
    struct str result = refusal_json(f->a->arena, &cancelled);
    if (f->row.exists) {
        flow_commit_canceled(f, OUTCOME_CANCELLED, cancelled.status, result);
    } else {
        flow_close(f, OUTCOME_CANCELLED, cancelled.status, result);
    }
}

/* --- insert --- */

struct line_arrays {
    struct buf skus, titles, quantities, units;
};

static struct err fill_arrays(struct line_arrays *l, const struct order_request *r) {
    struct buf *const all[] = {&l->skus, &l->titles, &l->quantities, &l->units};
    for (size_t i = 0; i < 4; i++) {
        buf_init(all[i], 1 << 20);
        pg_array_begin(all[i]);
    }
    for (size_t i = 0; i < r->lines_n; i++) {
        char room[PG_INT_BYTES];
        pg_array_add(&l->skus, pg_text(r->lines[i].sku));
        pg_array_add(&l->titles, pg_text(r->lines[i].title));
        pg_array_add(&l->quantities, pg_int(r->lines[i].qty, room));
        pg_array_add(&l->units, pg_int(r->lines[i].unit_minor, room));
    }
    for (size_t i = 0; i < 4; i++) {
        pg_array_end(all[i]);
    }
    for (size_t i = 0; i < 4; i++) {
        TRY(buf_status(all[i]));
    }
    return OK;
}

static void free_arrays(struct line_arrays *l) {
    buf_free(&l->skus);
    buf_free(&l->titles);
    buf_free(&l->quantities);
    buf_free(&l->units);
}

static struct err insert_order(struct flow *f, const struct order_request *r, struct str notify) {
    struct line_arrays l;
    char order[PG_UUID_BYTES], total[PG_INT_BYTES], event[PG_UUID_BYTES], generation[PG_INT_BYTES], trace[TRACEPARENT_BYTES];
    struct err e = fill_arrays(&l, r);
    if (!err_is_set(e)) {
        trace_text(attempt_trace(f->a), trace);
        const struct pg_value values[] = {
            pg_uuid(f->order, order),
            pg_text(f->a->job.tenant),
            pg_text(r->customer_id),
            pg_text(r->currency),
            pg_int(r->total, total),
            pg_text(r->token),
            pg_text(r->capture ? STR("true") : STR("false")),
            pg_text(notify),
            pg_text(str_c(trace)),
            pg_uuid(id_new(f->a->env->ids), event),
            pg_text(buf_str(&l.skus)),
            pg_text(buf_str(&l.titles)),
            pg_text(buf_str(&l.quantities)),
            pg_text(buf_str(&l.units)),
            pg_int(f->a->job.generation, generation),
        };
        flow_exec(f, &orders_stmt_insert, values);
    }
    free_arrays(&l);
    return e;
}

static struct err read_and_insert(struct flow *f, const json_t *payload) {
    struct order_request *r = ARENA_NEW(f->a->arena, struct order_request);
    struct buf notify;
    if (r == NULL) {
        return err_make(ERR_NOMEM, "order");
    }
    TRY(order_read(payload, r));
    if (r->total == 0) {
        return err_make(ERR_TOO_LARGE, "there is nothing to pay for");
    }
    buf_init(&notify, 1 << 20);
    const json_t *n = json_object_get(payload, "notify");
    struct err e;
    if (n != NULL) {
        e = json_write(n, &notify);
    } else {
        buf_add_c(&notify, "{}");
        e = buf_status(&notify);
    }
    if (!err_is_set(e)) {
        e = insert_order(f, r, buf_str(&notify));
    }
    buf_free(&notify);
    return e;
}

static void insert(struct flow *f) {
    json_t *payload;
    if (!attempt_parse(f->a, &payload)) {
        return;
    }
    struct err e = read_and_insert(f, payload);
    json_decref(payload);
    if (e.code == ERR_TOO_LARGE) {
        struct str detail = arena_str(f->a->arena, str_c(e.detail));
        flow_refuse(f, OUTCOME_DONE,
                    &(struct refusal){422, "total_out_of_range", "The order's total cannot be charged", detail, NULL});
    } else if (err_is_set(e)) {
        attempt_fail(f->a, e);
    }
}

/* --- authorize --- */

static void decline(struct flow *f, const struct payment_answer *answer) {
    char payment[PG_UUID_BYTES], version[PG_INT_BYTES], event[PG_UUID_BYTES], order[UUID_TEXT_BYTES], members[80];
    uuid_text(f->order, order);
    (void)snprintf(members, sizeof members, ",\"order_id\":\"%s\"", order);
    struct str detail = arena_printf(f->a->arena, "the payment was declined: %.*s", STR_ARG(answer->code));
    const struct refusal r = {402, "payment_declined", "The payment was declined", detail, members};
    const struct pg_value values[] = {pg_uuid(answer->payment_id, payment), pg_int(f->row.version + 1, version),
                                      pg_uuid(id_new(f->a->env->ids), event), pg_text(answer->code)};
    flow_commit(f, &(struct attempt_effect){.stmt = &orders_stmt_payment_failed,
                                            .values = values,
                                            .values_n = sizeof values / sizeof values[0],
                                            .outcome = OUTCOME_DONE,
                                            .status = r.status,
                                            .result = refusal_json(f->a->arena, &r)});
}

/* Neither paid nor refused. The job ends, since only a person can go on; the order stays authorizing, for order.cancel, or for
 * that person. */
static void freeze(struct flow *f, struct uuid payment_id) {
    char order[UUID_TEXT_BYTES], payment[UUID_TEXT_BYTES], members[128];
    uuid_text(f->order, order);
    uuid_text(payment_id, payment);
    (void)snprintf(members, sizeof members, ",\"order_id\":\"%s\",\"payment_id\":\"%s\"", order, payment);
    flow_refuse(f, OUTCOME_DONE,
                &(struct refusal){409, "payment_frozen", "The provider's books do not fit ours; a person has to decide",
                                  STR("the order stays open until then"), members});
}

static void confirm(struct flow *f, struct uuid payment_id) {
    char payment[PG_UUID_BYTES], version[PG_INT_BYTES], event[PG_UUID_BYTES], capture[PG_UUID_BYTES], order[UUID_TEXT_BYTES];
    struct uuid capture_id;
    struct err e = follow_up_id(f->a->env, STR("payments"), f->order, STR("capture"), &capture_id);
    struct pg_value payment_text = pg_uuid(payment_id, payment);
    uuid_text(f->order, order);
    struct str payload = arena_printf(f->a->arena, "{\"payment_id\":\"%s\"}", payment_text.p);
    struct str result =
        arena_printf(f->a->arena, "{\"order_id\":\"%s\",\"payment_id\":\"%s\",\"status\":\"confirmed\",\"version\":%lld}", order,
                     payment_text.p, (long long)f->row.version + 1);
    if (err_is_set(e) || payload.p == NULL) {
        attempt_fail(f->a, err_is_set(e) ? e : err_make(ERR_NOMEM, "capture"));
        return;
    }
    const struct pg_value values[] = {payment_text, pg_int(f->row.version + 1, version), pg_uuid(id_new(f->a->env->ids), event),
                                      pg_uuid(capture_id, capture), pg_bytes(payload)};
    flow_commit(f, &(struct attempt_effect){.stmt = &orders_stmt_confirm,
                                            .values = values,
                                            .values_n = sizeof values / sizeof values[0],
                                            .outcome = OUTCOME_DONE,
                                            .status = 201,
                                            .result = result,
                                            .follow_ups = f->row.capture});
}

static void on_authorized(void *arg, struct err err, const struct payment_answer *answer) {
    struct flow *f = arg;
    if (err_is_set(err) || answer->outcome == PAYMENT_PENDING) {
        flow_unpaid(f, err, answer);
    } else if (answer->outcome == PAYMENT_DECLINED) {
        decline(f, answer);
    } else if (answer->outcome == PAYMENT_FROZEN) {
        freeze(f, answer->payment_id);
    } else {
        confirm(f, answer->payment_id);
    }
}

static void authorize(struct flow *f) {
    const struct payments_service *payments = &f->a->env->services->payments;
    struct payment_request request;
    if (flow_payment(f, &request)) {
        payments->authorize(payments->self, &request, on_authorized, f);
    }
}

/* --- the flow --- */

static void not_released(struct flow *f, struct str code) {
    attempt_fail(f->a, err_make(ERR_REFUSED, "the payment could not be given back: %.*s", STR_ARG(code)));
}

static void act(struct flow *f) {
    static const struct refusal ended = {409, "illegal_state", "The order has ended in another way", {"", 0}, ",\"allowed\":[]"};
    switch (order_place_next(&f->row)) {
    case PLACE_TAKE_OVER:
    case PLACE_ENDED:
        flow_refuse(f, str_is(f->row.status, "canceled") ? OUTCOME_CANCELLED : OUTCOME_DONE, &ended);
        break;
    case PLACE_INSERT:
        insert(f);
        break;
    case PLACE_CANCEL_UNPLACED:
        refuse_cancelled(f);
        break;
    case PLACE_EXPIRE:
        flow_expire(f);
        break;
    case PLACE_TO_AUTHORIZING:
        flow_move(f, "authorizing", false);
        break;
    case PLACE_TO_CANCELING:
        flow_move(f, "canceling", false);
        break;
    case PLACE_AUTHORIZE:
        authorize(f);
        break;
    case PLACE_RELEASE:
        flow_release(f, refuse_cancelled, not_released);
        break;
    }
}

void job_place_start(struct attempt *a) {
    struct flow *f = ARENA_NEW(a->arena, struct flow);
    if (f == NULL) {
        attempt_fail(a, err_make(ERR_NOMEM, "attempt"));
        return;
    }
    *f = (struct flow){.a = a, .order = a->job.root, .act = act};
    flow_load(f);
}

void job_place_leave(struct module_env *env, struct uuid root, left_cb *cb, void *arg) {
    const struct payments_service *payments = &env->services->payments;
    char key[FLOW_PAYMENT_KEY_BYTES];
    payments->leave(payments->self, flow_payment_key(root, key), cb, arg);
}
