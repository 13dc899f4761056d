/* Where a queue lives in Redis: every key of a shard shares the hash tag pen:{<queue>:<shard>}, so that each step of the
 * protocol is one call on one slot. The table below is the whole list (PROTOCOL.md section 2); the ACL is made from it. */
#ifndef QUEUES_SHARD_H
#define QUEUES_SHARD_H

#include <base/err.h>
#include <base/str.h>

enum shard_key {
    KEY_STREAM,       /* stream of entries; group "g" */
    KEY_DELAYED,      /* ZSET job id → due ms */
    KEY_DELAYED_HOME, /* HASH job id → header, payload */
    KEY_PARKED,       /* HASH job id → header, payload */
    KEY_CANCEL_0,     /* HASH job id → 1; rotating hourly with _1 */
    KEY_CANCEL_1,
    KEY_DEDUPE_0, /* HASH key hash → job id, body hash; rotating hourly with _1 */
    KEY_DEDUPE_1,
    KEY_RUNNING,   /* HASH job id → started ms, of jobs that run for more than a second */
    KEY_OUTCOME_0, /* HASH job id → outcome; rotating hourly with _1 */
    KEY_OUTCOME_1,
    KEY_COUNTERS, /* HASH of counts since the epoch began */
    KEY_EPOCH,    /* "ready <run id> <nonce>" or "rebuilding <nonce>" */
    KEY_SWEEP,    /* HASH: sweep lock and cursor */
    KEY_CRASHES,  /* HASH job id → lone runs begun, how the last run's process died: of jobs in quarantine */
    KEY_DEAD,     /* HASH job id → reason, header, payload: to be handed to Postgres */
    KEY_MAX
};

enum { SHARD_KEY_BYTES = 96 };

struct shard {
    char queue[65];
    uint8_t number;
    char key_text[KEY_MAX][SHARD_KEY_BYTES];
    struct str key[KEY_MAX]; /* point into key_text: a shard is not copied */
};

/* ERR_INVALID when the name is not a name (str_is_name) or "ev" (the event streams' tag), or number ≥ LIMIT_SHARDS. */
MUST struct err shard_init(struct shard *s, struct str queue, unsigned number);

/* Which shard of n a job goes to: by ordering key, else tenant and idempotency key, else id. FNV-1a, 64 bit. */
unsigned shard_pick(unsigned n, struct str a, struct str b);

/* Keys outside the shards. */
#define KEY_PROCESSES "pen:w"          /* ZSET host:pid → last beat ms */
#define KEY_PROCESS_PREFIX "pen:w:"    /* + host:pid, JSON of one process, EX 10 */
#define KEY_DOWN_PREFIX "pen:w:down:"  /* + a server that only workers speak to, "1" while it is down, EX 5 */
#define KEY_ANSWER_PREFIX "pen:w:ask:" /* + a word of whoever asked, JSON of what a worker process runs, EX 10 */
/* Channels. Lost messages are harmless: each has a poll of a second behind it. */
#define CHANNEL_DUE "pen:due"   /* "<delayed key> <due ms>": a new head of a delayed set */
#define CHANNEL_WAKE "pen:wake" /* "<queue>": entries were handed back */
/* "<consumer or id of a job> <word>": who it is, or who runs that job, answers under KEY_ANSWER_PREFIX. Has no poll behind it: whoever asked hears
 * nothing, and says so. */
#define CHANNEL_ASK "pen:ask"
#define CHANNEL_DONE "pen:done" /* job ids, 16 bytes each: outcomes were stored */
#define GROUP "g"
#define CONSUMER_HANDBACK "handback"
#define CONSUMER_QUARANTINE "quarantine"

#endif
