/* Statements over many rows of the journal: writing, relaying, finishing. */
#include <jobs/journal.h>

#include "journal_rows.h"

#include <base/fault.h>
#include <jobs/sending.h>
#include <stdlib.h>

static const struct pg_stmt write_stmt = {
    "journal.write",
    "INSERT INTO platform.job (id, root_id, generation, tenant, queue, shard, type, type_version, payload, traceparent, due_at, deadline_at) "
    "SELECT id, root_id, generation, tenant, queue, shard, type, type_version, payload, traceparent, "
    "to_timestamp(due_ms / 1000.0), to_timestamp(deadline_ms / 1000.0) FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::text[], "
    "$5::text[], $6::smallint[], $7::text[], $8::int[], $9::bytea[], $10::text[], $11::bigint[], $12::bigint[]) "
    "AS t(id, root_id, generation, tenant, queue, shard, type, type_version, payload, traceparent, due_ms, deadline_ms) "
    "ON CONFLICT DO NOTHING RETURNING id",
    12,
};

/* What somebody holds is being ended or marked: added now, its mark would skip it, and it would be added again and again. */
static const struct pg_stmt relay_stmt = {
    "journal.relay",
    "SELECT " JOB_COLUMNS
    " FROM platform.job WHERE state = 'waiting' AND epoch IS NULL AND (unchecked OR callback_of IS NOT NULL OR created_at < now() - interval '1 second') "
    "ORDER BY id LIMIT 64 FOR NO KEY UPDATE SKIP LOCKED",
    0,
};

/* A row of a newer generation is waiting for an entry that may not exist any more (this one was of the old): the relay is asked for it.
 * A finished row keeps what it was finished with; a dead one is copied to dead_job in the same transaction. A job may be in the batch
 * twice, when it had two entries. */
static const struct pg_stmt finish_stmt = {
    "journal.finish",
    "WITH d AS (SELECT DISTINCT ON (id, generation) * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::int[], $5::bytea[], $6::int[], $7::text[], $8::text[]) "
    "AS t(id, generation, outcome, status, result, attempts, errors, fingerprint)), "
    "u AS (UPDATE platform.job j SET state = d.outcome, finished_at = now(), result_status = d.status, result = d.result "
    "FROM d WHERE j.id = d.id AND j.generation = d.generation AND j.state = 'waiting' RETURNING j.*), "
    "newer AS (UPDATE platform.job j SET epoch = NULL FROM d WHERE j.id = d.id AND j.generation > d.generation AND j.state = 'waiting') "
    "INSERT INTO platform.dead_job (id, root_id, generation, class, tenant, queue, type, type_version, payload, attempts, errors, "
    "fingerprint, traceparent, release, first_release) SELECT u.id, u.root_id, u.generation, 'journal', u.tenant, u.queue, u.type, "
    "u.type_version, u.payload, d.attempts, d.errors::jsonb, d.fingerprint, u.traceparent, '" PENSTOCK_VERSION
    "', '" PENSTOCK_VERSION "' FROM u JOIN d USING (id, generation) WHERE d.outcome = 'dead' "
    "ON CONFLICT (id) DO UPDATE SET generation = excluded.generation, attempts = excluded.attempts, errors = excluded.errors, "
    "fingerprint = excluded.fingerprint, died_at = now(), replayed_at = NULL, discarded_at = NULL, " DEAD_RELEASES,
    8,
};

struct writing {
    const struct journal *journal;
    journal_cb *cb;
    void *arg;
    struct job_batch batch;
};

static void writing_free(struct writing *w) {
    arena_free(&w->batch.arena);
    free(w);
}

static void on_placed(void *arg, struct err err) {
    (void)err; /* the relay's business */
    struct writing *w = arg;
    w->cb(w->arg, OK);
    writing_free(w);
}

/* Keeps of the batch what the statement inserted: the rest stands in the journal already. */
static void keep_inserted(struct job_batch *b, const PGresult *res) {
    size_t kept = 0;
    for (size_t i = 0; i < b->n; i++) {
        struct uuid id;
        for (int row = 0; row < PQntuples(res); row++) {
            if (pg_col_uuid(res, row, 0, &id) && uuid_eq(id, b->jobs[i].id)) {
                b->jobs[kept++] = b->jobs[i];
                break;
            }
        }
    }
    b->n = kept;
}

static void on_written(void *arg, struct err err, const PGresult *res) {
    struct writing *w = arg;
    if (err_is_set(err)) {
        w->cb(w->arg, err);
        writing_free(w);
        return;
    }
    keep_inserted(&w->batch, res);
    journal_place(w->journal, w->batch.jobs, w->batch.n, JOURNAL_MARKED, on_placed, w);
}

static void add_row(struct pg_columns *c, const struct journal_job *j) {
    char room[PG_UUID_BYTES], trace[TRACEPARENT_BYTES];
    trace_text(&j->trace, trace);
    pg_columns_add(c, 0, pg_uuid(j->id, room));
    pg_columns_add(c, 1, pg_uuid(j->root, room));
    pg_columns_add(c, 2, pg_int(j->generation, room));
    pg_columns_add(c, 3, pg_text(j->tenant));
    pg_columns_add(c, 4, pg_text(j->queue));
    pg_columns_add(c, 5, pg_int(id_job_place(j->id).shard, room));
    pg_columns_add(c, 6, pg_text(j->type));
    pg_columns_add(c, 7, pg_int(j->type_version, room));
    pg_columns_add(c, 8, pg_bytes(j->payload));
    pg_columns_add(c, 9, pg_text(str_c(trace)));
    pg_columns_add(c, 10, j->due.ms != 0 ? pg_int(j->due.ms, room) : PG_NULL);
    pg_columns_add(c, 11, j->deadline.ms != 0 ? pg_int(j->deadline.ms, room) : PG_NULL);
}

void journal_write(const struct journal *j, const struct journal_job *jobs, size_t n, journal_cb *cb, void *arg) {
    struct pg_columns columns;
    struct pg_value values[12];
    struct writing *w = calloc(1, sizeof *w);
    if (w == NULL || n > LIMIT_BATCH) {
        free(w);
        cb(arg, err_make(ERR_NOMEM, "journal"));
        return;
    }
    w->journal = j;
    w->cb = cb;
    w->arg = arg;
    arena_init(&w->batch.arena, 4096, 16 << 20);
    pg_columns_init(&columns, 12);
    struct err e = OK;
    for (size_t i = 0; i < n && !err_is_set(e); i++) {
        e = job_batch_add(&w->batch, &jobs[i]);
        add_row(&columns, &jobs[i]);
    }
    if (!err_is_set(e)) {
        e = pg_columns_end(&columns, values);
    }
    if (err_is_set(e)) {
        writing_free(w);
        cb(arg, e);
    } else {
        pg_exec(j->platform, &write_stmt, values, 0, 0, on_written, w);
    }
    pg_columns_free(&columns);
}

struct relaying {
    const struct journal *journal;
    outbox_cb *cb;
    void *arg;
    size_t n;
    struct mono began;
};

/* Made in the database, where nobody records a span. By penstock.enqueue: its trace begins here, with the id that its row has. By the end of
 * another job: its row has what that was sent with. */
static void adopt_trace(struct journal_job *j, struct mono began) {
    struct trace parent = j->trace;
    if (!(j->unchecked || j->callback) || !span_is_on()) {
        return;
    }
    if (j->callback) {
        j->trace = trace_child(&parent);
    } else {
        span_judge(&j->trace);
    }
    const struct sending s = {.trace = j->trace,
                              .parent = j->callback ? &parent : NULL,
                              .job = j->id,
                              .queue = j->queue,
                              .type = j->type,
                              .tenant = j->tenant,
                              .bytes = j->payload.n,
                              .began = began};
    sending_record(&s, NULL);
}

static void on_unchecked(void *arg, struct err err) {
    struct relaying *r = arg;
    r->cb(r->arg, err, r->n, r->n == LIMIT_BATCH);
    free(r);
}

static void on_unmarked(void *arg, struct err err, const PGresult *res) {
    struct relaying *r = arg;
    struct journal_job jobs[LIMIT_BATCH];
    struct arena a;
    if (err_is_set(err)) {
        on_unchecked(r, err);
        return;
    }
    arena_init(&a, 64 << 10, 16 << 20);
    for (int row = 0; row < PQntuples(res) && row < LIMIT_BATCH; row++) {
        if (journal_row_read(res, row, &a, &jobs[r->n])) {
            adopt_trace(&jobs[r->n], r->began);
            r->n++;
        }
    }
    if (r->n == 0) {
        on_unchecked(r, OK);
    } else {
        journal_place(r->journal, jobs, r->n, JOURNAL_MARKED, on_unchecked, r);
    }
    arena_free(&a);
}

void journal_relay(const struct journal *j, outbox_cb *cb, void *arg) {
    struct relaying *r = malloc(sizeof *r);
    if (r == NULL) {
        cb(arg, err_make(ERR_NOMEM, "relay"), 0, false);
        return;
    }
    *r = (struct relaying){.journal = j, .cb = cb, .arg = arg, .began = clock_mono(&clock_system)};
    pg_exec(j->platform, &relay_stmt, NULL, 0, 0, on_unmarked, r);
}

struct finishing {
    journal_cb *cb;
    void *arg;
};

static void on_finished(void *arg, struct err err, const PGresult *res) {
    (void)res;
    struct finishing *f = arg;
    f->cb(f->arg, err);
    free(f);
}

static void add_end(struct pg_columns *c, const struct journal_end *e) {
    char room[PG_UUID_BYTES];
    pg_columns_add(c, 0, pg_uuid(e->id, room));
    pg_columns_add(c, 1, pg_int(e->generation, room));
    pg_columns_add(c, 2, pg_text(str_c(job_outcome_name(e->outcome))));
    pg_columns_add(c, 3, pg_int(e->status, room));
    pg_columns_add(c, 4, pg_bytes(e->result));
    pg_columns_add(c, 5, pg_int(e->attempts, room));
    pg_columns_add(c, 6, e->errors.n > 0 ? pg_text(e->errors) : pg_text(STR("[]")));
    pg_columns_add(c, 7, pg_text(e->fingerprint));
}

void journal_finish(const struct journal *j, const struct journal_end *ends, size_t n, journal_cb *cb, void *arg) {
    struct pg_columns columns;
    struct pg_value values[8];
    struct finishing *f = malloc(sizeof *f);
    pg_columns_init(&columns, 8);
    for (size_t i = 0; i < n; i++) {
        add_end(&columns, &ends[i]);
    }
    struct err e = f != NULL ? pg_columns_end(&columns, values) : err_make(ERR_NOMEM, "finish");
    if (err_is_set(e)) {
        free(f);
        cb(arg, e);
    } else {
        *f = (struct finishing){cb, arg};
        pg_exec(j->platform, &finish_stmt, values, 0, 0, on_finished, f);
    }
    pg_columns_free(&columns);
}
