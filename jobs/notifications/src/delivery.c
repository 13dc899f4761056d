#include "notifications.h"

#include <base/fault.h>
#include <jobs/dependencies.h>
#include <jobs/module_sql.h>

/* was is read before the upsert (the count makes g depend on it): afterwards its row would be one that this statement wrote, and skipped.
 * Tells what the row said before, 'new' when there was none; no row when the message has its terminal effect. */
static const struct pg_stmt gate_stmt = {
    "notifications.gate",
    "WITH was AS (SELECT status FROM notifications.notification WHERE id = $1::uuid FOR UPDATE), "
    "g AS (INSERT INTO notifications.notification AS n (id, tenant, channel, recipient, status) "
    "SELECT $1::uuid, $2::text, $3::text, $4::text, 'sending' FROM (SELECT count(*) FROM was) w "
    "WHERE NOT EXISTS (SELECT FROM notifications.effect WHERE root_id = $1::uuid AND step = '' AND NOT (outcome = 'dead' AND generation < $5::int)) "
    "ON CONFLICT (id) DO UPDATE SET status = 'sending', attempts = n.attempts + 1, version = n.version + 1, updated_at = now() RETURNING attempts) "
    "SELECT coalesce((SELECT status FROM was), CASE WHEN attempts = 1 THEN 'new' ELSE 'sending' END) FROM g",
    5,
};

static const struct pg_stmt sent_stmt = {
    "notifications.sent",
    EFFECT_GATE(
        "notifications") ", n AS (UPDATE notifications.notification SET status = $7::text, last_error = NULL, version = version + 1, "
                         "updated_at = now() WHERE id = (SELECT root_id FROM g))" EFFECT_ANSWER("notifications"),
    EFFECT_PARAMS + 1,
};

static const struct pg_stmt failed_stmt = {
    "notifications.failed",
    "UPDATE notifications.notification SET status = $2::text, last_error = $3::text, version = version + 1, updated_at = now() "
    "WHERE id = $1::uuid AND status = 'sending'",
    3,
};

static void drop_payload(struct delivery *d) {
    json_decref(d->payload);
    d->payload = NULL;
}

static void commit(struct delivery *d, const char *status) {
    struct attempt *a = d->attempt;
    char id[UUID_TEXT_BYTES];
    uuid_text(a->job.root, id);
    struct str result =
        arena_printf(a->arena, "{\"notification_id\":\"%s\",\"channel\":\"%s\",\"status\":\"%s\"}", id, d->channel, status);
    drop_payload(d);
    if (result.p == NULL) {
        attempt_fail(a, err_make(ERR_NOMEM, "notification"));
        return;
    }
    const struct pg_value value = pg_text(str_c(status));
    const struct attempt_effect e = {
        .stmt = &sent_stmt, .values = &value, .values_n = 1, .outcome = OUTCOME_DONE, .status = 200, .result = result};
    attempt_commit(a, &e);
}

void delivery_call_begin(struct delivery *d) {
    const struct attempt *a = d->attempt;
    dependency_call_begin(a->place.dependency, &d->call, a->job.attempt == 0, loop_now(a->env->loop).us);
}

void delivery_call_end(struct delivery *d, enum call_verdict verdict, const char *why, int64_t retry_after_ms) {
    if (call_has_failed(verdict)) {
        dependency_call_why(&d->call, why);
    }
    dependency_call_end(&d->call, verdict, loop_now(d->attempt->env->loop).us, retry_after_ms);
}

void delivery_sent(struct delivery *d) {
    FAILPOINT(NOTIFY_AFTER_SEND);
    commit(d, "sent");
}

/* What the row should say is told on best effort: the attempt's own outcome is what counts. */
static void on_failed(void *arg, struct err err, const PGresult *res) {
    struct delivery *d = arg;
    (void)err;
    (void)res;
    struct attempt_end end = {.kind = END_FAILED, .err = d->err, .delay_ms = d->retry_after_ms};
    if (err_class(d->err.code) == ERR_CLASS_INFRA) {
        end.kind = END_LATER;
        end.delay_ms = 1000;
    }
    attempt_end(d->attempt, &end);
}

void delivery_failed(struct delivery *d, struct err err, int64_t retry_after_ms) {
    struct attempt *a = d->attempt;
    char id[PG_UUID_BYTES];
    struct str detail = arena_str(a->arena, str_c(err.detail));
    bool unknown = err_class(err.code) == ERR_CLASS_UNKNOWN;
    drop_payload(d);
    d->err = (struct err){err.code, detail.p != NULL ? detail.p : "out of memory"};
    d->retry_after_ms = retry_after_ms;
    const struct pg_value values[] = {pg_uuid(a->job.root, id), pg_text(unknown ? STR("unknown") : STR("retrying")),
                                      pg_text(str_c(d->err.detail))};
    pg_exec(a->env->db, &failed_stmt, values, PG_SHARED, 0, on_failed, d);
}

static void on_gate(void *arg, struct err err, const PGresult *res) {
    struct delivery *d = arg;
    struct attempt *a = d->attempt;
    if (err_is_set(err)) {
        drop_payload(d);
        attempt_fail(a, err);
        return;
    }
    if (PQntuples(res) == 0) { /* terminal already: read what stands */
        drop_payload(d);
        attempt_close(a, OUTCOME_DONE, 200, STR("{}"));
        return;
    }
    bool unknown = str_is(pg_col(res, 0, 0), "sending") || str_is(pg_col(res, 0, 0), "unknown");
    if (unknown && str_is(json_opt_str(d->payload, "on_unknown", STR("resend")), "never")) {
        commit(d, "unknown");
        return;
    }
    FAILPOINT(NOTIFY_AFTER_GATE);
    d->send(d);
}

/* Before the gate: 'sending' is to be believed. A type without a server of its own has the recipient's, as its tenant knows it. */
static bool has_place(struct attempt *a, struct str recipient) {
    int64_t wait_ms;
    if (a->type->dependency == NULL &&
        !attempt_enter(a, dependencies_find(a->env->dependencies, a->job.tenant, dependency_origin(recipient)))) {
        return false;
    }
    if (!attempt_may_call(a, &wait_ms)) {
        attempt_later(a, wait_ms, err_make(ERR_BUSY, "too many calls are repeated"));
        return false;
    }
    return true;
}

void delivery_start(struct attempt *a, const char *channel, const char *recipient_member, void (*send)(struct delivery *d)) {
    struct delivery *d = ARENA_NEW(a->arena, struct delivery);
    char id[PG_UUID_BYTES], generation[PG_INT_BYTES];
    if (d == NULL) {
        attempt_fail(a, err_make(ERR_NOMEM, "notification"));
        return;
    }
    *d = (struct delivery){.attempt = a, .channel = channel, .send = send};
    if (!attempt_parse(a, &d->payload)) {
        return;
    }
    d->recipient = json_opt_str(d->payload, recipient_member, STR(""));
    json_t *payload = d->payload;
    if (!has_place(a, d->recipient)) {
        json_decref(payload);
        return;
    }
    const struct pg_value values[] = {pg_uuid(a->job.root, id), pg_text(a->job.tenant), pg_text(str_c(channel)),
                                      pg_text(d->recipient), pg_int(a->job.generation, generation)};
    pg_exec(a->env->db, &gate_stmt, values, PG_SHARED, 0, on_gate, d);
}
