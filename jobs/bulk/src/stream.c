/* Dead jobs of class stream run again: a batch is picked behind the last one's last id, each of them goes into its queue (once per generation,
 * however often it is asked for: jobs/revive.h), those that did are marked and counted, and then the action moves on. A shard that is full is
 * come back to. */
#include "bulk.h"

#include <base/limits.h>
#include <jobs/revive.h>
#include <queues/envelope.h>

enum { IDS_BYTES_MAX = 16 * 1024 };

/* $6 the action's job, $7 how many at most in all, $8 in this batch. */
static const struct pg_stmt pick_stmt = {
    "bulk.pick_stream",
    "SELECT " REVIVE_COLUMNS " FROM platform.dead_job d, (SELECT done, behind FROM platform.bulk WHERE job_id = $6::uuid) b "
    "WHERE " BULK_FILTER_STREAM "AND (b.behind IS NULL OR d.id > b.behind) ORDER BY d.id "
    "LIMIT least($8::bigint, $7::bigint - (SELECT done FROM platform.bulk WHERE job_id = $6::uuid))",
    BULK_FILTER_PARAMS + 3,
};

/* $1 and $2 as REVIVE_MARK has them, $3 the action's job, $4 author, $5 his tenant, $6 why. */
static const struct pg_stmt mark_stmt = {
    "bulk.mark_stream",
    "WITH " REVIVE_MARK ", n AS (UPDATE platform.bulk SET done = done + (SELECT count(*) FROM d) WHERE job_id = $3::uuid), "
    "a AS (INSERT INTO platform.audit (tenant, author, action, target, detail) SELECT $5::text, $4::text, 'job.replay', 'bulk', "
    "jsonb_build_object('reason', $6::text, 'bulk', $3::uuid, 'jobs', jsonb_agg(id)) FROM d HAVING count(*) > 0) SELECT count(*) FROM d",
    6,
};

struct entering {
    struct revival revival;
    bool sent;
};

/* In the attempt's arena. */
struct batch {
    struct bulk *bulk;
    int64_t moved; /* of class journal */
    struct entering *jobs;
    size_t n, left;
    size_t passed; /* of jobs: those before the first one for which there was no room */
    struct bulk_lefts lefts;
};

static void on_marked(void *arg, struct err err, const PGresult *res) {
    struct batch *t = arg;
    (void)res;
    if (err_is_set(err)) {
        attempt_fail(t->bulk->attempt, err);
    } else if (t->passed == 0) {
        bulk_moved(t->bulk, (int64_t)t->n, t->bulk->done); /* full: in a second again */
    } else {
        bulk_note(t->bulk, t->jobs[t->passed - 1].revival.id, &t->lefts, t->moved + (int64_t)t->n);
    }
}

static void mark(struct batch *t) {
    const struct bulk *b = t->bulk;
    char id[PG_UUID_BYTES];
    struct buf ids, generations;
    buf_init(&ids, IDS_BYTES_MAX);
    buf_init(&generations, IDS_BYTES_MAX);
    pg_array_begin(&ids);
    pg_array_begin(&generations);
    for (size_t i = 0; i < t->n; i++) {
        const struct revival *v = &t->jobs[i].revival;
        char room[PG_UUID_BYTES];
        if (v->entered) {
            pg_array_add(&ids, pg_uuid(v->id, room));
            pg_array_add(&generations, pg_int(v->generation, room));
        }
    }
    pg_array_end(&ids);
    pg_array_end(&generations);
    const struct pg_value values[] = {
        pg_text(buf_str(&ids)),
        pg_text(buf_str(&generations)),
        pg_uuid(b->attempt->job.id, id),
        pg_text(b->author),
        pg_text(b->tenant),
        pg_text(b->reason),
    };
    if (err_is_set(buf_status(&ids)) || err_is_set(buf_status(&generations))) {
        attempt_fail(b->attempt, err_make(ERR_NOMEM, "batch"));
    } else {
        pg_exec(b->attempt->env->runtime->platform, &mark_stmt, values, 0, 0, on_marked, t);
    }
    buf_free(&ids);
    buf_free(&generations);
}

/* An error is Redis's: the batch is gone through again, and who has entered is known there. */
static void left_one(struct batch *t) {
    if (--t->left > 0) {
        return;
    }
    t->passed = t->n;
    for (size_t i = t->n; i > 0; i--) {
        const struct entering *e = &t->jobs[i - 1];
        if (e->sent && err_is_set(e->revival.err)) {
            attempt_fail(t->bulk->attempt, e->revival.err);
            return;
        }
        t->passed = e->sent && !e->revival.entered ? i - 1 : t->passed;
    }
    for (size_t i = 0; i < t->passed; i++) {
        char id[UUID_TEXT_BYTES];
        if (!t->jobs[i].sent) {
            uuid_text(t->jobs[i].revival.id, id);
            bulk_leave(&t->lefts, "no_queue", arena_str(t->bulk->attempt->arena, str_c(id)));
        }
    }
    mark(t);
}

static void on_revived(struct revival *v) { left_one(v->arg); }

static void on_picked(void *arg, struct err err, const PGresult *res) {
    struct batch *t = arg;
    struct attempt *a = t->bulk->attempt;
    size_t rows = err_is_set(err) ? 0 : (size_t)PQntuples(res);
    t->jobs = rows > 0 ? ARENA_ARRAY(a->arena, struct entering, rows) : NULL;
    if (err_is_set(err) || (rows > 0 && t->jobs == NULL)) {
        attempt_fail(a, err_is_set(err) ? err : err_make(ERR_NOMEM, "batch"));
        return;
    }
    if (rows == 0) {
        bulk_moved(t->bulk, t->moved, t->bulk->done);
        return;
    }
    t->left = rows + 1; /* this function */
    for (; t->n < rows; t->n++) {
        struct entering *e = &t->jobs[t->n];
        *e = (struct entering){.revival = {.done = on_revived, .arg = t}, .sent = true};
        (void)pg_col_uuid(res, (int)t->n, 0, &e->revival.id);
        if (!revive(&e->revival, a->env->runtime, a->arena, res, (int)t->n)) {
            e->sent = false;
            t->left--;
        }
    }
    left_one(t);
}

void bulk_revive(struct bulk *b, int64_t room, int64_t moved) {
    struct batch *t = ARENA_NEW(b->attempt->arena, struct batch);
    if (t == NULL) {
        attempt_fail(b->attempt, err_make(ERR_NOMEM, "batch"));
        return;
    }
    *t = (struct batch){.bulk = b, .moved = moved};
    bulk_pick(b, &pick_stmt, room < LIMIT_BATCH ? room : LIMIT_BATCH, on_picked, t);
}
