/* Putting jobs into a shard. Calls take 1 to LIMIT_BATCH items; everything is borrowed for the call only. Callbacks run
 * once, from the broker; a broken connection leaves the outcome open (ERR_REDIS_LOST). */
#ifndef QUEUES_ENQUEUE_H
#define QUEUES_ENQUEUE_H

#include <base/ids.h>
#include <base/reply.h>
#include <queues/shard.h>

enum { KEY_HASH_BYTES = 16, BODY_HASH_BYTES = 16 };

struct queue_item {
    struct str header, payload;
    struct wall due;      /* 0, or a time to wait for */
    struct str key_hash;  /* stream class: KEY_HASH_BYTES of SHA-256(tenant, key); empty without a key */
    struct str body_hash; /* BODY_HASH_BYTES */
};

/* Journal class: the row is committed; this is its place in the queue. epoch is the nonce of the shard's epoch, to be stored
 * with the row: it says which Redis has seen the job. 0: there is no epoch, nothing was added. */
typedef void queue_add_cb(void *arg, struct err err, int64_t epoch);
void queue_add(const struct broker *b, const struct shard *s, const struct queue_item *items, size_t n, queue_add_cb *cb,
               void *arg);

enum queue_verdict { QUEUE_FULL = -1, QUEUE_KNOWN = 0, QUEUE_ACCEPTED = 1, QUEUE_MISMATCH = 2 };

struct queue_entered {
    enum queue_verdict verdict;
    struct uuid id; /* the job that counts: the new one, or the one known under the key */
};

/* Stream class: the entry is the job. With depth_limit jobs in the stream or delayed: QUEUE_FULL, and no id. verdicts, in the
 * items' order, are borrowed for the callback; NULL exactly when err is set. */
typedef void queue_enter_cb(void *arg, struct err err, const struct queue_entered *verdicts, size_t n);
void queue_enter(const struct broker *b, const struct shard *s, int64_t depth_limit, const struct queue_item *items, size_t n,
                 queue_enter_cb *cb, void *arg);

#endif
