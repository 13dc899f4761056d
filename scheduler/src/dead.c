/* The dead of the stream class: the worker leaves them in the shard's :dead, here they become rows. Written first, dropped then; a crash
 * between the two writes the same rows again. A row may be replayed before its job is dropped: what has died anew by then stays. */
#include "scheduler.h"

#include <base/fault.h>
#include <base/json.h>
#include <base/log.h>
#include <base/metrics.h>
#include <queues/envelope.h>
#include <stdlib.h>

static const struct pg_stmt insert_stmt = {
    "dead.insert",
    "INSERT INTO platform.dead_job (id, root_id, generation, class, tenant, queue, type, type_version, payload, attempts, errors, fingerprint, "
    "traceparent, release, first_release) VALUES ($1::uuid, $2::uuid, $3::int, 'stream', $4::text, $5::text, $6::text, $7::int, $8::bytea, "
    "$9::int, $10::jsonb, $11::text, $12::text, $13::text, $13) ON CONFLICT (id) DO UPDATE SET generation = excluded.generation, attempts = excluded.attempts, "
    "errors = excluded.errors, fingerprint = excluded.fingerprint, died_at = now(), replayed_at = NULL, discarded_at = NULL, " DEAD_RELEASES
    " WHERE dead_job.generation < excluded.generation",
    13,
};

struct moving;

struct moved {
    struct moving *moving;
    bool ok;
};

struct moving {
    struct shard_watch *watch;
    size_t n, waiting;
    struct err err;
    struct queue_dead_id ids[LIMIT_BATCH];
    struct moved moved[LIMIT_BATCH];
};

static void finish(struct moving *m, struct err err) {
    m->watch->moving_dead = false;
    if (err_is_set(m->err)) {
        err = m->err;
    }
    if (err_is_set(err)) {
        LOG(WARN, "dead.move_failed", LF_C("queue", m->watch->queue->name), LF_ERR(err));
    }
    free(m);
}

static void on_dropped(void *arg, struct err err, int64_t count) {
    if (!err_is_set(err)) {
        series_add(metric_series(M_RELAYED, "dead", NULL, NULL), (double)count);
    }
    finish(arg, err);
}

/* What was written is dropped; what the table refused stays, and holds up nobody. */
static void drop(struct moving *m) {
    struct queue_dead_id ids[LIMIT_BATCH];
    size_t n = 0;
    for (size_t i = 0; i < m->n; i++) {
        if (m->moved[i].ok) {
            ids[n++] = m->ids[i];
        }
    }
    if (n == 0) {
        finish(m, OK);
        return;
    }
    FAILPOINT(DEAD_AFTER_HANDOVER);
    queue_dead_drop(&m->watch->scheduler->rt->redis, m->watch->shard, ids, n, on_dropped, m);
}

static void one_done(struct moving *m) {
    if (--m->waiting == 0) {
        drop(m);
    }
}

static void on_inserted(void *arg, struct err err, const PGresult *res) {
    struct moved *one = arg;
    struct moving *m = one->moving;
    (void)res;
    one->ok = !err_is_set(err);
    if (err_is_set(err)) {
        m->err = (struct err){err.code, "a dead job was refused by its table"};
    }
    one_done(m);
}

static int64_t clamp(int64_t v) { return v < 0 ? 0 : v > INT32_MAX ? INT32_MAX : v; }

struct reason {
    json_t *json;
    int64_t attempts;
    struct str fingerprint, release; /* release: p NULL where a worker did not say */
    char *errors;                    /* JSON text; free() */
};

static void read_reason(struct str text, struct reason *out) {
    *out = (struct reason){.fingerprint = STR("unreadable")};
    if (err_is_set(json_read(text, &out->json))) {
        return;
    }
    out->attempts = json_opt_i64(out->json, "attempts", 0);
    out->fingerprint = json_opt_str(out->json, "fingerprint", STR("unreadable"));
    out->release = json_opt_str(out->json, "release", STR_NONE);
    const json_t *errors = json_object_get(out->json, "errors");
    if (json_is_array(errors)) {
        out->errors = json_dumps(errors, JSON_COMPACT);
    }
}

static void insert(struct moving *m, size_t i, const struct queue_dead_entry *d) {
    struct envelope e;
    struct reason r;
    char id[PG_UUID_BYTES], root[PG_UUID_BYTES], generation[PG_INT_BYTES], version[PG_INT_BYTES], attempts[PG_INT_BYTES],
        trace[TRACEPARENT_BYTES];
    if (envelope_is_newer(d->header, &e)) { /* its root is not known to us: it waits until a scheduler that can read it leads */
        one_done(m);
        return;
    }
    if (err_is_set(envelope_decode(d->header, &e))) {
        e = (struct envelope){
            .id = d->id.job, .root = d->id.job, .tenant = STR("default"), .type = STR("undecodable"), .trace = trace_new()};
    }
    read_reason(d->reason, &r);
    trace_text(&e.trace, trace);
    const struct pg_value values[] = {
        pg_uuid(d->id.job, id),
        pg_uuid(e.root, root),
        pg_int(clamp(e.generation), generation),
        pg_text(e.tenant),
        pg_text(str_c(m->watch->queue->name)),
        pg_text(e.type),
        pg_int(e.schema_version, version),
        pg_bytes(d->payload),
        pg_int(clamp(r.attempts), attempts),
        pg_text(r.errors != NULL ? str_c(r.errors) : STR("[]")),
        pg_text(r.fingerprint),
        pg_text(str_c(trace)),
        pg_text_or_null(r.release),
    };
    m->moved[i].moving = m;
    pg_exec(m->watch->scheduler->rt->platform, &insert_stmt, values, PG_SHARED, 0, on_inserted, &m->moved[i]);
    free(r.errors);
    json_decref(r.json);
}

static void on_peeked(void *arg, struct err err, const struct queue_dead_entry *entries, size_t n) {
    struct moving *m = arg;
    if (err_is_set(err) || n == 0) {
        m->watch->moving_dead = false;
        free(m);
        return;
    }
    m->n = m->waiting = n;
    for (size_t i = 0; i < n; i++) {
        m->ids[i] = entries[i].id;
        insert(m, i, &entries[i]);
    }
}

void dead_check(struct shard_watch *w) {
    if (w->depth.dead == 0 || w->moving_dead || !scheduler_leads(w->scheduler)) {
        return;
    }
    struct moving *m = calloc(1, sizeof *m);
    if (m == NULL) {
        return; /* the next look */
    }
    m->watch = w;
    w->moving_dead = true;
    queue_dead_peek(&w->scheduler->rt->redis, w->shard, on_peeked, m);
}
