/* The payments module on a real Postgres with a fake provider, and the steps its tests are made of. */
#ifndef PAYMENTS_DB_H
#define PAYMENTS_DB_H

#include <payments/payments.h>

#include "../../../jobs/payments/src/op_run.h"
#include "fake_provider.h"
#include "module_db.h"

enum { CALL_MS = 400, LATENESS_MS = 100 };

static struct module_db db;
static struct fake *fake;

static inline int payments_db_setup(void **state) {
    (void)state;
    module_db_open(&db, &payments_module, 4);
    struct payments *m = db.env.state;
    m->provider->close(m->provider);
    db.conf.payments_call_ms = CALL_MS;
    fake = fake_new(db.loop, LATENESS_MS);
    m->provider = &fake->base;
    return 0;
}

static inline int payments_db_teardown(void **state) {
    (void)state;
    module_db_close(&db);
    return 0;
}

/* --- the service --- */

struct service_call {
    bool done;
    struct err err;
    struct payment_answer answer;
    char code[64];
};

static inline void on_service(void *arg, struct err err, const struct payment_answer *answer) {
    struct service_call *c = arg;
    assert_false(c->done);
    assert_int_equal(err_is_set(err), answer == NULL);
    c->err = err;
    if (answer != NULL) {
        c->answer = *answer;
        assert_true(str_copy_c(answer->code, c->code, sizeof c->code));
    }
    c->done = true;
}

static inline bool service_is_done(void *arg) { return ((struct service_call *)arg)->done; }

/* An order of 1000 EUR cents; strings in static storage, for one at a time. */
static inline struct payment_request request_new(void) {
    static char key[64];
    struct uuid order = module_job_id(&db, "orders");
    char text[UUID_TEXT_BYTES];
    uuid_text(order, text);
    (void)snprintf(key, sizeof key, "%s:authorize", text);
    return (struct payment_request){.key = str_c(key),
                                    .tenant = STR("default"),
                                    .order_id = order,
                                    .amount = {1000, "EUR"},
                                    .token = STR("tok"),
                                    .trace = trace_new(),
                                    .give_up = {loop_now(db.loop).us + 10000000}};
}

static inline struct service_call authorize(const struct payment_request *r) {
    struct service_call c = {0};
    db.services.payments.authorize(db.services.payments.self, r, on_service, &c);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, service_is_done, &c));
    return c;
}

static inline struct service_call release(const struct payment_request *r, const char *key) {
    struct service_call c = {0};
    db.services.payments.release(db.services.payments.self, r, str_c(key), on_service, &c);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, service_is_done, &c));
    return c;
}

/* A fresh payment, authorized. */
static inline struct uuid authorized(struct payment_request *out_request) {
    struct payment_request r = request_new();
    struct service_call c = authorize(&r);
    assert_ok(c.err);
    assert_int_equal(PAYMENT_OK, c.answer.outcome);
    if (out_request != NULL) {
        *out_request = r;
    }
    return c.answer.payment_id;
}

/* --- jobs --- */

/* Runs a job until it ends other than by attempt_later; at most 40 attempts. */
static inline void job_run(struct module_run *run, const char *type, struct uuid root, const char *payload) {
    for (int i = 0; i < 40; i++) {
        module_run_start(&db, run, type, root, 0, payload);
        module_run_wait(&db, run);
        if (run->end.kind != END_LATER) {
            return;
        }
        wait_ms(db.loop, run->end.delay_ms);
        module_run_free(run);
    }
    fail_msg("%s does not end", type);
}

static inline const char *payload_of(struct uuid payment, const char *rest) {
    static char text[256];
    char id[UUID_TEXT_BYTES];
    uuid_text(payment, id);
    (void)snprintf(text, sizeof text, "{\"payment_id\":\"%s\"%s}", id, rest);
    return text;
}

/* Runs a job on a payment to its end; the answer's status. */
static inline int job_on(const char *type, struct uuid payment, const char *rest, char *out_result, size_t n) {
    struct module_run run;
    job_run(&run, type, module_job_id(&db, "payments"), payload_of(payment, rest));
    assert_int_equal(END_FINISHED, run.end.kind);
    if (out_result != NULL) {
        (void)snprintf(out_result, n, "%.*s", STR_ARG(run.end.result));
    }
    int status = run.end.status;
    module_run_free(&run);
    return status;
}

static inline void on_closed(void *arg, struct err err, const struct effect_row *row) {
    assert_ok(err);
    assert_true(row->fresh);
    *(bool *)arg = true;
}

/* Closes a job from outside. */
static inline void close_job(struct uuid root, enum job_outcome outcome) {
    bool closed = false;
    effect_close(&db.env, root, 0, outcome, 0, STR_NONE, on_closed, &closed);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, module_db_flag_, &closed));
}

/* A job on a payment whose only attempt did not reach the provider, so that its operation is left errored; its root. */
static inline struct uuid job_not_sent(const char *type, struct uuid payment, const char *rest) {
    struct module_run run;
    struct uuid root = module_job_id(&db, "payments");
    fake->script[fake->calls] = FAKE_NOT_SENT;
    module_run_start(&db, &run, type, root, 0, payload_of(payment, rest));
    module_run_wait(&db, &run);
    assert_int_equal(END_FAILED, run.end.kind);
    module_run_free(&run);
    return root;
}

/* --- looking --- */

static inline const char *of_payment(struct uuid payment, const char *expression) {
    char sql[512], id[UUID_TEXT_BYTES];
    uuid_text(payment, id);
    (void)snprintf(sql, sizeof sql, "SELECT %s FROM payments.payment p WHERE id = '%s'", expression, id);
    return sql_text(db.admin, sql);
}

static inline void assert_payment(const char *expected, struct uuid payment) {
    assert_string_equal(expected,
                        of_payment(payment, "concat_ws(' ', status, authorized, captured, voided, refunded, capture_pending, "
                                            "refund_pending)"));
}

static inline const char *ops_of(struct uuid payment) {
    return of_payment(payment, "(SELECT string_agg(kind || ':' || state, ' ' ORDER BY created_at) FROM payments.payment_op o "
                               "WHERE o.payment_id = p.id)");
}

static inline const char *events_of(struct uuid payment) {
    return of_payment(payment,
                      "(SELECT string_agg(type, ' ' ORDER BY seq) FROM payments.event_outbox e WHERE e.aggregate_id = p.id)");
}

#endif
