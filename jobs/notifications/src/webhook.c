/* Webhooks by Standard Webhooks 1.0.0: signed "id.timestamp.body", the id constant, the timestamp of the attempt; a redirect is a failure; 410
 * ends it; Retry-After is honoured. */
#include "notifications.h"

#include <base/limits.h>
#include <jobs/signature.h>
#include <stdio.h>

enum {
    CALL_MS = 15000,
    ANSWER_BYTES_MAX = 1024,
    BODY_BYTES_MAX = 5 * LIMIT_PAYLOAD_BYTES /* 1e15 is written out */
};

static void on_answer(void *arg, struct err err, const struct http_reply *reply) {
    struct delivery *d = arg;
    if (err_is_set(err)) {
        delivery_call_end(d, attempt_call_verdict(d->attempt, err.code), err.detail, 0);
        delivery_failed(d, err, 0);
        return;
    }
    int64_t after = retry_after_parse(reply->retry_after.p, reply->retry_after.n, loop_wall(d->attempt->env->loop).ms);
    struct err answered = err_make(ERR_TRANSIENT, "the endpoint answered %d", reply->status);
    delivery_call_end(d, call_verdict_of_status(reply->status), answered.detail, after);
    if (reply->status >= 200 && reply->status < 300) {
        delivery_sent(d);
    } else if (reply->status == 410) {
        delivery_failed(d, err_make(ERR_REFUSED, "the endpoint is gone (410)"), 0);
    } else {
        delivery_failed(d, answered, after);
    }
}

/* The tenant, as all tenants' messages are signed by one secret: whose this is, its receiver can tell by nothing else. */
static struct err build_body(struct delivery *d, struct buf *out) {
    char at[WALL_TEXT_BYTES];
    wall_text((struct wall){id_ms(d->attempt->job.root)}, at);
    buf_add_c(out, "{\"type\":");
    json_add_string(out, json_opt_str(d->payload, "event_type", STR("")));
    buf_addf(out, ",\"timestamp\":\"%s\",\"tenant\":", at);
    json_add_string(out, d->attempt->job.tenant);
    buf_add_c(out, ",\"data\":");
    TRY(json_write(json_object_get(d->payload, "data"), out));
    buf_add_char(out, '}');
    return buf_status(out);
}

/* Without a secret nothing is sent: a message signed with an empty key is one that anybody can sign. The job waits for the setting. */
static struct err sign(const struct conf *conf, struct str id, struct str timestamp, struct str body, struct buf *out) {
    if (conf->webhook_secret[0] == '\0') {
        return err_make(ERR_SYSTEM, "webhook.secret is not set");
    }
    return signature_add(out, str_c(conf->webhook_secret), id, timestamp, body);
}

static void send(struct delivery *d) {
    struct attempt *a = d->attempt;
    struct buf body, signature;
    char id[UUID_TEXT_BYTES], timestamp[24], trace[TRACEPARENT_BYTES];
    int64_t left = attempt_call_ms(a);
    uuid_text(a->job.root, id);
    trace_text(&a->job.trace, trace);
    (void)snprintf(timestamp, sizeof timestamp, "%lld", (long long)(loop_wall(a->env->loop).ms / 1000));
    buf_init(&body, BODY_BYTES_MAX);
    buf_init(&signature, SIGNATURE_BYTES_MAX);
    struct err e = build_body(d, &body);
    if (!err_is_set(e)) {
        e = sign(a->env->conf, str_c(id), str_c(timestamp), buf_str(&body), &signature);
    }
    if (err_is_set(e)) {
        delivery_failed(d, e, 0);
    } else {
        const struct http_header headers[] = {
            {STR("Content-Type"), STR("application/json")},
            {STR("webhook-id"), str_c(id)},
            {STR("webhook-timestamp"), str_c(timestamp)},
            {STR("webhook-signature"), buf_str(&signature)},
        };
        const struct http_spec spec = {
            .method = "POST",
            .url = d->recipient,
            .headers = headers,
            .headers_n = sizeof headers / sizeof headers[0],
            .traceparent = str_c(trace),
            .body = buf_str(&body),
            .deadline_ms = left < CALL_MS ? left : CALL_MS,
            .max_answer_bytes = ANSWER_BYTES_MAX,
            .vetted = true,
        };
        delivery_call_begin(d);
        if (http_send(a->env->http, &spec, on_answer, d) == NULL) {
            delivery_call_end(d, CALL_UNTOLD, "", 0);
            delivery_failed(d, err_make(ERR_NOMEM, "webhook"), 0);
        }
    }
    buf_free(&body);
    buf_free(&signature);
}

void notify_webhook(struct attempt *a) { delivery_start(a, "webhook", "url", send); }
