#include "notifications.h"

#include <contracts/services.h>
#include <jobs/module_sql.h>
#include <jobs/signature.h>
#include <stdlib.h>

static const char ddl[] = MODULE_DDL("notifications")
#include "notifications.sql.inc"
    ;

static const char webhook_schema[] =
#include "notify.webhook.v1.json.inc"
    ;

static const char email_schema[] =
#include "notify.email.v1.json.inc"
    ;

static const struct module_sql sql = MODULE_SQL("notifications");

enum { SECOND = 1000, HOUR = 3600 * SECOND };

static const struct job_type types[] = {
    {.name = "notify.webhook",
     .version = 1,
     .queue = "notifications",
     .class = CLASS_JOURNAL,
     .schema = webhook_schema,
     .timeout_ms = 30 * SECOND,
     .retry = {.base_ms = 5 * SECOND, .cap_ms = 14 * HOUR, .max_attempts = 18},
     .key_required = true,
     .start = notify_webhook},
    {.name = "notify.email",
     .version = 1,
     .queue = "notifications",
     .class = CLASS_JOURNAL,
     .schema = email_schema,
     .timeout_ms = 45 * SECOND,
     .retry = {.base_ms = 5 * SECOND, .cap_ms = 4 * HOUR, .max_attempts = 18},
     .dependency = "mail",
     .key_required = true,
     .start = notify_email},
};

static const struct event_consumer consumers[] = {{"order.confirmed", deliver_order_confirmed}};

/* A dead job's message shows as dead, whatever its last attempt wrote. */
static const struct pg_stmt view_stmt = {
    "notifications.view",
    "SELECT n.version, json_build_object('notification_id', n.id, 'channel', n.channel, 'recipient', n.recipient, 'status', "
    "CASE WHEN e.outcome IN ('dead', 'cancelled', 'expired') THEN e.outcome ELSE n.status END, 'attempts', n.attempts, "
    "'last_error', n.last_error, 'version', n.version, 'created_at', to_char(n.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'))::text "
    "FROM notifications.notification n LEFT JOIN notifications.effect e ON e.root_id = n.id AND e.step = '' "
    "WHERE n.id = $1::uuid AND n.tenant = $2::text",
    2,
};

struct viewing {
    view_cb *cb;
    void *arg;
};

static void on_view(void *arg, struct err err, const PGresult *res) {
    struct viewing *v = arg;
    struct view view = {0};
    if (!err_is_set(err) && PQntuples(res) == 0) {
        err = err_make(ERR_NOT_FOUND, "no such notification");
    }
    if (!err_is_set(err)) {
        view = (struct view){pg_col_int(res, 0, 0), pg_col(res, 0, 1)};
    }
    v->cb(v->arg, err, err_is_set(err) ? NULL : &view);
    free(v);
}

static void get(void *self, struct str tenant, struct uuid id, view_cb *cb, void *arg) {
    struct module_env *env = self;
    struct viewing *v = malloc(sizeof *v);
    char room[PG_UUID_BYTES];
    if (v == NULL) {
        cb(arg, err_make(ERR_NOMEM, "notification"), NULL);
        return;
    }
    *v = (struct viewing){cb, arg};
    const struct pg_value values[] = {pg_uuid(id, room), pg_text(tenant)};
    pg_exec(env->db, &view_stmt, values, 0, 0, on_view, v);
}

static struct err open_module(struct module_env *env, struct services *services) {
    TRY(signature_check(env->conf->webhook_secret, "webhook.secret"));
    services->notifications = (struct notifications_service){get, env};
    return OK;
}

/* Who it went to is in the notification itself. */
static const struct pg_stmt story_stmt = {
    "notifications.story",
    "SELECT (extract(epoch FROM updated_at) * 1000)::bigint, channel || ' ' || status, json_strip_nulls(json_build_object("
    "'notification_id', id, 'attempts', attempts, 'last_error', last_error))::text, id FROM notifications.notification "
    "WHERE id = ANY($1::uuid[]) AND tenant = $2::text",
    2,
};

const struct module notifications_module = {
    .name = "notifications",
    .ddl = ddl,
    .sql = &sql,
    .story = &story_stmt,
    .types = types,
    .types_n = sizeof types / sizeof types[0],
    .consumers = consumers,
    .consumers_n = sizeof consumers / sizeof consumers[0],
    .open = open_module,
};
