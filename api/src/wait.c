#include "wait.h"

#include <base/crypto.h>
#include <base/json.h>
#include <io/timer.h>
#include <queues/upkeep.h>
#include <stdlib.h>

#include "job_row.h"
#include "outcome.h"
#include "server.h"

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((entry)->hashed = false)
#include <uthash.h>

enum { POLL_MS = 1000, SCRATCH_BLOCK_BYTES = 16 << 10, SCRATCH_BYTES = 64 << 20, IDS_BYTES = 4 << 20 };

/* One job that somebody waits for. */
struct wait_entry {
    struct uuid job;
    struct wait_table *table;
    LIST_HEAD(, waiter) waiters;
    unsigned pins; /* who needs the entry, waiters or not */
    bool wanted;   /* to be read at the end of this turn */
    bool asked;    /* a question about its place is on its way */
    bool hashed;
    uint64_t place, row; /* as in a waiter; 0: not known */
    UT_hash_handle hh;
};

struct wait_table {
    struct api *api;
    struct redis_sub *done;
    struct timer *poll;
    struct turn_end turn;
    struct wait_entry *entries;
    size_t waiters_n;
    bool reading;  /* a statement is on its way */
    bool watching; /* the other one is */
    bool wanted;   /* some entry is */
};

/* Of the stream class Postgres knows the dead alone. */
static const struct pg_stmt read_stmt = {
    "api.wait",
    "SELECT " JOB_COLUMNS " FROM platform.job j WHERE j.id = ANY($1::uuid[]) AND j.state <> 'waiting' UNION ALL "
    "SELECT " DEAD_COLUMNS
    " FROM platform.dead_job d WHERE d.id = ANY($1::uuid[]) AND d.class = 'stream' AND d.replayed_at IS NULL",
    1,
};

/* What else can change of an open job in Postgres. */
static const struct pg_stmt watch_stmt = {
    "api.watch",
    "SELECT j.id, j.generation, p.progress::text FROM platform.job j LEFT JOIN platform.job_progress p ON p.job_id = j.id "
    "WHERE j.id = ANY($1::uuid[]) AND j.state = 'waiting'",
    1,
};

size_t wait_count(const struct wait_table *t) { return t->waiters_n; }
bool wait_is_full(const struct wait_table *t) { return t->waiters_n >= (size_t)t->api->rt->conf->api_max_waiters; }

/* ---- the table ---- */

static struct wait_entry *find(struct wait_table *t, struct uuid job) {
    struct wait_entry *e = NULL;
    HASH_FIND(hh, t->entries, job.b, sizeof job.b, e);
    return e;
}

static struct wait_entry *find_or_add(struct wait_table *t, struct uuid job) {
    struct wait_entry *e = find(t, job);
    if (e != NULL) {
        return e;
    }
    e = calloc(1, sizeof *e);
    if (e == NULL) {
        return NULL;
    }
    *e = (struct wait_entry){.job = job, .table = t, .hashed = true};
    HASH_ADD(hh, t->entries, job.b, sizeof e->job.b, e);
    if (!e->hashed) {
        free(e);
        return NULL;
    }
    return e;
}

static void drop_if_unused(struct wait_entry *e) {
    if (LIST_EMPTY(&e->waiters) && e->pins == 0) {
        HASH_DEL(e->table->entries, e);
        free(e);
    }
}

static void unpin(struct wait_entry *e) {
    e->pins--;
    drop_if_unused(e);
}

static void leave(struct waiter *w) {
    LIST_REMOVE(w, link);
    w->entry->table->waiters_n--;
    w->entry = NULL;
    timer_stop(w->timer);
}

void wait_remove(struct waiter *w) {
    struct wait_entry *e = w->entry;
    if (e != NULL) {
        leave(w);
        drop_if_unused(e);
    }
}

void waiter_free(struct waiter *w) {
    wait_remove(w);
    timer_free(w->timer);
    w->timer = NULL;
}

/* The timer is kept with the memory of its waiter, and that of a call is moved by nobody. */
static void on_time_up(void *arg) {
    struct waiter *w = arg;
    struct wait_entry *e = w->entry;
    if (e != NULL) {
        e->pins++; /* it may come back at once */
        leave(w);
        w->done(w, NULL);
        unpin(e);
    }
}

struct err wait_add(struct wait_table *t, struct waiter *w, struct uuid job, int64_t ms,
                    void (*done)(struct waiter *, const struct job_row *)) {
    if (wait_is_full(t)) {
        return err_make(ERR_BUSY, "%zu requests wait for jobs already", t->waiters_n);
    }
    if (w->timer == NULL) {
        TRY(timer_new(t->api->rt->loop, on_time_up, w, &w->timer));
    }
    struct wait_entry *e = find_or_add(t, job);
    if (e == NULL) {
        return err_make(ERR_NOMEM, "waiting");
    }
    LIST_INSERT_HEAD(&e->waiters, w, link);
    w->entry = e;
    w->done = done;
    w->changed = false;
    t->waiters_n++;
    timer_start(w->timer, ms);
    return OK;
}

/* Everybody who waits for this job hears of it. */
static void tell(struct wait_entry *e, const struct job_row *row) {
    struct waiter *w;
    e->pins++; /* while they leave it */
    while ((w = LIST_FIRST(&e->waiters)) != NULL) {
        leave(w);
        w->done(w, row);
    }
    unpin(e);
}

static bool has_news(const struct waiter *w, const struct wait_entry *e) {
    return w->watches && ((e->place != 0 && e->place != w->place) || (e->row != 0 && e->row != w->row));
}

/* Those who watch hear of what they have not heard of. Whoever comes back at once comes in front. */
static void tell_watchers(struct wait_entry *e) {
    struct waiter *w, *next;
    e->pins++;
    for (w = LIST_FIRST(&e->waiters); w != NULL; w = next) {
        next = LIST_NEXT(w, link);
        if (has_news(w, e)) {
            w->place = e->place != 0 ? e->place : w->place;
            w->row = e->row != 0 ? e->row : w->row;
            leave(w);
            w->changed = true;
            w->done(w, NULL);
        }
    }
    unpin(e);
}

static bool is_watched(const struct wait_entry *e) {
    const struct waiter *w;
    LIST_FOREACH(w, &e->waiters, link) {
        if (w->watches) {
            return true;
        }
    }
    return false;
}

void wait_all_up(struct wait_table *t) {
    struct wait_entry *e, *next;
    HASH_ITER(hh, t->entries, e, next) { tell(e, NULL); }
}

/* ---- reading ---- */

static void read_wanted(void *arg);

static void want(struct wait_entry *e) {
    struct wait_table *t = e->table;
    e->wanted = true;
    t->wanted = true;
    loop_at_turn_end(t->api->rt->loop, &t->turn);
}

void wait_look(struct wait_table *t, struct uuid job) {
    struct wait_entry *e = find(t, job);
    if (e != NULL) {
        want(e);
    }
}

static void look_at_all(void *arg) {
    struct wait_table *t = arg;
    struct wait_entry *e, *next;
    HASH_ITER(hh, t->entries, e, next) { want(e); }
}

static void on_rows(void *arg, struct err err, const PGresult *res) {
    struct wait_table *t = arg;
    struct arena scratch;
    t->reading = false;
    arena_init(&scratch, SCRATCH_BLOCK_BYTES, SCRATCH_BYTES);
    for (int row = 0; !err_is_set(err) && row < PQntuples(res); row++) {
        struct job_row j;
        struct wait_entry *e = job_row_read(res, row, 0, &scratch, &j) ? find(t, j.id) : NULL;
        if (e != NULL) {
            tell(e, &j);
        }
        arena_reset(&scratch);
    }
    arena_free(&scratch);
    if (t->wanted && !t->api->closing) {
        loop_at_turn_end(t->api->rt->loop, &t->turn);
    }
}

static void on_watched(void *arg, struct err err, const PGresult *res) {
    struct wait_table *t = arg;
    t->watching = false;
    for (int row = 0; !err_is_set(err) && row < PQntuples(res); row++) {
        struct uuid job;
        uint8_t hash[SHA256_BYTES];
        const struct str parts[] = {pg_col(res, row, 1), STR(" "), pg_col(res, row, 2)};
        struct wait_entry *e = pg_col_uuid(res, row, 0, &job) ? find(t, job) : NULL;
        if (e != NULL && !err_is_set(sha256_parts(parts, sizeof parts / sizeof parts[0], hash))) {
            memcpy(&e->row, hash, sizeof e->row);
            e->row |= 1;
            tell_watchers(e);
        }
    }
}

/* ---- places ---- */

/* A call about jobs of one shard. */
struct asking {
    SLIST_ENTRY(asking) link;
    const struct shard *shard;
    size_t n;
    struct wait_entry *entries[LIMIT_BATCH]; /* pinned */
};
SLIST_HEAD(askings, asking);

static void take_place(struct wait_entry *e, const struct queue_place *p) {
    bool stream = id_job_place(e->job).stream_class;
    struct job_row row;
    e->place = 1 + (uint64_t)p->where + ((uint64_t)p->when.ms << 3);
    if (stream && p->where == QUEUE_FOUND_OUTCOME && outcome_parse(p->outcome, e->job, &row)) {
        tell(e, &row);
    } else if (stream && p->where == QUEUE_FOUND_DEAD) {
        row = (struct job_row){.id = e->job, .root = e->job, .state = STR("dead")};
        tell(e, &row);
    } else {
        tell_watchers(e);
    }
}

static void on_places(void *arg, struct err err, const struct queue_place *places) {
    struct asking *a = arg;
    for (size_t i = 0; i < a->n; i++) {
        struct wait_entry *e = a->entries[i];
        e->asked = false;
        if (!err_is_set(err)) {
            take_place(e, &places[i]);
        }
        unpin(e);
    }
    free(a);
}

/* What finds no memory is asked for with the next reading. */
static void add_asking(struct askings *all, struct wait_entry *e) {
    struct job_place place = id_job_place(e->job);
    const struct queue_info *q = queue_table_number(e->table->api->rt->queues, place.queue_number);
    struct asking *a;
    if (q == NULL || place.shard >= q->shards_n || e->asked || !(place.stream_class || is_watched(e))) {
        return;
    }
    SLIST_FOREACH(a, all, link) {
        if (a->shard == q->shards[place.shard] && a->n < LIMIT_BATCH) {
            break;
        }
    }
    if (a == NULL) {
        a = calloc(1, sizeof *a);
        if (a == NULL) {
            return;
        }
        a->shard = q->shards[place.shard];
        SLIST_INSERT_HEAD(all, a, link);
    }
    e->asked = true;
    e->pins++;
    a->entries[a->n++] = e;
}

static void ask_all(struct wait_table *t, struct askings *all) {
    struct asking *a;
    while ((a = SLIST_FIRST(all)) != NULL) {
        struct uuid jobs[LIMIT_BATCH];
        SLIST_REMOVE_HEAD(all, link);
        for (size_t i = 0; i < a->n; i++) {
            jobs[i] = a->entries[i]->job;
        }
        queue_find_all(&t->api->rt->redis, a->shard, jobs, a->n, on_places, a);
    }
}

/* ---- what is wanted ---- */

/* The entries that are wanted, in the statement's ids, the other one's, and calls. */
struct collected {
    struct buf ids, watched;
    size_t n, watched_n;
    struct askings askings;
};

static void collect(struct wait_table *t, struct collected *out) {
    struct wait_entry *e, *next;
    pg_array_begin(&out->ids);
    pg_array_begin(&out->watched);
    HASH_ITER(hh, t->entries, e, next) {
        char room[PG_UUID_BYTES];
        if (!e->wanted) {
            continue;
        }
        e->wanted = false;
        pg_array_add(&out->ids, pg_uuid(e->job, room));
        out->n++;
        if (!id_job_place(e->job).stream_class && is_watched(e)) {
            pg_array_add(&out->watched, pg_uuid(e->job, room));
            out->watched_n++;
        }
        add_asking(&out->askings, e);
    }
    pg_array_end(&out->ids);
    pg_array_end(&out->watched);
}

static bool read_ids(struct wait_table *t, const struct pg_stmt *stmt, const struct buf *ids, pg_cb *cb) {
    if (err_is_set(buf_status(ids))) {
        return false;
    }
    const struct pg_value value = pg_text(buf_str(ids));
    pg_exec(t->api->rt->platform, stmt, &value, 0, 0, cb, t);
    return true;
}

static void read_wanted(void *arg) {
    struct wait_table *t = arg;
    struct collected c = {.n = 0};
    if (t->reading || !t->wanted) {
        return;
    }
    t->wanted = false;
    buf_init(&c.ids, IDS_BYTES);
    buf_init(&c.watched, IDS_BYTES);
    SLIST_INIT(&c.askings);
    collect(t, &c);
    t->reading = c.n > 0 && read_ids(t, &read_stmt, &c.ids, on_rows);
    if (c.watched_n > 0 && !t->watching) {
        t->watching = read_ids(t, &watch_stmt, &c.watched, on_watched);
    }
    ask_all(t, &c.askings);
    buf_free(&c.ids);
    buf_free(&c.watched);
}

/* ---- the subscription ---- */

static void on_message(void *arg, struct str channel, struct str message) {
    struct wait_table *t = arg;
    (void)channel;
    for (size_t i = 0; i + sizeof(struct uuid) <= message.n; i += sizeof(struct uuid)) {
        struct uuid job;
        memcpy(job.b, message.p + i, sizeof job.b);
        wait_look(t, job);
    }
}

struct err wait_table_new(struct api *api, struct wait_table **out) {
    static const char *const channels[] = {CHANNEL_DONE};
    struct wait_table *t = calloc(1, sizeof *t);
    if (t == NULL) {
        return err_make(ERR_NOMEM, "waiting");
    }
    t->api = api;
    t->turn = (struct turn_end){.run = read_wanted, .arg = t};
    const struct redis_sub_options o = {
        .connection = runtime_redis_options(api->rt, "penstock_api", "done"),
        .channels = channels,
        .channels_n = 1,
        .on_ready = look_at_all,
        .on_message = on_message,
        .arg = t,
    };
    struct err e = redis_sub_new(api->rt->loop, &o, &t->done);
    if (!err_is_set(e)) {
        e = timer_new(api->rt->loop, look_at_all, t, &t->poll);
    }
    if (err_is_set(e)) {
        wait_table_stop(t);
        wait_table_free(t);
        return e;
    }
    timer_start_every(t->poll, POLL_MS);
    *out = t;
    return OK;
}

void wait_table_stop(struct wait_table *t) {
    if (t != NULL) {
        redis_sub_close(t->done);
        timer_free(t->poll);
        loop_cancel_turn_end(t->api->rt->loop, &t->turn);
    }
}

void wait_table_free(struct wait_table *t) { free(t); }
