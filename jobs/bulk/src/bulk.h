/* One attempt of bulk.run: one batch, and then a second's rest. */
#ifndef BULK_PRIVATE_H
#define BULK_PRIVATE_H

#include <jobs/attempt.h>
#include <jobs/bulk_filter.h>
#include <jobs/runtime.h>

enum bulk_op { BULK_RETRY, BULK_DISCARD, BULK_CANCEL, BULK_OPS };

struct bulk {
    struct attempt *attempt;
    enum bulk_op op;
    struct str of_tenant, queue, type, fingerprint; /* in the arena; p NULL: any */
    struct str author, tenant, reason;
    int64_t until_ms, most, per_second;
    int64_t done; /* so far */
};

/* $1 to $5; rooms live until the statement is handed over. */
struct bulk_values {
    struct pg_value v[BULK_FILTER_PARAMS];
    char until[PG_INT_BYTES];
};
void bulk_filter_values(const struct bulk *b, struct bulk_values *out);

/* A batch is done: moved in it, done so far; found 0: there is none left. */
void bulk_moved(struct bulk *b, int64_t found, int64_t done);

/* The dead: one statement for a batch. */
void bulk_move_dead(struct bulk *b);
/* The open ones, each by its module, as DELETE /v1/jobs/{id} does it. */
void bulk_cancel(struct bulk *b);

#endif
