/* Inside one worker process: the entries it holds, and the parts that move them on. An entry (struct held) goes
 *     WAITING → RUNNING → ENDING → free
 * claim.c brings entries in (lone.c in quarantine), run.c starts and ends attempts, finish.c writes outcomes to Postgres, settle.c to Redis, lease.c keeps
 * what is held, drain.c leaves. Each flushes its batches once per turn of the loop. */
#ifndef WORKER_PROCESS_H
#define WORKER_PROCESS_H

#include "kind.h"
#include "slot_table.h"

#include <jobs/attempt.h>
#include <jobs/runtime.h>
#include <queues/quarantine.h>
#include <queues/settle.h>
#include <sys/queue.h>
#include <worker/worker.h>

enum { HELD_MAX = SLOT_TABLE_ENTRIES, LOOK_AHEAD_MAX = LIMIT_BATCH, SETTLING_ROOM = 4 * LIMIT_BATCH, SLOW_JOB_MS = 500 };

enum held_state { HELD_FREE, HELD_WAITING, HELD_RUNNING, HELD_ENDING };

/* What is to be written for an entry that ended. */
enum held_next { NEXT_SETTLE, NEXT_RETRY, NEXT_BURY, NEXT_PARK, NEXT_HAND_BACK, NEXT_SUSPECT, NEXT_MAX };

struct process;
struct held {
    TAILQ_ENTRY(held) link; /* in free, waiting or running; or in one of the outgoing lists */
    STAILQ_ENTRY(held) out; /* in the finish list */
    enum held_state state;
    struct process *process;
    struct slot_entry *slot; /* this entry's line of the slot table */
    struct stream_id id;
    const struct shard *shard;
    struct arena arena;               /* header, payload, and the attempt's memory */
    struct str header, errors_before; /* errors: of earlier attempts, as the header has them */
    struct attempt attempt;
    struct kind *kind; /* the attempt's type */
    struct mono started;
    struct wall started_at;
    bool lost;                   /* somebody else holds it now */
    bool listed;                 /* a renewal may have put it in :r */
    bool stopping;               /* on_stop was called */
    bool reclaimed;              /* taken from a silent consumer */
    bool abandoned;              /* ended without its handler, whose own end is still to come */
    int64_t crashes;             /* in quarantine: lone runs before this one that came to no end, */
    char crash[CRASH_WHY_BYTES]; /* and how the last process died */
    enum held_next next;         /* the ending: from here on */
    enum settle_how how;
    enum job_outcome outcome;
    int status;
    struct str result;      /* in the arena */
    bool absorbed;          /* the outcome was there before: counted by who made it */
    uint32_t died_after;    /* dead: attempts, this one included; the header still says what was before, */
    struct str died_errors; /* in case the burial itself must be repeated */
    int64_t delay_ms;
    bool wrote_follow_ups;
    struct str reason; /* JSON for dead_job */
    struct str fingerprint;
    struct str header_out, outcome_out; /* what is sent, made once */
    enum attempt_label label;
};

TAILQ_HEAD(held_list, held);
STAILQ_HEAD(held_queue, held);
struct process {
    struct runtime *rt;
    const struct worker_options *options;
    const struct queue_info *queue;
    struct kinds *kinds;
    struct dependency *dependency;   /* of all its types; NULL: they do not share one */
    struct redis *reader_connection; /* blocking reads only */
    struct broker reader;
    struct redis_sub *wake;
    char consumer[160];
    struct slot_table *table;
    struct held *held; /* HELD_MAX of them; each is in one of the lists below, or in a call on its way */
    struct held_list free, waiting, running, outgoing[NEXT_MAX];
    struct held_list unchecked;         /* waiting, when it is known whether they are to be cancelled; waiting_n counts them */
    struct held_list refused[NEXT_MAX]; /* Redis did not take them: out again with the beat, or when it is back */
    size_t used_n /* of held[], ever */, waiting_n, running_n, outgoing_n;
    struct held_queue finishing; /* in list outgoing[NEXT_SETTLE] only after Postgres answered */
    size_t finishing_n, asked_n; /* those, and what is asked of Postgres; entries that sweeps on their way may bring */
    unsigned beats, sweep_from;  /* the shard whose turn it is, modulo their number */
    struct turn_end flush;
    struct timer *beat, *renew, *drain_timer;
    int claiming;                   /* answers of the reader still to come: to the read, and whether a cancel request stands */
    struct mono asked;              /* when it was asked */
    bool claim_failed, cancels_any; /* what they were */
    bool sweep_again, quiet, draining, last_words, leaving, done; /* last_words: the drain deadline has passed */
    bool reclaiming, reclaim_again;                               /* reclaimed entries are asked for; look for more */
    size_t reclaimed_n, reclaim_window;                           /* held; at most so many */
    unsigned reclaim_shard, reclaim_left;                         /* which shard is asked, how many after it */
    bool lone, lone_asked;                                        /* in quarantine; the next suspect is asked for */
    unsigned lone_shard, lone_left, lone_idle;               /* in which shard, how many more may have one; beats without any */
    bool outbox_wanted[RUNTIME_MODULES_MAX], outbox_running; /* wanted: by module */
    size_t outbox_module;                                    /* the running one's */
    double service_ms;                                       /* moving average of run times */
    struct parked_scan {
        char cursor[24]; /* empty: from the start */
        size_t kinds;    /* from this one on */
        bool reading;    /* a page is on its way, or the next follows at once */
    } parked[LIMIT_SHARDS];
};
/* process.c */
struct held *held_take(struct process *p, const struct claimed *c); /* NULL: none free, or no memory */
void held_release(struct held *h);
void process_enter(struct process *p, const struct held *h); /* on whose behalf it runs now; NULL: no entry's */
size_t process_slots(const struct process *p); /* attempts at once: the queue's setting, and what their server can take */
void process_wake(struct process *p);          /* something changed: at the end of this turn, start, read and write what can be */
int64_t process_ms(const struct process *p, struct mono since);
void process_wants_outbox(const struct held *h); /* its module's follow-ups are to be copied */

/* claim.c */
size_t claim_room(const struct process *p); /* how many entries may be brought in now */
void claim_more(struct process *p);
void claim_sweep(struct process *p, size_t keep); /* what was handed back; so much room is left for others */
void claim_reclaim(struct process *p);            /* what nobody renewed: as many as have been harmless so far, and one */
bool claim_may_reclaim(const struct process *p);
void claim_reclaimed_left(struct process *p,
                          const struct held *h); /* one of them, before its line of the slot table is emptied */
void claim_cancel_read(struct process *p);
void claim_take_lone(struct process *p, const struct claimed *c, int64_t crashes, struct str why);
/* lone.c: in quarantine */
void lone_more(struct process *p);
void lone_beat(struct process *p);
void lone_clear(struct process *p, const struct shard *shard, struct held *const *held, size_t n); /* before they are settled */
/* run.c */
void run_waiting(struct process *p);
void run_watch(struct process *p);                          /* once a second: time that is up, cancellations */
bool run_is_overdue(const struct held *h, struct mono now); /* long past its time, and told so */
/* finish.c */
void finish_add(struct held *h); /* journal class: terminal in Postgres, then settled */
void finish_flush(struct process *p);
void finish_bury(struct held *h, struct err err); /* journal class: dead */
void finish_crashed(struct held *h);              /* the verdict on what ended its process in every lone run */
/* settle.c */
void settle_add(struct held *h); /* moves it to outgoing[h->next] */
void settle_flush(struct process *p);
void settle_again(struct process *p); /* what was refused */
/* lease.c. Back: to whoever sweeps; in quarantine, to the next lone run, uncounted. */
void lease_renew(struct process *p);
void lease_hand_back_waiting(struct process *p);
void lease_hand_back(struct process *p, const struct shard *shard, const struct stream_id *ids, size_t n, queue_lost_cb *cb,
                     void *arg);
/* drain.c */
void drain_begin(struct process *p);
void drain_end(struct process *p); /* now: QUIT */
void drain_check(struct process *p);

#endif
