#include <orders/orders.h>

#include <stdlib.h>

#include "orders_private.h"

#define E(from, to) ",('order','" #from "','" #to "')"
static const char ddl[] = "CREATE SCHEMA IF NOT EXISTS orders;\n" MODULE_DDL("orders")
#include "orders.sql.inc"
    "WITH want(machine, from_state, to_state) AS (VALUES ('','','')"
#include "order_edges.def"
    "), gone AS (DELETE FROM orders.state_edge s WHERE NOT EXISTS (SELECT FROM want w WHERE (w.*) = (s.*))) "
    "INSERT INTO orders.state_edge SELECT * FROM want WHERE machine <> '' ON CONFLICT DO NOTHING;\n";
#undef E

static const char place_schema[] =
#include "order.place.v1.json.inc"
    ;
static const char cancel_schema[] =
#include "order.cancel.v1.json.inc"
    ;
static const char release_schema[] =
#include "order.release.v1.json.inc"
    ;

/* A payment provider that cannot be reached for a while is worth waiting for: about forty minutes before a job is dead. */
#define RETRY \
    { .base_ms = 500, .cap_ms = 300000, .max_attempts = 25 }

static const struct job_type types[] = {
    {.name = "order.place",
     .version = 1,
     .queue = "orders",
     .class = CLASS_JOURNAL,
     .schema = place_schema,
     .timeout_ms = 20000,
     .retry = RETRY,
     .dependency = DEPENDENCY_PAYMENTS,
     .key_required = true,
     .flow = true,
     .start = job_place_start,
     .leave = job_place_leave},
    {.name = "order.cancel",
     .version = 1,
     .queue = "orders",
     .class = CLASS_JOURNAL,
     .schema = cancel_schema,
     .timeout_ms = 20000,
     .retry = RETRY,
     .dependency = DEPENDENCY_PAYMENTS,
     .key_required = true,
     .flow = true,
     .no_cancel = true,
     .start = job_cancel_start},
    {.name = "order.release",
     .version = 1,
     .queue = "orders",
     .class = CLASS_JOURNAL,
     .schema = release_schema,
     .timeout_ms = 20000,
     .retry = RETRY,
     .dependency = DEPENDENCY_PAYMENTS,
     .flow = true,
     .no_cancel = true,
     .internal = true,
     .start = job_release_start},
};

struct getting {
    view_cb *cb;
    void *arg;
};

static void on_view(void *arg, struct err err, const PGresult *res) {
    struct getting *g = arg;
    struct view view = {0};
    if (!err_is_set(err) && PQntuples(res) == 0) {
        err = err_make(ERR_NOT_FOUND, "no such order");
    }
    if (!err_is_set(err)) {
        view = (struct view){pg_col_int(res, 0, 0), pg_col(res, 0, 1)};
    }
    g->cb(g->arg, err, err_is_set(err) ? NULL : &view);
    free(g);
}

static void service_get(void *self, struct str tenant, struct uuid order_id, view_cb *cb, void *arg) {
    struct module_env *env = self;
    struct getting *g = malloc(sizeof *g);
    char id[PG_UUID_BYTES];
    if (g == NULL) {
        cb(arg, err_make(ERR_NOMEM, "get"), NULL);
        return;
    }
    *g = (struct getting){cb, arg};
    const struct pg_value values[] = {pg_uuid(order_id, id), pg_text(tenant)};
    pg_exec(env->db, &orders_stmt_view, values, PG_SHARED, 0, on_view, g);
}

static struct err open_module(struct module_env *env, struct services *services) {
    services->orders = (struct orders_service){service_get, env};
    return OK;
}

static const struct pg_stmt story_stmt = {
    "orders.story",
    "WITH o AS (SELECT * FROM orders.orders WHERE id = ANY($1::uuid[]) AND tenant = $2::text) "
    "SELECT (extract(epoch FROM created_at) * 1000)::bigint, 'order placed', json_build_object('order_id', id, 'status', status, "
    "'total_minor', total, 'currency', currency)::text, id FROM o UNION ALL "
    "SELECT (extract(epoch FROM e.at) * 1000)::bigint, CASE WHEN e.step = '' THEN 'flow ended' ELSE 'step ' || e.step END, "
    "json_build_object('outcome', e.outcome, 'status', e.status)::text, e.root_id FROM orders.effect e JOIN o ON o.id = e.root_id UNION ALL "
    "SELECT (extract(epoch FROM v.at) * 1000)::bigint, 'event ' || v.type, json_build_object('event_id', v.id, 'delivered', "
    "v.published_at IS NOT NULL)::text, NULL FROM orders.event_outbox v JOIN o ON o.id = v.aggregate_id",
    2,
};

const struct module orders_module = {
    .name = "orders",
    .ddl = ddl,
    .sql = &orders_sql,
    .story = &story_stmt,
    .types = types,
    .types_n = sizeof types / sizeof types[0],
    .open = open_module,
};
