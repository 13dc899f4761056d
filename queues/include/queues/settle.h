/* Ending an attempt. Everything but queue_settle checks in Redis that the entry is pending under this consumer and reports the
 * ids for which it is not: nothing was written for those. 1 to LIMIT_BATCH entries per call, borrowed for the call only. */
#ifndef QUEUES_SETTLE_H
#define QUEUES_SETTLE_H

#include <queues/claim.h>

/* How an entry ends. SETTLE_JOURNAL: whatever happened stands in Postgres already. */
enum settle_how { SETTLE_JOURNAL, SETTLE_DONE, SETTLE_CANCELLED, SETTLE_EXPIRED, SETTLE_HOW_MAX };

struct queue_settled {
    struct stream_id id;
    struct uuid job;
    enum settle_how how;
    bool in_running;    /* a renewal may have listed it in :r: one of ours, or of whoever held it before a sweep */
    struct str outcome; /* stream class, types that keep it: stored for 1 to 2 hours; empty otherwise */
};
typedef void queue_done_cb(void *arg, struct err err);
void queue_settle(const struct broker *b, const struct shard *s, const struct queue_settled *entries, size_t n, queue_done_cb *cb,
                  void *arg);

struct queue_retried {
    struct stream_id id;
    int64_t delay_ms;
    struct str header; /* the new one: attempt charged or not */
};
void queue_retry(const struct broker *b, const struct shard *s, struct str consumer, const struct queue_retried *entries,
                 size_t n, queue_lost_cb *cb, void *arg);

struct queue_dead {
    struct stream_id id;
    struct str reason; /* JSON text, see PROTOCOL.md section 7 */
};
void queue_bury(const struct broker *b, const struct shard *s, struct str consumer, const struct queue_dead *entries, size_t n,
                queue_lost_cb *cb, void *arg);

void queue_park(const struct broker *b, const struct shard *s, struct str consumer, const struct stream_id *ids, size_t n,
                queue_lost_cb *cb, void *arg);

#endif
