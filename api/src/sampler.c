#include "sampler.h"

#include <base/metrics.h>
#include <io/timer.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "accept.h"
#include "door.h"
#include "server.h"

enum { TICK_MS = 1000, BLIND_MS = 5000, COUNTS_SHARE = 20, ESTIMATE_MAX_S = 999999 };

struct slot {
    struct sampler *sampler;
    struct queue_sample sample;
    /* a reading in progress */
    struct queue_depth sum;
    unsigned pending;
    bool failed;
    int64_t ended;
    int64_t died; /* since the last reading */
    bool counted; /* its dead jobs were, once */
};

struct sampler {
    struct api *api;
    struct timer *timer;
    struct slot *slots[LIMIT_QUEUES];
    size_t n;
    bool counting;
    struct mono count_began, count_next;
    unsigned ticks;
};

/* What Postgres knows better, by an index over a few rows: journal rows that Redis has not seen. */
static const struct pg_stmt counts_stmt = {
    "api.counts",
    "SELECT q.name, coalesce(u.n, 0), coalesce(w.workers, 0), coalesce(w.pinned, false), "
    "left(w.reason, 200), w.author, (extract(epoch FROM w.at) * 1000)::bigint FROM platform.queue q "
    "LEFT JOIN (SELECT queue, count(*) AS n FROM platform.job WHERE state = 'waiting' AND epoch IS NULL "
    "AND created_at < now() - interval '1 second' GROUP BY queue) u "
    "ON u.queue = q.name LEFT JOIN platform.desired_workers w ON w.queue = q.name",
    0,
};

/* ---- slots ---- */

static struct slot *find_slot(struct sampler *s, const struct queue_info *q) {
    for (size_t i = 0; i < s->n; i++) {
        if (s->slots[i]->sample.queue == q) {
            return s->slots[i];
        }
    }
    return NULL;
}

static struct slot *slot_of(struct sampler *s, const struct queue_info *q) {
    struct slot *slot = find_slot(s, q);
    if (slot == NULL && s->n < LIMIT_QUEUES && (slot = calloc(1, sizeof *slot)) != NULL) {
        slot->sampler = s;
        slot->sample.queue = q;
        slot->sample.held = loop_now(s->api->rt->loop);
        capacity_start(&slot->sample.capacity, q->slots);
        s->slots[s->n++] = slot;
    }
    return slot;
}

struct queue_sample *sampler_slot(struct sampler *s, const struct queue_info *q) {
    struct slot *slot = slot_of(s, q);
    return slot != NULL ? &slot->sample : NULL;
}

const struct queue_sample *sampler_find(struct sampler *s, const struct queue_info *q) {
    static const struct queue_sample nothing;
    const struct queue_sample *sample = sampler_slot(s, q);
    return sample != NULL ? sample : &nothing;
}

/* ---- figures ---- */

static int64_t there(const struct queue_depth *d) { return d->waiting + d->running + d->delayed + d->parked; }

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }

/* Age by jobs that waited while nobody could run them is no sign of pressure. */
static double age_s(const struct sampler *s, const struct queue_sample *q) {
    struct mono now = loop_now(s->api->rt->loop);
    return fmin(sampler_oldest_age_s(q, now), (double)mono_ms_since(now, q->held) / 1000);
}

/* While Redis cannot be read nothing is known of its depth or of a rate: only open rows count, as for a paused queue. What came since
 * the reading is in entered; if it came in other processes or a while ago, in unmarked. */
struct pressure sampler_pressure(const struct sampler *s, const struct queue_sample *q) {
    const struct queue_depth *d = &q->depth;
    struct arrivals since = {q->entered.jobs + q->deciding.jobs, q->entered.ready + q->deciding.ready};
    return (struct pressure){
        .waiting = d->waiting + (q->blind ? 0 : since.ready),
        .depth = there(d) + (q->blind ? 0 : since.jobs),
        .open = there(d) + larger(since.jobs, q->unmarked),
        .rate = q->capacity.per_s,
        .age_s = age_s(s, q),
        .fill = q->blind ? 0 : s->api->redis.fill,
        .paused = q->blind || (q->queue != NULL && q->queue->paused),
        .since_s = (double)mono_ms_since(loop_now(s->api->rt->loop), q->read) / 1000,
    };
}

double sampler_oldest_age_s(const struct queue_sample *q, struct mono now) {
    return q->depth.waiting > 0 ? (double)(q->depth.oldest_age_ms + mono_ms_since(now, q->read)) / 1000 : 0;
}

double sampler_estimate_s(struct sampler *s, const struct queue_info *q, struct wall due, struct wall now) {
    struct pressure p = sampler_pressure(s, sampler_find(s, q));
    double drain = admission_drain_s(&p);
    double wait = due.ms > now.ms ? (double)(due.ms - now.ms) / 1000 : 0;
    return fmin(round(fmax(drain, wait) * 10) / 10, ESTIMATE_MAX_S);
}

int64_t sampler_max_open(const struct sampler *s) { return s->api->rt->conf->admission_max_open_jobs; }

/* ---- arrivals ---- */

/* Or before the next reading. */
static bool is_ready(const struct acceptance *a) { return a->due.ms - id_ms(a->id) < TICK_MS; }

static void add(struct arrivals *to, const struct acceptance *a, int64_t by) {
    to->jobs += by;
    to->ready += is_ready(a) ? by : 0;
}

void sampler_began(struct sampler *s, const struct acceptance *a) {
    struct queue_sample *q = sampler_slot(s, a->queue);
    if (q != NULL) {
        add(&q->deciding, a, 1);
    }
}

void sampler_decided(struct sampler *s, const struct acceptance *a, bool accepted) {
    struct queue_sample *q = sampler_slot(s, a->queue);
    if (q == NULL) {
        return;
    }
    add(&q->deciding, a, -1);
    if (accepted) { /* a delayed job has its part of the share, too: otherwise a tenant's share would be what it does not delay */
        add(&q->entered, a, 1);
        shares_add(&q->shares, str_c(a->call->who.tenant));
    }
}

/* ---- reading Redis ---- */

static void show(const struct sampler *s, const struct queue_sample *q) {
    struct pressure p = sampler_pressure(s, q);
    const char *name = q->queue->name;
    series_set(metric_series(M_QUEUE_DEPTH, name, "waiting", NULL), (double)q->depth.waiting);
    series_set(metric_series(M_QUEUE_DEPTH, name, "running", NULL), (double)q->depth.running);
    series_set(metric_series(M_QUEUE_DEPTH, name, "delayed", NULL), (double)q->depth.delayed);
    series_set(metric_series(M_QUEUE_DEPTH, name, "parked", NULL), (double)q->depth.parked);
    series_set(metric_series(M_QUEUE_OLDEST_AGE, name, NULL, NULL), sampler_oldest_age_s(q, loop_now(s->api->rt->loop)));
    series_set(metric_series(M_QUEUE_DRAIN_ETA, name, NULL, NULL), admission_drain_s(&p));
    series_set(metric_series(M_QUEUE_PAUSED, name, NULL, NULL), q->queue->paused);
}

static void finish_reading(struct slot *slot) {
    struct queue_sample *q = &slot->sample;
    struct mono now = loop_now(slot->sampler->api->rt->loop);
    if (slot->failed) {
        return; /* what was known stays */
    }
    const struct queue_depth *d = &slot->sum;
    int64_t ended = d->done + d->cancelled + d->expired + d->died + d->journal_out;
    if (q->known) {
        trend_add(&q->trend, (double)(now.us - q->read.us) / 1e6, there(d) - there(&q->depth) + ended - slot->ended,
                  ended - slot->ended, slot->died);
        slot->died = 0;
        bool busy = q->depth.waiting > 0 && d->waiting > 0 && !q->queue->paused && !q->blind; /* blind: until now */
        capacity_add(&q->capacity, ended - slot->ended, (double)(now.us - q->read.us) / 1e6, busy);
        shares_drain(&q->shares, ended - slot->ended, d->waiting + d->running);
    }
    if (q->blind || q->queue->paused) {
        q->held = now;
    }
    slot->ended = ended;
    q->depth = *d;
    q->read = now;
    q->known = true;
    q->blind = false;
    q->entered = (struct arrivals){0};
    door_move(slot->sampler, q);
    show(slot->sampler, q);
}

static struct wall earlier(struct wall a, struct wall b) { return a.ms == 0 || (b.ms != 0 && b.ms < a.ms) ? b : a; }

static void add_shard(struct queue_depth *sum, const struct queue_depth *d) {
    sum->waiting += d->waiting;
    sum->running += d->running;
    sum->delayed += d->delayed;
    sum->parked += d->parked;
    sum->dead += d->dead;
    sum->handed_back += d->handed_back;
    sum->oldest_age_ms = larger(sum->oldest_age_ms, d->oldest_age_ms);
    sum->next_due = earlier(sum->next_due, d->next_due);
    sum->accepted += d->accepted;
    sum->done += d->done;
    sum->cancelled += d->cancelled;
    sum->expired += d->expired;
    sum->died += d->died;
    sum->journal_out += d->journal_out;
    sum->gap += d->gap;
}

static void on_depth(void *arg, struct err err, const struct queue_depth *depth) {
    struct slot *slot = arg;
    if (err_is_set(err)) {
        slot->failed = true;
    } else {
        add_shard(&slot->sum, depth);
    }
    if (--slot->pending == 0) {
        finish_reading(slot);
    }
}

static void read_queue(struct sampler *s, const struct queue_info *q) {
    struct slot *slot = slot_of(s, q);
    if (slot != NULL) {
        slot->sample.blind = mono_ms_since(loop_now(s->api->rt->loop), slot->sample.read) > BLIND_MS;
    }
    if (slot == NULL || slot->pending > 0 || q->shards_n == 0) {
        return;
    }
    slot->pending = q->shards_n;
    slot->failed = false;
    slot->sum = (struct queue_depth){0};
    for (unsigned i = 0; i < q->shards_n; i++) {
        queue_depth(&s->api->rt->redis, q->shards[i], on_depth, slot);
    }
}

/* ---- reading Postgres ---- */

static void take_desired(struct desired *d, const PGresult *res, int row) {
    d->workers = pg_col_int(res, row, 2);
    d->pinned = pg_col_bool(res, row, 3);
    (void)str_copy_c(pg_col(res, row, 4), d->reason, sizeof d->reason);
    (void)str_copy_c(pg_col(res, row, 5), d->author, sizeof d->author);
    d->at.ms = pg_col_int(res, row, 6);
}

static void take_counts(struct sampler *s, const PGresult *res) {
    for (int row = 0; row < PQntuples(res); row++) {
        const struct queue_info *q = queue_table_find(s->api->rt->queues, pg_col(res, row, 0));
        struct slot *slot = q != NULL ? slot_of(s, q) : NULL;
        if (slot != NULL) {
            slot->sample.unmarked = pg_col_int(res, row, 1);
            take_desired(&slot->sample.desired, res, row);
            series_set(metric_series(M_WORKERS, q->name, "desired", NULL), (double)slot->sample.desired.workers);
        }
    }
}

void sampler_dead(struct sampler *s, struct str queue, int64_t n) {
    const struct queue_info *q = queue_table_find(s->api->rt->queues, queue);
    struct slot *slot = q != NULL ? slot_of(s, q) : NULL;
    if (slot != NULL) {
        slot->died += slot->counted ? larger(n - slot->sample.dead, 0) : 0;
        slot->counted = true;
        slot->sample.dead = n;
        series_set(metric_series(M_DLQ_JOBS, q->name, NULL, NULL), (double)n);
    }
}

static void on_counts(void *arg, struct err err, const PGresult *res) {
    struct sampler *s = arg;
    struct mono now = loop_now(s->api->rt->loop);
    s->counting = false;
    s->count_next = (struct mono){now.us + COUNTS_SHARE * (now.us - s->count_began.us)};
    if (!err_is_set(err)) {
        take_counts(s, res);
    }
}

/* When there is much to count it takes longer, and is done less often: never more than a twentieth of a connection. */
static void read_counts(struct sampler *s) {
    struct mono now = loop_now(s->api->rt->loop);
    if (s->counting || now.us < s->count_next.us) {
        return;
    }
    s->counting = true;
    s->count_began = now;
    pg_exec(s->api->rt->platform, &counts_stmt, NULL, 0, 0, on_counts, s);
}

/* ---- life ---- */

static void mark_trends(struct sampler *s) {
    for (size_t i = 0; i < s->n; i++) {
        struct queue_sample *q = &s->slots[i]->sample;
        trend_mark(&q->trend, sampler_oldest_age_s(q, loop_now(s->api->rt->loop)), (double)(q->depth.waiting + q->unmarked));
    }
}

static void on_tick(void *arg) {
    struct sampler *s = arg;
    const struct queue_table *t = s->api->rt->queues;
    for (size_t i = 0; i < queue_table_count(t); i++) {
        read_queue(s, queue_table_at(t, i));
    }
    if (++s->ticks % (TREND_STEP_S * 1000 / TICK_MS) == 0) {
        mark_trends(s);
    }
    redis_watch_look(s->api);
    read_counts(s);
    dead_groups_look(s->api);
    accept_probe(s->api->accept);
    series_set(metric_series(M_HTTP_CONNECTIONS, NULL, NULL, NULL),
               s->api->server != NULL ? (double)http_server_connections(s->api->server) : 0);
}

struct err sampler_new(struct api *api, struct sampler **out) {
    struct sampler *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return err_make(ERR_NOMEM, "sampler");
    }
    s->api = api;
    struct err e = timer_new(api->rt->loop, on_tick, s, &s->timer);
    if (err_is_set(e)) {
        free(s);
        return e;
    }
    *out = s;
    return OK;
}

void sampler_start(struct sampler *s) {
    timer_start_every(s->timer, TICK_MS);
    on_tick(s);
}

void sampler_stop(struct sampler *s) {
    if (s != NULL) {
        timer_free(s->timer);
        s->timer = NULL;
    }
}

void sampler_free(struct sampler *s) {
    for (size_t i = 0; s != NULL && i < s->n; i++) {
        shares_free(&s->slots[i]->sample.shares);
        free(s->slots[i]);
    }
    free(s);
}
