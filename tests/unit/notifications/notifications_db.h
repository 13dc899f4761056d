/* The notifications module on a real Postgres, with the real HTTP client, which may go to loopback. */
#ifndef NOTIFICATIONS_DB_H
#define NOTIFICATIONS_DB_H

#include <notifications/notifications.h>

#include "module_db.h"

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

static struct module_db db;

static inline int notifications_db_setup(void **state) {
    (void)state;
    (void)setenv("PENSTOCK_WEBHOOK_SECRET", SECRET, 1);
    module_db_open(&db, &notifications_module, 2);
    const struct http_client_options o = {
        .max_in_flight = 8, .max_waiting = 8, .allow_cidr = "127.0.0.0/8", .user_agent = "test"};
    assert_ok(http_client_new(db.loop, &o, &db.env.http));
    return 0;
}

static inline int notifications_db_teardown(void **state) {
    (void)state;
    http_client_close(db.env.http);
    module_db_close(&db);
    return 0;
}

static inline struct uuid new_root(void) { return module_job_id(&db, "notifications"); }

/* What a run ended with, as text; the delay of a failure behind it. */
static inline const char *run_to_end(const char *type, struct uuid root, uint32_t generation, const char *payload) {
    static struct module_run r;
    static char text[512];
    module_run_start(&db, &r, type, root, generation, payload);
    module_run_wait(&db, &r);
    if (r.end.kind == END_FINISHED) {
        (void)snprintf(text, sizeof text, "%s %d%s%s", job_outcome_name(r.end.outcome), r.end.status,
                       r.end.absorbed ? " absorbed" : "", r.end.stale ? " stale" : "");
    } else {
        (void)snprintf(text, sizeof text, "%s %s %lld", r.end.kind == END_FAILED ? "failed" : "later", err_name(r.end.err.code),
                       (long long)r.end.delay_ms);
    }
    module_run_free(&r);
    return text;
}

/* A value of the message's row. */
static inline const char *of_message(struct uuid root, const char *expression) {
    char sql[512], id[UUID_TEXT_BYTES];
    uuid_text(root, id);
    (void)snprintf(sql, sizeof sql, "SELECT %s FROM notifications.notification WHERE id = '%s'", expression, id);
    return sql_text(db.admin, sql);
}

static inline const char *status_of(struct uuid root) { return of_message(root, "status || ' ' || attempts"); }

static inline void add_effect(struct uuid root, const char *rest) {
    char sql[256], id[UUID_TEXT_BYTES];
    uuid_text(root, id);
    (void)snprintf(sql, sizeof sql, "INSERT INTO notifications.effect VALUES ('%s', '', %s)", id, rest);
    sql_run(db.admin, sql);
}

/* The row as an attempt left it that died after the gate. */
static inline void add_message(struct uuid root, const char *channel, const char *status) {
    char sql[256], id[UUID_TEXT_BYTES];
    uuid_text(root, id);
    (void)snprintf(
        sql, sizeof sql,
        "INSERT INTO notifications.notification (id, tenant, channel, recipient, status) VALUES ('%s', 'default', '%s', "
        "'x', '%s')",
        id, channel, status);
    sql_run(db.admin, sql);
}

#endif
