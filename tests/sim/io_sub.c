/* Publish and subscribe of io/redis.h: messages take their time, and some are lost. */
#include "world.h"

#include <io/redis.h>
#include <stdlib.h>

enum { ARENA_BLOCK = 1024, ARENA_MAX = 1 << 20, SUBS_MAX = 8 };

struct redis_sub {
    LIST_ENTRY(redis_sub) all;
    struct redis_sub_options options;
    struct str channels[SUBS_MAX];
    struct actor *actor;
    struct redis *connection;
};

/* A published message on its way. */
struct message {
    LIST_ENTRY(message) all;
    struct redis_sub *sub; /* NULL: gone */
    struct str channel, text;
    struct arena arena;
};

static struct {
    LIST_HEAD(, redis_sub) subs;
    LIST_HEAD(, message) messages;
} world_subs;

static void on_sub_state(void *arg, bool up, struct err why) {
    struct redis_sub *s = arg;
    (void)why;
    if (up && s->options.on_ready != NULL) {
        s->options.on_ready(s->options.arg);
    }
}

struct err redis_sub_new(struct loop *l, const struct redis_sub_options *o, struct redis_sub **out) {
    struct redis_sub *s = sim_new(sizeof *s);
    struct redis_options connection = o->connection;
    s->options = *o;
    for (size_t i = 0; i < o->channels_n && i < SUBS_MAX; i++) {
        s->channels[i] = str_c(o->channels[i]);
    }
    s->actor = world.actor;
    connection.on_state = on_sub_state;
    connection.arg = s;
    LIST_INSERT_HEAD(&world_subs.subs, s, all);
    *out = s;
    return redis_new(l, &connection, &s->connection);
}

static void message_free(struct message *m) {
    LIST_REMOVE(m, all);
    arena_free(&m->arena);
    free(m);
}

void redis_sub_close(struct redis_sub *s) {
    struct message *m;
    if (s == NULL) {
        return;
    }
    LIST_FOREACH(m, &world_subs.messages, all) { m->sub = m->sub == s ? NULL : m->sub; }
    redis_close(s->connection);
    LIST_REMOVE(s, all);
    free(s);
}

static void on_message(void *arg) {
    struct message *m = arg;
    if (m->sub != NULL && redis_is_up(m->sub->connection)) {
        m->sub->options.on_message(m->sub->options.arg, m->channel, m->text);
    }
    message_free(m);
}

static bool listens(const struct redis_sub *s, struct str channel) {
    for (size_t i = 0; i < s->options.channels_n && i < SUBS_MAX; i++) {
        if (str_eq(s->channels[i], channel)) {
            return true;
        }
    }
    return false;
}

void sub_publish(void *self, struct str channel, struct str text) {
    struct redis_sub *s;
    (void)self;
    LIST_FOREACH(s, &world_subs.subs, all) {
        if (!listens(s, channel) || !redis_is_up(s->connection) || world_fault(world.weather.sub_loss)) {
            continue;
        }
        struct message *m = sim_new(sizeof *m);
        m->sub = s;
        arena_init(&m->arena, ARENA_BLOCK, ARENA_MAX);
        m->channel = arena_str(&m->arena, channel);
        m->text = arena_str(&m->arena, text);
        LIST_INSERT_HEAD(&world_subs.messages, m, all);
        world_after(world_latency_us(), s->actor, on_message, m, NULL);
    }
}

void sub_world_end(void) {
    while (!LIST_EMPTY(&world_subs.messages)) {
        message_free(LIST_FIRST(&world_subs.messages));
    }
}
