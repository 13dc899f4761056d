/* The calls of one Redis connection: FIFO, bounded, reused instead of freed. */
#ifndef IO_REDIS_CALLS_H
#define IO_REDIS_CALLS_H

#include "redis_private.h"

#include <sys/queue.h>

struct redis_call;
STAILQ_HEAD(redis_call_list, redis_call);

struct redis_calls {
    struct redis_call_list pending; /* waiting for an answer, in order */
    struct redis_call_list failed;  /* to be told so by redis_calls_deliver */
    struct redis_call_list spare;
    size_t pending_n, spare_n;
    int64_t last_deadline_us; /* of the newest pending call */
    const char **argv;        /* room for one command's arguments, as hiredis wants them */
    size_t *argv_n;
    size_t argv_cap;
};

struct redis_command {
    size_t argc;
    const struct str *argv;
    broker_cb *cb;
    void *arg;
    int64_t deadline_us; /* on the loop's clock */
};

void redis_calls_init(struct redis_calls *q);
void redis_calls_free(struct redis_calls *q); /* nothing may be pending */

/* Appends to c's output buffer. written: bytes that the kernel took on this connection so far. ERR_BUSY: too much is
 * waiting; ERR_NOMEM: c may be broken, the next redisBufferWrite tells. */
MUST struct err redis_calls_start(struct redis_calls *q, redisContext *c, uint64_t written, const struct redis_command *command);

/* An answer comes after those of the calls before it, so no call's deadline is taken to be earlier than theirs: the oldest
 * call's is the earliest, and one timer is enough. False: nothing is pending. */
bool redis_calls_deadline(const struct redis_calls *q, int64_t *out_us);

/* Answers the oldest call. False: there is none. */
bool redis_calls_answer(struct redis_calls *q, const struct reply *reply);

/* Fails all that is pending: with sent where the whole command was given to the kernel, else it cannot have run: not_sent. */
void redis_calls_fail(struct redis_calls *q, uint64_t written, enum err_code sent, enum err_code not_sent);
/* Runs the callbacks of the failed ones. Calls within them see a consistent list. */
void redis_calls_deliver(struct redis_calls *q, const char *why);

#endif
