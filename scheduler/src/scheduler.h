/* The parts of the scheduler. Each is driven by its own timer and by the once-a-second look at every shard (watch.c):
 *   promote.c  delayed jobs, by timer to the next due (all schedulers)
 *   epoch.c    a Redis that lost us: groups, Functions, and the open jobs it has not got (leader)
 *   presence.c which jobs a shard holds; for epoch and audit
 *   relay.c    rows that Redis has not seen, follow-ups left behind by a crash (leader)
 *   events.c   events to their consumers (leader)
 *   cron.c     jobs of schedules, when they are due (leader)
 *   autoscale.c how many worker processes each queue should have (leader)
 *   dead.c     the dead of the stream class, from Redis to Postgres (leader)
 *   audit.c    do the numbers add up (leader)
 *   aof.c      whether Redis keeps its append-only file (leader)
 *   retain.c   what may be forgotten (leader) */
#ifndef SCHEDULER_PRIVATE_H
#define SCHEDULER_PRIVATE_H

#include <base/limits.h>
#include <io/redis.h>
#include <jobs/runtime.h>
#include <queues/upkeep.h>
#include <scheduler/scheduler.h>

struct scheduler;

/* The ids a shard holds, sorted once complete. */
struct presence {
    struct uuid *ids;
    size_t n, cap;
};
void presence_clear(struct presence *p);
bool presence_has(const struct presence *p, struct uuid id);
/* Walks delayed, stream, parked and delayed again (a job that moves meanwhile is met at least once). cb once, with the set sorted. */
void presence_collect(struct scheduler *s, const struct shard *shard, struct presence *p, void (*cb)(void *arg, struct err err),
                      void *arg);

struct shard_watch {
    struct scheduler *scheduler;
    const struct queue_info *queue;
    const struct shard *shard;
    struct queue_depth depth; /* of the last look, */
    struct mono looked;       /* and when that was */
    int64_t entered;          /* by cron.c, since then */
    bool looking;
    /* promote.c */
    struct timer *promote_timer;
    bool promoting;
    int64_t promote_at_us; /* when the timer fires; 0: not set */
    /* epoch.c */
    bool healing, heal_wanted; /* wanted: the audit saw rows that another epoch marked, late */
    bool seen_ready, lost;     /* lost: the pass is for an epoch that Redis has not kept */
    char run_id[64];           /* that the pass is for */
    int64_t nonce;
    struct presence presence;
    int64_t healed, mended;
    struct mono heal_began;
    /* dead.c */
    bool moving_dead;
    /* audit.c */
    bool auditing;
    int64_t gap;
    struct uuid absent_before[LIMIT_BATCH], absent[LIMIT_BATCH];
    size_t absent_before_n, absent_n;
};

struct autoscaler;

struct scheduler {
    struct runtime *rt;
    const struct scheduler_options *options;
    struct redis_sub *due;
    struct pg_lock *leader;
    struct timer *second, *relay_timer, *audit_timer, *retain_timer, *cron_timer, *scale_timer;
    struct shard_watch *watches[LIMIT_QUEUES * LIMIT_SHARDS];
    size_t watches_n;
    bool ready, stopping, asking_run_id;
    char run_id[64];        /* of the Redis we talk to; empty until INFO answered */
    char rewritten_for[64]; /* the run id whose AOF was rewritten */
    /* relay.c */
    bool relaying, outbox_running[RUNTIME_MODULES_MAX];
    /* events.c */
    bool events_running[RUNTIME_MODULES_MAX];
    /* cron.c */
    bool cron_running;
    size_t cron_jobs, cron_bytes; /* on their way into the journal, and their payloads */
    /* autoscale.c */
    struct autoscaler *autoscaler; /* what it remembers */
    bool autoscaling;
};

bool scheduler_leads(const struct scheduler *s);

/* watch.c */
void watch_look(struct shard_watch *w);
void watch_sync(struct scheduler *s); /* a watch for every shard of every queue in the table */
void watch_free(struct shard_watch *w);

void promote_arm(struct shard_watch *w, int64_t in_ms); /* no later than that, nor than in a second */
void promote_now(struct shard_watch *w);

void epoch_ask_run_id(struct scheduler *s);                   /* when it came up, and every second until it has answered */
void epoch_check(struct shard_watch *w);                      /* after a look */
void epoch_repair(struct shard_watch *w, enum err_code code); /* a look failed for want of the group or the Functions */

void relay_tick(struct scheduler *s);
void events_tick(struct scheduler *s);
void cron_tick(struct scheduler *s); /* arms cron_timer for the next one */
MUST struct err autoscale_new(struct scheduler *s);
void autoscale_free(struct scheduler *s);
void autoscale_tick(struct scheduler *s);
void autoscale_forget(struct scheduler *s); /* what it saw before it lead is old */
void dead_check(struct shard_watch *w);
void audit_tick(struct scheduler *s);
void aof_look(struct scheduler *s); /* with the audit: a metric */
void retain_tick(struct scheduler *s);

#endif
