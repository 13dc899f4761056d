/* Schedules. A tick is a job with the key cron:<schedule>:<tick>, written by one statement that also moves the schedule on. Twice is once:
 * who comes second finds the schedule moved on, or else the key. So every scheduler might do it; the leader does.
 *
 * What is due says the clock of Postgres, the same for all. One look finds the schedules that are due, or will be within a second. */
#include "scheduler.h"

#include <base/fault.h>
#include <base/log.h>
#include <base/metrics.h>
#include <jobs/sending.h>
#include <stdlib.h>

#include "cron_plan.h"

enum { LOOK_MS = 1000, MINUTE_MS = 60000, LOOK_ROWS = 64, ARRAY_BYTES_MAX = 64 * 1024 };
/* On their way at once: any one payload fits. */
enum { JOBS_MAX = 4 * LIMIT_BATCH, BYTES_MAX = LIMIT_BATCH * LIMIT_PAYLOAD_BYTES };

/* Those that cannot be planned stay in front: they are passed over by $1. */
static const struct pg_stmt look_stmt = {
    "cron.look",
    "SELECT id, tenant, name, cron, timezone, missed, queue, type, type_version, payload, version, "
    "floor(extract(epoch FROM next_at) * 1000)::bigint, floor(extract(epoch FROM now()) * 1000)::bigint FROM platform.schedule "
    "WHERE NOT paused AND next_at <= now() + interval '1 second' ORDER BY next_at, id LIMIT 64 OFFSET $1::bigint",
    1,
};
enum {
    COL_ID,
    COL_TENANT,
    COL_NAME,
    COL_CRON,
    COL_ZONE,
    COL_MISSED,
    COL_QUEUE,
    COL_TYPE,
    COL_TYPE_VERSION,
    COL_PAYLOAD,
    COL_VERSION,
    COL_NEXT,
    COL_NOW
};

static const struct pg_stmt make_stmt = {
    "cron.make",
    "WITH u AS (UPDATE platform.schedule SET next_at = to_timestamp($3::bigint / 1000.0), "
    "last_at = coalesce(to_timestamp((SELECT max(s) FROM unnest($5::bigint[]) s)), last_at) "
    "WHERE id = $1::uuid AND version = $2::bigint AND NOT paused AND next_at < to_timestamp($3::bigint / 1000.0) RETURNING *), "
    "t AS (SELECT * FROM unnest($4::uuid[], $5::bigint[], $6::text[]) AS t(job, tick, trace)), "
    "k AS (INSERT INTO platform.idempotency (tenant, key, fingerprint, job_id) "
    "SELECT '_system', 'cron:' || u.id || ':' || t.tick, '', t.job FROM u, t ON CONFLICT DO NOTHING RETURNING job_id), "
    "n AS (INSERT INTO platform.job (id, root_id, tenant, queue, shard, type, type_version, payload, traceparent) "
    "SELECT t.job, t.job, u.tenant, u.queue, $7::smallint, u.type, u.type_version, u.payload, t.trace FROM u, t "
    "WHERE t.job IN (SELECT job_id FROM k) RETURNING id) SELECT id FROM n",
    7,
};

/* One look and what follows from it. */
struct cron_round {
    struct scheduler *scheduler;
    size_t waiting; /* schedules without an answer, and one for the round itself */
    size_t passed_over, failed;
    int64_t wait_ms; /* until the next look */
    bool more;       /* there is more to be made at once: schedules behind these, or ticks of one of these */
    bool moved;
    struct wall now; /* of Postgres, when it looked */
    struct mono looked;
    struct zone_cache zones;
};

/* One schedule whose ticks are being made. */
struct making {
    struct cron_round *round;
    struct arena arena;
    struct cron_plan plan;
    struct mono sent;
    struct journal_job jobs[LIMIT_BATCH];
    size_t n;             /* jobs: of the plan, then those that were new */
    size_t planned, each; /* of the plan, with a payload of so many bytes: in the scheduler's count of what is on its way */
};

static void look(struct scheduler *s, size_t passed_over);

static void round_answered(struct cron_round *r) {
    struct scheduler *s = r->scheduler;
    if (--r->waiting > 0) {
        return;
    }
    s->cron_running = false;
    if (r->more && (r->moved || r->failed > 0) && scheduler_leads(s)) {
        look(s, r->passed_over + r->failed);
    } else if (!s->stopping) {
        timer_start(s->cron_timer, r->wait_ms);
    }
    zone_cache_clear(&r->zones);
    free(r);
}

static void making_end(struct making *m) {
    m->round->scheduler->cron_jobs -= m->planned;
    m->round->scheduler->cron_bytes -= m->planned * m->each;
    round_answered(m->round);
    arena_free(&m->arena);
    free(m);
}

static void on_placed(void *arg, struct err err) {
    (void)err; /* the relay's business */
    FAILPOINT(CRON_AFTER_PLACE);
    making_end(arg);
}

/* Keeps the jobs that are new. */
static void keep_new(struct making *m, const PGresult *res) {
    size_t kept = 0;
    for (size_t i = 0; i < m->n; i++) {
        struct uuid id;
        for (int row = 0; row < PQntuples(res); row++) {
            if (pg_col_uuid(res, row, 0, &id) && uuid_eq(id, m->jobs[i].id)) {
                m->plan.ticks[kept] = m->plan.ticks[i];
                m->jobs[kept++] = m->jobs[i];
                break;
            }
        }
    }
    m->n = kept;
}

static void count(const struct making *m) {
    struct cron_round *r = m->round;
    int64_t passed_ms = mono_ms_since(loop_now(r->scheduler->rt->loop), r->looked);
    series_add(metric_series(M_CRON_TICKS, "made", NULL, NULL), (double)m->n);
    series_add(metric_series(M_CRON_TICKS, "repeated", NULL, NULL), (double)(m->planned - m->n));
    series_add(metric_series(M_CRON_TICKS, "dropped", NULL, NULL), (double)m->plan.dropped);
    for (size_t i = 0; i < m->n; i++) {
        series_observe(metric_series(M_CRON_LATENESS, NULL, NULL, NULL),
                       (double)(r->now.ms - m->plan.ticks[i].ms + passed_ms) / 1000);
        metric_inc(M_JOBS_ENQUEUED, m->jobs[i].queue.p, m->jobs[i].type.p, "cron");
    }
}

/* A tick's trace begins with its job. */
static void record(const struct making *m) {
    for (size_t i = 0; i < m->n; i++) {
        const struct journal_job *j = &m->jobs[i];
        const struct sending s = {.trace = j->trace,
                                  .job = j->id,
                                  .queue = j->queue,
                                  .type = j->type,
                                  .tenant = j->tenant,
                                  .bytes = j->payload.n,
                                  .began = m->sent};
        sending_record(&s, NULL);
    }
}

static void on_made(void *arg, struct err err, const PGresult *res) {
    struct making *m = arg;
    if (err_is_set(err)) {
        if (err.code != ERR_CLOSED) {
            LOG(WARN, "cron.make_failed", LF_ERR(err));
        }
        making_end(m); /* the next look */
        return;
    }
    FAILPOINT(CRON_AFTER_COMMIT);
    m->round->moved = true;
    m->round->more |= m->plan.next.ms <= m->round->now.ms;
    keep_new(m, res);
    count(m);
    record(m);
    if (m->n == 0) {
        making_end(m);
        return;
    }
    journal_place(&m->round->scheduler->rt->journal, m->jobs, m->n, JOURNAL_MARKED, on_placed, m);
}

static void add_tick(const struct making *m, size_t i, struct buf arrays[3]) {
    char room[PG_UUID_BYTES], trace[TRACEPARENT_BYTES];
    trace_text(&m->jobs[i].trace, trace);
    pg_array_add(&arrays[0], pg_uuid(m->jobs[i].id, room));
    pg_array_add(&arrays[1], pg_int(m->plan.ticks[i].ms / 1000, room));
    pg_array_add(&arrays[2], pg_text(str_c(trace)));
}

/* One order for the rows that a shared transaction locks. */
static int64_t order_of(struct uuid id) {
    int64_t v;
    memcpy(&v, id.b + sizeof id.b - sizeof v, sizeof v);
    return v;
}

static void send(struct making *m, struct uuid id, int64_t version, unsigned shard) {
    struct buf arrays[3];
    struct err e = OK;
    char id_room[PG_UUID_BYTES], version_room[PG_INT_BYTES], next_room[PG_INT_BYTES], shard_room[PG_INT_BYTES];
    for (size_t k = 0; k < 3; k++) {
        buf_init(&arrays[k], ARRAY_BYTES_MAX);
        pg_array_begin(&arrays[k]);
    }
    for (size_t i = 0; i < m->n; i++) {
        add_tick(m, i, arrays);
    }
    for (size_t k = 0; k < 3; k++) {
        pg_array_end(&arrays[k]);
        e = err_is_set(e) ? e : buf_status(&arrays[k]);
    }
    if (err_is_set(e)) {
        making_end(m);
    } else {
        const struct pg_value values[] = {
            pg_uuid(id, id_room),         pg_int(version, version_room), pg_int(m->plan.next.ms, next_room),
            pg_text(buf_str(&arrays[0])), pg_text(buf_str(&arrays[1])),  pg_text(buf_str(&arrays[2])),
            pg_int(shard, shard_room),
        };
        FAILPOINT(CRON_BEFORE_COMMIT);
        m->sent = loop_now(m->round->scheduler->rt->loop);
        pg_exec(m->round->scheduler->rt->platform, &make_stmt, values, PG_SHARED, order_of(id), on_made, m);
    }
    for (size_t k = 0; k < 3; k++) {
        buf_free(&arrays[k]);
    }
}

/* The ticks of a row of the look. */
static struct err plan(struct cron_round *r, const PGresult *res, int row, size_t most, struct cron_plan *out) {
    struct cron c;
    const struct zone *z;
    enum cron_missed missed;
    TRY(cron_parse(pg_col(res, row, COL_CRON), &c));
    if (!cron_missed_parse(pg_col(res, row, COL_MISSED), &missed)) {
        return err_make(ERR_INVALID, "no such policy for missed ticks");
    }
    TRY(zone_cache_load(&r->zones, pg_col(res, row, COL_ZONE), &z));
    bool ticks = cron_plan_make(&c, z, missed, (struct wall){pg_col_int(res, row, COL_NEXT)}, r->now, most, out);
    return ticks ? OK : err_make(ERR_INVALID, "it never ticks again");
}

/* As many open jobs as it may have, as far as Redis says. */
static bool is_full(const struct scheduler *s, const struct queue_info *q) {
    int64_t open = 0, limit = s->rt->conf->admission_max_open_jobs;
    for (size_t i = 0; i < s->watches_n; i++) {
        const struct shard_watch *w = s->watches[i];
        const struct queue_depth *d = &w->depth;
        open += w->queue == q ? d->waiting + d->running + d->delayed + d->parked + w->entered : 0;
    }
    return open >= (q->max_open < limit ? q->max_open : limit);
}

static void count_entered(struct making *m) {
    struct scheduler *s = m->round->scheduler;
    for (size_t i = 0; i < s->watches_n && m->n > 0; i++) {
        struct shard_watch *w = s->watches[i];
        bool here = str_is(m->jobs[0].queue, w->queue->name) && w->shard == w->queue->shards[id_job_place(m->jobs[0].id).shard];
        w->entered += here ? (int64_t)m->n : 0;
    }
}

static struct err add_jobs(struct making *m, const PGresult *res, int row, struct uuid schedule, unsigned *out_shard) {
    struct runtime *rt = m->round->scheduler->rt;
    const struct queue_info *q = queue_table_find(rt->queues, pg_col(res, row, COL_QUEUE));
    if (q == NULL) {
        return err_make(ERR_BUSY, "its queue is not known here yet");
    }
    unsigned shard = shard_pick(q->shards_n, str_of(schedule.b, sizeof schedule.b), STR_NONE);
    const struct job_place place = {.queue_number = q->number, .shard = (uint8_t)shard};
    const struct journal_job job = {
        .tenant = arena_str(&m->arena, pg_col(res, row, COL_TENANT)),
        .queue = str_c(q->name),
        .type = arena_str(&m->arena, pg_col(res, row, COL_TYPE)),
        .type_version = (uint16_t)pg_col_int(res, row, COL_TYPE_VERSION),
        .payload = pg_col_bytes(res, row, COL_PAYLOAD, &m->arena),
    };
    bool late = m->plan.n > 0 && m->round->now.ms - m->plan.ticks[0].ms > CRON_ON_TIME_MS;
    if (late && is_full(m->round->scheduler, q)) {
        return err_make(ERR_BUSY, "queue %s has as many open jobs as it may: missed ticks wait", q->name);
    }
    if (job.tenant.p == NULL || job.type.p == NULL || job.payload.p == NULL) {
        return err_make(ERR_NOMEM, "schedule");
    }
    for (size_t i = 0; i < m->plan.n; i++) {
        m->jobs[i] = job;
        m->jobs[i].id = m->jobs[i].root = id_new_job(&rt->ids, place);
        m->jobs[i].trace = span_root();
    }
    m->n = m->planned = m->plan.n;
    m->each = job.payload.n;
    *out_shard = shard;
    return OK;
}

/* How many jobs with this row's payload may be made now. */
static size_t room_for(const struct scheduler *s, const PGresult *res, int row) {
    size_t text = pg_col(res, row, COL_PAYLOAD).n, each = text > 2 ? text / 2 : 1;
    size_t jobs = JOBS_MAX - s->cron_jobs, fit = (BYTES_MAX - s->cron_bytes) / each;
    jobs = jobs < fit ? jobs : fit;
    return jobs < LIMIT_BATCH ? jobs : LIMIT_BATCH;
}

static struct err make(struct cron_round *r, const PGresult *res, int row, size_t most) {
    struct uuid id;
    unsigned shard = 0;
    struct making *m = calloc(1, sizeof *m);
    if (m == NULL || !pg_col_uuid(res, row, COL_ID, &id)) {
        free(m);
        return err_make(ERR_NOMEM, "schedule");
    }
    m->round = r;
    arena_init(&m->arena, 4096, 1 << 20);
    struct err e = plan(r, res, row, most, &m->plan);
    if (!err_is_set(e)) {
        e = add_jobs(m, res, row, id, &shard);
    }
    if (err_is_set(e)) {
        arena_free(&m->arena);
        free(m);
        return e;
    }
    r->waiting++;
    r->scheduler->cron_jobs += m->planned;
    r->scheduler->cron_bytes += m->planned * m->each;
    count_entered(m);
    send(m, id, pg_col_int(res, row, COL_VERSION), shard);
    return OK;
}

/* Once a minute, when ticks are due, rather than with each look. */
static void complain(const struct cron_round *r, const PGresult *res, int row, struct err e) {
    if (r->now.ms % MINUTE_MS < LOOK_MS) {
        LOG(ERROR, "cron.schedule_failed", LF_STR("tenant", pg_col(res, row, COL_TENANT)),
            LF_STR("schedule", pg_col(res, row, COL_NAME)), LF_ERR(e));
    }
}

static void take_row(struct cron_round *r, const PGresult *res, int row) {
    int64_t in_ms = pg_col_int(res, row, COL_NEXT) - r->now.ms;
    if (in_ms > 0) {
        r->wait_ms = in_ms < r->wait_ms ? in_ms : r->wait_ms;
        return;
    }
    size_t most = room_for(r->scheduler, res, row);
    if (most == 0) {
        r->more = true;
        return;
    }
    struct err e = make(r, res, row, most);
    if (err_is_set(e)) {
        r->failed++;
        metric_inc(M_CRON_TICKS, "failed", NULL, NULL);
        complain(r, res, row, e);
    }
}

static void on_look(void *arg, struct err err, const PGresult *res) {
    struct cron_round *r = arg;
    int rows = err_is_set(err) ? 0 : PQntuples(res);
    r->looked = loop_now(r->scheduler->rt->loop);
    for (int row = 0; row < rows; row++) {
        r->now.ms = pg_col_int(res, row, COL_NOW);
        take_row(r, res, row);
    }
    r->more |= rows == LOOK_ROWS && r->wait_ms == LOOK_MS; /* all of them were due */
    round_answered(r);
}

static void look(struct scheduler *s, size_t passed_over) {
    char room[PG_INT_BYTES];
    struct cron_round *r = calloc(1, sizeof *r);
    if (r == NULL) {
        timer_start(s->cron_timer, LOOK_MS);
        return;
    }
    *r = (struct cron_round){.scheduler = s, .waiting = 1, .passed_over = passed_over, .wait_ms = LOOK_MS};
    s->cron_running = true;
    const struct pg_value values[] = {pg_int((int64_t)passed_over, room)};
    pg_exec(s->rt->platform, &look_stmt, values, 0, 0, on_look, r);
}

void cron_tick(struct scheduler *s) {
    if (s->cron_running) {
        return;
    }
    if (scheduler_leads(s)) {
        look(s, 0);
    } else {
        timer_start(s->cron_timer, LOOK_MS);
    }
}
