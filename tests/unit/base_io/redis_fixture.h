/* What the Redis tests share: a client, its calls' outcomes, and waiting for them. */
#ifndef REDIS_FIXTURE_H
#define REDIS_FIXTURE_H

#include "server.h"
#include "unit.h"
#include "wait.h"

#include <base/buf.h>
#include <io/redis.h>
#include <stdio.h>
#include <stdlib.h>

enum { SOON_MS = 5000 };

struct states {
    int ups, downs;
    char why[256];
};

static inline void note_state(void *arg, bool up, struct err why) {
    struct states *s = arg;
    s->ups += up ? 1 : 0;
    s->downs += up ? 0 : 1;
    (void)snprintf(s->why, sizeof s->why, "%s: %s", err_name(why.code), why.detail);
}

/* The outcome of one call; text is the reply in a compact form: "x" 1 nil [a b]. */
struct outcome {
    int runs;
    enum err_code code;
    char detail[256], text[512];
};

static inline void add_reply(struct buf *b, const struct reply *r) {
    if (r == NULL) {
        buf_add_c(b, "NULL");
    } else if (r->type == REPLY_INTEGER) {
        buf_addf(b, "%lld", r->integer);
    } else if (r->type == REPLY_NIL) {
        buf_add_c(b, "nil");
    } else if (r->type == REPLY_ARRAY) {
        buf_add_char(b, '[');
        for (size_t i = 0; i < r->elements; i++) {
            buf_add_c(b, i > 0 ? " " : "");
            add_reply(b, reply_at(r, i));
        }
        buf_add_char(b, ']');
    } else {
        buf_add(b, r->type == REPLY_ERROR ? str_of(r->str, r->len) : reply_str(r));
    }
}

static inline void note_outcome(void *arg, struct err err, const struct reply *reply) {
    struct outcome *o = arg;
    struct buf b;
    o->runs++;
    o->code = err.code;
    (void)snprintf(o->detail, sizeof o->detail, "%s", err.detail);
    buf_init(&b, 4096);
    if (reply != NULL) {
        add_reply(&b, reply);
    }
    (void)snprintf(o->text, sizeof o->text, "%.*s", STR_ARG(buf_str(&b)));
    buf_free(&b);
}

/* Sends the words of a command ("SET k v"). */
static inline void send_words(struct redis *r, int64_t deadline_ms, const char *command, struct outcome *o) {
    struct str rest = str_c(command), argv[16];
    size_t argc = 0;
    struct broker b = redis_broker(r);
    while (argc < 16 && str_cut(&rest, ' ', &argv[argc])) {
        argc++;
    }
    b.call(b.self, deadline_ms, argc, argv, note_outcome, o);
}

static inline bool has_run(void *arg) { return ((struct outcome *)arg)->runs > 0; }
static inline bool is_up(void *arg) { return redis_is_up(arg); }
static inline bool is_down(void *arg) { return !redis_is_up(arg); }
static inline bool has_gone_down(void *arg) { return ((struct states *)arg)->downs > 0; }

static inline struct outcome ask(struct loop *l, struct redis *r, const char *command) {
    struct outcome o = {0};
    send_words(r, 0, command, &o);
    assert_true(wait_until(l, SOON_MS, has_run, &o));
    assert_int_equal(1, o.runs);
    return o;
}

#define assert_reply(expected, l, r, command)                \
    do {                                                     \
        struct outcome assert_o_ = ask((l), (r), (command)); \
        assert_string_equal("", assert_o_.detail);           \
        assert_string_equal((expected), assert_o_.text);     \
    } while (0)

#define assert_fails(expected, l, r, command)                              \
    do {                                                                   \
        struct outcome assert_o_ = ask((l), (r), (command));               \
        assert_string_equal(err_name(expected), err_name(assert_o_.code)); \
        assert_string_equal("", assert_o_.text);                           \
    } while (0)

static inline struct redis_options options_for(char url[64], int port, struct states *s) {
    (void)snprintf(url, 64, "redis://127.0.0.1:%d", port);
    return (struct redis_options){
        .url = url, .name = "test", .connect_ms = 1000, .command_ms = 2000, .on_state = s != NULL ? note_state : NULL, .arg = s};
}

static inline struct redis *connect_to(struct loop *l, int port, struct states *s) {
    char url[64];
    struct redis_options o = options_for(url, port, s);
    struct redis *r;
    assert_ok(redis_new(l, &o, &r));
    return r;
}

static inline struct redis *connected_to(struct loop *l, int port, struct states *s) {
    struct redis *r = connect_to(l, port, s);
    assert_true(wait_until(l, SOON_MS, is_up, r));
    return r;
}

/* libuv opens descriptors of the process with its first loop: have them before counting. */
static inline void open_process_fds(void) {
    struct loop *l;
    assert_ok(loop_new(&l));
    loop_free(l);
}

#endif
