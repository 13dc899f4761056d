#include "store.h"

#include "jobs_book.h"
#include "store_values.h"
#include "world.h"

#include <base/crypto.h>
#include <stdlib.h>

enum { MARKS_MAX = 4096 };

static struct {
    struct row *rows;
    struct effect *effects;
    struct dead_row *dead;
    struct arena arena;
    struct {
        struct row *row;
        int64_t before, after;
    } marks[MARKS_MAX]; /* not on disk yet */
    size_t marks_n;
    bool paused;
} store;

const struct pg_stmt sim_note = {"sim.note", "", 6}, sim_tally = {"sim.tally", "", 1}, sim_accept = {"sim.accept", "", 6},
                     sim_insert = {"sim.insert", "", 6}, sim_replay = {"sim.replay", "", 1}, sim_dead = {"sim.dead", "", 1},
                     sim_replayed = {"sim.replayed", "", 2};

/* ---- rows ---- */

static struct row *row_find(struct uuid id) {
    struct row *r = NULL;
    HASH_FIND(hh, store.rows, &id, sizeof id, r);
    return r;
}

static int by_id(const void *a, const void *b) {
    return memcmp(&(*(struct row *const *)a)->id, &(*(struct row *const *)b)->id, sizeof(struct uuid));
}

/* Open rows by id that the filter takes, at most a batch of them. */
static size_t pick(bool (*wanted)(const struct row *r, const struct pg_value *values), const struct pg_value *values,
                   struct row *out[LIMIT_BATCH]) {
    static struct row *found[STORE_ROWS_MAX];
    size_t n = 0;
    for (struct row *r = store.rows; r != NULL && n < STORE_ROWS_MAX; r = r->hh.next) {
        if (r->state == ROW_WAITING && wanted(r, values)) {
            found[n++] = r;
        }
    }
    if (n > 0) {
        qsort(found, n, sizeof(void *), by_id);
    }
    n = n < LIMIT_BATCH ? n : LIMIT_BATCH;
    memcpy(out, found, n * sizeof(void *));
    return n;
}

/* JOB_COLUMNS */
static PGresult *job_columns(struct row *const *rows, size_t n) {
    PGresult *res = res_new(12);
    for (int i = 0; i < (int)n; i++) {
        const struct row *r = rows[i];
        res_set_uuid(res, i, 0, r->id);
        res_set_uuid(res, i, 1, r->root);
        res_set_int(res, i, 2, r->generation);
        res_set_c(res, i, 3, "acme");
        res_set_c(res, i, 4, SIM_QUEUE);
        res_set_c(res, i, 5, r->type);
        res_set_int(res, i, 6, r->version);
        res_set_c(res, i, 7, "\\x7b7d");
        res_set_c(res, i, 8, "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        res_set(res, i, 9, STR_NONE);
        res_set(res, i, 10, STR_NONE);
        if (r->due_ms != 0) {
            res_set_int(res, i, 9, r->due_ms);
        }
        if (r->deadline_ms != 0) {
            res_set_int(res, i, 10, r->deadline_ms);
        }
        res_set_bool(res, i, 11, r->unchecked);
    }
    return res;
}

static void on_disk(void) { store.marks_n = 0; }

/* ---- journal ---- */

static PGresult *accept(const struct pg_value *v, bool unchecked) {
    struct uuid id = param_uuid(v[0]);
    PGresult *res = res_new(2);
    struct sim_key *key = v[1].n > 0 ? book_key(str_of(v[1].p, v[1].n)) : NULL;
    bool fresh = key == NULL || uuid_is_nil(key->row) || uuid_eq(key->row, id);
    if (fresh && row_find(id) == NULL) {
        struct row *r = sim_new(sizeof *r);
        const struct sim_job *job = book_job(id);
        *r = (struct row){.id = id,
                          .root = id,
                          .state = ROW_WAITING,
                          .type = job->type,
                          .version = job->version,
                          .shard = (unsigned)param_int(v[3]),
                          .due_ms = param_int(v[4]),
                          .deadline_ms = param_int(v[5]),
                          .created_ms = world_wall_ms(),
                          .unchecked = unchecked};
        HASH_ADD(hh, store.rows, id, sizeof r->id, r);
        if (key != NULL) {
            key->row = id;
        }
        on_disk();
    }
    res_set_bool(res, 0, 0, fresh);
    res_set_uuid(res, 0, 1, fresh ? id : key->row);
    return res;
}
static PGresult *run_accept(const struct pg_value *v) { return accept(v, false); }
static PGresult *run_insert(const struct pg_value *v) { return accept(v, true); }

static bool is_unmarked(const struct row *r, const struct pg_value *v) {
    (void)v;
    return r->epoch == 0 && (r->unchecked || r->created_ms < world_wall_ms() - 1000) && !world_fault(world.weather.skip);
}

static PGresult *run_relay(const struct pg_value *v) {
    struct row *rows[LIMIT_BATCH];
    size_t n = pick(is_unmarked, v, rows);
    return job_columns(rows, n);
}

static bool is_of_other_epoch(const struct row *r, const struct pg_value *v) {
    struct uuid after = param_uuid(v[3]);
    return r->shard == (unsigned)param_int(v[1]) && memcmp(&r->id, &after, sizeof after) > 0 && r->epoch != 0 &&
           r->epoch != param_int(v[2]);
}

static PGresult *run_heal(const struct pg_value *v) {
    struct row *rows[LIMIT_BATCH];
    size_t n = pick(is_of_other_epoch, v, rows);
    return job_columns(rows, n);
}

static void mark(struct row *r, int64_t epoch) {
    if (store.marks_n < MARKS_MAX) {
        store.marks[store.marks_n].row = r;
        store.marks[store.marks_n].before = r->epoch;
        store.marks[store.marks_n++].after = epoch;
    }
    r->epoch = epoch;
}

static PGresult *run_mark(const struct pg_value *v) {
    struct uuid ids[LIMIT_BATCH];
    int64_t generations[LIMIT_BATCH];
    size_t n = param_uuids(v[1], ids);
    param_ints(v[2], generations);
    for (size_t i = 0; i < n; i++) {
        struct row *r = row_find(ids[i]);
        if (r != NULL && r->generation == generations[i] && r->state == ROW_WAITING && !world_fault(world.weather.skip)) {
            mark(r, param_int(v[0]));
        }
    }
    return res_new(0);
}

void store_fall(void) {
    size_t kept = (size_t)world_random(store.marks_n + 1);
    while (store.marks_n > kept) {
        store.marks_n--;
        struct row *r = store.marks[store.marks_n].row;
        r->epoch = r->epoch == store.marks[store.marks_n].after ? store.marks[store.marks_n].before : r->epoch;
    }
    on_disk();
}

static void put_dead(struct uuid id, int64_t generation, bool stream_class) {
    struct dead_row *d = NULL;
    HASH_FIND(hh, store.dead, &id, sizeof id, d);
    if (d == NULL) {
        d = sim_new(sizeof *d);
        *d = (struct dead_row){.id = id, .generation = -1};
        HASH_ADD(hh, store.dead, id, sizeof d->id, d);
    } else if (stream_class && d->generation >= generation) {
        return;
    }
    d->generation = generation;
    d->stream_class = stream_class;
    d->replayed = false;
}

static PGresult *run_finish(const struct pg_value *v) {
    struct uuid ids[LIMIT_BATCH];
    int64_t generations[LIMIT_BATCH];
    struct str outcomes[LIMIT_BATCH];
    size_t n = param_uuids(v[0], ids);
    param_ints(v[1], generations);
    (void)param_list(v[2], outcomes);
    for (size_t i = 0; i < n; i++) {
        struct row *r = row_find(ids[i]);
        enum job_outcome outcome;
        if (r == NULL || r->state != ROW_WAITING || !job_outcome_parse(outcomes[i], &outcome)) {
            continue;
        }
        if (r->generation == generations[i] || book_bug("finish_any_generation")) {
            r->state = (int)outcome;
            if (outcome == OUTCOME_DEAD) {
                put_dead(r->id, r->generation, false);
            }
        } else if (r->generation > generations[i]) {
            r->epoch = 0;
        }
    }
    on_disk();
    return res_new(0);
}

static bool is_audited(const struct row *r, const struct pg_value *v) {
    return r->shard == (unsigned)param_int(v[1]) && r->epoch != 0 && r->created_ms < world_wall_ms() - 2000;
}

static PGresult *run_audit(const struct pg_value *v) {
    struct row *rows[LIMIT_BATCH];
    size_t n = pick(is_audited, v, rows);
    PGresult *res = res_new(2);
    for (int i = 0; i < (int)n; i++) {
        res_set_uuid(res, i, 0, rows[i]->id);
        res_set_bool(res, i, 1, rows[i]->epoch == param_int(v[2]));
    }
    return res;
}

/* ---- effects ---- */

/* EFFECT_GATE, EFFECT_ANSWER */
static PGresult *gate(const struct pg_value *v, bool *out_fresh) {
    struct effect *e = NULL, wanted = {.key.root = param_uuid(v[0])};
    enum job_outcome outcome;
    PGresult *res = res_new(5);
    (void)str_copy_c(str_of(v[1].p, v[1].n), wanted.key.step, sizeof wanted.key.step);
    if (!job_outcome_parse(str_of(v[3].p, v[3].n), &outcome)) {
        abort();
    }
    HASH_FIND(hh, store.effects, &wanted.key, sizeof wanted.key, e);
    bool reopens =
        e != NULL && e->outcome == OUTCOME_DEAD && (e->generation < param_int(v[2]) || book_bug("gate_any_generation"));
    *out_fresh = e == NULL || reopens;
    if (!*out_fresh && world_fault(world.weather.skip)) {
        return res; /* it was written after this one's snapshot */
    }
    if (e == NULL) {
        e = sim_new(sizeof *e);
        e->key = wanted.key;
        HASH_ADD(hh, store.effects, key, sizeof e->key, e);
    }
    if (*out_fresh) {
        char *hex = arena_alloc(&store.arena, 2 * v[5].n + 3);
        memcpy(hex, "\\x", 2);
        hex_encode(v[5].p != NULL ? v[5].p : "", v[5].n, hex + 2);
        e->generation = param_int(v[2]);
        e->outcome = outcome;
        e->status = (int)param_int(v[4]);
        e->result = v[5].p != NULL ? str_of(hex, 2 * v[5].n + 2) : STR_NONE;
        on_disk();
    }
    res_set_bool(res, 0, 0, *out_fresh);
    res_set_int(res, 0, 1, e->generation);
    res_set_c(res, 0, 2, job_outcome_name(e->outcome));
    res_set_int(res, 0, 3, e->status);
    res_set(res, 0, 4, e->result);
    return res;
}

static PGresult *run_close(const struct pg_value *v) {
    bool fresh;
    return gate(v, &fresh);
}

static PGresult *run_note(const struct pg_value *v) {
    bool fresh;
    PGresult *res = gate(v, &fresh);
    if (fresh) {
        book_noted(param_uuid(v[0]));
    }
    return res;
}

static PGresult *run_tally(const struct pg_value *v) {
    book_tallied(param_uuid(v[0]));
    on_disk();
    return res_new(0);
}

/* ---- the dead ---- */

static PGresult *run_dead_insert(const struct pg_value *v) {
    put_dead(param_uuid(v[0]), param_int(v[2]), true);
    on_disk();
    return res_new(0);
}

static struct dead_row *replayable(const struct pg_value *v, bool stream_class) {
    struct dead_row *d = NULL;
    struct uuid id = param_uuid(v[0]);
    HASH_FIND(hh, store.dead, &id, sizeof id, d);
    return d != NULL && !d->replayed && d->stream_class == stream_class ? d : NULL;
}

static PGresult *run_replay(const struct pg_value *v) {
    struct dead_row *d = replayable(v, false);
    struct row *r = row_find(param_uuid(v[0]));
    PGresult *res = res_new(1);
    if (d != NULL && r != NULL && r->state == OUTCOME_DEAD && r->generation == d->generation) {
        r->state = ROW_WAITING;
        r->generation++;
        r->epoch = 0;
        r->deadline_ms = r->deadline_ms > world_wall_ms() ? r->deadline_ms : 0;
        d->replayed = true;
        res_set_int(res, 0, 0, r->generation);
        on_disk();
    }
    return res;
}

static PGresult *run_dead(const struct pg_value *v) {
    const struct dead_row *d = replayable(v, true);
    PGresult *res = res_new(1);
    if (d != NULL) {
        res_set_int(res, 0, 0, d->generation + 1);
    }
    return res;
}

static PGresult *run_replayed(const struct pg_value *v) {
    struct dead_row *d = replayable(v, true);
    if (d != NULL && d->generation == param_int(v[1]) - 1) {
        d->replayed = true;
        on_disk();
    }
    return res_new(0);
}

/* ---- the rest ---- */

static PGresult *run_queues(const struct pg_value *v) {
    static const char *const limits[] = {"1000", "1000000", "600"};
    PGresult *res = res_new(10);
    (void)v;
    res_set_c(res, 0, 0, SIM_QUEUE);
    res_set_int(res, 0, 1, 1);
    res_set_int(res, 0, 2, book_shards());
    res_set_bool(res, 0, 3, store.paused);
    res_set_int(res, 0, 4, book_slots());
    for (int i = 0; i < 3; i++) {
        res_set_c(res, 0, 5 + i, limits[i]);
    }
    return res;
}

static PGresult *run_nothing(const struct pg_value *v) {
    (void)v;
    return res_new(1);
}

static PGresult *run_zero(const struct pg_value *v) {
    PGresult *res = res_new(1);
    (void)v;
    res_set_int(res, 0, 0, 0);
    return res;
}

PGresult *store_run(const struct pg_stmt *stmt, const struct pg_value *values) {
    static const struct {
        const char *name;
        PGresult *(*run)(const struct pg_value *values);
    } statements[] = {
        {"journal.relay", run_relay},     {"journal.mark", run_mark},       {"journal.finish", run_finish},
        {"journal.heal", run_heal},       {"audit.open", run_audit},        {"sim.note", run_note},
        {"sim.close", run_close},         {"sim.tally", run_tally},         {"sim.accept", run_accept},
        {"sim.insert", run_insert},       {"dead.insert", run_dead_insert}, {"sim.replay", run_replay},
        {"sim.dead", run_dead},           {"sim.replayed", run_replayed},   {"queue_table.load", run_queues},
        {"cron.look", run_nothing},       {"sim.outbox_read", run_nothing}, {"sim.events_read", run_nothing},
        {"sim.retain", run_zero},         {"retain.keys", run_zero},        {"retain.jobs", run_zero},
        {"retain.dead", run_zero},        {"retain.scaling", run_zero},     {"retain.slo_day", run_zero},
        {"retain.slo_process", run_zero}, {"autoscale.look", run_nothing},
    };
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        if (strcmp(stmt->name, statements[i].name) == 0) {
            return statements[i].run(values);
        }
    }
    (void)fprintf(stderr, "a statement that the simulator's store does not know: %s\n", stmt->name);
    abort();
}

void store_begin(void) {
    memset(&store, 0, sizeof store);
    arena_init(&store.arena, 64 << 10, 64 << 20);
}

#define FREE_ALL(type, head)            \
    do {                                \
        struct type *at, *next;         \
        HASH_ITER(hh, head, at, next) { \
            HASH_DEL(head, at);         \
            free(at);                   \
        }                               \
    } while (0)

void store_end(void) {
    FREE_ALL(row, store.rows);
    FREE_ALL(effect, store.effects);
    FREE_ALL(dead_row, store.dead);
    arena_free(&store.arena);
}

void store_pause(bool paused) { store.paused = paused; }
const struct row *store_rows(void) { return store.rows; }
const struct row *store_row(struct uuid id) { return row_find(id); }

const struct effect *store_effect(struct uuid root) {
    struct effect *e = NULL, wanted = {.key.root = root};
    HASH_FIND(hh, store.effects, &wanted.key, sizeof wanted.key, e);
    return e;
}

const struct dead_row *store_dead(struct uuid id) {
    struct dead_row *d = NULL;
    HASH_FIND(hh, store.dead, &id, sizeof id, d);
    return d;
}

bool store_is_quiet(void) {
    for (const struct row *r = store.rows; r != NULL; r = r->hh.next) {
        if (r->state == ROW_WAITING) {
            return false;
        }
    }
    return true;
}
