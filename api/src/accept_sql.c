/* The one statement of acceptance, over many rows.
 *
 * The keys go in first, in one order everywhere, so that two statements cannot wait for each other. A key that is there keeps its
 * job's row out. The outer query reads with the snapshot from before: it sees keys and jobs that were there, neither its own rows nor
 * those of a transaction that was faster by a hair. Of the latter nothing is seen at all: the row is asked again.
 *
 * One that is not as fast is waited for, and with it everybody in the statement: lock_timeout ends that long before statement_timeout
 * does. It is set for this transaction alone, and before anything is inserted, as d is read whole before the keys are sorted. */
#include "accept.h"

#include <base/fault.h>
#include <stdio.h>
#include <stdlib.h>

#include "call.h"

enum { COLUMN_BYTES_MAX = 16 << 20 };

const struct pg_stmt accept_stmt = {
    "api.accept",
    "WITH d AS (SELECT t.* FROM (SELECT set_config('lock_timeout', $16, true)) AS patience, unnest($1::int[], $2::text[], $3::text[], $4::bytea[], $5::real[], $6::uuid[], $7::text[], "
    "$8::smallint[], $9::text[], $10::int[], $11::bytea[], $12::text[], $13::bigint[], $14::bigint[], $15::text[]) AS t(n, tenant, key, fingerprint, "
    "estimate_s, id, queue, shard, type, type_version, payload, traceparent, due_ms, deadline_ms, callback_url)), "
    "k AS (INSERT INTO platform.idempotency (tenant, key, fingerprint, job_id, estimate_s) "
    "SELECT tenant, key, fingerprint, id, estimate_s FROM d WHERE key IS NOT NULL ORDER BY tenant, key "
    "ON CONFLICT DO NOTHING RETURNING job_id), "
    "n AS (INSERT INTO platform.job (id, root_id, tenant, queue, shard, type, type_version, payload, traceparent, due_at, deadline_at, callback_url) "
    "SELECT id, id, tenant, queue, shard, type, type_version, payload, traceparent, to_timestamp(due_ms / 1000.0), "
    "to_timestamp(deadline_ms / 1000.0), callback_url FROM d WHERE key IS NULL OR id IN (SELECT job_id FROM k) ON CONFLICT DO NOTHING RETURNING id) "
    "SELECT d.n, n.id IS NOT NULL, i.fingerprint, i.estimate_s, i.job_id, " JOB_COLUMNS " FROM d LEFT JOIN n ON n.id = d.id "
    "LEFT JOIN platform.idempotency i ON n.id IS NULL AND i.tenant = d.tenant AND i.key = d.key "
    "LEFT JOIN platform.job j ON n.id IS NULL AND j.id = coalesce(i.job_id, d.id)",
    ACCEPT_PARAMS,
};
enum { COLUMN_N, COLUMN_FRESH, COLUMN_FINGERPRINT, COLUMN_ESTIMATE, COLUMN_JOB, COLUMN_ROW };

static void add_row(struct buf *columns, const struct acceptance *a, size_t n) {
    char room[PG_UUID_BYTES], trace[TRACEPARENT_BYTES], estimate[32];
    bool keyed = a->key.p != NULL && !FAULT_SWITCH(NO_DEDUPE);
    trace_text(&a->trace, trace);
    (void)snprintf(estimate, sizeof estimate, "%.1f", a->estimate_s);
    const struct pg_value values[] = {
        pg_int((int64_t)n, room),          pg_text(str_c(a->call->who.tenant)),
        keyed ? pg_text(a->key) : PG_NULL, pg_bytes(str_of(a->fingerprint, sizeof a->fingerprint)),
        pg_text(str_c(estimate)),
    };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        pg_array_add(&columns[i], values[i]);
    }
    pg_array_add(&columns[5], pg_uuid(a->id, room));
    pg_array_add(&columns[6], pg_text(str_c(a->queue->name)));
    pg_array_add(&columns[7], pg_int(id_job_place(a->id).shard, room));
    pg_array_add(&columns[8], pg_text(str_c(a->type->name)));
    pg_array_add(&columns[9], pg_int(a->type->version, room));
    pg_array_add(&columns[10], pg_bytes(a->payload));
    pg_array_add(&columns[11], pg_text(str_c(trace)));
    pg_array_add(&columns[12], a->due.ms != 0 ? pg_int(a->due.ms, room) : PG_NULL);
    pg_array_add(&columns[13], a->deadline.ms != 0 ? pg_int(a->deadline.ms, room) : PG_NULL);
    pg_array_add(&columns[14], pg_text_or_null(a->callback));
}

struct err accept_columns(struct buf columns[ACCEPT_COLUMNS], struct acceptance *const *rows, size_t n,
                          struct pg_value out_values[ACCEPT_PARAMS]) {
    bool alone = n == 1 && rows[0]->alone; /* it was waited for before, and others wait behind it */
    for (size_t i = 0; i < ACCEPT_COLUMNS; i++) {
        buf_init(&columns[i], COLUMN_BYTES_MAX);
        pg_array_begin(&columns[i]);
    }
    for (size_t i = 0; i < n; i++) {
        add_row(columns, rows[i], i);
    }
    for (size_t i = 0; i < ACCEPT_COLUMNS; i++) {
        pg_array_end(&columns[i]);
        TRY(buf_status(&columns[i]));
        out_values[i] = pg_text(buf_str(&columns[i]));
    }
    /* Well below deadlock_timeout (1 s): of two who wait for each other's keys it is never somebody's own transaction that is ended. */
    out_values[ACCEPT_COLUMNS] = pg_text(alone ? STR("100ms") : STR("200ms"));
    return OK;
}

int accept_row(const PGresult *res, int row) {
    return pg_col_null(res, row, COLUMN_N) ? -1 : (int)pg_col_int(res, row, COLUMN_N);
}

/* A key that is there. Its job is, too: keys go first. */
static enum acceptance_verdict judge_known(struct acceptance *a, const PGresult *res, int row, struct arena *scratch) {
    struct str fingerprint = pg_col_bytes(res, row, COLUMN_FINGERPRINT, scratch);
    struct str estimate = pg_col(res, row, COLUMN_ESTIMATE);
    char text[32];
    if (!str_eq(fingerprint, str_of(a->fingerprint, sizeof a->fingerprint))) {
        return ACCEPTED_MISMATCH;
    }
    if (!job_row_read(res, row, COLUMN_ROW, scratch, &a->row)) {
        a->err = err_make(ERR_NOMEM, "the job of this key cannot be read");
        return ACCEPTED_FAILED;
    }
    a->known_id = a->row.id;
    a->known_estimate_s = str_copy_c(estimate, text, sizeof text) ? strtod(text, NULL) : 0;
    return ACCEPTED_KNOWN;
}

bool accept_judge(struct acceptance *a, const PGresult *res, int row, struct arena *scratch) {
    struct uuid job;
    bool has_key = !pg_col_null(res, row, COLUMN_JOB);
    bool has_row = !pg_col_null(res, row, COLUMN_ROW);
    bool own = has_key ? pg_col_uuid(res, row, COLUMN_JOB, &job) && uuid_eq(job, a->id) : has_row;
    if (pg_col_bool(res, row, COLUMN_FRESH) || own) {
        a->verdict = ACCEPTED_FRESH; /* own: a statement that seemed lost had been committed */
        return true;
    }
    if (!has_key) {
        return false;
    }
    a->verdict = judge_known(a, res, row, scratch);
    return true;
}
