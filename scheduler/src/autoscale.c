/* The autoscaler: every two seconds, what the supervisors say of their processes and what Redis says of the queues becomes a number of worker
 * processes in platform.desired_workers (autoscale_plan.h), unless somebody pinned it. */
#include "autoscale_plan.h"
#include "scheduler.h"

#include <base/log.h>
#include <stdio.h>
#include <stdlib.h>

enum { FRESH_MS = 5000 };

struct autoscaler {
    struct {
        const struct queue_info *queue;
        struct autoscale scale;
    } queues[LIMIT_QUEUES];
    size_t n;
};

/* Without a max_workers, the processors of the machines where supervisors are; when there is none at this moment, no more than now. A
 * supervisor's row is older than three seconds when it hangs or is gone. */
static const struct pg_stmt look_stmt = {
    "autoscale.look",
    "WITH s AS (SELECT cores, queues, load FROM platform.supervisor WHERE seen_at > now() - interval '3 s'), "
    "l AS (SELECT x.queue, sum(x.processes) AS processes, sum(x.busy) AS busy, sum(x.attempts_per_s) AS attempts_per_s, "
    "sum(x.run_s_per_s) AS run_s_per_s FROM s, jsonb_to_recordset(s.load) AS x (queue text, processes int, busy int, attempts_per_s float8, "
    "run_s_per_s float8) GROUP BY x.queue) "
    "SELECT d.queue, d.workers, q.min_workers, coalesce(q.max_workers, (SELECT sum(cores) FROM s WHERE queues = '' OR d.queue = ANY (string_to_array(queues, ','))), greatest(d.workers, 1)), q.target_age_s, l.processes, l.busy, "
    "(l.attempts_per_s * 1000000)::bigint, (l.run_s_per_s * 1000000)::bigint "
    "FROM platform.desired_workers d JOIN platform.queue q ON q.name = d.queue LEFT JOIN l ON l.queue = d.queue WHERE NOT d.pinned",
    0,
};
enum { COL_QUEUE, COL_WORKERS, COL_MIN, COL_MAX, COL_TARGET, COL_PROCESSES, COL_BUSY, COL_ATTEMPTS, COL_RUN };

/* Nothing, when it was pinned or changed meanwhile. */
static const struct pg_stmt write_stmt = {
    "autoscale.write",
    "UPDATE platform.desired_workers SET workers = $3::int, reason = $4, author = 'autoscaler', at = now() "
    "WHERE queue = $1 AND NOT pinned AND workers = $2::int",
    4,
};

static struct autoscale *scale_of(struct autoscaler *a, const struct queue_info *q) {
    for (size_t i = 0; i < a->n; i++) {
        if (a->queues[i].queue == q) {
            return &a->queues[i].scale;
        }
    }
    a->queues[a->n].queue = q; /* there is one for each queue of the table */
    return &a->queues[a->n++].scale;
}

/* Of all shards; false: one has not been seen for a while. */
static bool add_depth(const struct scheduler *s, const struct queue_info *q, struct autoscale_sight *x) {
    struct mono now = loop_now(s->rt->loop);
    int64_t age_ms = 0;
    bool fresh = q->shards_n > 0;
    for (size_t i = 0; i < s->watches_n; i++) {
        const struct shard_watch *w = s->watches[i];
        if (w->queue != q) {
            continue;
        }
        const struct queue_depth *d = &w->depth;
        fresh &= w->looked.us != 0 && mono_ms_since(now, w->looked) < FRESH_MS;
        x->waiting += d->waiting;
        x->ready += d->waiting + d->running;
        age_ms = d->oldest_age_ms > age_ms ? d->oldest_age_ms : age_ms;
    }
    x->age_s = (double)age_ms / 1000;
    return fresh;
}

static void on_written(void *arg, struct err err, const PGresult *res) {
    (void)arg;
    (void)res; /* if it is not there the next look wants it again */
    if (err_is_set(err) && err.code != ERR_CLOSED) {
        LOG(WARN, "autoscale.failed", LF_ERR(err));
    }
}

static void write_row(struct scheduler *s, const struct queue_info *q, const struct autoscale_sight *x,
                      const struct autoscale_plan *p) {
    char before[PG_INT_BYTES], workers[PG_INT_BYTES];
    const struct pg_value values[] = {pg_text(str_c(q->name)), pg_int(x->workers, before), pg_int(p->workers, workers),
                                      pg_text(str_c(p->reason))};
    if (p->workers != x->workers) {
        LOG(INFO, "autoscale.changed", LF_C("queue", q->name), LF_INT("before", x->workers), LF_INT("workers", p->workers),
            LF_C("reason", p->reason));
    }
    pg_exec(s->rt->platform, &write_stmt, values, 0, 0, on_written, NULL);
}

static void take_row(struct scheduler *s, const PGresult *res, int row) {
    const struct queue_info *q = queue_table_find(s->rt->queues, pg_col(res, row, COL_QUEUE));
    if (q == NULL) {
        return;
    }
    const struct autoscale_bounds bounds = {pg_col_int(res, row, COL_MIN), pg_col_int(res, row, COL_MAX),
                                            (double)pg_col_int(res, row, COL_TARGET)};
    struct autoscale_sight x = {
        .now_ms = loop_now(s->rt->loop).us / 1000,
        .paused = q->paused,
        .workers = pg_col_int(res, row, COL_WORKERS),
        .slots = q->slots,
        .running = pg_col_int(res, row, COL_PROCESSES),
        .busy = pg_col_int(res, row, COL_BUSY),
        .attempts_per_s = (double)pg_col_int(res, row, COL_ATTEMPTS) / 1e6,
        .run_s_per_s = (double)pg_col_int(res, row, COL_RUN) / 1e6,
    };
    x.known = add_depth(s, q, &x);
    struct autoscale_plan p;
    autoscale_plan(scale_of(s->autoscaler, q), &bounds, &x, &p);
    if (p.tell) {
        write_row(s, q, &x, &p);
    }
}

static void on_look(void *arg, struct err err, const PGresult *res) {
    struct scheduler *s = arg;
    s->autoscaling = false;
    if (err_is_set(err) || !scheduler_leads(s)) {
        return; /* as it was */
    }
    for (int row = 0; row < PQntuples(res); row++) {
        take_row(s, res, row);
    }
}

void autoscale_tick(struct scheduler *s) {
    if (s->autoscaling || !scheduler_leads(s)) {
        return;
    }
    s->autoscaling = true;
    pg_exec(s->rt->platform, &look_stmt, NULL, 0, 0, on_look, s);
}

void autoscale_forget(struct scheduler *s) {
    if (s->autoscaler != NULL) {
        *s->autoscaler = (struct autoscaler){0};
    }
}

struct err autoscale_new(struct scheduler *s) {
    s->autoscaler = calloc(1, sizeof *s->autoscaler);
    return s->autoscaler != NULL ? OK : err_make(ERR_NOMEM, "autoscaler");
}

void autoscale_free(struct scheduler *s) { free(s->autoscaler); }
