/* From a module's job_outbox to the journal: written there first, then dropped here. A crash between the two writes the same ids
 * again, which the journal leaves alone. */
#include <jobs/journal.h>

#include "journal_rows.h"

#include <base/fault.h>
#include <jobs/module_sql.h>
#include <jobs/sending.h>
#include <stdlib.h>

struct copying {
    const struct journal *journal;
    struct module_env *env;
    outbox_cb *cb;
    void *arg;
    struct mono began;
    size_t n;
    struct uuid ids[LIMIT_BATCH];
};

static void done(struct copying *c, struct err err) {
    c->cb(c->arg, err, err_is_set(err) ? 0 : c->n, !err_is_set(err) && c->n == LIMIT_BATCH);
    free(c);
}

static void on_dropped(void *arg, struct err err, const PGresult *res) {
    (void)res;
    done(arg, err);
}

static void on_written(void *arg, struct err err) {
    struct copying *c = arg;
    struct pg_columns columns;
    struct pg_value ids;
    if (err_is_set(err)) {
        done(c, err);
        return;
    }
    FAILPOINT(OUTBOX_AFTER_COPY);
    pg_columns_init(&columns, 1);
    for (size_t i = 0; i < c->n; i++) {
        char room[PG_UUID_BYTES];
        pg_columns_add(&columns, 0, pg_uuid(c->ids[i], room));
    }
    err = pg_columns_end(&columns, &ids);
    if (err_is_set(err)) {
        done(c, err);
    } else {
        pg_exec(c->env->db, &c->env->module->sql->outbox_drop, &ids, 0, 0, on_dropped, c);
    }
    pg_columns_free(&columns);
}

static bool read_row(const PGresult *res, int row, struct arena *a, struct journal_job *out) {
    struct journal_job j = {
        .tenant = pg_col(res, row, 2),
        .queue = pg_col(res, row, 3),
        .type = pg_col(res, row, 4),
        .type_version = (uint16_t)pg_col_int(res, row, 5),
        .payload = pg_col_bytes(res, row, 6, a),
        .due = {pg_col_int(res, row, 8)},
    };
    if (!pg_col_uuid(res, row, 0, &j.id) || !pg_col_uuid(res, row, 1, &j.root) || j.payload.p == NULL) {
        return false;
    }
    if (!trace_parse(pg_col(res, row, 7), &j.trace)) {
        j.trace = trace_new();
    }
    *out = j;
    return true;
}

/* The row says what the job came of; the job itself comes of being sent. */
static void begin_sending(struct copying *c, struct journal_job *j) {
    struct trace parent = j->trace;
    if (!span_is_on()) {
        return;
    }
    j->trace = trace_child(&parent);
    const struct sending s = {.trace = j->trace,
                              .parent = &parent,
                              .job = j->id,
                              .queue = j->queue,
                              .type = j->type,
                              .tenant = j->tenant,
                              .bytes = j->payload.n,
                              .began = c->began};
    sending_record(&s, NULL);
}

static void on_read(void *arg, struct err err, const PGresult *res) {
    struct copying *c = arg;
    struct journal_job jobs[LIMIT_BATCH];
    struct arena a;
    if (err_is_set(err)) {
        done(c, err);
        return;
    }
    arena_init(&a, 64 << 10, 16 << 20);
    for (int row = 0; row < PQntuples(res) && row < LIMIT_BATCH; row++) {
        if (read_row(res, row, &a, &jobs[c->n])) {
            c->ids[c->n] = jobs[c->n].id;
            begin_sending(c, &jobs[c->n]);
            c->n++;
        }
    }
    if (c->n == 0) {
        done(c, OK);
    } else {
        journal_write(c->journal, jobs, c->n, on_written, c);
    }
    arena_free(&a);
}

void outbox_copy(const struct journal *j, struct module_env *env, outbox_cb *cb, void *arg) {
    struct copying *c = malloc(sizeof *c);
    if (c == NULL) {
        cb(arg, err_make(ERR_NOMEM, "outbox"), 0, false);
        return;
    }
    *c = (struct copying){.journal = j, .env = env, .cb = cb, .arg = arg, .began = loop_now(env->loop)};
    pg_exec(env->db, &env->module->sql->outbox_read, NULL, 0, 0, on_read, c);
}
