#include "snapshot.h"

#include <base/json.h>
#include <math.h>

#include "door.h"
#include "health.h"
#include "sampler.h"
#include "server.h"

enum { WORKERS_BYTES_MAX = 512 * 1024 };
static const double REMEMBERED_S = 60;

/* ---- what the heartbeats say ---- */

void fleet_view_init(struct fleet_view *v) {
    *v = (struct fleet_view){0};
    buf_init(&v->workers, WORKERS_BYTES_MAX);
}

void fleet_view_free(struct fleet_view *v) { buf_free(&v->workers); }

static const char *state_of(const json_t *beat) {
    return json_opt_bool(beat, "quarantine", false) ? "quarantine"
           : json_opt_bool(beat, "draining", false) ? "draining"
           : json_opt_bool(beat, "quiet", false)    ? "quiet"
                                                    : "running";
}

static struct crew *crew_of(struct fleet_view *v, const struct api *api, struct str queue) {
    const struct queue_table *t = api->rt->queues;
    for (size_t i = 0; i < queue_table_count(t) && i < LIMIT_QUEUES; i++) {
        if (str_is(queue, queue_table_at(t, i)->name)) {
            return &v->crews[i];
        }
    }
    return NULL;
}

static void add_worker(struct fleet_view *v, struct api *api, const struct process *p) {
    struct str role = json_opt_str(p->beat, "role", STR(""));
    struct str queue = json_opt_str(p->beat, "queue", STR(""));
    int64_t slots = json_opt_i64(p->beat, "slots", 0), busy = json_opt_i64(p->beat, "busy", 0);
    struct crew *crew = str_is(role, "worker") ? crew_of(v, api, queue) : NULL;
    if (crew != NULL) {
        crew->running++;
        crew->slots += slots;
        crew->busy += busy;
    }
    struct buf *b = &v->workers;
    buf_add_c(b, b->n > 1 ? ",{\"name\":" : "{\"name\":");
    json_add_string(b, p->name);
    buf_add_c(b, ",\"role\":");
    json_add_string(b, role);
    buf_add_c(b, ",\"queue\":");
    json_add_string(b, queue);
    struct str consumer =
        json_opt_str(p->beat, "supervisor", STR_NONE).p != NULL ? json_opt_str(p->beat, "consumer", STR("")) : STR("");
    if (consumer.n > 0) { /* it can be told something */
        buf_add_c(b, ",\"consumer\":");
        json_add_string(b, consumer);
    }
    buf_addf(b, ",\"state\":\"%s\",\"slots\":%lld,\"busy\":%lld,\"rss_bytes\":%lld,\"started_ms\":%lld,\"beat_age_s\":%.1f}",
             state_of(p->beat), (long long)slots, (long long)busy, (long long)json_opt_i64(p->beat, "rss_bytes", 0),
             (long long)json_opt_i64(p->beat, "started_ms", 0),
             fmax(0, (double)(loop_wall(api->rt->loop).ms - json_opt_i64(p->beat, "at_ms", 0)) / 1000));
}

/* Processes come and go, and with them what they counted: a sum that fell says nothing. */
static double more(double now, double before) { return now > before ? now - before : 0; }

static void count_mishaps(struct mishaps *m, const struct queue_figures *now, const struct queue_figures *before,
                          double seconds) {
    double kept = exp(-seconds / REMEMBERED_S), retries = more(now->retries, before->retries);
    m->attempts = kept * m->attempts + more(now->attempts, before->attempts);
    m->retries = kept * m->retries + retries;
    m->dead = kept * m->dead + more(now->dead, before->dead);
    m->retry_per_s = retries / seconds;
}

static void take_figures(struct fleet_view *v, const struct api *api, const struct process *processes, size_t n) {
    const struct figures before = v->figures;
    struct mono now = loop_now(api->rt->loop);
    double seconds = (double)(now.us - v->figured.us) / 1e6;
    v->figures = (struct figures){0};
    for (size_t i = 0; i < n; i++) {
        if (str_is(json_opt_str(processes[i].beat, "role", STR("")), "worker")) {
            figures_add(&v->figures, api->rt->queues, json_opt_str(processes[i].beat, "metrics", STR("")));
            figures_add_why(&v->figures, json_object_get(processes[i].beat, "circuit_why"));
        }
    }
    for (size_t i = 0; i < LIMIT_QUEUES && v->figured.us != 0 && seconds > 0; i++) {
        count_mishaps(&v->mishaps[i], &v->figures.queues[i], &before.queues[i], seconds);
    }
    v->figured = now;
}

void fleet_view_take(struct fleet_view *v, struct api *api, enum fleet_detail detail, const struct process *processes, size_t n) {
    memset(v->crews, 0, sizeof v->crews);
    buf_clear(&v->workers);
    buf_add_char(&v->workers, '[');
    for (size_t i = 0; i < n; i++) {
        add_worker(v, api, &processes[i]);
    }
    buf_add_char(&v->workers, ']');
    if (detail == FLEET_METRICS) {
        take_figures(v, api, processes, n);
    }
}

/* ---- the text ---- */

static int64_t backlog_of(const struct queue_sample *s) { return s->depth.waiting + s->unmarked; }
static int64_t dead_of(const struct queue_sample *s) { return s->dead + s->depth.dead; }

struct totals {
    double oldest_s, in_per_s, out_per_s, drain_s;
    int64_t backlog, dead;
    struct mishaps mishaps;
};

static double error_pct(const struct mishaps *m) { return m->attempts >= 1 ? 100 * (m->retries + m->dead) / m->attempts : 0; }

static void add_desired(struct buf *b, const struct desired *d, const struct crew *crew) {
    buf_addf(b, ",\"workers\":{\"desired\":%lld,\"running\":%lld,\"pinned\":%s,\"reason\":", (long long)d->workers,
             (long long)crew->running, d->pinned ? "true" : "false");
    json_add_string(b, str_c(d->reason));
    buf_add_c(b, ",\"author\":");
    json_add_string(b, str_c(d->author));
    buf_addf(b, ",\"at_ms\":%lld},\"slots\":%lld,\"busy\":%lld}", (long long)d->at.ms, (long long)crew->slots,
             (long long)crew->busy);
}

static void sum_up(struct totals *t, const struct queue_sample *s, const struct mishaps *m, double oldest_s, double drain_s) {
    t->oldest_s = fmax(t->oldest_s, oldest_s);
    t->drain_s = fmax(t->drain_s, drain_s);
    t->in_per_s += s->trend.in_per_s;
    t->out_per_s += s->trend.out_per_s;
    t->backlog += backlog_of(s);
    t->dead += dead_of(s);
    t->mishaps.attempts += m->attempts;
    t->mishaps.retries += m->retries;
    t->mishaps.dead += m->dead;
}

static void add_queue(struct api *api, const struct fleet_view *v, size_t place, struct totals *t, struct buf *b) {
    const struct queue_info *q = queue_table_at(api->rt->queues, place);
    const struct mishaps *m = &v->mishaps[place];
    const struct queue_sample *s = sampler_find(api->sampler, q);
    const struct queue_depth *d = &s->depth;
    struct pressure p = sampler_pressure(api->sampler, s);
    double oldest = sampler_oldest_age_s(s, loop_now(api->rt->loop)), drain = admission_drain_s(&p);
    buf_addf(b, "{\"name\":\"%s\",\"known\":%s,\"paused\":%s", q->name, s->known && !s->blind ? "true" : "false",
             q->paused ? "true" : "false");
    buf_addf(b, ",\"depth\":{\"waiting\":%lld,\"running\":%lld,\"delayed\":%lld,\"parked\":%lld,\"dead\":%lld,\"unplaced\":%lld}",
             (long long)d->waiting, (long long)d->running, (long long)d->delayed, (long long)d->parked, (long long)dead_of(s),
             (long long)s->unmarked);
    buf_addf(b, ",\"oldest_age_s\":%.3f,\"age_limit_s\":%lld,\"in_per_s\":%.2f,\"out_per_s\":%.2f", oldest,
             2 * (long long)q->max_drain_s, s->trend.in_per_s, s->trend.out_per_s);
    buf_addf(b, ",\"retry_per_s\":%.2f,\"dead_per_s\":%.3f,\"error_pct\":%.2f,\"drain_eta_s\":%.1f", m->retry_per_s,
             s->trend.dead_per_s, error_pct(m), drain);
    door_write_brief(api->sampler, q, s, b);
    add_desired(b, &s->desired, &v->crews[place]);
    sum_up(t, s, m, oldest, drain);
}

static void add_dependencies(struct buf *b, const struct figures *f) {
    static const char *const states[] = {"closed", "half-open", "open"};
    buf_add_c(b, ",\"dependencies\":[");
    for (unsigned i = 0; i < f->dependencies_n; i++) {
        const struct dependency_figures *d = &f->dependencies[i];
        buf_add_c(b, i > 0 ? ",{\"name\":" : "{\"name\":");
        json_add_string(b, str_c(d->name));
        buf_addf(b, ",\"state\":\"%s\",\"window\":%.1f,\"why\":",
                 states[d->circuit >= 0 && d->circuit <= CIRCUIT_SHOWN_OPEN ? d->circuit : CIRCUIT_SHOWN_OPEN], d->window);
        json_add_string(b, str_c(d->why));
        buf_add_char(b, '}');
    }
    buf_add_char(b, ']');
}

void snapshot_write(struct api *api, const struct fleet_view *v, uint64_t number, struct buf *b) {
    const struct queue_table *table = api->rt->queues;
    struct totals t = {0};
    buf_addf(b, "{\"n\":%llu,\"at_ms\":%lld,\"version\":\"" PENSTOCK_VERSION "\",", (unsigned long long)number,
             (long long)loop_wall(api->rt->loop).ms);
    health_write_brief(api, b);
    buf_add_c(b, ",\"queues\":[");
    for (size_t i = 0; i < queue_table_count(table) && i < LIMIT_QUEUES; i++) {
        buf_add_c(b, i > 0 ? "," : "");
        add_queue(api, v, i, &t, b);
    }
    buf_addf(b,
             "],\"totals\":{\"oldest_age_s\":%.3f,\"backlog\":%lld,\"in_per_s\":%.2f,\"out_per_s\":%.2f,\"error_pct\":%.2f,"
             "\"drain_eta_s\":%.1f,\"dead\":%lld},\"workers\":",
             t.oldest_s, (long long)t.backlog, t.in_per_s, t.out_per_s, error_pct(&t.mishaps), t.drain_s, (long long)t.dead);
    buf_add(b, v->workers.n > 0 && v->workers.failed == ERR_NONE ? buf_str(&v->workers) : STR("[]"));
    add_dependencies(b, &v->figures);
    buf_add_char(b, '}');
}

/* ---- history ---- */

static void add_series(struct buf *b, const char *name, const struct trend *t, size_t field) {
    buf_addf(b, ",\"%s\":[", name);
    for (size_t i = 0; i < trend_count(t); i++) {
        const struct trend_point *p = trend_at(t, i);
        const float values[] = {p->age_s, p->backlog, p->in_per_s, p->out_per_s};
        buf_add_c(b, i > 0 ? "," : "");
        if (isnan(p->age_s)) {
            buf_add_c(b, "null");
        } else {
            buf_addf(b, "%.*f", field == 1 ? 0 : 2, (double)values[field]);
        }
    }
    buf_add_char(b, ']');
}

void snapshot_write_history(struct api *api, struct buf *b) {
    static const char *const names[] = {"oldest_age_s", "backlog", "in_per_s", "out_per_s"};
    const struct queue_table *table = api->rt->queues;
    buf_addf(b, "{\"at_ms\":%lld,\"step_s\":%d,\"queues\":[", (long long)loop_wall(api->rt->loop).ms, TREND_STEP_S);
    for (size_t i = 0; i < queue_table_count(table); i++) {
        const struct queue_info *q = queue_table_at(table, i);
        const struct trend *t = &sampler_find(api->sampler, q)->trend;
        buf_addf(b, "%s{\"name\":\"%s\"", i > 0 ? "," : "", q->name);
        for (size_t f = 0; f < sizeof names / sizeof names[0]; f++) {
            add_series(b, names[f], t, f);
        }
        buf_add_char(b, '}');
    }
    buf_add_c(b, "]}");
}
