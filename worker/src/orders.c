/* Orders to one process: claim nothing, claim again, leave. A row of platform.worker_order names the process by its consumer, which no later one
 * has. First the row says what becomes of it, then it is carried out; where that answer was lost the next look brings the row once more. */
#include <base/log.h>

#include "supervisor.h"

enum { COL_CONSUMER = 1, COL_ID, COL_WISH, COL_OUTCOME }; /* of a look */

/* The same once more finds what it wrote itself. */
static const struct pg_stmt take_stmt = {
    "supervisor.take_order",
    "UPDATE platform.worker_order SET outcome = $2 WHERE id = $1::bigint AND (outcome IS NULL OR outcome = $2) "
    "RETURNING 1, consumer, id, wish, outcome",
    2,
};

static struct child *find(struct supervisor *s, struct str consumer) {
    struct child *c;
    TAILQ_FOREACH(c, &s->alive, link) {
        if (str_is(consumer, c->table->consumer)) {
            return c;
        }
    }
    return NULL;
}

static void carry_out(struct supervisor *s, const PGresult *res, int row) {
    struct child *c = find(s, pg_col(res, row, COL_CONSUMER));
    struct str wish = pg_col(res, row, COL_WISH);
    int64_t id = pg_col_int(res, row, COL_ID);
    if (c == NULL || id <= c->ordered || !str_is(pg_col(res, row, COL_OUTCOME), "done")) {
        return;
    }
    c->ordered = id;
    LOG(INFO, "worker.ordered", LF_C("queue", c->queue->name), LF_INT("slot", c->slot), LF_STR("wish", wish),
        LF_INT("order", id));
    if (!str_is(wish, "stop")) {
        c->to_be_quiet = str_is(wish, "quiet");
        supervisor_pass_on_quiet(s);
    } else if (!c->leaving) {
        supervisor_tell_to_leave(c);
    }
}

static void on_taken(void *arg, struct err err, const PGresult *res) {
    struct supervisor *s = arg;
    if (!err_is_set(err) && PQntuples(res) > 0) { /* else it was taken back, or the next look brings it again */
        carry_out(s, res, 0);
    }
}

static void take(struct supervisor *s, const PGresult *res, int row) {
    const struct child *c = find(s, pg_col(res, row, COL_CONSUMER));
    bool late = c != NULL && c->leaving && !str_is(pg_col(res, row, COL_WISH), "stop");
    const struct pg_value values[] = {pg_text(pg_col(res, row, COL_ID)), pg_text(c == NULL ? STR("gone")
                                                                                 : late    ? STR("leaving")
                                                                                           : STR("done"))};
    pg_exec(s->rt->platform, &take_stmt, values, 0, 0, on_taken, s);
}

void orders_take(struct supervisor *s, const PGresult *res, int first, int n) {
    for (int row = first; row < first + n; row++) {
        if (pg_col_null(res, row, COL_OUTCOME)) {
            take(s, res, row);
        } else {
            carry_out(s, res, row);
        }
    }
}
