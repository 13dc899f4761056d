#include "redis_calls.h"

#include <stdlib.h>

enum {
    OUTPUT_MAX_BYTES = 16 * 1024 * 1024, /* not yet written; more is ERR_BUSY */
    PENDING_MAX = 128 * 1024,            /* calls without an answer; more are ERR_BUSY */
    SPARE_MAX = 1024,                    /* answered calls kept for reuse */
    ARGC_MAX = 1024 * 1024,              /* what Redis itself takes */
};

struct redis_call {
    STAILQ_ENTRY(redis_call) next;
    broker_cb *cb;
    void *arg;
    uint64_t end; /* position behind this command in the stream of bytes to the server */
    int64_t deadline_us;
    enum err_code failed;
};

void redis_calls_init(struct redis_calls *q) {
    *q = (struct redis_calls){0};
    STAILQ_INIT(&q->pending);
    STAILQ_INIT(&q->failed);
    STAILQ_INIT(&q->spare);
}

void redis_calls_free(struct redis_calls *q) {
    struct redis_call *c;
    while ((c = STAILQ_FIRST(&q->spare)) != NULL) {
        STAILQ_REMOVE_HEAD(&q->spare, next);
        free(c);
    }
    free(q->argv);
    free(q->argv_n);
}

static struct redis_call *take(struct redis_calls *q) {
    struct redis_call *c = STAILQ_FIRST(&q->spare);
    if (c == NULL) {
        return malloc(sizeof *c);
    }
    STAILQ_REMOVE_HEAD(&q->spare, next);
    q->spare_n--;
    return c;
}

static void give_back(struct redis_calls *q, struct redis_call *c) {
    if (q->spare_n >= SPARE_MAX) {
        free(c);
        return;
    }
    STAILQ_INSERT_HEAD(&q->spare, c, next);
    q->spare_n++;
}

static bool room_for_args(struct redis_calls *q, size_t argc) {
    if (argc <= q->argv_cap) {
        return true;
    }
    size_t cap = q->argv_cap != 0 ? q->argv_cap : 16;
    while (cap < argc) {
        cap *= 2;
    }
    const char **argv = realloc(q->argv, cap * sizeof *argv);
    if (argv == NULL) {
        return false;
    }
    q->argv = argv;
    size_t *argv_n = realloc(q->argv_n, cap * sizeof *argv_n);
    if (argv_n == NULL) {
        return false;
    }
    q->argv_n = argv_n;
    q->argv_cap = cap;
    return true;
}

static bool append(struct redis_calls *q, redisContext *c, size_t argc, const struct str *argv) {
    for (size_t i = 0; i < argc; i++) {
        q->argv[i] = argv[i].p != NULL ? argv[i].p : "";
        q->argv_n[i] = argv[i].n;
    }
    return redisAppendCommandArgv(c, (int)argc, q->argv, q->argv_n) == REDIS_OK;
}

struct err redis_calls_start(struct redis_calls *q, redisContext *c, uint64_t written, const struct redis_command *command) {
    if (q->pending_n >= PENDING_MAX || sdslen(c->obuf) > OUTPUT_MAX_BYTES) {
        return err_make(ERR_BUSY, "redis: %zu calls wait for an answer", q->pending_n);
    }
    if (command->argc > ARGC_MAX) {
        return err_make(ERR_TOO_LARGE, "redis: %zu arguments", command->argc);
    }
    struct redis_call *call = room_for_args(q, command->argc) ? take(q) : NULL;
    if (call == NULL) {
        return err_make(ERR_NOMEM, "redis call");
    }
    if (!append(q, c, command->argc, command->argv)) {
        give_back(q, call);
        return err_make(ERR_NOMEM, "redis command");
    }
    if (q->pending_n == 0 || command->deadline_us > q->last_deadline_us) {
        q->last_deadline_us = command->deadline_us;
    }
    *call = (struct redis_call){
        .cb = command->cb, .arg = command->arg, .end = written + sdslen(c->obuf), .deadline_us = q->last_deadline_us};
    STAILQ_INSERT_TAIL(&q->pending, call, next);
    q->pending_n++;
    return OK;
}

bool redis_calls_deadline(const struct redis_calls *q, int64_t *out_us) {
    const struct redis_call *oldest = STAILQ_FIRST(&q->pending);
    if (oldest == NULL) {
        return false;
    }
    *out_us = oldest->deadline_us;
    return true;
}

bool redis_calls_answer(struct redis_calls *q, const struct reply *reply) {
    struct redis_call *c = STAILQ_FIRST(&q->pending);
    if (c == NULL) {
        return false;
    }
    struct redis_call copy = *c;
    STAILQ_REMOVE_HEAD(&q->pending, next);
    q->pending_n--;
    give_back(q, c);
    if (reply->type == REPLY_ERROR) {
        copy.cb(copy.arg, redis_reply_err(str_of(reply->str, reply->len)), NULL);
    } else {
        copy.cb(copy.arg, OK, reply);
    }
    return true;
}

void redis_calls_fail(struct redis_calls *q, uint64_t written, enum err_code sent, enum err_code not_sent) {
    struct redis_call *c;
    STAILQ_FOREACH(c, &q->pending, next) { c->failed = c->end <= written ? sent : not_sent; }
    STAILQ_CONCAT(&q->failed, &q->pending);
    q->pending_n = 0;
}

void redis_calls_deliver(struct redis_calls *q, const char *why) {
    struct redis_call *c;
    while ((c = STAILQ_FIRST(&q->failed)) != NULL) {
        struct redis_call copy = *c;
        STAILQ_REMOVE_HEAD(&q->failed, next);
        give_back(q, c);
        copy.cb(copy.arg, (struct err){copy.failed, why}, NULL);
    }
}
