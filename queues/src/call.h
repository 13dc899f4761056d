/* One command on its way to Redis, and what all commands share. The arguments are put together on the stack (they are
 * borrowed until the call is sent; formatted ones live in scratch), what waits for the reply is one context on the heap:
 * allocated by call_context before anything is sent, freed by the reply's handler after the user's callback has run. */
#ifndef QUEUES_CALL_H
#define QUEUES_CALL_H

#include <base/ids.h>
#include <base/limits.h>
#include <base/reply.h>
#include <queues/claim.h>
#include <queues/shard.h>
#include <queues/stream_id.h>
#include <queues/upkeep.h>

enum function {
#define F(id, step, reads, ...) FN_##id,
#include "functions.def"
#undef F
    FN_MAX
};

enum { CALL_ARGS_MAX = 11 + 1 + 5 * LIMIT_BATCH, CALL_SCRATCH_BYTES = 256 + LIMIT_BATCH * (STREAM_ID_BYTES + 24) };

struct call {
    size_t argc, used;
    bool full; /* an argument did not fit: call_send fails */
    struct str argv[CALL_ARGS_MAX];
    char scratch[CALL_SCRATCH_BYTES];
};

void call_begin(struct call *c, struct str command);
void call_function(struct call *c, enum function f, const struct shard *s);                        /* FCALL, name, keys */
void call_function_on(struct call *c, enum function f, const struct shard *s, enum shard_key key); /* the key is a choice */
void call_add(struct call *c, struct str arg);
void call_add_int(struct call *c, int64_t v);
void call_add_id(struct call *c, struct stream_id id);
void call_add_uuid(struct call *c, const struct uuid *u); /* borrowed, 16 bytes */

/* A context for a call about n items, zeroed; NULL with *out_why when n is not 1..LIMIT_BATCH, or there is no memory. */
void *call_context(size_t n, size_t bytes, struct err *out_why);
/* deadline_ms 0: the connection's own. */
void call_send(struct call *c, const struct broker *b, int64_t deadline_ms, broker_cb *cb, void *context);

/* Ready-made calls: the reply is an integer; a list of at most LIMIT_BATCH entry ids. n as in call_context. */
void call_send_count(struct call *c, const struct broker *b, size_t n, queue_count_cb *cb, void *arg);
void call_send_lost(struct call *c, const struct broker *b, size_t n, queue_lost_cb *cb, void *arg);

/* Reading replies. False, or an error, for anything but what is asked for; NULL and nil replies included. */
bool reply_read_int(const struct reply *r, int64_t *out);
bool reply_read_str(const struct reply *r, struct str *out);
bool reply_read_uuid(const struct reply *r, struct uuid *out);
bool reply_read_id(const struct reply *r, struct stream_id *out);
bool reply_read_ids(const struct reply *r, struct stream_id out[LIMIT_BATCH], size_t *out_n);
/* ERR_REDIS_REPLY, naming the call that was answered so. */
struct err reply_unexpected(const char *what);

#endif
