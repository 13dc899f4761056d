/* Brings one operation to a decision: passes the gate and sends, or asks, records the answer, and says how it stands. Every step
 * begins with what the row says, so that any number of runners may be at it, and any of them may die anywhere. */
#ifndef PAYMENTS_OP_RUN_H
#define PAYMENTS_OP_RUN_H

#include <jobs/type.h>

#include "op.h"

/* The module in this process. */
struct payments {
    struct module_env *env;
    struct provider *provider;
    struct dependency *dependency; /* the provider, as this process knows it */
};

enum { GENERATION_ANY = INT32_MAX };

struct op_goal {
    struct str key; /* p NULL: by id */
    struct uuid id;
    uint32_t generation; /* of the job it belongs to; GENERATION_ANY: the caller is not that job */
    bool no_sending;     /* to be undone: cancel what did not leave */
    bool ask_only;       /* leave what did not leave to its job */
    bool leave;          /* do nothing but see to it that somebody asks about what was sent */
    struct mono give_up;
};

enum op_standing {
    OP_STANDS,  /* as its row says: decided, or not sent (ask_only, leave, or its job is dead) */
    OP_PENDING, /* not known yet; come again in delay_ms */
};
struct op_end {
    enum op_standing standing;
    int64_t delay_ms;
    const struct op_row *row; /* borrowed for the callback */
};
/* err: ERR_NOT_FOUND (no such operation); ERR_TRANSIENT and ERR_NET_NOT_SENT (the provider cannot be reached or does not want it
 * now; nothing is booked); those of Postgres. end is NULL exactly when err is set. */
typedef void op_run_cb(void *arg, struct err err, const struct op_end *end);

/* The key is copied. */
void op_run(struct payments *m, const struct op_goal *g, op_run_cb *cb, void *arg);

/* Batches lock payments in one order. */
int64_t payment_lock_order(struct uuid payment_id);

#endif
