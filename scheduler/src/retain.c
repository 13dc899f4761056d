/* Forgetting: finished jobs and their keys, module effects and events, after their time. At most 5000 rows per statement, so that nothing is
 * locked for long; the next statement follows at once while one was full. Ids begin with their time, so the primary keys are the order. */
#include "scheduler.h"

#include <base/log.h>
#include <jobs/module_sql.h>
#include <queues/upkeep.h>
#include <stdlib.h>

enum { FULL_BATCH = 5000, CONSUMER_IDLE_MS = 3600000 };
#define DAY_MS INT64_C(86400000)

static const struct pg_stmt keys_stmt = {
    "retain.keys",
    "WITH d AS (DELETE FROM platform.idempotency WHERE (tenant, key) IN (SELECT i.tenant, i.key FROM platform.idempotency i "
    "LEFT JOIN platform.job j ON j.id = i.job_id WHERE i.job_id < $1::uuid AND (j.id IS NULL OR (j.state <> 'waiting' AND "
    "j.finished_at < now() - make_interval(days => $2::int))) ORDER BY i.job_id LIMIT 5000) RETURNING 1) SELECT count(*) FROM d",
    2,
};
static const struct pg_stmt jobs_stmt = {
    "retain.jobs",
    "WITH d AS (DELETE FROM platform.job WHERE state <> 'waiting' AND id IN (SELECT id FROM platform.job j WHERE id < $1::uuid "
    "AND state <> 'waiting' AND finished_at < now() - make_interval(days => $2::int) "
    "AND NOT EXISTS (SELECT FROM platform.idempotency i WHERE i.job_id = j.id) ORDER BY id LIMIT 5000) RETURNING id), "
    "p AS (DELETE FROM platform.job_progress WHERE job_id IN (SELECT id FROM d)), "
    "b AS (DELETE FROM platform.bulk WHERE job_id IN (SELECT id FROM d)) SELECT count(*) FROM d",
    2,
};
static const struct pg_stmt dead_stmt = {
    "retain.dead",
    "WITH d AS (DELETE FROM platform.dead_job WHERE id IN (SELECT id FROM platform.dead_job WHERE id < $1::uuid "
    "AND died_at < now() - make_interval(days => $2::int) ORDER BY id LIMIT 5000) RETURNING 1) SELECT count(*) FROM d",
    2,
};

static const struct pg_stmt scaling_stmt = {
    "retain.scaling",
    "WITH s AS (DELETE FROM platform.supervisor WHERE seen_at < now() - interval '1 day'), "
    "a AS (DELETE FROM platform.api_process WHERE seen_at < now() - interval '1 day'), "
    "o AS (DELETE FROM platform.worker_order WHERE at < now() - interval '1 day'), "
    "d AS (DELETE FROM platform.scale_change WHERE seq IN (SELECT seq FROM platform.scale_change "
    "WHERE at < now() - make_interval(days => $1::int) ORDER BY seq LIMIT 5000) RETURNING 1) SELECT count(*) FROM d",
    1,
};

/* Objectives are reported by month, for a year. Of a process that has added nothing for a day no statement is on its way. */
static const struct pg_stmt slo_day_stmt = {
    "retain.slo_day",
    "WITH d AS (DELETE FROM platform.slo_day WHERE day < (now() AT TIME ZONE 'UTC')::date - 400 RETURNING 1) SELECT count(*) FROM d",
    0,
};
static const struct pg_stmt slo_process_stmt = {
    "retain.slo_process",
    "WITH d AS (DELETE FROM platform.slo_process WHERE at < now() - interval '1 day' RETURNING 1) SELECT count(*) FROM d",
    0,
};

/* One kind of row being forgotten. */
struct forgetting {
    struct scheduler *scheduler;
    struct pg_pool *db;
    const struct pg_stmt *stmt;
    int64_t days;
};

static void forget(struct forgetting *f);

static void on_forgotten(void *arg, struct err err, const PGresult *res) {
    struct forgetting *f = arg;
    if (!err_is_set(err) && pg_col_int(res, 0, 0) >= FULL_BATCH && scheduler_leads(f->scheduler)) {
        forget(f);
        return;
    }
    if (err_is_set(err) && err.code != ERR_CLOSED) {
        LOG(WARN, "retain.failed", LF_C("statement", f->stmt->name), LF_ERR(err));
    }
    free(f);
}

/* The smallest id of a moment. */
static struct uuid id_at(int64_t ms) {
    struct uuid id = {{0}};
    for (int i = 0; i < 6; i++) {
        id.b[i] = (uint8_t)(ms >> (40 - 8 * i));
    }
    return id;
}

static void forget(struct forgetting *f) {
    char before[PG_UUID_BYTES], days[PG_INT_BYTES];
    int64_t ms = loop_wall(f->scheduler->rt->loop).ms - f->days * DAY_MS;
    /* What has no id whose beginning is its time goes by days alone. */
    const struct pg_value values[] = {pg_uuid(id_at(ms), before), pg_int(f->days, days)};
    pg_exec(f->db, f->stmt, f->stmt == &scaling_stmt ? values + 1 : values, 0, 0, on_forgotten, f);
}

static void begin(struct scheduler *s, struct pg_pool *db, const struct pg_stmt *stmt, int64_t days) {
    struct forgetting *f = malloc(sizeof *f);
    if (f != NULL) {
        *f = (struct forgetting){s, db, stmt, days};
        forget(f);
    }
}

static void on_collected(void *arg, struct err err, int64_t count) {
    (void)arg;
    (void)err; /* the next round */
    (void)count;
}

void retain_tick(struct scheduler *s) {
    if (!scheduler_leads(s)) {
        return;
    }
    int64_t days = s->rt->conf->retention_days;
    begin(s, s->rt->platform, &keys_stmt, s->rt->conf->retention_key_days);
    begin(s, s->rt->platform, &jobs_stmt, days);
    begin(s, s->rt->platform, &dead_stmt, days);
    begin(s, s->rt->platform, &scaling_stmt, days);
    begin(s, s->rt->platform, &slo_day_stmt, days);
    begin(s, s->rt->platform, &slo_process_stmt, days);
    for (size_t m = 0; m < s->rt->registry->modules_n; m++) {
        begin(s, s->rt->modules[m].db, &s->rt->modules[m].module->sql->retain, days);
    }
    for (size_t i = 0; i < s->watches_n; i++) {
        queue_collect(&s->rt->redis, s->watches[i]->shard, CONSUMER_IDLE_MS, on_collected, NULL);
    }
}
