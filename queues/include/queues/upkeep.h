/* What keeps a shard in order: delayed jobs, cancellation, depth, epochs. */
#ifndef QUEUES_UPKEEP_H
#define QUEUES_UPKEEP_H

#include <base/ids.h>
#include <base/reply.h>
#include <queues/shard.h>

/* Moves due jobs to the stream, at most limit (≤ 1000). next_due is 0 when nothing is delayed. */
typedef void queue_promote_cb(void *arg, struct err err, int64_t moved, struct wall next_due, struct wall redis_now);
void queue_promote(const struct broker *b, const struct shard *s, int64_t limit, queue_promote_cb *cb, void *arg);

/* removed: the job was delayed or parked and is gone, and outcome is kept unless empty. Else a request was noted, if the job is of the
 * stream class. */
typedef void queue_cancel_cb(void *arg, struct err err, bool removed);
void queue_cancel(const struct broker *b, const struct shard *s, struct uuid job, struct str outcome, queue_cancel_cb *cb,
                  void *arg);

typedef void queue_count_cb(void *arg, struct err err, int64_t count);
/* 0: no cancel request stands in any of the shards (at most LIMIT_SHARDS). Nearly always so, and much cheaper than queue_cancels. Sent
 * behind a blocking read on its connection, it is answered when that is. */
void queue_cancels_any(const struct broker *b, const struct shard *const *shards, size_t shards_n, queue_count_cb *cb, void *arg);
/* 1: it was delayed. */
void queue_due_now(const struct broker *b, const struct shard *s, struct uuid job, queue_count_cb *cb, void *arg);
/* 1: it was delayed, and is due then. */
void queue_snooze(const struct broker *b, const struct shard *s, struct uuid job, struct wall due, queue_count_cb *cb, void *arg);
void queue_collect(const struct broker *b, const struct shard *s, int64_t idle_ms, queue_count_cb *cb, void *arg);

enum { EPOCH_BYTES = 96 };
struct queue_depth {
    int64_t waiting, running, delayed, parked, dead; /* dead: not yet handed to Postgres */
    int64_t handed_back;                             /* part of waiting */
    int64_t oldest_age_ms;                           /* of the oldest waiting entry, by Redis's clock; 0: nothing waits */
    struct wall next_due;                            /* 0: nothing is delayed */
    char epoch[EPOCH_BYTES];                         /* value of :e */
    /* counters since the epoch began; gap is what does not add up: what was there and came, less what went and what is there.
     * All from one moment; 0 unless a step was torn or somebody else wrote to the shard. */
    int64_t accepted, done, cancelled, expired, died, gap;
    int64_t journal_out; /* journal-class jobs that left, in whatever way */
};
/* ERR_REDIS_NOGROUP when there are entries that nobody can claim. NULL exactly when err is set. */
typedef void queue_depth_cb(void *arg, struct err err, const struct queue_depth *depth);
void queue_depth(const struct broker *b, const struct shard *s, queue_depth_cb *cb, void *arg);

/* Where a stream-class job is; the stream is not searched, so a job that waits or runs for less than a second is NOTHING. when is
 * the start of a RUNNING, the due time of a DELAYED one; outcome is borrowed, empty unless OUTCOME. */
enum queue_found {
    QUEUE_FOUND_NOTHING,
    QUEUE_FOUND_OUTCOME,
    QUEUE_FOUND_RUNNING,
    QUEUE_FOUND_DELAYED,
    QUEUE_FOUND_PARKED,
    QUEUE_FOUND_DEAD
};
typedef void queue_find_cb(void *arg, struct err err, enum queue_found where, struct wall when, struct str outcome);
void queue_find(const struct broker *b, const struct shard *s, struct uuid job, queue_find_cb *cb, void *arg);

/* The same of 1 to LIMIT_BATCH jobs in one call. places: one for each, in their order; NULL exactly when err is set. */
struct queue_place {
    enum queue_found where;
    struct wall when;
    struct str outcome;
};
typedef void queue_places_cb(void *arg, struct err err, const struct queue_place *places);
void queue_find_all(const struct broker *b, const struct shard *s, const struct uuid *jobs, size_t n, queue_places_cb *cb,
                    void *arg);

/* Epochs: compare and set of :e. count 1: it was as expected and is now value. */
void queue_epoch_set(const struct broker *b, const struct shard *s, struct str expected, struct str value, queue_count_cb *cb,
                     void *arg);
/* Group and stream, from id 0. count 0: the group was there. */
void queue_group_create(const struct broker *b, const struct shard *s, queue_count_cb *cb, void *arg);
int64_t queue_epoch_nonce(struct str epoch); /* 0: none */

/* The library of this version; those of others stay. */
void queue_functions_load(const struct broker *b, queue_count_cb *cb, void *arg);
/* Libraries older than that of the release before this one. count: how many were there. b must live until the callback. */
void queue_functions_drop_old(const struct broker *b, queue_count_cb *cb, void *arg);

/* Walks one home of the shard (KEY_STREAM, KEY_DELAYED, KEY_PARKED) in chunks and names the jobs that are there, some perhaps
 * twice. next, borrowed, is the cursor of the following call, empty at the end; start with an empty one. */
typedef void queue_walk_cb(void *arg, struct err err, const struct uuid *jobs, size_t n, struct str next);
void queue_walk(const struct broker *b, const struct shard *s, enum shard_key home, struct str cursor, queue_walk_cb *cb,
                void *arg);

/* Entries acknowledged but not deleted, in chunks like queue_walk: put anew. */
typedef void queue_mend_cb(void *arg, struct err err, int64_t mended, struct str next);
void queue_mend(const struct broker *b, const struct shard *s, struct str cursor, queue_mend_cb *cb, void *arg);

/* Parked jobs of these kinds (1 to LIMIT_BATCH) whose header we can read, a page in each call like queue_walk: back to the stream. */
struct queue_kind {
    struct str type;
    uint16_t version; /* of its payload's schema: this and lower ones */
};
typedef void queue_unpark_cb(void *arg, struct err err, int64_t moved, struct str next);
void queue_unpark(const struct broker *b, const struct shard *s, struct str cursor, const struct queue_kind *kinds, size_t n,
                  queue_unpark_cb *cb, void *arg);

/* The dead of the stream class on their way to Postgres. Values are borrowed. The job of an entry without a readable header is
 * an id made up from the entry's own (UUIDv8); a value that is not ours comes as payload alone. */
struct queue_dead_id {
    struct uuid job;
    uint32_t generation;
};
struct queue_dead_entry {
    struct queue_dead_id id;
    struct str reason, header, payload;
};
typedef void queue_dead_cb(void *arg, struct err err, const struct queue_dead_entry *entries, size_t n);
void queue_dead_peek(const struct broker *b, const struct shard *s, queue_dead_cb *cb, void *arg); /* some, at most LIMIT_BATCH */
/* What was handed over, unless it has been replayed meanwhile and is there again, dead in a newer generation. */
void queue_dead_drop(const struct broker *b, const struct shard *s, const struct queue_dead_id *ids, size_t n, queue_count_cb *cb,
                     void *arg);

#endif
