/* The provider that penstock-sim plays. It ignores keys, so it must be trusted with not_after: nothing is booked later than that,
 * but for its declared lateness. */
#include "provider.h"

#include <io/http_client.h>
#include <jobs/type.h>
#include <stdio.h>
#include <stdlib.h>

#include "sim_wire.h"

enum { URL_BYTES = 512, BODY_BYTES_MAX = 16 * 1024, ANSWER_BYTES_MAX = 64 * 1024 };

struct sim {
    struct provider base;
    struct module_env *env;
};

struct asking {
    struct loop *loop;
    enum op_kind kind;
    bool lookup;
    provider_cb *cb;
    void *arg;
};

static void on_reply(void *arg, struct err err, const struct http_reply *reply) {
    struct asking *q = arg;
    struct provider_answer a;
    json_t *body = NULL;
    if (err_is_set(err)) {
        sim_read_error(err, &a);
    } else if (q->lookup) {
        sim_read_lookup(reply->status, reply->body, &body, &a);
    } else {
        sim_read_call(q->kind, reply->status, reply->body, &body, &a);
    }
    if (!err_is_set(err)) {
        a.after_ms = retry_after_parse(reply->retry_after.p, reply->retry_after.n, loop_wall(q->loop).ms);
    }
    q->cb(q->arg, &a);
    json_decref(body);
    free(q);
}

static void fail(provider_cb *cb, void *arg, struct err e) {
    cb(arg, &(struct provider_answer){.outcome = PROVIDER_NOT_SENT, .err = e});
}

static void send(struct sim *s, const struct http_spec *spec, const struct asking *asking) {
    struct asking *q = malloc(sizeof *q);
    if (q == NULL) {
        fail(asking->cb, asking->arg, err_make(ERR_NOMEM, "provider"));
        return;
    }
    *q = *asking;
    if (http_send(s->env->http, spec, on_reply, q) == NULL) {
        free(q);
        fail(asking->cb, asking->arg, err_make(ERR_NOMEM, "provider"));
    }
}

static void call(struct provider *p, const struct provider_call *c, provider_cb *cb, void *arg) {
    struct sim *s = (struct sim *)p;
    char url[URL_BYTES], signature[SIM_SIGNATURE_BYTES];
    struct buf body;
    buf_init(&body, BODY_BYTES_MAX);
    struct err e = sim_request(c, str_c(s->env->conf->payments_provider_secret), &body, signature);
    if (err_is_set(e)) {
        fail(cb, arg, e);
    } else {
        int n = snprintf(url, sizeof url, "%s/v1/%s", s->env->conf->payments_provider_url, op_kind_name(c->kind));
        const struct http_header headers[] = {
            {STR("Content-Type"), STR("application/json")},
            {STR("Penstock-Signature"), str_c(signature)},
        };
        const struct http_spec spec = {
            .method = "POST",
            .url = str_of(url, (size_t)n),
            .headers = headers,
            .headers_n = sizeof headers / sizeof headers[0],
            .traceparent = c->traceparent,
            .body = buf_str(&body),
            .deadline_ms = c->deadline_ms > 0 ? c->deadline_ms : 1,
            .max_answer_bytes = ANSWER_BYTES_MAX,
        };
        send(s, &spec, &(struct asking){s->env->loop, c->kind, false, cb, arg});
    }
    buf_free(&body);
}

static void lookup(struct provider *p, struct uuid reference, int64_t deadline_ms, provider_cb *cb, void *arg) {
    struct sim *s = (struct sim *)p;
    char url[URL_BYTES], text[UUID_TEXT_BYTES];
    uuid_text(reference, text);
    int n = snprintf(url, sizeof url, "%s/v1/lookup?reference=%s", s->env->conf->payments_provider_url, text);
    const struct http_spec spec = {
        .method = "GET",
        .url = str_of(url, (size_t)n),
        .deadline_ms = deadline_ms > 0 ? deadline_ms : 1,
        .max_answer_bytes = ANSWER_BYTES_MAX,
    };
    send(s, &spec, &(struct asking){s->env->loop, OP_KIND_MAX, true, cb, arg});
}

static void close_sim(struct provider *p) { free(p); }

struct err provider_sim_new(struct module_env *env, struct provider **out) {
    if (strlen(env->conf->payments_provider_url) > URL_BYTES - 80) {
        return err_make(ERR_INVALID, "payments.provider_url is longer than %d characters", URL_BYTES - 80);
    }
    struct sim *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return err_make(ERR_NOMEM, "provider");
    }
    s->env = env;
    s->base = (struct provider){
        .name = "sim",
        .honours_not_after = true,
        .lateness_ms = env->conf->payments_lateness_ms,
        .call = call,
        .lookup = lookup,
        .close = close_sim,
    };
    *out = &s->base;
    return OK;
}
