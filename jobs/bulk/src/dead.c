/* Dead jobs run again or discarded: the jobs, how far the action is, its progress and the audit, in one statement. Nothing when it is paused or
 * has ended meanwhile. Those of class stream come behind the others. */
#include "bulk.h"

/* $6 the action's job, $7 how many at most in all, $8 in this batch, $9 author, $10 his tenant, $11 why. */
#define BEGIN                                                                           \
    "WITH b AS (SELECT done FROM platform.bulk WHERE job_id = $6::uuid AND NOT paused " \
    "AND EXISTS (SELECT FROM platform.job WHERE id = $6::uuid AND state = 'waiting') FOR UPDATE), "
#define PICK(filter)                                                                                    \
    "p AS (SELECT d.id, d.generation FROM platform.dead_job d WHERE EXISTS (SELECT FROM b) AND " filter \
    "ORDER BY d.died_at LIMIT least($8::bigint, $7::bigint - (SELECT done FROM b)) FOR UPDATE OF d SKIP LOCKED), "
#define END(action)                                                                                                                              \
    "n AS (UPDATE platform.bulk SET done = done + (SELECT count(*) FROM u) WHERE job_id = $6::uuid AND EXISTS (SELECT FROM b) RETURNING done), " \
    "s AS (INSERT INTO platform.job_progress (job_id, progress) SELECT $6::uuid, jsonb_build_object('percent', "                                 \
    "least(100, n.done * 100 / greatest($7::bigint, 1)), 'message', n.done || ' of ' || $7::bigint) FROM n "                                     \
    "ON CONFLICT (job_id) DO UPDATE SET progress = excluded.progress), "                                                                         \
    "a AS (INSERT INTO platform.audit (tenant, author, action, target, detail) SELECT $10::text, $9::text, '" action                             \
    "', 'bulk', "                                                                                                                                \
    "jsonb_build_object('reason', $11::text, 'bulk', $6::uuid, 'jobs', jsonb_agg(id)) FROM u HAVING count(*) > 0) "                              \
    "SELECT (SELECT count(*) FROM u), (SELECT done FROM n), (SELECT paused FROM platform.bulk WHERE job_id = $6::uuid)"
enum { PARAMS = BULK_FILTER_PARAMS + 6 };

static const struct pg_stmt retry_stmt = {
    "bulk.retry",
    BEGIN PICK(
        BULK_FILTER_JOURNAL) "u AS (UPDATE platform.job j SET state = 'waiting', generation = j.generation + 1, epoch = NULL, finished_at = NULL, result = NULL, "
                             "result_status = NULL, deadline_at = CASE WHEN j.deadline_at > now() THEN j.deadline_at END FROM p WHERE j.id = p.id AND j.state = 'dead' "
                             "AND j.generation = p.generation RETURNING j.id), "
                             "m AS (UPDATE platform.dead_job SET replayed_at = now() WHERE id IN (SELECT id FROM u)), "
                             "g AS (DELETE FROM platform.job_progress WHERE job_id IN (SELECT id FROM u)), " END("job.replay"),
    PARAMS,
};

static const struct pg_stmt discard_stmt = {
    "bulk.discard",
    BEGIN
        PICK(BULK_FILTER_DEAD) "u AS (UPDATE platform.dead_job d SET discarded_at = now() FROM p WHERE d.id = p.id RETURNING d.id), " END(
            "job.discard"),
    PARAMS,
};

static void on_moved(void *arg, struct err err, const PGresult *res) {
    struct bulk *b = arg;
    if (err_is_set(err)) {
        attempt_fail(b->attempt, err);
        return;
    }
    int64_t moved = pg_col_int(res, 0, 0), done = pg_col_int(res, 0, 1);
    if (pg_col_bool(res, 0, 2)) {
        attempt_snooze(b->attempt, 2000);
    } else if (b->op == BULK_RETRY && moved < b->per_second && done < b->most) {
        bulk_revive(b, b->per_second - moved, moved);
    } else {
        bulk_moved(b, moved, done);
    }
}

void bulk_move_dead(struct bulk *b) {
    char id[PG_UUID_BYTES], most[PG_INT_BYTES], batch[PG_INT_BYTES];
    struct bulk_values filter;
    struct pg_value values[PARAMS];
    bulk_filter_values(b, &filter);
    memcpy(values, filter.v, sizeof filter.v);
    values[5] = pg_uuid(b->attempt->job.id, id);
    values[6] = pg_int(b->most, most);
    values[7] = pg_int(b->per_second, batch);
    values[8] = pg_text(b->author);
    values[9] = pg_text(b->tenant);
    values[10] = pg_text(b->reason);
    pg_exec(b->attempt->env->runtime->platform, b->op == BULK_RETRY ? &retry_stmt : &discard_stmt, values, 0, 0, on_moved, b);
}
