/* One look at a job, as GET /v1/jobs/{id} shows it: the row for the journal class, what Redis still knows for the stream class. */
#ifndef API_JOBS_LOOK_H
#define API_JOBS_LOOK_H

#include "call.h"
#include "job_row.h"

struct job_look {
    struct call *call; /* who asks; held while a look is on its way */
    struct arena *arena;
    struct uuid id;
    struct job_place place;
    const struct shard *shard;
    struct job_row row;
    int64_t since_ms; /* stream class: since when it may wait */
    /* Each look ends in one of these; but while the call waits for the job (c->waiter) one that goes on is not told. */
    void (*shown)(struct job_look *l, struct str state, struct str body,
                  bool ended); /* state p NULL: how it ended was not kept */
    void (*missing)(struct job_look *l);
    void (*failed)(struct job_look *l, struct err err);
};

/* The job of the path's {id}; arena and callbacks are the caller's to set. False: answered 404, there can be none. */
bool job_look_init(struct call *c, struct job_look *out);
void job_look(struct job_look *l);
/* Of a stream-class job that was shown as waiting: whether it would be still, as far as this process knows. Asks nobody. */
bool job_look_may_wait(const struct job_look *l);
/* The same for a job whose end came by c->waiter. */
void job_look_tell(struct job_look *l, const struct job_row *ended);

void job_look_answer_missing(struct call *c);

#endif
