#include "accept.h"

#include <base/fault.h>
#include <base/metrics.h>
#include <io/timer.h>
#include <stdio.h>
#include <stdlib.h>

#include "record.h"
#include "sampler.h"
#include "server.h"

enum {
    WAITING_MAX = 16384,
    GIVE_UP_MS = 10000,
    SWEEP_MS = 500,
    AGAIN_MS = 100,
    SLOW_MS = 2000,    /* a statement without an answer is trouble */
    REFUSED_MS = 3000, /* for so long a refusal is remembered when nothing is accepted meanwhile */
    RACES_MAX = 8,
    SCRATCH_BLOCK_BYTES = 16 << 10,
    SCRATCH_BYTES = 16 << 20
};

/* ---- what both classes share ---- */

static unsigned pick_shard(const struct acceptance *a) {
    struct uuid any;
    if (a->key.p != NULL) {
        return shard_pick(a->queue->shards_n, str_c(a->call->who.tenant), a->key);
    }
    crypto_random(any.b, sizeof any.b);
    return shard_pick(a->queue->shards_n, str_of(any.b, sizeof any.b), STR_NONE);
}

struct err acceptance_prepare(struct acceptance *a) {
    struct api *api = a->call->api;
    /* A tenant is a name, so that the NUL between cannot be part of it. */
    const struct str parts[] = {str_c(a->call->who.tenant), str_of("", 1), a->key};
    TRY(sha256_parts(parts, 3, a->key_hash));
    bool stream_class = a->type->class == CLASS_STREAM;
    const struct job_place place = {
        .stream_class = stream_class, .queue_number = a->queue->number, .shard = (uint8_t)pick_shard(a)};
    a->id = id_new_job(&api->rt->ids, place);
    if (stream_class) {
        TRY(id_put_tenant(&a->id, str_c(a->call->who.tenant)));
    }
    a->trace = trace_child(&a->call->trace);
    a->estimate_s = sampler_estimate_s(api->sampler, a->queue, a->due, loop_wall(api->rt->loop));
    a->give_up = (struct mono){loop_now(api->rt->loop).us + GIVE_UP_MS * 1000};
    return OK;
}

void acceptance_start(struct acceptance *a) {
    struct api *api = a->call->api;
    a->began = loop_now(api->rt->loop);
    sampler_began(api->sampler, a);
    if (a->type->class == CLASS_STREAM) {
        enter_add(api->enter, a);
    } else {
        accept_add(api->accept, a);
    }
}

void acceptance_tell(struct acceptance *a, enum acceptance_verdict verdict, struct err err) {
    static const char *const hits[] = {[ACCEPTED_KNOWN] = "attach", [ACCEPTED_MISMATCH] = "mismatch"};
    if (a->told) {
        return;
    }
    a->told = true;
    sampler_decided(a->call->api->sampler, a, verdict == ACCEPTED_FRESH);
    if (verdict == ACCEPTED_FRESH || verdict == ACCEPTED_FAILED) { /* a failed one may have been kept */
        record_sending(a, err);
    }
    a->verdict = verdict;
    a->err = err;
    if (verdict == ACCEPTED_FRESH) {
        metric_inc(M_JOBS_ENQUEUED, a->queue->name, a->type->name, "api");
    } else if (verdict == ACCEPTED_KNOWN || verdict == ACCEPTED_MISMATCH) {
        bool replay = verdict == ACCEPTED_KNOWN && a->row.type.p != NULL && !job_row_is_open(&a->row);
        metric_inc(M_IDEMPOTENCY_HITS, replay ? "replay" : hits[verdict], NULL, NULL);
    }
    a->done(a);
}

/* ---- the journal ---- */

/* One statement at a time. */
struct lane {
    struct acceptance_list waiting;
    size_t most;          /* rows in one statement */
    struct batch *flying; /* the statement under way; NULL: none */
    struct mono sent;
};

struct accept {
    struct api *api;
    struct lane together, alone; /* alone: what spoilt a statement for others does not hold up those who come later */
    size_t waiting_n;            /* in both */
    bool probing;                /* an empty statement is under way */
    struct mono probed;
    /* Postgres was there and did not take the last statement: with rows, without; us 0: it did. Apart, because only rows are worth a
     * repetition: the probe comes by itself. */
    struct mono refused_at, probe_refused_at;
    struct turn_end flush;
    struct timer *again; /* after a lost connection */
    struct timer *sweep; /* for those whose time is up */
};

/* One statement, and then the placing of what it kept. Freed with the last answer. */
struct batch {
    struct accept *accept;
    struct lane *lane;
    size_t n;
    struct acceptance *rows[LIMIT_BATCH];
};

static void drop(struct acceptance *a) { call_release(a->call); }

static void put_back(struct accept *s, struct acceptance *a) {
    if (s->api->closing) {
        acceptance_tell(a, ACCEPTED_FAILED, err_make(ERR_CLOSED, "closing"));
        drop(a);
        return;
    }
    struct lane *lane = a->alone ? &s->alone : &s->together;
    STAILQ_INSERT_TAIL(&lane->waiting, a, link);
    s->waiting_n++;
}

static void wake(struct accept *s) {
    if (!s->api->closing) {
        loop_at_turn_end(s->api->rt->loop, &s->flush);
    }
}

static bool is_over(struct accept *s, const struct acceptance *a) {
    return a->told || loop_now(s->api->rt->loop).us >= a->give_up.us;
}

/* The connection was lost: the same rows once more, with the same ids, until their time is up. */
static void repeat_all(struct accept *s, struct batch *b, struct err err) {
    for (size_t i = 0; i < b->n; i++) {
        struct acceptance *a = b->rows[i];
        if (is_over(s, a) || err.code == ERR_CLOSED) {
            acceptance_tell(a, ACCEPTED_FAILED, err);
            drop(a);
        } else {
            put_back(s, a);
        }
    }
    if (!s->api->closing) {
        timer_start(s->again, AGAIN_MS);
    }
    free(b);
}

/* One row may have spoilt it for the others: each alone. */
static void repeat_alone(struct accept *s, struct batch *b, struct err err) {
    for (size_t i = 0; i < b->n; i++) {
        struct acceptance *a = b->rows[i];
        if (b->n == 1 || a->told) {
            acceptance_tell(a, ACCEPTED_FAILED, err);
            drop(a);
        } else {
            a->alone = true;
            put_back(s, a);
        }
    }
    free(b);
    wake(s);
}

/* Postgres is there, and says that it does not: it is read only, or its disk is full, or the time of the statement was up. Rows
 * that others hold are none: the statement's patience with locks is shorter than its time. */
static bool is_refusal(const struct accept *s, struct err err) {
    return err.code == ERR_PG_SLOW || (err.code == ERR_PG_DOWN && pg_pool_is_up(s->api->rt->platform));
}

static bool was_refused(const struct accept *s, struct mono at) {
    return at.us != 0 && mono_ms_since(loop_now(s->api->rt->loop), at) < REFUSED_MS;
}

/* Nothing of the batch is kept, nor would it be a moment later. */
static void refuse_all(struct accept *s, struct batch *b, struct err err) {
    for (size_t i = 0; i < b->n; i++) {
        acceptance_tell(b->rows[i], ACCEPTED_FAILED, err);
        drop(b->rows[i]);
    }
    free(b);
    wake(s);
}

static void on_placed(void *arg, struct err err) {
    struct batch *b = arg;
    (void)err; /* what could not be placed is the relay's: the job is kept */
    for (size_t i = 0; i < b->n; i++) {
        acceptance_tell(b->rows[i], ACCEPTED_FRESH, OK);
        drop(b->rows[i]);
    }
    free(b);
}

static struct journal_job job_of(const struct acceptance *a) {
    return (struct journal_job){
        .id = a->id,
        .root = a->id,
        .tenant = str_c(a->call->who.tenant),
        .queue = str_c(a->queue->name),
        .type = str_c(a->type->name),
        .type_version = a->type->version,
        .payload = a->payload,
        .trace = a->trace,
        .due = a->due,
        .deadline = a->deadline,
    };
}

static void place(struct accept *s, struct batch *b) {
    struct journal_job jobs[LIMIT_BATCH];
    for (size_t i = 0; i < b->n; i++) {
        jobs[i] = job_of(b->rows[i]);
    }
    if (b->n > 0) {
        journal_place(&s->api->rt->journal, jobs, b->n, JOURNAL_PLACED, on_placed, b);
    } else {
        free(b);
    }
}

static void race_again(struct accept *s, struct acceptance *a) {
    if (++a->races > RACES_MAX || is_over(s, a)) {
        acceptance_tell(a, ACCEPTED_FAILED, err_make(ERR_CONFLICT, "another request with this key is being decided"));
        drop(a);
    } else {
        put_back(s, a);
    }
}

/* Answers who is not fresh; the fresh ones stay in the batch, to be placed. */
static void judge_all(struct accept *s, struct batch *b, const PGresult *res) {
    struct acceptance *fresh[LIMIT_BATCH];
    struct arena scratch;
    size_t fresh_n = 0;
    bool seen[LIMIT_BATCH] = {false};
    arena_init(&scratch, SCRATCH_BLOCK_BYTES, SCRATCH_BYTES);
    for (int row = 0; row < PQntuples(res); row++) {
        int n = accept_row(res, row);
        if (n < 0 || (size_t)n >= b->n || seen[n]) {
            continue;
        }
        struct acceptance *a = b->rows[n];
        seen[n] = true;
        if (!accept_judge(a, res, row, &scratch)) {
            race_again(s, a);
        } else if (a->verdict == ACCEPTED_FRESH) {
            fresh[fresh_n++] = a;
        } else {
            acceptance_tell(a, a->verdict, a->err);
            drop(a);
        }
        arena_reset(&scratch);
    }
    arena_free(&scratch);
    for (size_t i = 0; i < fresh_n; i++) {
        b->rows[i] = fresh[i];
    }
    b->n = fresh_n;
}

static void on_answer(void *arg, struct err err, const PGresult *res) {
    struct batch *b = arg;
    struct accept *s = b->accept;
    b->lane->flying = NULL;
    record_accepted(b->rows, b->n, b->lane->sent, err);
    if (is_refusal(s, err)) {
        bool again = was_refused(s, s->refused_at);
        s->refused_at = loop_now(s->api->rt->loop);
        if (again && err.code == ERR_PG_DOWN) {
            refuse_all(s, b, err);
            return;
        } /* else once more, in a moment: a server that shuts down says the same, and is waited for */
    }
    if (err.code == ERR_PG_LOST || err.code == ERR_PG_DOWN || err.code == ERR_CLOSED) {
        repeat_all(s, b, err);
        return;
    }
    if (err_is_set(err)) {
        repeat_alone(s, b, err);
        return;
    }
    FAILPOINT(ACCEPT_AFTER_COMMIT);
    s->refused_at = s->probe_refused_at = (struct mono){0};
    judge_all(s, b, res);
    place(s, b);
    if (s->waiting_n > 0) {
        wake(s);
    }
}

static void take(struct accept *s, struct batch *b) {
    struct acceptance *a;
    while (b->n < b->lane->most && (a = STAILQ_FIRST(&b->lane->waiting)) != NULL) {
        STAILQ_REMOVE_HEAD(&b->lane->waiting, link);
        s->waiting_n--;
        if (a->told) {
            drop(a);
        } else {
            b->rows[b->n++] = a;
        }
    }
}

static void send(struct accept *s, struct batch *b) {
    struct buf columns[ACCEPT_COLUMNS];
    struct pg_value values[ACCEPT_PARAMS];
    struct err e = accept_columns(columns, b->rows, b->n, values);
    if (err_is_set(e)) {
        repeat_alone(s, b, e);
    } else {
        FAILPOINT(ACCEPT_BEFORE_COMMIT);
        b->lane->flying = b;
        b->lane->sent = loop_now(s->api->rt->loop);
        pg_exec(s->api->rt->platform, &accept_stmt, values, 0, 0, on_answer, b);
    }
    for (size_t i = 0; i < ACCEPT_COLUMNS; i++) {
        buf_free(&columns[i]);
    }
}

static void send_next(struct accept *s, struct lane *lane) {
    if (lane->flying != NULL || STAILQ_EMPTY(&lane->waiting)) {
        return;
    }
    struct batch *b = malloc(sizeof *b);
    if (b == NULL) {
        timer_start(s->again, AGAIN_MS);
        return;
    }
    *b = (struct batch){.accept = s, .lane = lane};
    take(s, b);
    if (b->n == 0) {
        free(b);
    } else {
        send(s, b);
    }
}

/* Both may go to one connection: the one that is perhaps held up goes last. */
static void flush(void *arg) {
    struct accept *s = arg;
    if (!timer_is_active(s->again)) {
        send_next(s, &s->together);
        send_next(s, &s->alone);
    }
}

static void on_again(void *arg) { wake(arg); }

static void tell_if_over(struct accept *s, struct acceptance *a) {
    if (is_over(s, a)) {
        acceptance_tell(a, ACCEPTED_FAILED, err_make(ERR_PG_LOST, "Postgres did not answer in time"));
    }
}

/* Their memory stays until the list or the statement lets go of them. */
static void sweep(struct accept *s, const struct lane *lane) {
    struct acceptance *a;
    STAILQ_FOREACH(a, &lane->waiting, link) { tell_if_over(s, a); }
    for (size_t i = 0; lane->flying != NULL && i < lane->flying->n; i++) {
        tell_if_over(s, lane->flying->rows[i]);
    }
}

static void on_sweep(void *arg) {
    struct accept *s = arg;
    sweep(s, &s->together);
    sweep(s, &s->alone);
}

/* ---- readiness ---- */

static void on_probed(void *arg, struct err err, const PGresult *res) {
    struct accept *s = arg;
    (void)res;
    s->probing = false;
    if (is_refusal(s, err)) {
        s->probe_refused_at = loop_now(s->api->rt->loop);
    }
}

/* The same statement over no rows. A success does not end a refusal: with rows there may be no room for them. */
void accept_probe(struct accept *s) {
    struct buf columns[ACCEPT_COLUMNS];
    struct pg_value values[ACCEPT_PARAMS];
    if (s->probing) {
        return;
    }
    if (!err_is_set(accept_columns(columns, NULL, 0, values))) {
        s->probing = true;
        s->probed = loop_now(s->api->rt->loop);
        pg_exec(s->api->rt->platform, &accept_stmt, values, 0, 0, on_probed, s);
    }
    for (size_t i = 0; i < ACCEPT_COLUMNS; i++) {
        buf_free(&columns[i]);
    }
}

static bool is_slow(const struct accept *s, bool under_way, struct mono since) {
    return under_way && mono_ms_since(loop_now(s->api->rt->loop), since) >= SLOW_MS;
}

bool accept_is_refused(const struct accept *s) {
    return is_slow(s, s->together.flying != NULL, s->together.sent) || is_slow(s, s->alone.flying != NULL, s->alone.sent) ||
           is_slow(s, s->probing, s->probed) || was_refused(s, s->refused_at) || was_refused(s, s->probe_refused_at);
}

bool accept_is_full(const struct accept *s, int pct) { return s->waiting_n * 100 >= (size_t)WAITING_MAX * (size_t)pct; }

void accept_add(struct accept *s, struct acceptance *a) {
    call_hold(a->call);
    put_back(s, a);
    wake(s);
}

struct err accept_new(struct api *api, struct accept **out) {
    struct accept *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return err_make(ERR_NOMEM, "acceptance");
    }
    s->api = api;
    s->flush = (struct turn_end){.run = flush, .arg = s};
    s->together.most = LIMIT_BATCH;
    s->alone.most = 1;
    STAILQ_INIT(&s->together.waiting);
    STAILQ_INIT(&s->alone.waiting);
    struct err e = timer_new(api->rt->loop, on_again, s, &s->again);
    if (!err_is_set(e)) {
        e = timer_new(api->rt->loop, on_sweep, s, &s->sweep);
    }
    if (err_is_set(e)) {
        accept_stop(s);
        accept_free(s);
        return e;
    }
    timer_start_every(s->sweep, SWEEP_MS);
    *out = s;
    return OK;
}

static void empty(struct lane *lane) {
    struct acceptance *a;
    while ((a = STAILQ_FIRST(&lane->waiting)) != NULL) {
        STAILQ_REMOVE_HEAD(&lane->waiting, link);
        acceptance_tell(a, ACCEPTED_FAILED, err_make(ERR_CLOSED, "closing"));
        drop(a);
    }
}

void accept_stop(struct accept *s) {
    if (s == NULL) {
        return;
    }
    timer_free(s->again);
    timer_free(s->sweep);
    loop_cancel_turn_end(s->api->rt->loop, &s->flush);
    empty(&s->together);
    empty(&s->alone);
}

void accept_free(struct accept *s) { free(s); }
