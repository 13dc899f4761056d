/* Rows of jobs as array parameters, shared by the statements that take many at once. */
#ifndef JOBS_JOURNAL_ROWS_H
#define JOBS_JOURNAL_ROWS_H

#include <jobs/journal.h>

/* One growing array parameter per column. */
struct pg_columns {
    size_t n;
    struct buf column[16];
};

void pg_columns_init(struct pg_columns *c, size_t n);
void pg_columns_free(struct pg_columns *c);
void pg_columns_add(struct pg_columns *c, size_t column, struct pg_value v);
/* Closes the arrays; the values point into c. */
MUST struct err pg_columns_end(struct pg_columns *c, struct pg_value *out_values);

/* Columns of the statements that read jobs back, in the order of JOB_COLUMNS; payload goes into the arena. */
#define JOB_COLUMNS                                                                                                             \
    "id, root_id, generation, tenant, queue, type, type_version, payload, traceparent, "                                        \
    "coalesce((extract(epoch FROM due_at) * 1000)::bigint, 0), coalesce((extract(epoch FROM deadline_at) * 1000)::bigint, 0), " \
    "unchecked, callback_of IS NOT NULL"
bool journal_row_read(const PGresult *res, int row, struct arena *a, struct journal_job *out);

/* A job as Redis holds it: a replayed row is of another generation, and not what this mark means. */
struct journal_mark {
    struct uuid id;
    uint32_t generation;
};
/* UPDATE … SET epoch for rows that are still open and of that generation. */
void journal_mark(struct pg_pool *platform, int64_t epoch, const struct journal_mark *marks, size_t n, pg_cb *cb, void *arg);

/* A batch of jobs with everything they point to, kept across an asynchronous step. */
struct job_batch {
    struct arena arena;
    size_t n;
    struct journal_job jobs[LIMIT_BATCH];
};
MUST struct err job_batch_add(struct job_batch *b, const struct journal_job *j); /* copies */

#endif
