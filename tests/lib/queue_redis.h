/* A private Redis with the Functions, for tests of what stands above queues: commands by words, shards made ready, homes counted. */
#ifndef TESTS_QUEUE_REDIS_H
#define TESTS_QUEUE_REDIS_H

#include <base/limits.h>
#include <io/redis.h>
#include <jobs/journal.h>
#include <queues/upkeep.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "server.h"
#include "unit.h"
#include "wait.h"

enum { QUEUE_REDIS_WAIT_MS = 10000, QUEUE_REDIS_TEXT = 512 };

struct queue_redis {
    struct server *server;
    struct loop *loop;
    struct redis *redis;
    struct broker broker;
};

static inline bool queue_redis_up_(void *arg) { return redis_is_up(arg); }
static inline bool queue_redis_down_(void *arg) { return !redis_is_up(arg); }

static inline void queue_redis_wait_up(struct queue_redis *q) {
    assert_true(wait_until(q->loop, QUEUE_REDIS_WAIT_MS, queue_redis_up_, q->redis));
}

static inline void queue_redis_wait_down(struct queue_redis *q) {
    assert_true(wait_until(q->loop, QUEUE_REDIS_WAIT_MS, queue_redis_down_, q->redis));
}

static inline void queue_redis_connect(struct queue_redis *q) {
    char url[64];
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d", server_port(q->server));
    const struct redis_options o = {.url = url, .name = "test", .connect_ms = 1000, .command_ms = 2000};
    assert_ok(redis_new(q->loop, &o, &q->redis));
    q->broker = redis_broker(q->redis);
    queue_redis_wait_up(q);
}

struct queue_redis_answer_ {
    bool done;
    char text[QUEUE_REDIS_TEXT];
};

static inline void queue_redis_on_reply_(void *arg, struct err err, const struct reply *reply) {
    struct queue_redis_answer_ *a = arg;
    if (err_is_set(err)) {
        (void)snprintf(a->text, sizeof a->text, "error %s: %s", err_name(err.code), err.detail);
    } else if (reply->type == REPLY_INTEGER) {
        (void)snprintf(a->text, sizeof a->text, "%lld", reply->integer);
    } else {
        (void)snprintf(a->text, sizeof a->text, "%.*s", STR_ARG(reply_str(reply)));
    }
    a->done = true;
}

static inline bool queue_redis_is_done_(void *arg) { return ((struct queue_redis_answer_ *)arg)->done; }

/* Sends a command, words with one space between, and gives its scalar answer as text, valid until the next one. */
static inline const char *queue_redis_ask(struct queue_redis *q, const char *fmt, ...) PRINTF_LIKE(2, 3);
static inline const char *queue_redis_ask(struct queue_redis *q, const char *fmt, ...) {
    static struct queue_redis_answer_ a;
    char command[QUEUE_REDIS_TEXT];
    struct str rest, argv[16];
    size_t argc = 0;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    rest = str_c(command);
    while (argc < 16 && str_cut(&rest, ' ', &argv[argc])) {
        argc++;
    }
    a = (struct queue_redis_answer_){0};
    broker_call(&q->broker, argc, argv, queue_redis_on_reply_, &a);
    assert_true(wait_until(q->loop, QUEUE_REDIS_WAIT_MS, queue_redis_is_done_, &a));
    return a.text;
}

static inline void queue_redis_on_loaded_(void *arg, struct err err, int64_t count) {
    (void)count;
    assert_ok(err);
    *(bool *)arg = true;
}

static inline bool queue_redis_flag_(void *arg) { return *(bool *)arg; }

static inline void queue_redis_load(struct queue_redis *q) {
    bool done = false;
    queue_functions_load(&q->broker, queue_redis_on_loaded_, &done);
    assert_true(wait_until(q->loop, QUEUE_REDIS_WAIT_MS, queue_redis_flag_, &done));
}

static inline void queue_redis_start(struct queue_redis *q, struct loop *loop) {
    *q = (struct queue_redis){.loop = loop};
    q->server = server_redis_start(NULL);
    assert_non_null(q->server);
    queue_redis_connect(q);
    queue_redis_load(q);
}

static inline void queue_redis_stop(struct queue_redis *q) {
    redis_close(q->redis);
    server_stop(q->server);
}

/* Stream, group and an epoch of that nonce. */
static inline void queue_redis_make_ready(struct queue_redis *q, const struct shard *s, long nonce) {
    (void)queue_redis_ask(q, "XGROUP CREATE %s g 0 MKSTREAM", s->key_text[KEY_STREAM]);
    char value[64];
    (void)snprintf(value, sizeof value, "ready run %ld", nonce);
    const struct str argv[] = {STR("SET"), s->key[KEY_EPOCH], str_c(value)};
    struct queue_redis_answer_ a = {0};
    broker_call(&q->broker, 3, argv, queue_redis_on_reply_, &a);
    assert_true(wait_until(q->loop, QUEUE_REDIS_WAIT_MS, queue_redis_is_done_, &a));
    assert_string_equal("OK", a.text);
}

/* How many entries the stream has. */
static inline int queue_redis_entries(struct queue_redis *q, const struct shard *s) {
    return (int)strtol(queue_redis_ask(q, "XLEN %s", s->key_text[KEY_STREAM]), NULL, 10);
}

static inline int queue_redis_delayed(struct queue_redis *q, const struct shard *s) {
    return (int)strtol(queue_redis_ask(q, "ZCARD %s", s->key_text[KEY_DELAYED]), NULL, 10);
}

#endif
