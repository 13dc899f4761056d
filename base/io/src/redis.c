/* A connection's life: DOWN (a timer runs to the next attempt) → CONNECTING → GREETING (AUTH, SETNAME, SELECT, PING) → UP, and
 * from each of them back to DOWN, or to CLOSED for good.
 *
 * Answers come in the order of the calls, so the calls are one list and its head is the next to be answered. Whatever runs
 * a callback may find the connection gone, or the owner's call of redis_close behind it, when the callback returns:
 *   - the hiredis context in use by the parser is only parked by drop_link, and freed by the parser;
 *   - the object itself is freed by the outermost leave().
 * Commands are collected in hiredis' output buffer and written once, at the end of the turn. */
#include "backoff.h"
#include "redis_calls.h"

#include <io/poll.h>
#include <io/timer.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    REPLY_MAX_BYTES = 64 * 1024 * 1024, /* one reply; a larger one fails the connection */
    REPLY_BLOCK_BYTES = 64 * 1024,      /* holds an ordinary batch of replies */
    READ_ROUNDS = 16,                   /* reads per turn: others want the loop too */
    READ_BYTES = 16 * 1024,             /* what redisBufferRead asks for */
    IDLE_PING_MS = 5000,                /* a silent connection is asked whether it lives */
    WHY_BYTES = 256,
};

enum state { DOWN, CONNECTING, GREETING, UP, CLOSED };

struct redis {
    struct loop *loop;
    struct redis_url url;
    char *name;
    int64_t connect_ms, command_ms;
    void (*on_state)(void *arg, bool up, struct err why);
    void *arg;
    bool (*on_push)(void *arg, const struct reply *reply);
    void *push_arg;

    enum state state;
    bool told_down; /* on_state has heard of it */
    enum err_code why;
    char why_text[WHY_BYTES];
    unsigned failures;  /* in a row */
    unsigned greetings; /* answers of the greeting still to come */

    redisContext *c;    /* NULL when DOWN or CLOSED */
    redisContext *dead; /* parked while the parser stands in it */
    bool parsing;
    struct poll *poll;
    struct timer *timer; /* next attempt, connect deadline, deadline of the oldest call, idle ping: by state */
    struct turn_end send;
    struct arena replies;
    uint64_t written;   /* bytes the kernel took on this connection */
    uint64_t replies_n; /* read so far */
    struct mono heard;  /* last time bytes came */
    struct mono up_since;

    struct redis_calls calls;
    unsigned depth; /* of callbacks in progress */
};

static void destroy(struct redis *r) {
    timer_free(r->timer);
    arena_free(&r->replies);
    redis_calls_free(&r->calls);
    redis_url_free(&r->url);
    free(r->name);
    free(r);
}

static void enter(struct redis *r) { r->depth++; }

static void leave(struct redis *r) {
    if (--r->depth == 0 && r->state == CLOSED) {
        destroy(r);
    }
}

static int64_t ms_until(struct redis *r, int64_t us) {
    int64_t left = us - loop_now(r->loop).us;
    return left > 0 ? (left + 999) / 1000 : 0;
}

static struct err start_call(struct redis *r, int64_t deadline_ms, size_t argc, const struct str *argv, broker_cb *cb,
                             void *arg) {
    struct redis_command command = {argc, argv, cb, arg,
                                    loop_now(r->loop).us + (deadline_ms > 0 ? deadline_ms : r->command_ms) * 1000};
    bool first = r->calls.pending_n == 0;
    struct err e = redis_calls_start(&r->calls, r->c, r->written, &command);
    loop_at_turn_end(r->loop, &r->send); /* also when it failed: sending tells whether the context is broken */
    if (first && !err_is_set(e) && r->state == UP) {
        timer_start(r->timer, ms_until(r, command.deadline_us));
    }
    return e;
}

static void call(void *self, int64_t deadline_ms, size_t argc, const struct str *argv, broker_cb *cb, void *arg) {
    struct redis *r = self;
    struct err e = r->state == UP       ? start_call(r, deadline_ms, argc, argv, cb, arg)
                   : r->state == CLOSED ? err_make(ERR_CLOSED, "redis: closing")
                                        : err_make(ERR_REDIS_DOWN, "%s", r->why_text);
    if (err_is_set(e)) {
        cb(arg, e, NULL);
    }
}

static void drop_link(struct redis *r) {
    if (r->c == NULL) {
        return;
    }
    poll_free(r->poll);
    r->poll = NULL;
    loop_cancel_turn_end(r->loop, &r->send);
    if (r->parsing) {
        r->dead = r->c;
    } else {
        redisFree(r->c);
    }
    r->c = NULL;
}

static void set_why(struct redis *r, enum err_code code, const char *text) {
    r->why = code;
    (void)snprintf(r->why_text, sizeof r->why_text, "%s", text);
}

static void fail(struct redis *r, enum err_code code, const char *text) {
    if (r->state == DOWN || r->state == CLOSED) {
        return;
    }
    if (r->state == UP && mono_ms_since(loop_now(r->loop), r->up_since) > BACKOFF_MAX_MS) {
        r->failures = 0; /* not at once: a server that greets and hangs up gets no rest otherwise */
    }
    r->state = DOWN;
    set_why(r, code, text);
    drop_link(r);
    timer_start(r->timer, backoff_ms(r->failures++));
    enter(r);
    redis_calls_fail(&r->calls, r->written, ERR_REDIS_LOST, ERR_REDIS_DOWN);
    redis_calls_deliver(&r->calls, r->why_text);
    if (r->state != CLOSED && !r->told_down) {
        r->told_down = true;
        if (r->on_state != NULL) {
            r->on_state(r->arg, false, (struct err){r->why, r->why_text});
        }
    }
    leave(r);
}

static void fail_with_context_error(struct redis *r, redisContext *c) {
    bool too_large = c->err == REDIS_ERR_OOM;
    fail(r, r->state == UP ? ERR_REDIS_LOST : ERR_REDIS_DOWN,
         too_large ? "a reply larger than 64 MiB, or out of memory" : c->errstr);
}

/* ---- sending and receiving ---- */

static void send_output(void *arg) {
    struct redis *r = arg;
    size_t before = sdslen(r->c->obuf);
    int done = 0;
    if (redisBufferWrite(r->c, &done) != REDIS_OK) {
        fail_with_context_error(r, r->c);
        return;
    }
    r->written += before - sdslen(r->c->obuf);
    poll_watch(r->poll, POLL_READ | (done ? 0 : POLL_WRITE));
}

static void answer(struct redis *r, const struct reply *reply) {
    if (r->on_push != NULL && r->on_push(r->push_arg, reply)) {
        return;
    }
    if (!redis_calls_answer(&r->calls, reply)) {
        fail(r, ERR_REDIS_REPLY, "an answer without a question");
    }
}

/* False: the link that was read from is gone. */
static bool answer_all(struct redis *r) {
    redisContext *c = r->c;
    for (;;) {
        void *reply = NULL;
        if (redisGetReplyFromReader(c, &reply) != REDIS_OK) {
            fail_with_context_error(r, c);
            return false;
        }
        if (reply == NULL) {
            return true;
        }
        r->replies_n++;
        r->parsing = true;
        answer(r, reply);
        r->parsing = false;
        arena_reset(&r->replies);
        if (r->dead != NULL) {
            redisFree(r->dead);
            r->dead = NULL;
            return false;
        }
    }
}

static void read_input(struct redis *r) {
    r->heard = loop_now(r->loop);
    for (int i = 0; i < READ_ROUNDS; i++) {
        size_t before = r->c->reader->len;
        if (redisBufferRead(r->c) != REDIS_OK) {
            fail_with_context_error(r, r->c);
            return;
        }
        size_t after = r->c->reader->len;
        if (after > REPLY_MAX_BYTES) {
            fail(r, ERR_REDIS_LOST, "a reply larger than 64 MiB");
            return;
        }
        if (!answer_all(r) || after - before < READ_BYTES) {
            return;
        }
    }
}

/* ---- coming up ---- */

static void greeted(struct redis *r) {
    if (--r->greetings > 0) {
        return;
    }
    r->state = UP;
    r->up_since = loop_now(r->loop);
    r->told_down = false;
    set_why(r, ERR_NONE, "");
    timer_start(r->timer, IDLE_PING_MS);
    if (r->on_state != NULL) {
        r->on_state(r->arg, true, OK);
    }
}

static void on_greeting(void *arg, struct err err, const struct reply *reply) {
    struct redis *r = arg;
    (void)reply;
    if (r->state != GREETING) {
        return; /* the link is gone, and fail() at work */
    }
    if (err_is_set(err)) {
        fail(r, err.code, err.detail);
        return;
    }
    greeted(r);
}

/* Neither a name nor a PING is worth a connection to a user who may do neither, and with a full disk (MISCONF) reads
 * still work. LOADING and the rest are taken as they are: not up yet. */
static void on_greeting_courtesy(void *arg, struct err err, const struct reply *reply) {
    if (err.code != ERR_NONE && (str_starts(str_c(err.detail), STR("NOPERM")) || str_starts(str_c(err.detail), STR("MISCONF")))) {
        err = OK;
    }
    on_greeting(arg, err, reply);
}

static bool greet(struct redis *r, broker_cb *cb, size_t argc, const struct str *argv) {
    r->greetings++;
    struct err e = start_call(r, r->connect_ms, argc, argv, cb, r);
    if (err_is_set(e)) {
        fail(r, e.code, e.detail);
        return false;
    }
    return true;
}

static bool greet_auth(struct redis *r) {
    struct str argv[3] = {STR("AUTH")};
    size_t argc = 1;
    if (r->url.user != NULL) {
        argv[argc++] = str_c(r->url.user);
    }
    if (r->url.user != NULL || r->url.password != NULL) {
        argv[argc++] = str_c(r->url.password != NULL ? r->url.password : "");
    }
    return argc == 1 || greet(r, on_greeting, argc, argv);
}

static void start_greeting(struct redis *r) {
    char db[24];
    (void)snprintf(db, sizeof db, "%lld", (long long)r->url.db);
    r->state = GREETING;
    r->greetings = 0;
    (void)(greet_auth(r) && (r->url.db == 0 || greet(r, on_greeting, 2, (struct str[]){STR("SELECT"), str_c(db)})) &&
           (r->name == NULL ||
            greet(r, on_greeting_courtesy, 3, (struct str[]){STR("CLIENT"), STR("SETNAME"), str_c(r->name)})) &&
           greet(r, on_greeting_courtesy, 1, (struct str[]){STR("PING")}));
}

static void on_ready(void *arg, int events) {
    struct redis *r = arg;
    enter(r);
    if (r->state == CONNECTING) {
        struct err e = redis_link_connected(r->c, r->url.path == NULL);
        if (err_is_set(e)) {
            fail(r, e.code, e.detail);
        } else {
            start_greeting(r);
        }
    } else if ((events & POLL_READ) != 0) {
        read_input(r);
    }
    if (r->c != NULL && (events & POLL_WRITE) != 0) {
        send_output(r); /* sets what to watch, anew after an error event */
    }
    leave(r);
}

static void connect_now(struct redis *r) {
    arena_reset(&r->replies);
    r->state = CONNECTING;
    r->written = 0;
    struct err e = redis_link_open(&r->url, &r->c);
    if (!err_is_set(e)) {
        r->c->reader->privdata = &r->replies;
        e = poll_new(r->loop, r->c->fd, on_ready, r, &r->poll);
    }
    if (err_is_set(e)) {
        fail(r, e.code, e.detail);
        return;
    }
    poll_watch(r->poll, POLL_WRITE);
    timer_start(r->timer, r->connect_ms);
}

/* ---- time ---- */

static void on_ping(void *arg, struct err err, const struct reply *reply) {
    (void)arg;
    (void)err; /* any answer will do: it came */
    (void)reply;
}

static void ping_if_quiet(struct redis *r) {
    int64_t quiet = mono_ms_since(loop_now(r->loop), r->heard);
    if (quiet < IDLE_PING_MS) {
        timer_start(r->timer, IDLE_PING_MS - quiet);
        return;
    }
    struct err e = start_call(r, 0, 1, (struct str[]){STR("PING")}, on_ping, r); /* starts the timer */
    if (err_is_set(e)) {
        timer_start(r->timer, IDLE_PING_MS);
    }
}

/* When this process was stopped for a while, or the turn was long, the answers may lie in the socket: the deadline is the
 * server's, not ours. */
static void on_deadline(struct redis *r) {
    uint64_t before = r->replies_n;
    read_input(r);
    if (r->state != UP) {
        return;
    }
    if (r->replies_n != before) {
        timer_start(r->timer, 1);
    } else {
        fail(r, ERR_REDIS_LOST, "no answer before the deadline");
    }
}

static void check_time(struct redis *r) {
    int64_t deadline_us;
    if (!redis_calls_deadline(&r->calls, &deadline_us)) {
        ping_if_quiet(r);
        return;
    }
    int64_t left = ms_until(r, deadline_us);
    if (left > 0) {
        timer_start(r->timer, left);
    } else {
        on_deadline(r);
    }
}

static void on_timer(void *arg) {
    struct redis *r = arg;
    enter(r);
    if (r->state == DOWN) {
        connect_now(r);
    } else if (r->state == UP) {
        check_time(r);
    } else {
        fail(r, ERR_REDIS_DOWN, r->state == CONNECTING ? "no connection before the deadline" : "no greeting before the deadline");
    }
    leave(r);
}

/* ---- the owner's side ---- */

static struct err copy_secret(const char *from, char **to) {
    if (from == NULL || from[0] == '\0') {
        return OK;
    }
    char *copy = strdup(from);
    if (copy == NULL) {
        return err_make(ERR_NOMEM, "redis options");
    }
    free(*to);
    *to = copy;
    return OK;
}

static struct err setup(struct redis *r, const struct redis_options *o) {
    TRY(redis_url_parse(o->url, &r->url));
    TRY(copy_secret(o->user, &r->url.user));
    TRY(copy_secret(o->password, &r->url.password));
    TRY(copy_secret(o->name, &r->name));
    return timer_new(r->loop, on_timer, r, &r->timer);
}

struct err redis_new(struct loop *l, const struct redis_options *o, struct redis **out) {
    struct redis *r = calloc(1, sizeof *r);
    if (r == NULL) {
        return err_make(ERR_NOMEM, "redis");
    }
    r->loop = l;
    r->connect_ms = o->connect_ms;
    r->command_ms = o->command_ms;
    r->on_state = o->on_state;
    r->arg = o->arg;
    r->send = (struct turn_end){.run = send_output, .arg = r};
    redis_calls_init(&r->calls);
    arena_init(&r->replies, REPLY_BLOCK_BYTES, REPLY_MAX_BYTES);
    set_why(r, ERR_REDIS_DOWN, "not connected yet");
    struct err e = setup(r, o);
    if (err_is_set(e)) {
        destroy(r);
        return e;
    }
    timer_start(r->timer, 0); /* from the loop: on_state never runs inside redis_new */
    *out = r;
    return OK;
}

void redis_close(struct redis *r) {
    if (r == NULL || r->state == CLOSED) {
        return;
    }
    r->state = CLOSED;
    set_why(r, ERR_CLOSED, "redis: closing");
    drop_link(r);
    timer_stop(r->timer);
    enter(r);
    redis_calls_fail(&r->calls, r->written, ERR_CLOSED, ERR_CLOSED);
    redis_calls_deliver(&r->calls, r->why_text); /* and those of a loss in whose callbacks we are */
    leave(r);
}

bool redis_is_up(const struct redis *r) { return r->state == UP; }
struct err redis_why_down(const struct redis *r) {
    return r->state == UP ? OK : (struct err){r->why, r->why_text};
}
struct broker redis_broker(struct redis *r) {
    return (struct broker){call, r};
}
size_t redis_pending(const struct redis *r) { return r->calls.pending_n; }

void redis_set_push(struct redis *r, bool (*on_push)(void *arg, const struct reply *reply), void *arg) {
    r->on_push = on_push;
    r->push_arg = arg;
}

void redis_abandon(struct redis *r, struct err why) { fail(r, why.code, why.detail); }
