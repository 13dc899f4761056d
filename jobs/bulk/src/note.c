#include "bulk.h"

#include <base/limits.h>

enum { COLUMN_BYTES_MAX = 16 * 1024 };

/* $1 the action's job, $2 the last job looked at, $3 the one before this batch or NULL, $4 how many at most in all; by why: $5 why, $6 how many,
 * $7 an example, of which the first stays. */
static const struct pg_stmt note_stmt = {
    "bulk.note_left",
    "WITH l AS (SELECT why, sum(jobs) AS jobs, (array_agg(example ORDER BY age))[1] AS example FROM ("
    "SELECT e.key AS why, (e.value ->> 'jobs')::bigint AS jobs, e.value ->> 'example' AS example, 0 AS age FROM platform.bulk, "
    "jsonb_each(left_over) e WHERE job_id = $1::uuid UNION ALL "
    "SELECT why, jobs, example, 1 FROM unnest($5::text[], $6::bigint[], $7::text[]) AS t(why, jobs, example)) x GROUP BY why), "
    "n AS (UPDATE platform.bulk SET behind = $2::uuid, left_over = "
    "coalesce((SELECT jsonb_object_agg(why, jsonb_build_object('jobs', jobs, 'example', example)) FROM l), '{}') "
    "WHERE job_id = $1::uuid AND behind IS NOT DISTINCT FROM $3::uuid RETURNING done, left_over), "
    "s AS (INSERT INTO platform.job_progress (job_id, progress) SELECT $1::uuid, jsonb_build_object('percent', "
    "least(100, (n.done + t.jobs) * 100 / greatest($4::bigint, 1)), 'message', n.done || ' of ' || $4::bigint || "
    "CASE WHEN t.jobs > 0 THEN ', ' || t.jobs || ' left as they were' ELSE '' END) "
    "FROM n, (SELECT coalesce(sum(jobs), 0)::bigint AS jobs FROM l) t ON CONFLICT (job_id) DO UPDATE SET progress = excluded.progress) "
    "SELECT done, left_over::text FROM n",
    7,
};

struct noting {
    struct bulk *bulk;
    int64_t found;
};

void bulk_leave(struct bulk_lefts *l, const char *why, struct str example) {
    size_t i = 0;
    while (i < l->n && strcmp(l->items[i].why, why) != 0) {
        i++;
    }
    if (i == l->n && l->n < sizeof l->items / sizeof l->items[0]) {
        l->items[l->n++] = (struct bulk_left){.why = why, .example = example};
    }
    l->items[i < l->n ? i : l->n - 1].jobs++;
}

static void on_noted(void *arg, struct err err, const PGresult *res) {
    const struct noting *n = arg;
    struct bulk *b = n->bulk;
    if (err_is_set(err)) {
        attempt_fail(b->attempt, err);
        return;
    }
    if (PQntuples(res) == 0) { /* another attempt has gone on: what is done, it says */
        bulk_moved(b, n->found, 0);
        return;
    }
    b->left = arena_str(b->attempt->arena, pg_col(res, 0, 1));
    if (b->left.p == NULL) {
        attempt_fail(b->attempt, err_make(ERR_NOMEM, "batch"));
    } else {
        bulk_moved(b, n->found, pg_col_int(res, 0, 0));
    }
}

static struct err columns(const struct bulk_lefts *left, struct buf out[3]) {
    for (size_t k = 0; k < 3; k++) {
        buf_init(&out[k], COLUMN_BYTES_MAX);
        pg_array_begin(&out[k]);
    }
    for (size_t i = 0; i < left->n; i++) {
        char jobs[PG_INT_BYTES];
        pg_array_add(&out[0], pg_text(str_c(left->items[i].why)));
        pg_array_add(&out[1], pg_int(left->items[i].jobs, jobs));
        pg_array_add(&out[2], pg_text(left->items[i].example));
    }
    for (size_t k = 0; k < 3; k++) {
        pg_array_end(&out[k]);
        TRY(buf_status(&out[k]));
    }
    return OK;
}

void bulk_note(struct bulk *b, struct uuid behind, const struct bulk_lefts *left, int64_t found) {
    struct noting *n = ARENA_NEW(b->attempt->arena, struct noting);
    char id[PG_UUID_BYTES], last[PG_UUID_BYTES], most[PG_INT_BYTES];
    struct buf column[3];
    struct err err = columns(left, column);
    if (n == NULL || err_is_set(err)) {
        attempt_fail(b->attempt, n == NULL ? err_make(ERR_NOMEM, "batch") : err);
    } else {
        *n = (struct noting){b, found};
        const struct pg_value values[] = {
            pg_uuid(b->attempt->job.id, id), pg_uuid(behind, last),        pg_text_or_null(b->behind),   pg_int(b->most, most),
            pg_text(buf_str(&column[0])),    pg_text(buf_str(&column[1])), pg_text(buf_str(&column[2])),
        };
        pg_exec(b->attempt->env->runtime->platform, &note_stmt, values, 0, 0, on_noted, n);
    }
    for (size_t k = 0; k < 3; k++) {
        buf_free(&column[k]);
    }
}
