/* The orders module on a real Postgres, with a payments service whose answers are scripted. */
#ifndef ORDERS_DB_H
#define ORDERS_DB_H

#include <io/timer.h>
#include <orders/orders.h>

#include "module_db.h"

static struct module_db db;

enum pay_script { PAY_OK, PAY_DECLINE, PAY_PENDING, PAY_NOT_SENT, PAY_CONFLICT, PAY_HOLD, PAY_FROZEN };
enum { PAY_MAX = 64 };

/* One call at a time; the answer comes from a timer. */
static struct {
    struct timer *timer;
    enum pay_script script[PAY_MAX]; /* of the n-th call */
    int calls, authorizes, releases;
    char key[80], release_key[80], left_key[80];
    struct uuid order, payment;
    int64_t amount;
    payment_cb *cb;
    void *arg;
    enum pay_script now;
} pay;

static inline void pay_answer(void *arg) {
    (void)arg;
    static const enum payment_outcome outcomes[] = {
        [PAY_OK] = PAYMENT_OK,        [PAY_DECLINE] = PAYMENT_DECLINED, [PAY_PENDING] = PAYMENT_PENDING,
        [PAY_NOT_SENT] = PAYMENT_OK,  [PAY_CONFLICT] = PAYMENT_OK,      [PAY_HOLD] = PAYMENT_OK,
        [PAY_FROZEN] = PAYMENT_FROZEN};
    struct payment_answer a = {
        .outcome = outcomes[pay.now], .payment_id = pay.payment, .code = STR("card_declined"), .delay_ms = 7};
    struct err e = OK;
    if (pay.now == PAY_NOT_SENT) {
        e = err_make(ERR_NET_NOT_SENT, "fake");
    } else if (pay.now == PAY_CONFLICT) {
        e = err_make(ERR_PG_CONFLICT, "fake");
    }
    pay.cb(pay.arg, e, err_is_set(e) ? NULL : &a);
}

static inline void pay_take(const struct payment_request *r, payment_cb *cb, void *arg) {
    assert_in_range(pay.calls, 0, PAY_MAX - 1);
    pay.now = pay.script[pay.calls++];
    pay.order = r->order_id;
    pay.amount = r->amount.minor;
    assert_true(str_copy_c(r->key, pay.key, sizeof pay.key));
    assert_string_equal("EUR", r->amount.currency);
    assert_str("tok_ok", r->token);
    pay.cb = cb;
    pay.arg = arg;
    if (pay.now != PAY_HOLD) {
        timer_start(pay.timer, 1);
    }
}

static inline void fake_authorize(void *self, const struct payment_request *r, payment_cb *cb, void *arg) {
    (void)self;
    pay.authorizes++;
    pay_take(r, cb, arg);
}

static inline void fake_release(void *self, const struct payment_request *r, struct str key, payment_cb *cb, void *arg) {
    (void)self;
    pay.releases++;
    assert_true(str_copy_c(key, pay.release_key, sizeof pay.release_key));
    pay_take(r, cb, arg);
}

static inline void fake_leave(void *self, struct str key, void (*cb)(void *arg, struct err err), void *arg) {
    (void)self;
    assert_true(str_copy_c(key, pay.left_key, sizeof pay.left_key));
    cb(arg, OK);
}

static inline int orders_db_setup(void **state) {
    (void)state;
    module_db_open(&db, &orders_module, 4);
    assert_ok(timer_new(db.loop, pay_answer, NULL, &pay.timer));
    db.services.payments.authorize = fake_authorize;
    db.services.payments.release = fake_release;
    db.services.payments.leave = fake_leave;
    return 0;
}

static inline int orders_db_teardown(void **state) {
    (void)state;
    timer_free(pay.timer);
    module_db_close(&db);
    return 0;
}

static inline int orders_db_reset(void **state) {
    (void)state;
    struct timer *timer = pay.timer;
    memset(&pay, 0, sizeof pay);
    pay.timer = timer;
    pay.payment = id_new(&db.ids);
    return 0;
}

#define ORDER(capture)                                                                                                         \
    "{\"customer_id\":\"c1\",\"currency\":\"EUR\",\"lines\":[{\"sku\":\"a\",\"title\":\"A \\\"x\\\", "                         \
    "{y}\",\"qty\":2,\"unit_minor\":1250},"                                                                                    \
    "{\"sku\":\"b\",\"title\":\"B\",\"qty\":1,\"unit_minor\":99}],\"payment\":{\"token\":\"tok_ok\",\"capture\":" capture "}," \
    "\"notify\":{\"email\":\"c@example.com\"}}"

static inline struct module_run run_once(const char *type, struct uuid root, uint32_t generation, const char *payload) {
    /* Runs are returned by value after they ended: nothing points at them any more. */
    struct module_run *r = calloc(1, sizeof *r), copy;
    assert_non_null(r);
    module_run_start(&db, r, type, root, generation, payload);
    module_run_wait(&db, r);
    copy = *r;
    free(r);
    return copy;
}

static inline const char *of_order(struct uuid order, const char *expression) {
    char sql[512], id[UUID_TEXT_BYTES];
    uuid_text(order, id);
    (void)snprintf(sql, sizeof sql, "SELECT %s FROM orders.orders o WHERE id = '%s'", expression, id);
    return sql_text(db.admin, sql);
}

static inline const char *events_of(struct uuid order) {
    return of_order(order, "(SELECT string_agg(type, ' ' ORDER BY seq) FROM orders.event_outbox e WHERE e.aggregate_id = o.id)");
}

static inline void request_cancel(struct uuid root) {
    char sql[160], id[UUID_TEXT_BYTES];
    uuid_text(root, id);
    (void)snprintf(sql, sizeof sql, "INSERT INTO orders.effect VALUES ('%s', 'cancel_request', 0, 'done', 0)", id);
    sql_run(db.admin, sql);
}

#endif
