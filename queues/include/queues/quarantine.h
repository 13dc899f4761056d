/* Jobs whose process died while it ran them. They wait under the consumer "quarantine" and are run alone, one to a process; how often
 * that was begun is counted before it is. What ends its process alone LONE_CRASHES times is dead. */
#ifndef QUEUES_QUARANTINE_H
#define QUEUES_QUARANTINE_H

#include <queues/claim.h>
#include <queues/upkeep.h>

enum { LONE_CRASHES = 3, CRASH_WHY_BYTES = 24 };

/* Sends entries of a consumer to quarantine. why: how its process died ("SIGSEGV"), less than CRASH_WHY_BYTES; empty: they were not run to
 * their end, and a lone run that was counted is not. Ids that are not the consumer's come back as lost. */
void queue_suspect(const struct broker *b, const struct shard *s, struct str consumer, struct str why,
                   const struct stream_id *ids, size_t n, queue_lost_cb *cb, void *arg);

/* Takes one entry from quarantine and counts the run. entry NULL: there is none. crashes: lone runs begun before and not cleared; why
 * (borrowed): how the last process died. To be repeated when the answer was lost: the entry comes again, counted once. */
typedef void queue_lone_cb(void *arg, struct err err, const struct claimed *entry, int64_t crashes, struct str why);
void queue_lone(const struct broker *b, const struct shard *s, struct str consumer, queue_lone_cb *cb, void *arg);

/* These jobs ran alone and came to an end: no suspects any more. count: how many were. */
void queue_clear(const struct broker *b, const struct shard *s, const struct uuid *jobs, size_t n, queue_count_cb *cb, void *arg);

#endif
