/* The journal of jobs (platform.job) and its border to Redis, for every process that writes jobs: the API accepting them, workers
 * and relay copying follow-ups, the relay and the epoch pass placing what Redis has not seen. One thread, callbacks from the loop. */
#ifndef JOBS_JOURNAL_H
#define JOBS_JOURNAL_H

#include <base/limits.h>
#include <base/reply.h>
#include <base/trace.h>
#include <io/pg.h>
#include <jobs/type.h>
#include <queues/shard.h>

/* platform.queue, as this process knows it. Loaded at start and again every second or so; shards never change. */
struct queue_info {
    char name[65];
    uint16_t number;
    unsigned shards_n;
    struct shard *shards[LIMIT_SHARDS];
    bool paused;
    int slots;
    int64_t max_depth, max_open, max_drain_s;
    int max_fill_pct; /* of what all queues share */
    int64_t version;  /* one more with each change by an operator */
};
struct queue_table;

MUST struct err queue_table_new(struct pg_pool *platform, struct queue_table **out);
void queue_table_free(struct queue_table *t); /* no load may be on its way: close the pool first */
typedef void queue_table_cb(void *arg, struct err err);
void queue_table_load(struct queue_table *t, queue_table_cb *cb, void *arg);
const struct queue_info *queue_table_find(const struct queue_table *t, struct str name);
const struct queue_info *queue_table_number(const struct queue_table *t, unsigned number);
size_t queue_table_count(const struct queue_table *t);
const struct queue_info *queue_table_at(const struct queue_table *t, size_t i);

/* A job as it goes into the journal. Strings are borrowed for the call only. */
struct journal_job {
    struct uuid id, root;
    struct str tenant, queue, type;
    uint16_t type_version;
    uint32_t generation;
    struct str payload;
    struct trace trace;
    struct wall due, deadline; /* 0: none */
    bool unchecked;            /* a row that penstock.enqueue made: as in the envelope */
    bool callback;             /* a row that tells of another job's end, made with that: its trace is the other's */
};

/* Of platform.dead_job, when what died once has died again: the release that it died on last, and first of those that it died on as now. */
#define DEAD_RELEASES                                                                                    \
    "release = excluded.release, first_release = CASE WHEN dead_job.fingerprint = excluded.fingerprint " \
    "THEN dead_job.first_release ELSE excluded.first_release END"

/* Writes at most LIMIT_BATCH jobs with their ids (those that exist are left alone) and places the new ones in Redis. done:
 * written, and placed or left to the relay. */
struct journal {
    struct pg_pool *platform;
    const struct broker *redis;
    const struct queue_table *queues;
};
typedef void journal_cb(void *arg, struct err err);
void journal_write(const struct journal *j, const struct journal_job *jobs, size_t n, journal_cb *cb, void *arg);

/* Places jobs whose rows are committed: one Function call per shard, then one statement that marks them with the epoch. cb runs after the
 * first or the second; err only says whether it went through; what did not is the relay's. */
enum journal_until { JOURNAL_PLACED, JOURNAL_MARKED };
void journal_place(const struct journal *j, const struct journal_job *jobs, size_t n, enum journal_until until, journal_cb *cb,
                   void *arg);

/* Copies one batch of a module's job_outbox into the journal, drops it there, places it. more: the batch was full. */
typedef void outbox_cb(void *arg, struct err err, size_t moved, bool more);
void outbox_copy(const struct journal *j, struct module_env *env, outbox_cb *cb, void *arg);

/* Places what the journal holds and Redis has not seen, lowest first: rows older than a second, and those that were made in the database; one
 * batch. */
void journal_relay(const struct journal *j, outbox_cb *cb, void *arg);

/* The epoch pass over one shard: one page of the open jobs that the epoch nonce has not seen, from the id after on. Those that present()
 * finds in Redis are marked with the epoch, the others are placed there anew. The page's last id is the next call's after. */
struct journal_heal {
    const char *queue;
    unsigned shard;
    int64_t nonce;
    struct uuid after; /* nil at first */
    bool (*present)(void *arg, struct uuid id);
};
typedef void heal_cb(void *arg, struct err err, struct uuid last, size_t placed, bool more);
void journal_heal(const struct journal *j, const struct journal_heal *spec, heal_cb *cb, void *arg);

/* Ends journal jobs: one statement for at most LIMIT_BATCH of them. A row that is terminal already, or of a newer generation, is left
 * alone. errors is the JSON array for dead_job, used for OUTCOME_DEAD. */
struct journal_end {
    struct uuid id;
    uint32_t generation;
    enum job_outcome outcome;
    int status;
    struct str result;
    uint32_t attempts; /* dead */
    struct str errors, fingerprint;
};
void journal_finish(const struct journal *j, const struct journal_end *ends, size_t n, journal_cb *cb, void *arg);

#endif
