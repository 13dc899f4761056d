/* One attempt of bulk.run: one batch, and then a second's rest. */
#ifndef BULK_PRIVATE_H
#define BULK_PRIVATE_H

#include <jobs/attempt.h>
#include <jobs/bulk_filter.h>
#include <jobs/runtime.h>

enum bulk_op { BULK_RETRY, BULK_DISCARD, BULK_CANCEL, BULK_EDIT, BULK_OPS };

struct bulk {
    struct attempt *attempt;
    enum bulk_op op;
    struct str of_tenant, queue, type, fingerprint; /* in the arena; p NULL: any */
    struct str author, tenant, reason;
    int64_t until_ms, most, per_second;
    struct str patch; /* EDIT's: JSON text */
    /* so far */
    int64_t done;
    struct str behind; /* the last job that was looked at, where they are gone through by id; p NULL: none was */
    struct str left;   /* what was looked at and left as it was: {"<why>": {"jobs": n, "example": "…"}} */
};

/* $1 to $5; rooms live until the statement is handed over. */
struct bulk_values {
    struct pg_value v[BULK_FILTER_PARAMS];
    char until[PG_INT_BYTES];
};
void bulk_filter_values(const struct bulk *b, struct bulk_values *out);

/* Asks with the filter, $6 the action's job, $7 how many at most in all, $8 in this batch. */
void bulk_pick(struct bulk *b, const struct pg_stmt *stmt, int64_t batch, pg_cb *cb, void *arg);

/* A batch is done: found in it, done so far; found 0: there is none left. */
void bulk_moved(struct bulk *b, int64_t found, int64_t done);

/* Jobs that a batch leaves as they were, by why. In the attempt's arena. */
struct bulk_left {
    const char *why; /* static */
    int64_t jobs;
    struct str example;
};
struct bulk_lefts {
    struct bulk_left items[8];
    size_t n;
};
/* A further kind than there is room for counts with the last one. */
void bulk_leave(struct bulk_lefts *l, const char *why, struct str example);
/* A batch that was gone through by id is done: how far it came, what it left, and progress are kept; then bulk_moved. Nothing when somebody else
 * has kept them. */
void bulk_note(struct bulk *b, struct uuid behind, const struct bulk_lefts *left, int64_t found);

/* The dead run again or discarded: one statement for a batch. */
void bulk_move_dead(struct bulk *b);
/* Dead jobs of class stream, whose place is in Redis: at most room of them; moved: journal jobs that this batch has moved already. */
void bulk_revive(struct bulk *b, int64_t room, int64_t moved);
/* Dead jobs again with another payload, as POST /v1/jobs/{id}/replay does it. */
void bulk_edit(struct bulk *b);
/* The open ones, each by its module, as DELETE /v1/jobs/{id} does it. */
void bulk_cancel(struct bulk *b);

#endif
