/* Requests that wait for a job's end, or for any change of it. Workers publish the ids of what ended; since a message may be lost, and of other
 * changes there is none, what is waited for is read again every second, and after each reconnect of the subscription: all of it by two
 * statements, and a call per shard and LIMIT_BATCH jobs. */
#ifndef API_WAIT_H
#define API_WAIT_H

#include <base/err.h>
#include <base/ids.h>
#include <sys/queue.h>

struct api;
struct job_row;
struct timer;
struct wait_entry;
struct wait_table;

struct waiter {
    LIST_ENTRY(waiter) link;  /* of the same job */
    struct wait_entry *entry; /* NULL: waits for nothing */
    struct timer *timer;      /* made at first use, kept */
    bool watches;             /* done runs, too, when an open job has changed since this waiter was last told of it */
    bool changed;             /* that was it */
    uint64_t place, row;      /* what it was told of: where Redis has the job; generation and progress. 0: nothing yet */
    /* row: terminal; NULL: the time is up. The waiter is off the table already. */
    void (*done)(struct waiter *w, const struct job_row *row);
};

MUST struct err wait_table_new(struct api *api, struct wait_table **out);
void wait_table_stop(struct wait_table *t); /* while the loop is there; NULL is fine */
void wait_table_free(struct wait_table *t); /* when nothing calls back any more */
size_t wait_count(const struct wait_table *t);
bool wait_is_full(const struct wait_table *t); /* as many wait as may */

/* ERR_BUSY past api.max_waiters. done never runs before this returns. */
MUST struct err wait_add(struct wait_table *t, struct waiter *w, struct uuid job, int64_t ms,
                         void (*done)(struct waiter *, const struct job_row *));
void wait_remove(struct waiter *w);                    /* fine when it waits for nothing */
void wait_look(struct wait_table *t, struct uuid job); /* read it at the end of this turn */
void wait_all_up(struct wait_table *t);                /* as if every waiter's time were up */
void waiter_free(struct waiter *w);

#endif
