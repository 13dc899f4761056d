/* One page of the epoch pass: open jobs that the new Redis has not been seen to hold. */
#include <jobs/journal.h>

#include "journal_rows.h"

#include <stdlib.h>

static const struct pg_stmt heal_stmt = {
    "journal.heal",
    "SELECT " JOB_COLUMNS
    " FROM platform.job WHERE state = 'waiting' AND queue = $1::text AND shard = $2::smallint AND id > $4::uuid "
    "AND epoch IS NOT NULL AND epoch <> $3::bigint ORDER BY id LIMIT 64",
    4,
};

struct healing {
    const struct journal *journal;
    struct journal_heal spec;
    heal_cb *cb;
    void *arg;
    struct err err;
    size_t placed, waiting;
    struct uuid last;
    bool more;
};

static void answered(struct healing *h, struct err err) {
    if (err_is_set(err) && !err_is_set(h->err)) {
        h->err = err;
    }
    if (--h->waiting == 0) {
        h->cb(h->arg, h->err, h->last, h->placed, h->more);
        free(h);
    }
}

static void on_marked(void *arg, struct err err, const PGresult *res) {
    (void)res;
    answered(arg, err);
}

static void on_placed(void *arg, struct err err) { answered(arg, err); }

static void on_page(void *arg, struct err err, const PGresult *res) {
    struct healing *h = arg;
    struct journal_job absent[LIMIT_BATCH], job;
    struct journal_mark there[LIMIT_BATCH];
    size_t there_n = 0;
    struct arena a;
    if (err_is_set(err)) {
        answered(h, err);
        return;
    }
    arena_init(&a, 64 << 10, 16 << 20);
    for (int row = 0; row < PQntuples(res) && row < LIMIT_BATCH; row++) {
        if (!journal_row_read(res, row, &a, &job)) { /* the pass must not end as if it had seen this one */
            h->err = err_make(ERR_NOMEM, "heal");
            break;
        }
        h->last = job.id;
        /* Of a replayed job, what is there may be the old generation, on its way out: a second copy is absorbed. */
        if (job.generation == 0 && h->spec.present(h->arg, job.id)) {
            there[there_n++] = (struct journal_mark){job.id, job.generation};
        } else {
            absent[h->placed++] = job;
        }
    }
    h->more = PQntuples(res) == LIMIT_BATCH;
    if (there_n > 0) {
        h->waiting++;
        journal_mark(h->journal->platform, h->spec.nonce, there, there_n, on_marked, h);
    }
    if (h->placed > 0) {
        h->waiting++;
        journal_place(h->journal, absent, h->placed, JOURNAL_MARKED, on_placed, h);
    }
    answered(h, OK);
    arena_free(&a);
}

void journal_heal(const struct journal *j, const struct journal_heal *spec, heal_cb *cb, void *arg) {
    struct healing *h = malloc(sizeof *h);
    if (h == NULL) {
        cb(arg, err_make(ERR_NOMEM, "heal"), spec->after, 0, false);
        return;
    }
    *h = (struct healing){.journal = j, .spec = *spec, .cb = cb, .arg = arg, .waiting = 1, .last = spec->after};
    char shard[PG_INT_BYTES], nonce[PG_INT_BYTES], after[PG_UUID_BYTES];
    const struct pg_value values[] = {pg_text(str_c(spec->queue)), pg_int(spec->shard, shard), pg_int(spec->nonce, nonce),
                                      pg_uuid(spec->after, after)};
    pg_exec(j->platform, &heal_stmt, values, 0, 0, on_page, h);
}
