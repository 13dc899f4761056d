/* Do the numbers add up? Two judgements, by reading what others wrote:
 *   stream class  the gap that the shard's counters show (queue_depth, O(1))
 *   journal class open rows that this epoch has seen in Redis but that two audits in a row did not find there
 * The second reads the shard, so it is made only while the shard is small: with a million jobs waiting nothing is judged. */
#include "scheduler.h"

#include <base/log.h>
#include <base/metrics.h>

enum { AUDIT_ENTRIES_MAX = 10000 };

static const struct pg_stmt open_stmt = {
    "audit.open",
    "SELECT id, epoch = $3::bigint FROM platform.job WHERE state = 'waiting' AND queue = $1::text AND shard = $2::smallint "
    "AND epoch IS NOT NULL AND created_at < now() - interval '2 seconds' LIMIT 20001",
    3,
};

static void end_audit(struct shard_watch *w) {
    w->auditing = false;
    presence_clear(&w->presence);
}

static bool was_absent(const struct shard_watch *w, struct uuid id) {
    for (size_t i = 0; i < w->absent_before_n; i++) {
        if (uuid_eq(w->absent_before[i], id)) {
            return true;
        }
    }
    return false;
}

/* The metric is the queue's: the sum over its shards, without signs that cancel out. */
static void show_gap(struct shard_watch *w, int64_t gap) {
    const struct scheduler *s = w->scheduler;
    int64_t sum = 0;
    w->gap = gap;
    for (size_t i = 0; i < s->watches_n; i++) {
        if (s->watches[i]->queue == w->queue) {
            sum += s->watches[i]->gap < 0 ? -s->watches[i]->gap : s->watches[i]->gap;
        }
    }
    series_set(metric_series(M_CONSERVATION_GAP, w->queue->name, NULL, NULL), (double)sum);
}

static void on_open(void *arg, struct err err, const PGresult *res) {
    struct shard_watch *w = arg;
    int64_t lost = 0;
    if (err_is_set(err) || w->healing) {
        end_audit(w);
        return;
    }
    w->absent_n = 0;
    for (int row = 0; row < PQntuples(res); row++) {
        struct uuid id;
        if (!pg_col_bool(res, row, 1)) { /* marked late, by who saw an earlier Redis take it: no pass has looked at it */
            w->heal_wanted = true;
            continue;
        }
        if (!pg_col_uuid(res, row, 0, &id) || presence_has(&w->presence, id)) {
            continue;
        }
        lost += was_absent(w, id);
        if (w->absent_n < LIMIT_BATCH) {
            w->absent[w->absent_n++] = id;
        }
    }
    memcpy(w->absent_before, w->absent, sizeof w->absent);
    w->absent_before_n = w->absent_n;
    show_gap(w, w->depth.gap + lost);
    if (w->gap != 0) {
        LOG(ERROR, "conservation.gap", LF_C("queue", w->queue->name), LF_INT("shard", w->shard->number),
            LF_INT("stream", w->depth.gap), LF_INT("journal", lost));
    }
    end_audit(w);
}

static void on_collected(void *arg, struct err err) {
    struct shard_watch *w = arg;
    char shard[PG_INT_BYTES], nonce[PG_INT_BYTES];
    if (err_is_set(err)) {
        end_audit(w);
        return;
    }
    const struct pg_value values[] = {pg_text(str_c(w->queue->name)), pg_int(w->shard->number, shard),
                                      pg_int(queue_epoch_nonce(str_c(w->depth.epoch)), nonce)};
    pg_exec(w->scheduler->rt->platform, &open_stmt, values, 0, 0, on_open, w);
}

static void audit(struct shard_watch *w) {
    int64_t entries = w->depth.waiting + w->depth.running + w->depth.delayed + w->depth.parked;
    if (w->auditing || w->healing || strncmp(w->depth.epoch, "ready ", 6) != 0) {
        return;
    }
    if (entries > AUDIT_ENTRIES_MAX) {
        w->absent_before_n = 0;
        show_gap(w, w->depth.gap);
        return;
    }
    w->auditing = true;
    presence_collect(w->scheduler, w->shard, &w->presence, on_collected, w);
}

void audit_tick(struct scheduler *s) {
    for (size_t i = 0; i < s->watches_n && scheduler_leads(s); i++) {
        audit(s->watches[i]);
    }
}
