#include "replay.h"

#include <base/json.h>
#include <base/metrics.h>
#include <jobs/revive.h>

#include "handlers.h"
#include "server.h"

enum { IDS_BYTES_MAX = 64 * 1024, PARAMS = 9 };

/* $1 tenant or NULL, $2 queue or NULL, $3 ids or NULL, $4 limit, group: a fingerprint or NULL. Effects are kept for 30 days: what is older than 25 is not run again. */
#define PICK(class, group, which)                                                                                                \
    "SELECT * FROM platform.dead_job d WHERE replayed_at IS NULL AND discarded_at IS NULL AND class = '" class                   \
        "' AND ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR queue = $2) AND ($3::uuid[] IS NULL OR id = ANY($3)) " \
        "AND (" group "::text IS NULL OR fingerprint = " group ") AND died_at > now() - interval '25 days' " which               \
        "ORDER BY died_at LIMIT $4::int FOR UPDATE SKIP LOCKED"
#define STILL_DEAD \
    "AND EXISTS (SELECT FROM platform.job j WHERE j.id = d.id AND j.state = 'dead' AND j.generation = d.generation) "
#define PICK_JOURNAL PICK("journal", "$9", STILL_DEAD)
#define PICK_STREAM PICK("stream", "$5", "")
#define AUDIT(source, p1, p2, p3, p4)             \
    AUDIT_CTE(source, p1, p2, "'job.replay'", p3, \
              "jsonb_build_object('reason', " p4 "::text, 'jobs', (SELECT jsonb_agg(id) FROM " source "))")
#define AUDIT_JOURNAL AUDIT("u", "$5", "$6", "$7", "$8")
#define AUDIT_STREAM AUDIT("d", "$3", "$4", "$5", "$6")

static const struct pg_stmt journal_stmt = {
    "api.replay_journal",
    "WITH p AS (" PICK_JOURNAL "), "
    "u AS (UPDATE platform.job j SET state = 'waiting', generation = j.generation + 1, epoch = NULL, finished_at = NULL, result = NULL, "
    "result_status = NULL, deadline_at = CASE WHEN j.deadline_at > now() THEN j.deadline_at END "
    "FROM p WHERE j.id = p.id AND j.state = 'dead' AND j.generation = p.generation RETURNING j.id, j.generation, j.queue, j.type), "
    "m AS (UPDATE platform.dead_job SET replayed_at = now() WHERE id IN (SELECT id FROM u)), "
    "g AS (DELETE FROM platform.job_progress WHERE job_id IN (SELECT id FROM u)), " AUDIT_JOURNAL
    " SELECT id, generation, queue, type FROM u",
    PARAMS,
};

static const struct pg_stmt stream_stmt = {
    "api.replay_stream",
    "SELECT " REVIVE_COLUMNS " FROM (" PICK_STREAM ") p",
    5,
};

static const struct pg_stmt mark_stmt = {
    "api.replay_mark",
    "WITH " REVIVE_MARK ", " AUDIT_STREAM " SELECT count(*) FROM d",
    6,
};

static struct str target(const struct replay *r) { return r->queue.p != NULL ? r->queue : STR("job"); }

/* ---- stream class ---- */

static void on_marked(struct call *c, const PGresult *res) {
    (void)res;
    struct replay *r = c->state;
    r->done(r);
}

static void mark(struct replay *r, size_t from) {
    struct call *c = r->call;
    struct buf ids, generations;
    buf_init(&ids, IDS_BYTES_MAX);
    buf_init(&generations, IDS_BYTES_MAX);
    pg_array_begin(&ids);
    pg_array_begin(&generations);
    for (size_t i = from; i < r->n; i++) {
        char room[PG_UUID_BYTES];
        pg_array_add(&ids, pg_uuid(r->jobs[i].id, room));
        pg_array_add(&generations, pg_int(r->jobs[i].generation, room));
    }
    pg_array_end(&ids);
    pg_array_end(&generations);
    const struct pg_value values[] = {
        pg_text(buf_str(&ids)),
        pg_text(buf_str(&generations)),
        pg_text(str_c(c->who.tenant)),
        pg_text(str_c(c->who.author)),
        pg_text(target(r)),
        pg_text(r->reason),
    };
    if (err_is_set(buf_status(&ids)) || err_is_set(buf_status(&generations))) {
        call_fail(c, err_make(ERR_NOMEM, "replay"));
    } else {
        call_query(c, &mark_stmt, values, on_marked);
    }
    buf_free(&ids);
    buf_free(&generations);
}

static void left_one(struct replay *r) {
    if (--r->entering > 0) {
        return;
    }
    size_t from = 0;
    while (from < r->n && !id_job_place(r->jobs[from].id).stream_class) {
        from++;
    }
    if (from < r->n) {
        mark(r, from);
    } else {
        r->done(r);
    }
}

static void on_revived(struct revival *v) {
    struct replay *r = v->arg;
    struct call *c = r->call;
    if (v->entered) {
        r->jobs[r->n++] = (struct replayed){v->id, v->generation};
    }
    left_one(r);
    call_release(c);
}

static void enter_one(struct replay *r, const PGresult *res, int row) {
    struct call *c = r->call;
    struct revival *v = ARENA_NEW(&c->arena, struct revival);
    if (v == NULL) {
        return;
    }
    *v = (struct revival){.done = on_revived, .arg = r};
    r->entering++;
    call_hold(c);
    if (!revive(v, c->api->rt, &c->arena, res, row)) {
        r->entering--;
        call_release(c);
    }
}

static void on_stream(struct call *c, const PGresult *res) {
    struct replay *r = c->state;
    r->entering = 1; /* this function */
    for (int row = 0; row < PQntuples(res) && r->n + r->entering <= r->limit; row++) {
        enter_one(r, res, row);
    }
    left_one(r);
}

/* ---- journal class ---- */

static void took(struct replay *r, const PGresult *res, int row) {
    char queue[LIMIT_NAME_BYTES + 1], type[LIMIT_NAME_BYTES + 1];
    struct uuid id;
    if (pg_col_uuid(res, row, 0, &id)) {
        (void)str_copy_c(pg_col(res, row, 2), queue, sizeof queue);
        (void)str_copy_c(pg_col(res, row, 3), type, sizeof type);
        metric_inc(M_JOBS_ENQUEUED, queue, type, "replay");
        r->jobs[r->n++] = (struct replayed){id, (uint32_t)pg_col_int(res, row, 1)};
    }
}

static void on_journal(struct call *c, const PGresult *res) {
    struct replay *r = c->state;
    for (int row = 0; row < PQntuples(res) && r->n < r->limit; row++) {
        took(r, res, row);
    }
    if (r->n == r->limit) {
        r->done(r);
        return;
    }
    char limit[PG_INT_BYTES];
    const struct pg_value values[] = {call_tenant(c), pg_text_or_null(r->queue), pg_text_or_null(r->ids),
                                      pg_int((int64_t)(r->limit - r->n), limit), pg_text_or_null(r->fingerprint)};
    call_query(c, &stream_stmt, values, on_stream);
}

void replay_start(struct replay *r) {
    struct call *c = r->call;
    char limit[PG_INT_BYTES];
    const struct pg_value values[PARAMS] = {
        call_tenant(c),
        pg_text_or_null(r->queue),
        pg_text_or_null(r->ids),
        pg_int((int64_t)r->limit, limit),
        pg_text(str_c(c->who.tenant)),
        pg_text(str_c(c->who.author)),
        pg_text(target(r)),
        pg_text(r->reason),
        pg_text_or_null(r->fingerprint),
    };
    c->state = r;
    call_query(c, &journal_stmt, values, on_journal);
}
