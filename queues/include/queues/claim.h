/* Claiming entries, keeping them, giving them back. A consumer name is host:slot:boot-epoch, new for each process: a stopped
 * process must not share a name with its successor. Calls take 1 to LIMIT_BATCH ids. */
#ifndef QUEUES_CLAIM_H
#define QUEUES_CLAIM_H

#include <base/ids.h>
#include <base/reply.h>
#include <queues/shard.h>
#include <queues/stream_id.h>

struct claimed {
    struct stream_id id;
    struct str header, payload; /* borrowed for the callback; empty in an entry that is not ours, which is to be buried */
    const struct shard *shard;
};

/* Blocking read of new entries, on a connection that does nothing else; block_ms 0 does not block. shards (at most LIMIT_SHARDS,
 * of one queue) must live until the callback, which gets no entries after block_ms. count is for each shard. */
typedef void queue_claim_cb(void *arg, struct err err, const struct claimed *entries, size_t n);
void queue_claim(const struct broker *reader, const struct shard *const *shards, size_t shards_n, struct str consumer,
                 size_t count, int64_t block_ms, queue_claim_cb *cb, void *arg);

/* Takes what was handed back and, when lease_ms > 0, what was not renewed for that long (one sweeper per shard and second).
 * Among it may be what this consumer holds already, when it was late itself. orphans: entries that were deleted but pending,
 * now forgotten. */
typedef void queue_sweep_cb(void *arg, struct err err, const struct claimed *entries, size_t n, int64_t orphans);
void queue_sweep(const struct broker *b, const struct shard *s, struct str consumer, size_t count, int64_t lease_ms,
                 queue_sweep_cb *cb, void *arg);

struct queue_held {
    struct stream_id id;
    struct uuid job;
    struct wall started; /* 0 while waiting or running for less than a second */
};
/* The ids that are no longer ours, and those whose cancellation was asked for. */
typedef void queue_renew_cb(void *arg, struct err err, const struct stream_id *lost, size_t lost_n,
                            const struct stream_id *cancel, size_t cancel_n);
void queue_renew(const struct broker *b, const struct shard *s, struct str consumer, const struct queue_held *held, size_t n,
                 queue_renew_cb *cb, void *arg);

/* died: the consumer died while it ran them; else this delivery does not count. */
typedef void queue_lost_cb(void *arg, struct err err, const struct stream_id *lost, size_t n);
void queue_hand_back(const struct broker *b, const struct shard *s, struct str consumer, bool died, const struct stream_id *ids,
                     size_t n, queue_lost_cb *cb, void *arg);

/* What is pending under a consumer, for its supervisor; at most LIMIT_BATCH, those behind after ({0,0}: from the first). */
struct queue_pending {
    struct stream_id id;
    int64_t deliveries; /* this one, and those to consumers that died while they ran it */
};
typedef void queue_pending_cb(void *arg, struct err err, const struct queue_pending *pending, size_t n);
void queue_pending(const struct broker *b, const struct shard *s, struct str consumer, struct stream_id after,
                   queue_pending_cb *cb, void *arg);

/* Which of these stream-class jobs have a cancel request standing: wanted[i] for jobs[i]. Ask queue_cancels_any first. */
typedef void queue_cancels_cb(void *arg, struct err err, const bool *wanted, size_t n);
void queue_cancels(const struct broker *b, const struct shard *s, const struct uuid *jobs, size_t n, queue_cancels_cb *cb,
                   void *arg);

#endif
