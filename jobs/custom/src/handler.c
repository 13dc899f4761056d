/* An attempt of a declared type: posted to its handler, signed like a webhook (Standard Webhooks 1.0.0) under the root id, which stays the
 * same however often it is posted. The answer decides:
 *   2xx done, the body is the result · 422 and every other 4xx dead · 408, 429 and 5xx again, no sooner than Retry-After says.
 *   202 with Retry-After: snoozed until then, nothing charged. It is what HTTP says of a thing that is taken and not done yet (RFC 9110,
 *   15.3.3), and what clients poll by; 429 and 503 say that the handler is in trouble, which must cost attempts.
 * A handler that is asked twice — its answer was lost, a worker died — tells by the webhook-id. */
#include "custom.h"
#include "types_conf.h"

#include <base/json.h>
#include <base/limits.h>
#include <jobs/signature.h>
#include <stdio.h>

enum { EXCERPT_BYTES = 120, SNOOZE_MIN_MS = 1000 };

struct posting {
    struct attempt *attempt;
    struct declared *type;
    struct http_call *call; /* NULL: not sent yet */
    struct dependency_call watched;
    int64_t began_us;
    enum { GOES_ON, CANCELLED, TIMED_OUT } stop;
};

/* A job that has ended already, cancelled perhaps, is not posted any more. */
static const struct pg_stmt standing_stmt = {
    "custom.standing",
    "SELECT FROM custom.effect WHERE root_id = $1::uuid AND step = '' AND NOT (outcome = 'dead' AND generation < $2::int)",
    2,
};

static struct attempt *leave(struct posting *p) {
    throttle_give(&p->type->throttle, loop_now(p->attempt->env->loop).us - p->began_us);
    return p->attempt;
}

static void end_done(struct posting *p, struct str result) {
    struct attempt *a = leave(p);
    if (attempt_is_stream(a)) {
        attempt_finish(a, OUTCOME_DONE, 200, result);
    } else {
        attempt_close(a, OUTCOME_DONE, 200, result);
    }
}

static void end_failed(struct posting *p, struct err err, int64_t after_ms) {
    const struct attempt_end end = {.kind = END_FAILED, .err = err, .delay_ms = after_ms};
    attempt_end(leave(p), &end);
}

static void end_stopped(struct posting *p) {
    if (p->stop == TIMED_OUT) {
        end_failed(p, err_make(ERR_NET_UNKNOWN, "the handler has not answered in time"), 0);
    } else {
        attempt_finish(leave(p), OUTCOME_CANCELLED, 409, STR("{\"title\":\"Cancelled\",\"status\":409,\"code\":\"cancelled\"}"));
    }
}

/* ---- the answer ---- */

/* A result is JSON: what is none becomes a string. */
static void take_result(struct posting *p, struct str body) {
    json_t *parsed;
    struct buf text;
    if (body.n > LIMIT_RESULT_BYTES) {
        end_failed(p, err_make(ERR_TOO_LARGE, "the handler's answer has more than %d bytes", LIMIT_RESULT_BYTES), 0);
        return;
    }
    if (body.n == 0) {
        end_done(p, STR("{}"));
        return;
    }
    struct err e = json_read(body, &parsed);
    if (!err_is_set(e)) {
        json_decref(parsed);
        end_done(p, body);
        return;
    }
    if (e.code == ERR_NOMEM) {
        end_failed(p, e, 0);
        return;
    }
    buf_init(&text, LIMIT_RESULT_BYTES);
    json_add_string(&text, body);
    e = buf_status(&text);
    if (err_is_set(e)) {
        end_failed(p, err_wrap(e, "the handler's answer"), 0);
    } else {
        end_done(p, buf_str(&text));
    }
    buf_free(&text);
}

static int64_t now_us(const struct posting *p) { return loop_now(p->attempt->env->loop).us; }

static int64_t retry_after(const struct posting *p, const struct http_reply *reply) {
    return retry_after_parse(reply->retry_after.p, reply->retry_after.n, loop_wall(p->attempt->env->loop).ms);
}

static void note_answer(struct posting *p, struct err err, const struct http_reply *reply) {
    enum call_verdict v = reply != NULL ? call_verdict_of_status(reply->status)
                                        : attempt_call_verdict(p->attempt, p->stop == TIMED_OUT ? ERR_TIMEOUT : err.code);
    if (call_has_failed(v) && reply != NULL) {
        dependency_call_why(&p->watched, err_make(ERR_TRANSIENT, "the handler answered %d", reply->status).detail);
    } else if (call_has_failed(v)) {
        dependency_call_why(&p->watched, p->stop == TIMED_OUT ? "no answer in time" : err.detail);
    }
    dependency_call_end(&p->watched, v, now_us(p), reply != NULL ? retry_after(p, reply) : 0);
}

static void take_answer(struct posting *p, const struct http_reply *reply) {
    int64_t after_ms = retry_after(p, reply);
    if (reply->status == 202 && reply->retry_after.p != NULL) {
        attempt_snooze(leave(p), after_ms > SNOOZE_MIN_MS ? after_ms : SNOOZE_MIN_MS);
        return;
    }
    if (reply->status >= 200 && reply->status < 300) {
        take_result(p, reply->body);
        return;
    }
    int excerpt = reply->body.n < EXCERPT_BYTES ? (int)reply->body.n : EXCERPT_BYTES;
    bool again = call_has_failed(call_verdict_of_status(reply->status));
    end_failed(p,
               err_make(again ? ERR_TRANSIENT : ERR_REFUSED, "the handler answered %d%s%.*s", reply->status,
                        excerpt > 0 ? ": " : "", excerpt, excerpt > 0 ? reply->body.p : ""),
               again ? after_ms : 0);
}

static void on_answer(void *arg, struct err err, const struct http_reply *reply) {
    struct posting *p = arg;
    p->attempt->on_stop = NULL;
    note_answer(p, err, reply);
    if (err.code == ERR_CANCELLED && p->stop != GOES_ON) {
        end_stopped(p);
    } else if (err.code == ERR_NET_ADDRESS) { /* the settings' fault, not the job's: it waits until they are mended */
        end_failed(p, err_make(ERR_SYSTEM, "handler.allow_cidr does not let %s through: %s", p->type->handler, err.detail), 0);
    } else if (err_is_set(err)) {
        end_failed(p, err, 0);
    } else {
        take_answer(p, reply);
    }
}

/* ---- the request ---- */

/* Without a secret nothing is posted: what is signed with an empty key anybody can sign. The job waits for the setting. */
static struct err sign(const struct attempt *a, struct str id, struct str timestamp, struct buf *out) {
    if (a->env->conf->handler_secret[0] == '\0') {
        return err_make(ERR_SYSTEM, "handler.secret is not set");
    }
    return signature_add(out, str_c(a->env->conf->handler_secret), id, timestamp, a->payload);
}

static struct err post(struct posting *p, struct str id, struct str timestamp, struct str signature) {
    struct attempt *a = p->attempt;
    char job[UUID_TEXT_BYTES], number[PG_INT_BYTES], version[PG_INT_BYTES], deadline[WALL_TEXT_BYTES], trace[TRACEPARENT_BYTES];
    uuid_text(a->job.id, job);
    (void)snprintf(number, sizeof number, "%u", a->job.attempt + 1);
    (void)snprintf(version, sizeof version, "%u", a->job.schema_version);
    wall_text((struct wall){loop_wall(a->env->loop).ms + attempt_ms_left(a)}, deadline);
    trace_text(&a->job.trace, trace);
    const struct http_header headers[] = {
        {STR("Content-Type"), STR("application/json")},
        {STR("webhook-id"), id},
        {STR("webhook-timestamp"), timestamp},
        {STR("webhook-signature"), signature},
        {STR("penstock-job"), str_c(job)},
        {STR("penstock-type"), a->job.type},
        {STR("penstock-type-version"), str_c(version)},
        {STR("penstock-tenant"), a->job.tenant},
        {STR("penstock-attempt"), str_c(number)},
        {STR("penstock-deadline"), str_c(deadline)},
    };
    const struct http_spec spec = {
        .method = "POST",
        .url = str_c(p->type->handler),
        .headers = headers,
        .headers_n = sizeof headers / sizeof headers[0],
        .traceparent = str_c(trace),
        .body = a->payload,
        .deadline_ms = attempt_call_ms(a),
        .max_answer_bytes = LIMIT_RESULT_BYTES + 1,
        .vetted = true,
    };
    p->watched.unhurried = true; /* it works while we wait */
    dependency_call_begin(a->place.dependency, &p->watched, a->job.attempt == 0, now_us(p));
    p->call = http_send(a->env->handlers, &spec, on_answer, p);
    if (p->call == NULL) {
        dependency_call_end(&p->watched, CALL_UNTOLD, now_us(p), 0);
        return err_make(ERR_NOMEM, "handler");
    }
    return OK;
}

static void send(struct posting *p) {
    struct attempt *a = p->attempt;
    struct buf signature;
    char id[UUID_TEXT_BYTES], timestamp[PG_INT_BYTES];
    int64_t wait_ms;
    if (!attempt_may_call(a, &wait_ms)) {
        a->on_stop = NULL;
        attempt_later(leave(p), wait_ms, err_make(ERR_BUSY, "too many calls are repeated"));
        return;
    }
    uuid_text(a->job.root, id);
    (void)snprintf(timestamp, sizeof timestamp, "%lld", (long long)(loop_wall(a->env->loop).ms / 1000));
    buf_init(&signature, SIGNATURE_BYTES_MAX);
    struct err e = sign(a, str_c(id), str_c(timestamp), &signature);
    if (!err_is_set(e)) {
        e = post(p, str_c(id), str_c(timestamp), buf_str(&signature));
    }
    buf_free(&signature);
    if (err_is_set(e)) {
        a->on_stop = NULL;
        end_failed(p, e, 0);
    }
}

static void on_standing(void *arg, struct err err, const PGresult *res) {
    struct posting *p = arg;
    if (p->stop == GOES_ON && !err_is_set(err) && PQntuples(res) == 0) {
        send(p);
        return;
    }
    p->attempt->on_stop = NULL;
    if (p->stop != GOES_ON) {
        end_stopped(p);
    } else if (err_is_set(err)) {
        end_failed(p, err, 0);
    } else {
        end_done(p, STR("{}")); /* takes over what stands */
    }
}

static void on_stop(struct attempt *a, bool timed_out) {
    struct posting *p = a->state;
    p->stop = timed_out ? TIMED_OUT : CANCELLED;
    if (p->call != NULL) {
        http_cancel(p->call); /* on_answer ends it; the handler sees its connection closed */
    }
}

void handler_post(struct attempt *a) {
    struct declared *type = a->type->declared;
    struct posting *p = ARENA_NEW(a->arena, struct posting);
    int64_t wait_ms, now_us = loop_now(a->env->loop).us;
    if (p == NULL) {
        attempt_fail(a, err_make(ERR_NOMEM, "handler"));
        return;
    }
    if (!throttle_take(&type->throttle, type->rate, type->concurrency, now_us, &wait_ms)) {
        attempt_later(a, wait_ms, err_make(ERR_BUSY, "%s is at its rate or concurrency", type->name));
        return;
    }
    *p = (struct posting){.attempt = a, .type = type, .began_us = now_us};
    a->state = p;
    a->on_stop = on_stop;
    if (attempt_is_stream(a)) {
        send(p);
        return;
    }
    char root[PG_UUID_BYTES], generation[PG_INT_BYTES];
    const struct pg_value values[] = {pg_uuid(a->job.root, root), pg_int(a->job.generation, generation)};
    pg_exec(a->env->db, &standing_stmt, values, PG_SHARED, 0, on_standing, p);
}
