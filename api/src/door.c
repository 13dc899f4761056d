#include "door.h"

#include <base/crypto.h>
#include <base/json.h>
#include <base/metrics.h>
#include <stdio.h>

#include "accept.h"
#include "sampler.h"
#include "server.h"
#include "types.h"

enum { DETAIL_BYTES = 256 };

static struct pressure_limits limits_of(const struct sampler *s, const struct queue_info *q) {
    int64_t most = sampler_max_open(s);
    return (struct pressure_limits){.max_depth = q->max_depth,
                                    .max_open = q->max_open < most ? q->max_open : most,
                                    .max_drain_s = q->max_drain_s,
                                    .max_fill_pct = q->max_fill_pct};
}

static double random01(void) {
    uint32_t r;
    crypto_random(&r, sizeof r);
    return (double)r / 4294967296.0;
}

/* ---- words ---- */

static void say(char out[DETAIL_BYTES], const char *queue, enum shed why, const struct pressure *p,
                const struct pressure_limits *l, struct share who) {
    switch (why) {
    case SHED_DRAIN_TIME:
        (void)snprintf(out, DETAIL_BYTES, "Queue %s: %lld jobs wait and %.1f/s are done, %.0f s to drain; the limit is %lld s",
                       queue, (long long)p->waiting, p->rate, admission_drain_s(p), (long long)l->max_drain_s);
        break;
    case SHED_TENANT:
        (void)snprintf(
            out, DETAIL_BYTES,
            "Queue %s: %.0f s to drain, the limit is %lld s; of %lld jobs that wait about %.0f are yours, and %u tenants share it",
            queue, admission_drain_s(p), (long long)l->max_drain_s, (long long)p->waiting, who.mine, who.tenants);
        break;
    case SHED_AGE:
        (void)snprintf(out, DETAIL_BYTES, "Queue %s: the oldest job waits for %.0f s; the limit is %lld s to drain", queue,
                       p->age_s, (long long)l->max_drain_s);
        break;
    case SHED_MEMORY:
        (void)snprintf(out, DETAIL_BYTES, "Queue %s: Redis is %.0f %% full; this queue takes jobs up to %d %%", queue,
                       p->fill * 100, l->max_fill_pct);
        break;
    case SHED_DEPTH:
        (void)snprintf(out, DETAIL_BYTES, "Queue %s: depth %lld, the limit is %lld", queue, (long long)p->depth,
                       (long long)l->max_depth);
        break;
    case SHED_OPEN:
        (void)snprintf(out, DETAIL_BYTES, "Queue %s: %lld open jobs, the limit is %lld", queue, (long long)p->open,
                       (long long)l->max_open);
        break;
    case SHED_BACKLOG:
        (void)snprintf(out, DETAIL_BYTES, "Queue %s: as many jobs as may wait for Postgres do", queue);
        break;
    case SHED_NOTHING:
    case SHED_MAX:
    default:
        out[0] = '\0';
    }
}

/* ---- requests ---- */

static bool refuse(struct call *c, const struct queue_info *q, enum shed why, struct share who, struct problem *out) {
    const struct queue_sample *sample = sampler_find(c->api->sampler, q);
    struct pressure p = sampler_pressure(c->api->sampler, sample);
    struct pressure_limits l = limits_of(c->api->sampler, q);
    char text[DETAIL_BYTES];
    say(text, q->name, why, &p, &l, who);
    *out = (struct problem){
        .id = PROBLEM_QUEUE_FULL,
        .detail = arena_str(&c->arena, str_c(text)),
        .retry_after_s = admission_retry_after_s(&sample->door, &p, &l, why, who, random01()),
    };
    if (out->detail.p == NULL) {
        out->detail = STR("The queue is full");
    }
    metric_inc(M_QUEUE_SHED, q->name, shed_name(why), NULL);
    return false;
}

bool door_admits(struct call *c, const struct queue_info *q, struct problem *out_problem) {
    struct queue_sample *sample = sampler_slot(c->api->sampler, q);
    if (sample == NULL) {
        return true;
    }
    struct pressure p = sampler_pressure(c->api->sampler, sample);
    struct pressure_limits l = limits_of(c->api->sampler, q);
    struct share who = shares_find(&sample->shares, str_c(c->who.tenant));
    enum shed why = admission_judge(&sample->door, &p, &l, who);
    if (why == SHED_NOTHING && accept_is_full(c->api->accept, q->max_fill_pct)) {
        why = SHED_BACKLOG;
    }
    return why == SHED_NOTHING || refuse(c, q, why, who, out_problem);
}

static const struct queue_info *queue_of_route(struct call *c) {
    const struct job_type *type = types_of_route(c->api->rt->registry, c->route);
    return type != NULL ? queue_table_find(c->api->rt->queues, str_c(type->queue)) : NULL;
}

bool door_admits_route(struct call *c) {
    const struct queue_info *q = queue_of_route(c);
    struct problem problem;
    if (q == NULL || door_admits(c, q, &problem)) {
        return true;
    }
    call_problem_full(c, &problem);
    return false;
}

void door_full(struct call *c, const struct queue_info *q, struct problem *out_problem) {
    (void)refuse(c, q, SHED_DEPTH, (struct share){0}, out_problem);
}

/* ---- readings ---- */

void door_move(struct sampler *s, struct queue_sample *q) {
    struct pressure p = sampler_pressure(s, q);
    struct pressure_limits l = limits_of(s, q->queue);
    admission_move(&q->door, &p, &l, shares_tenants(&q->shares));
    series_set(metric_series(M_QUEUE_ADMISSION, q->queue->name, NULL, NULL), (double)q->door.state);
}

struct door_view {
    const char *state;
    char why[DETAIL_BYTES];
    int64_t retry_after_s;
};

/* The queue beside its sample: without memory that is one of no queue. */
static void look_at(const struct sampler *s, const struct queue_info *queue, const struct queue_sample *q,
                    struct door_view *out) {
    struct pressure p = sampler_pressure(s, q);
    struct pressure_limits l = limits_of(s, queue);
    bool closed = q->door.state == ADMISSION_CLOSED;
    out->state = admission_state_name(q->door.state);
    out->retry_after_s = closed ? admission_retry_after_s(&q->door, &p, &l, q->door.why, (struct share){0}, 0) : 0;
    say(out->why, queue->name, q->door.why, &p, &l, (struct share){0, shares_tenants(&q->shares)});
}

void door_write(const struct sampler *s, const struct queue_info *queue, const struct queue_sample *q, struct buf *b) {
    struct door_view v;
    look_at(s, queue, q, &v);
    buf_addf(b, ",\"admission\":{\"state\":\"%s\",\"reason\":\"%s\",\"detail\":", v.state, shed_name(q->door.why));
    json_add_string(b, str_c(v.why));
    buf_addf(b, ",\"tenants\":%u,\"retry_after_seconds\":%lld}", shares_tenants(&q->shares), (long long)v.retry_after_s);
}

void door_write_brief(const struct sampler *s, const struct queue_info *queue, const struct queue_sample *q, struct buf *b) {
    struct door_view v;
    look_at(s, queue, q, &v);
    buf_addf(b, ",\"state\":\"%s\",\"why\":", v.state);
    json_add_string(b, str_c(v.why));
    buf_addf(b, ",\"retry_after_s\":%lld", (long long)v.retry_after_s);
}
