/* Subscriptions. In RESP2 a subscribed connection gets messages between the answers of SUBSCRIBE and PING; one SUBSCRIBE per
 * channel has exactly one answer, so the order of answers stays that of the calls. */
#include "redis_private.h"

#include <stdlib.h>

struct redis_sub {
    struct redis *redis;
    char **channels; /* owned */
    size_t channels_n;
    size_t missing; /* subscriptions of this connection that were not answered yet */
    void (*on_state)(void *arg, bool up, struct err why);
    void *state_arg;
    void (*on_ready)(void *arg);
    void (*on_message)(void *arg, struct str channel, struct str message);
    void *arg;
};

/* The callbacks of the owner come last in each function: it may close us in them. */

static bool on_push(void *arg, const struct reply *reply) {
    struct redis_sub *s = arg;
    if (reply_len(reply) != 3 || !str_is(reply_str(reply_at(reply, 0)), "message")) {
        return false;
    }
    s->on_message(s->arg, reply_str(reply_at(reply, 1)), reply_str(reply_at(reply, 2)));
    return true;
}

static void on_subscribed(void *arg, struct err err, const struct reply *reply) {
    struct redis_sub *s = arg;
    (void)reply;
    if (!redis_is_up(s->redis)) {
        return; /* lost or closing: it begins anew */
    }
    if (err_is_set(err)) {
        redis_abandon(s->redis, err_wrap(err, "SUBSCRIBE"));
        return;
    }
    if (--s->missing == 0 && s->on_ready != NULL) {
        s->on_ready(s->arg);
    }
}

static void on_state(void *arg, bool up, struct err why) {
    struct redis_sub *s = arg;
    struct redis *r = s->redis;
    if (up) {
        struct broker b = redis_broker(r);
        s->missing = s->channels_n;
        for (size_t i = 0, n = s->channels_n; i < n && redis_is_up(r); i++) {
            broker_call(&b, 2, (struct str[]){STR("SUBSCRIBE"), str_c(s->channels[i])}, on_subscribed, s);
        }
        if (!redis_is_up(r)) {
            return; /* a call failed at once: the owner has heard of it, and s may be gone */
        }
    }
    if (s->on_state != NULL) {
        s->on_state(s->state_arg, up, why);
    }
}

static void destroy(struct redis_sub *s) {
    for (size_t i = 0; i < s->channels_n; i++) {
        free(s->channels[i]);
    }
    free(s->channels);
    free(s);
}

static struct err copy_channels(struct redis_sub *s, const struct redis_sub_options *o) {
    s->channels = calloc(o->channels_n + 1, sizeof *s->channels);
    if (s->channels == NULL) {
        return err_make(ERR_NOMEM, "redis_sub");
    }
    for (; s->channels_n < o->channels_n; s->channels_n++) {
        s->channels[s->channels_n] = strdup(o->channels[s->channels_n]);
        if (s->channels[s->channels_n] == NULL) {
            return err_make(ERR_NOMEM, "redis_sub");
        }
    }
    return OK;
}

struct err redis_sub_new(struct loop *l, const struct redis_sub_options *o, struct redis_sub **out) {
    struct redis_sub *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return err_make(ERR_NOMEM, "redis_sub");
    }
    s->on_state = o->connection.on_state;
    s->state_arg = o->connection.arg;
    s->on_ready = o->on_ready;
    s->on_message = o->on_message;
    s->arg = o->arg;
    struct redis_options connection = o->connection;
    connection.on_state = on_state;
    connection.arg = s;
    struct err e = copy_channels(s, o);
    if (!err_is_set(e)) {
        e = redis_new(l, &connection, &s->redis);
    }
    if (err_is_set(e)) {
        destroy(s);
        return e;
    }
    redis_set_push(s->redis, on_push, s);
    *out = s;
    return OK;
}

void redis_sub_close(struct redis_sub *s) {
    if (s != NULL) {
        redis_close(s->redis);
        destroy(s);
    }
}
