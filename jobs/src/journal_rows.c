#include "journal_rows.h"

/* Not waited for on disk: a mark that a crash of Postgres takes back makes the relay add the job again, and its second copy is absorbed.
 * A row that somebody holds is not waited for: he locks his rows in an order of his own, and the two could wait for each other. Most likely
 * he ends it; else the relay, which does not take what is held either, finds it without a mark. */
static const struct pg_stmt mark_stmt = {
    "journal.mark",
    "UPDATE platform.job j SET epoch = $1::bigint FROM (SELECT k.id FROM platform.job k "
    "JOIN unnest($2::uuid[], $3::int[]) AS d(id, generation) USING (id, generation) "
    "WHERE k.state = 'waiting' AND k.epoch IS DISTINCT FROM $1::bigint FOR NO KEY UPDATE OF k SKIP LOCKED) free, "
    "(SELECT set_config('synchronous_commit', 'off', true)) c WHERE j.id = free.id",
    3,
};

enum { COLUMN_BYTES_MAX = 16 << 20 };

void pg_columns_init(struct pg_columns *c, size_t n) {
    c->n = n;
    for (size_t i = 0; i < n; i++) {
        buf_init(&c->column[i], COLUMN_BYTES_MAX);
        pg_array_begin(&c->column[i]);
    }
}

void pg_columns_free(struct pg_columns *c) {
    for (size_t i = 0; i < c->n; i++) {
        buf_free(&c->column[i]);
    }
}

void pg_columns_add(struct pg_columns *c, size_t column, struct pg_value v) { pg_array_add(&c->column[column], v); }

struct err pg_columns_end(struct pg_columns *c, struct pg_value *out_values) {
    for (size_t i = 0; i < c->n; i++) {
        pg_array_end(&c->column[i]);
        TRY(buf_status(&c->column[i]));
        out_values[i] = pg_text(buf_str(&c->column[i]));
    }
    return OK;
}

static bool copy(struct arena *a, struct str *s) {
    *s = arena_str(a, *s);
    return s->p != NULL;
}

struct err job_batch_add(struct job_batch *b, const struct journal_job *j) {
    struct journal_job c = *j;
    if (!copy(&b->arena, &c.tenant) || !copy(&b->arena, &c.queue) || !copy(&b->arena, &c.type) || !copy(&b->arena, &c.payload)) {
        return err_make(ERR_NOMEM, "batch of jobs");
    }
    b->jobs[b->n++] = c;
    return OK;
}

bool journal_row_read(const PGresult *res, int row, struct arena *a, struct journal_job *out) {
    struct journal_job j = {
        .generation = (uint32_t)pg_col_int(res, row, 2),
        .tenant = pg_col(res, row, 3),
        .queue = pg_col(res, row, 4),
        .type = pg_col(res, row, 5),
        .type_version = (uint16_t)pg_col_int(res, row, 6),
        .payload = pg_col_bytes(res, row, 7, a),
        .due = {pg_col_int(res, row, 9)},
        .deadline = {pg_col_int(res, row, 10)},
        .unchecked = pg_col_bool(res, row, 11),
        .callback = pg_col_bool(res, row, 12),
    };
    if (!pg_col_uuid(res, row, 0, &j.id) || !pg_col_uuid(res, row, 1, &j.root) || j.payload.p == NULL) {
        return false;
    }
    if (!trace_parse(pg_col(res, row, 8), &j.trace)) {
        j.trace = trace_new();
    }
    *out = j;
    return true;
}

void journal_mark(struct pg_pool *platform, int64_t epoch, const struct journal_mark *marks, size_t n, pg_cb *cb, void *arg) {
    struct pg_columns columns;
    struct pg_value values[3];
    char room[PG_UUID_BYTES];
    pg_columns_init(&columns, 2);
    for (size_t i = 0; i < n; i++) {
        pg_columns_add(&columns, 0, pg_uuid(marks[i].id, room));
        pg_columns_add(&columns, 1, pg_int(marks[i].generation, room));
    }
    struct err e = pg_columns_end(&columns, &values[1]);
    values[0] = pg_int(epoch, room);
    if (err_is_set(e)) {
        cb(arg, e, NULL);
    } else {
        pg_exec(platform, &mark_stmt, values, 0, 0, cb, arg);
    }
    pg_columns_free(&columns);
}
