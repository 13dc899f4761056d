#include "wait.h"

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
    bool asked;    /* stream class: a question about it is on its way */
    bool hashed;
    UT_hash_handle hh;
};

struct wait_table {
    struct api *api;
    struct redis_sub *done;
    struct timer *poll;
    struct turn_end turn;
    struct wait_entry *entries;
    size_t waiters_n;
    bool reading; /* a statement is on its way */
    bool wanted;  /* some entry is */
};

/* Of the stream class Postgres knows the dead alone. */
static const struct pg_stmt read_stmt = {
    "api.wait",
    "SELECT " JOB_COLUMNS " FROM platform.job j WHERE j.id = ANY($1::uuid[]) AND j.state <> 'waiting' UNION ALL "
    "SELECT " DEAD_COLUMNS
    " FROM platform.dead_job d WHERE d.id = ANY($1::uuid[]) AND d.class = 'stream' AND d.replayed_at IS NULL",
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
    if (w->entry != NULL) {
        wait_remove(w);
        w->done(w, NULL);
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
    e->pins--;
    drop_if_unused(e);
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

static void on_found(void *arg, struct err err, enum queue_found where, struct wall when, struct str outcome) {
    struct wait_entry *e = arg;
    struct job_row row;
    (void)when;
    e->asked = false;
    e->pins--;
    if (!err_is_set(err) && where == QUEUE_FOUND_OUTCOME && outcome_parse(outcome, e->job, &row)) {
        tell(e, &row);
    } else if (!err_is_set(err) && where == QUEUE_FOUND_DEAD) {
        row = (struct job_row){.id = e->job, .root = e->job, .state = STR("dead")};
        tell(e, &row);
    } else {
        drop_if_unused(e);
    }
}

static void ask_stream(struct wait_entry *e) {
    struct runtime *rt = e->table->api->rt;
    struct job_place place = id_job_place(e->job);
    const struct queue_info *q = queue_table_number(rt->queues, place.queue_number);
    if (q != NULL && place.shard < q->shards_n && !e->asked) {
        e->asked = true;
        e->pins++;
        queue_find(&rt->redis, q->shards[place.shard], e->job, on_found, e);
    }
}

static size_t collect(struct wait_table *t, struct buf *ids) {
    struct wait_entry *e, *next;
    size_t n = 0;
    pg_array_begin(ids);
    HASH_ITER(hh, t->entries, e, next) {
        char room[PG_UUID_BYTES];
        if (!e->wanted) {
            continue;
        }
        e->wanted = false;
        pg_array_add(ids, pg_uuid(e->job, room));
        n++;
        if (id_job_place(e->job).stream_class) {
            ask_stream(e); /* may take the entry off the table: next is safe */
        }
    }
    pg_array_end(ids);
    return n;
}

static void read_wanted(void *arg) {
    struct wait_table *t = arg;
    struct buf ids;
    if (t->reading || !t->wanted) {
        return;
    }
    t->wanted = false;
    buf_init(&ids, IDS_BYTES);
    size_t n = collect(t, &ids);
    if (n > 0 && !err_is_set(buf_status(&ids))) {
        const struct pg_value value = pg_text(buf_str(&ids));
        t->reading = true;
        pg_exec(t->api->rt->platform, &read_stmt, &value, 0, 0, on_rows, t);
    }
    buf_free(&ids);
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
