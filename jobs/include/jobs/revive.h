/* A dead job of class stream back in its queue: a new entry in a newer generation, once per generation and hour by the shard's own dedupe.
 * Then dead_job is to be marked (REVIVE_MARK): a crash in between leaves a job that can be asked for again, not one that is lost. */
#ifndef JOBS_REVIVE_H
#define JOBS_REVIVE_H

#include <jobs/runtime.h>

/* What is read of platform.dead_job. */
#define REVIVE_COLUMNS "id, root_id, generation + 1, tenant, queue, type, type_version, payload, traceparent"
/* A CTE "d" with the ids of those marked as run again: $1 ids, $2 the generations in which they were entered. One that has died again
 * meanwhile, in a newer generation, stays. */
#define REVIVE_MARK                                                                                                     \
    "d AS (UPDATE platform.dead_job d SET replayed_at = now() FROM unnest($1::uuid[], $2::int[]) AS r(id, generation) " \
    "WHERE d.id = r.id AND d.generation = r.generation - 1 AND d.class = 'stream' AND d.replayed_at IS NULL RETURNING d.id) "

struct revival {
    void (*done)(struct revival *v); /* once, perhaps before revive returns */
    void *arg;
    /* the outcome */
    struct err err;
    bool entered; /* else, without an error, its shard is full */
    /* inside, from the row */
    struct uuid id;
    uint32_t generation; /* the new one */
    struct str queue, type;
};

/* a lives until done. False: there is no such queue or shard, or the row cannot be read; done does not run. */
bool revive(struct revival *v, struct runtime *rt, struct arena *a, const PGresult *res, int row);

#endif
