#include <payments/payments.h>

#include <jobs/dependencies.h>
#include <stdlib.h>

#include "payments_private.h"

#define E(from, to) ",('" MACHINE "','" #from "','" #to "')"
static const char ddl[] = "CREATE SCHEMA IF NOT EXISTS payments;\n" MODULE_DDL("payments")
#include "payments.sql.inc"
    "WITH want(machine, from_state, to_state) AS (VALUES ('','','')"
#define MACHINE "payment"
#include "payment_edges.def"
#undef MACHINE
#define MACHINE "payment_op"
#include "payment_op_edges.def"
#undef MACHINE
#define MACHINE "refund"
#include "refund_edges.def"
#undef MACHINE
    "), gone AS (DELETE FROM payments.state_edge s WHERE NOT EXISTS (SELECT FROM want w WHERE (w.*) = (s.*))) "
    "INSERT INTO payments.state_edge SELECT * FROM want WHERE machine <> '' ON CONFLICT DO NOTHING;\n";
#undef E

static const char capture_schema[] =
#include "payment.capture.v1.json.inc"
    ;
static const char void_schema[] =
#include "payment.void.v1.json.inc"
    ;
static const char refund_schema[] =
#include "payment.refund.v1.json.inc"
    ;
static const char sync_schema[] =
#include "payment.sync.v1.json.inc"
    ;

/* A provider that cannot be reached for a while is worth waiting for: about forty minutes before a job is dead. */
#define RETRY \
    { .base_ms = 500, .cap_ms = 300000, .max_attempts = 25 }

static const struct job_type types[] = {
    {.name = "payment.capture",
     .version = 1,
     .queue = "payments",
     .class = CLASS_JOURNAL,
     .schema = capture_schema,
     .timeout_ms = 20000,
     .retry = RETRY,
     .dependency = DEPENDENCY_PAYMENTS,
     .key_required = true,
     .flow = true,
     .start = job_capture_start},
    {.name = "payment.void",
     .version = 1,
     .queue = "payments",
     .class = CLASS_JOURNAL,
     .schema = void_schema,
     .timeout_ms = 20000,
     .retry = RETRY,
     .dependency = DEPENDENCY_PAYMENTS,
     .key_required = true,
     .flow = true,
     .start = job_void_start},
    {.name = "payment.refund",
     .version = 1,
     .queue = "payments",
     .class = CLASS_JOURNAL,
     .schema = refund_schema,
     .timeout_ms = 20000,
     .retry = RETRY,
     .dependency = DEPENDENCY_PAYMENTS,
     .key_required = true,
     .flow = true,
     .start = job_refund_start},
    {.name = "payment.sync",
     .version = 1,
     .queue = "payments",
     .class = CLASS_JOURNAL,
     .schema = sync_schema,
     .timeout_ms = 20000,
     .retry = RETRY,
     .dependency = DEPENDENCY_PAYMENTS,
     .flow = true,
     .no_cancel = true,
     .internal = true,
     .start = job_sync_start},
};

static struct err open_module(struct module_env *env, struct services *services) {
    struct payments *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return err_make(ERR_NOMEM, "payments");
    }
    m->env = env;
    struct err e = provider_sim_new(env, &m->provider);
    if (!err_is_set(e) && !m->provider->honours_keys && !m->provider->honours_not_after) {
        e = err_make(ERR_INVALID, "provider %s honours neither keys nor not_after: it cannot be used safely", m->provider->name);
    }
    if (err_is_set(e)) {
        if (m->provider != NULL) {
            m->provider->close(m->provider);
        }
        free(m);
        return e;
    }
    m->dependency = dependencies_find(env->dependencies, STR(""), STR(DEPENDENCY_PAYMENTS));
    env->state = m;
    services->payments = (struct payments_service){payments_authorize, payments_release, payments_leave, payments_get, m};
    return OK;
}

static void close_module(struct module_env *env) {
    struct payments *m = env->state;
    if (m == NULL) {
        return;
    }
    m->provider->close(m->provider);
    free(m);
    env->state = NULL;
}

/* An order's authorization has no root of its own, but a key made of the order's. */
static const struct pg_stmt calls_stmt = {
    "payments.calls",
    "SELECT o.kind, o.state, (extract(epoch FROM coalesce(o.decided_at, o.sent_at, o.created_at)) * 1000)::bigint, o.provider_ref "
    "FROM payments.payment_op o WHERE o.root_id = $1::uuid OR o.payment_id = (SELECT id FROM payments.payment WHERE key = $1 || ':authorize') "
    "ORDER BY o.created_at, o.id",
    1,
};

/* By the payment's id, or its order's. What was decided counts from then. */
static const struct pg_stmt story_stmt = {
    "payments.story",
    "WITH p AS (SELECT * FROM payments.payment WHERE (id = ANY($1::uuid[]) OR order_id = ANY($1::uuid[])) AND tenant = $2::text) "
    "SELECT (extract(epoch FROM created_at) * 1000)::bigint, 'payment created', json_build_object('payment_id', id, 'order_id', order_id, "
    "'status', status, 'amount_minor', amount, 'currency', currency)::text, order_id FROM p UNION ALL "
    "SELECT (extract(epoch FROM coalesce(o.decided_at, o.sent_at, o.created_at)) * 1000)::bigint, o.kind || ' ' || o.state, "
    "json_strip_nulls(json_build_object('op_id', o.id, 'payment_id', o.payment_id, 'amount_minor', o.amount, 'currency', o.currency, "
    "'provider', o.provider, 'provider_ref', o.provider_ref, 'calls', o.calls, 'code', o.code))::text, o.root_id "
    "FROM payments.payment_op o JOIN p ON p.id = o.payment_id UNION ALL "
    "SELECT (extract(epoch FROM v.at) * 1000)::bigint, 'event ' || v.type, json_build_object('event_id', v.id, 'delivered', "
    "v.published_at IS NOT NULL)::text, NULL FROM payments.event_outbox v JOIN p ON p.id = v.aggregate_id",
    2,
};

const struct module payments_module = {
    .name = "payments",
    .ddl = ddl,
    .sql = &payments_sql,
    .calls = &calls_stmt,
    .story = &story_stmt,
    .types = types,
    .types_n = sizeof types / sizeof types[0],
    .open = open_module,
    .close = close_module,
};
