/* A client, a loop and a scripted peer: what the tests of the HTTP client share. */
#ifndef TESTS_HTTP_CLIENT_FIXTURE_H
#define TESTS_HTTP_CLIENT_FIXTURE_H

#include "peer.h"

#include <io/http_client.h>
#include <io/timer.h>

#include <stdio.h>

enum { GUARD_MS = 20000, DEADLINE_MS = 5000, CALLS_MAX = 80, BODY_MAX = 256 };

struct outcome {
    struct setup *setup;
    int times;
    struct err err;
    int status;
    char body[BODY_MAX], retry_after[64], detail[256];
    size_t body_n;
};

struct setup {
    struct loop *loop;
    struct http_client *client;
    struct timer *guard;
    struct peer peer;
    int pending;
    struct outcome out[CALLS_MAX];
    int calls;
    bool sending, close_in_callback;
};

static inline void on_guard(void *arg) {
    (void)arg;
    fail_msg("the callback did not come");
}

static inline void set_up(struct setup *s, const struct http_client_options *o) {
    static const struct http_client_options plain = {.max_in_flight = 8, .max_waiting = 8, .user_agent = "test"};
    memset(s, 0, offsetof(struct setup, peer));
    s->pending = s->calls = 0;
    s->sending = s->close_in_callback = false;
    assert_ok(loop_new(&s->loop));
    assert_ok(timer_new(s->loop, on_guard, s, &s->guard));
    assert_ok(http_client_new(s->loop, o != NULL ? o : &plain, &s->client));
}

static inline void tear_down(struct setup *s) {
    http_client_close(s->client);
    timer_free(s->guard);
    loop_free(s->loop);
}

static inline void on_reply(void *arg, struct err err, const struct http_reply *reply) {
    struct outcome *o = arg;
    assert_false(o->setup->sending);
    assert_int_equal(1 + (o - o->setup->out), loop_owner(o->setup->loop));
    assert_true(err_is_set(err) == (reply == NULL));
    o->times++;
    (void)str_copy_c(str_c(err.detail), o->detail, sizeof o->detail);
    o->err = (struct err){err.code, o->detail};
    if (reply != NULL) {
        o->status = reply->status;
        o->body_n = reply->body.n;
        assert_true(str_copy_c(reply->body, o->body, sizeof o->body));
        (void)str_copy_c(reply->retry_after, o->retry_after, sizeof o->retry_after);
    }
    if (--o->setup->pending == 0) {
        loop_stop(o->setup->loop);
    }
    if (o->setup->close_in_callback) {
        o->setup->close_in_callback = false;
        http_client_close(o->setup->client);
        o->setup->client = NULL;
    }
}

static inline struct http_call *send_spec(struct setup *s, const struct http_spec *spec) {
    struct outcome *o = &s->out[s->calls++];
    *o = (struct outcome){.setup = s};
    s->pending++;
    s->sending = true;
    (void)loop_own(s->loop, (uint32_t)s->calls);
    struct http_call *call = http_send(s->client, spec, on_reply, o);
    (void)loop_own(s->loop, 0);
    s->sending = false;
    assert_non_null(call);
    return call;
}

/* "/path" is on the peer; anything else is a whole url. */
static inline struct http_call *send_to(struct setup *s, const char *method, const char *url, const char *body, bool vetted) {
    char whole[200];
    (void)snprintf(whole, sizeof whole, "http://127.0.0.1:%d%s", s->peer.port, url);
    return send_spec(s, &(struct http_spec){.method = method,
                                            .url = str_c(url[0] == '/' ? whole : url),
                                            .body = str_c(body),
                                            .deadline_ms = DEADLINE_MS,
                                            .max_answer_bytes = BODY_MAX - 1,
                                            .vetted = vetted});
}

static inline void run(struct setup *s) {
    timer_start(s->guard, GUARD_MS);
    if (s->pending > 0) {
        loop_run(s->loop);
    }
    timer_stop(s->guard);
    assert_int_equal(0, s->pending);
    for (int i = 0; i < s->calls; i++) {
        assert_int_equal(1, s->out[i].times);
    }
}

#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

static struct setup the;

#endif
