/* Open journal jobs cancelled: a batch is picked behind the last one's last id, each of them is closed by the terminal row of its module (a flow
 * is asked to), and then the action moves on. Whatever dies in between, a job that was closed is closed, and one that was not comes again. */
#include "bulk.h"

#include <base/limits.h>
#include <stdlib.h>

#define RESULT                                                                                                             \
    "{\"type\":\"/problems/job-cancelled\",\"title\":\"The job was cancelled\",\"status\":409,\"code\":\"job_cancelled\"," \
    "\"detail\":\"It was cancelled before it took effect\"}"
enum { RESULT_STATUS = 409 };

static const struct pg_stmt pick_stmt = {
    "bulk.pick",
    "WITH b AS (SELECT done, behind FROM platform.bulk WHERE job_id = $6::uuid) "
    "SELECT j.id, j.root_id, j.generation, j.type FROM platform.job j, b WHERE " BULK_FILTER_OPEN
    "AND (b.behind IS NULL OR j.id > b.behind) "
    "ORDER BY j.id LIMIT least($8::bigint, $7::bigint - (SELECT done FROM b))",
    BULK_FILTER_PARAMS + 3,
};

static const struct pg_stmt note_stmt = {
    "bulk.note",
    "WITH n AS (UPDATE platform.bulk SET done = done + $2::bigint, behind = $3::uuid WHERE job_id = $1::uuid RETURNING done), "
    "s AS (INSERT INTO platform.job_progress (job_id, progress) SELECT $1::uuid, jsonb_build_object('percent', "
    "least(100, n.done * 100 / greatest($4::bigint, 1)), 'message', n.done || ' of ' || $4::bigint) FROM n "
    "ON CONFLICT (job_id) DO UPDATE SET progress = excluded.progress), "
    "a AS (INSERT INTO platform.audit (tenant, author, action, target, detail) SELECT $6::text, $5::text, 'job.cancel', 'bulk', "
    "jsonb_build_object('reason', $7::text, 'bulk', $1::uuid, 'jobs', $8::uuid[]) WHERE $2::bigint > 0) SELECT done FROM n",
    8,
};

struct one {
    struct batch *batch;
    struct uuid id, root;
    uint32_t generation;
    bool told; /* closed by us, or asked to end */
};

/* In the attempt's arena. */
struct batch {
    struct bulk *bulk;
    struct one *ones;
    size_t n, left;
    struct journal_end ends[LIMIT_BATCH]; /* whose rows say that they are cancelled */
    size_t ends_n;
    struct err away; /* of the first job whose module could not be asked */
};

static void on_noted(void *arg, struct err err, const PGresult *res) {
    struct batch *t = arg;
    if (err_is_set(err)) {
        attempt_fail(t->bulk->attempt, err);
    } else {
        bulk_moved(t->bulk, (int64_t)t->n, PQntuples(res) > 0 ? pg_col_int(res, 0, 0) : t->bulk->most);
    }
}

static void note(struct batch *t) {
    const struct bulk *b = t->bulk;
    char id[PG_UUID_BYTES], told[PG_INT_BYTES], last[PG_UUID_BYTES], most[PG_INT_BYTES];
    int64_t told_n = 0;
    struct buf ids;
    buf_init(&ids, LIMIT_BATCH * 64);
    pg_array_begin(&ids);
    for (size_t i = 0; i < t->n; i++) {
        char room[PG_UUID_BYTES];
        if (t->ones[i].told) {
            pg_array_add(&ids, pg_uuid(t->ones[i].id, room));
            told_n++;
        }
    }
    pg_array_end(&ids);
    const struct pg_value values[] = {pg_uuid(b->attempt->job.id, id),
                                      pg_int(told_n, told),
                                      pg_uuid(t->ones[t->n - 1].id, last),
                                      pg_int(b->most, most),
                                      pg_text(b->author),
                                      pg_text(b->tenant),
                                      pg_text(b->reason),
                                      pg_text(buf_str(&ids))};
    if (err_is_set(buf_status(&ids))) {
        attempt_fail(b->attempt, buf_status(&ids));
    } else {
        pg_exec(b->attempt->env->runtime->platform, &note_stmt, values, 0, 0, on_noted, t);
    }
    buf_free(&ids);
}

/* A batch with jobs that could not be asked is gone through again: those that are closed are not open any more. */
static void on_finished(void *arg, struct err err) {
    struct batch *t = arg;
    struct err failed = err_is_set(err) ? err : t->away;
    if (err_is_set(failed)) {
        attempt_fail(t->bulk->attempt, failed);
    } else {
        note(t);
    }
}

static void left_one(struct batch *t) {
    if (--t->left > 0) {
        return;
    }
    if (t->ends_n > 0) {
        journal_finish(&t->bulk->attempt->env->runtime->journal, t->ends, t->ends_n, on_finished, t);
    } else {
        on_finished(t, OK);
    }
}

/* Errors are the job's: it stays as it was, and is passed over; but for one of a server of ours. */
static void take_error(struct batch *t, struct err err) {
    if (err_is_set(err) && err_class(err.code) == ERR_CLASS_INFRA && !err_is_set(t->away)) {
        t->away = err;
    }
}

static void on_closed(void *arg, struct err err, const struct effect_row *row) {
    struct one *o = arg;
    struct batch *t = o->batch;
    take_error(t, err);
    if (!err_is_set(err) && row->outcome == OUTCOME_CANCELLED) {
        o->told = true;
        t->ends[t->ends_n++] = (struct journal_end){.id = o->id,
                                                    .generation = o->generation,
                                                    .outcome = OUTCOME_CANCELLED,
                                                    .status = RESULT_STATUS,
                                                    .result = STR(RESULT)};
    }
    left_one(t);
}

static void on_step(void *arg, struct err err, const struct effect_row *row) {
    struct one *o = arg;
    take_error(o->batch, err);
    o->told = !err_is_set(err) && row->status == 0;
    left_one(o->batch);
}

static void tell(struct batch *t, struct one *o, struct str type_name) {
    struct runtime *rt = t->bulk->attempt->env->runtime;
    const struct module *module = NULL;
    const struct job_type *type = registry_type(rt->registry, type_name, &module);
    struct module_env *env = type != NULL ? runtime_module(rt, module) : NULL;
    t->left++;
    if (env == NULL || type->no_cancel) {
        left_one(t);
    } else if (type->flow) {
        effect_step(env, o->root, o->generation, STR("cancel_request"), on_step, o);
    } else {
        effect_close(env, o->root, o->generation, OUTCOME_CANCELLED, RESULT_STATUS, STR(RESULT), on_closed, o);
    }
}

static void on_picked(void *arg, struct err err, const PGresult *res) {
    struct batch *t = arg;
    struct attempt *a = t->bulk->attempt;
    size_t rows = err_is_set(err) ? 0 : (size_t)PQntuples(res);
    t->ones = rows > 0 ? ARENA_ARRAY(a->arena, struct one, rows) : NULL;
    if (err_is_set(err) || (rows > 0 && t->ones == NULL)) {
        attempt_fail(a, err_is_set(err) ? err : err_make(ERR_NOMEM, "batch"));
        return;
    }
    if (rows == 0) {
        bulk_moved(t->bulk, 0, 0);
        return;
    }
    t->left = 1; /* this function */
    for (size_t i = 0; i < rows; i++) {
        struct one *o = &t->ones[i];
        *o = (struct one){.batch = t, .generation = (uint32_t)pg_col_int(res, (int)i, 2)};
        (void)pg_col_uuid(res, (int)i, 0, &o->id);
        (void)pg_col_uuid(res, (int)i, 1, &o->root);
        t->n++;
        tell(t, o, pg_col(res, (int)i, 3));
    }
    left_one(t);
}

void bulk_cancel(struct bulk *b) {
    struct batch *t = ARENA_NEW(b->attempt->arena, struct batch);
    if (t == NULL) {
        attempt_fail(b->attempt, err_make(ERR_NOMEM, "batch"));
        return;
    }
    *t = (struct batch){.bulk = b};
    bulk_pick(b, &pick_stmt, b->per_second < LIMIT_BATCH ? b->per_second : LIMIT_BATCH, on_picked, t);
}
