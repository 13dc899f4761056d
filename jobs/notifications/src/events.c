/* What Notifications hears. order.confirmed: a webhook and a mail to those the order names, as jobs of their own. One statement: the inbox
 * row is the gate, the jobs' ids come from the event's, so an event that comes twice makes them once. */
#include "notifications.h"

#include <base/limits.h>
#include <jobs/follow_up.h>
#include <stdlib.h>

static const struct pg_stmt take_stmt = {
    "notifications.take",
    "WITH i AS (INSERT INTO notifications.inbox (event_id) VALUES ($1::uuid) ON CONFLICT DO NOTHING RETURNING 1), "
    "j AS (INSERT INTO notifications.job_outbox (id, root_id, tenant, queue, type, type_version, payload, traceparent) "
    "SELECT t.id, t.id, $2::text, 'notifications', t.type, 1, convert_to(t.payload, 'UTF8'), $3::text "
    "FROM unnest($4::uuid[], $5::text[], $6::text[]) AS t(id, type, payload), i) SELECT EXISTS (SELECT FROM i)",
    6,
};

struct taking {
    event_done_cb *cb;
    void *arg;
};

static void on_taken(void *arg, struct err err, const PGresult *res) {
    struct taking *t = arg;
    t->cb(t->arg, err, !err_is_set(err) && !pg_col_bool(res, 0, 0));
    free(t);
}

/* The columns of the jobs to make. */
struct jobs {
    struct buf ids, types, payloads;
};

static struct err add_job(struct module_env *env, struct jobs *j, const struct event *e, const char *step, const char *type,
                          json_t *payload) {
    struct uuid id;
    struct buf text;
    char room[PG_UUID_BYTES];
    if (payload == NULL) {
        return err_make(ERR_NOMEM, "order.confirmed");
    }
    buf_init(&text, LIMIT_PAYLOAD_BYTES);
    struct err err = json_write(payload, &text);
    json_decref(payload);
    if (!err_is_set(err)) {
        err = follow_up_id(env, STR("notifications"), e->id, str_c(step), &id);
    }
    if (!err_is_set(err)) {
        pg_array_add(&j->ids, pg_uuid(id, room));
        pg_array_add(&j->types, pg_text(str_c(type)));
        pg_array_add(&j->payloads, pg_text(buf_str(&text)));
    }
    buf_free(&text);
    return err;
}

static json_t *webhook_payload(struct str url, const json_t *order) {
    json_t *data = json_object();
    static const char *const shown[] = {"order_id", "payment_id", "customer_id", "currency", "total_minor"};
    for (size_t i = 0; data != NULL && i < sizeof shown / sizeof shown[0]; i++) {
        json_t *v = json_object_get(order, shown[i]);
        if (v != NULL && json_object_set(data, shown[i], v) != 0) {
            json_decref(data);
            data = NULL;
        }
    }
    return data != NULL ? json_pack("{s:s%,s:s,s:o}", "url", url.p, url.n, "event_type", "order.confirmed", "data", data) : NULL;
}

static json_t *mail_payload(struct str to, const json_t *order) {
    struct str id = json_opt_str(order, "order_id", STR("")), currency = json_opt_str(order, "currency", STR(""));
    return json_pack("{s:s%,s:o,s:o}", "to", to.p, to.n, "subject", json_sprintf("Your order %.*s is confirmed", STR_ARG(id)),
                     "text",
                     json_sprintf("Thank you. Your order %.*s is confirmed.\nTotal: %lld (minor units) %.*s\n", STR_ARG(id),
                                  (long long)json_opt_i64(order, "total_minor", 0), STR_ARG(currency)));
}

static struct err add_jobs(struct module_env *env, struct jobs *j, const struct event *e, const json_t *order) {
    const json_t *notify = json_object_get(order, "notify");
    struct str url = json_opt_str(notify, "webhook_url", STR_NONE), to = json_opt_str(notify, "email", STR_NONE);
    if (url.p != NULL) {
        TRY(add_job(env, j, e, "webhook", "notify.webhook", webhook_payload(url, order)));
    }
    if (to.p != NULL) {
        TRY(add_job(env, j, e, "email", "notify.email", mail_payload(to, order)));
    }
    pg_array_end(&j->ids);
    pg_array_end(&j->types);
    pg_array_end(&j->payloads);
    TRY(buf_status(&j->ids));
    TRY(buf_status(&j->types));
    return buf_status(&j->payloads);
}

static void take(struct module_env *env, const struct event *e, const struct jobs *j, struct taking *t) {
    char id[PG_UUID_BYTES], trace[TRACEPARENT_BYTES];
    trace_text(&e->trace, trace);
    const struct pg_value values[] = {pg_uuid(e->id, id),        pg_text(e->tenant),          pg_text(str_c(trace)),
                                      pg_text(buf_str(&j->ids)), pg_text(buf_str(&j->types)), pg_text(buf_str(&j->payloads))};
    pg_exec(env->db, &take_stmt, values, PG_SHARED, 0, on_taken, t);
}

void deliver_order_confirmed(struct module_env *env, const struct event *e, event_done_cb *cb, void *arg) {
    struct jobs j;
    json_t *order = NULL;
    struct taking *t = malloc(sizeof *t);
    buf_init(&j.ids, 4096);
    buf_init(&j.types, 4096);
    buf_init(&j.payloads, 4 * LIMIT_PAYLOAD_BYTES);
    pg_array_begin(&j.ids);
    pg_array_begin(&j.types);
    pg_array_begin(&j.payloads);
    struct err err = t != NULL ? json_read(e->data, &order) : err_make(ERR_NOMEM, "order.confirmed");
    if (!err_is_set(err)) {
        err = add_jobs(env, &j, e, order);
    }
    if (err_is_set(err)) {
        free(t);
        cb(arg, err, false);
    } else {
        *t = (struct taking){cb, arg};
        take(env, e, &j, t);
    }
    json_decref(order);
    buf_free(&j.ids);
    buf_free(&j.types);
    buf_free(&j.payloads);
}
