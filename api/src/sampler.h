/* What is known of every queue: read from Redis once a second and from Postgres as often as it is cheap. Admission, estimates, gauges
 * and the operator's pages live on it, so that none of them costs anything by itself. */
#ifndef API_SAMPLER_H
#define API_SAMPLER_H

#include <base/arena.h>
#include <base/clock.h>
#include <queues/upkeep.h>

#include "admission.h"

struct api;
struct call;
struct queue_info;
struct route;
struct sampler;

struct queue_sample {
    const struct queue_info *queue;
    bool known;               /* depth was read at least once */
    bool blind;               /* not for some seconds: Redis is away */
    struct queue_depth depth; /* of all shards together */
    struct mono read;
    int64_t unmarked; /* journal rows that Redis has not seen */
    int64_t dead;     /* open dead jobs */
    int64_t desired;  /* worker processes */
    int64_t entered;  /* jobs that this process let in since the reading */
    struct capacity capacity;
    enum shed shed;
};

MUST struct err sampler_new(struct api *api, struct sampler **out);
void sampler_stop(struct sampler *s); /* while the loop is there; NULL is fine */
void sampler_free(struct sampler *s); /* when nothing calls back any more */

/* Begins; the queue table must be loaded. */
void sampler_start(struct sampler *s);

/* Never NULL for a queue of the table. */
const struct queue_sample *sampler_find(struct sampler *s, const struct queue_info *q);
struct pressure sampler_pressure(const struct queue_sample *q);
double sampler_drain_s(const struct queue_sample *q);
double sampler_oldest_age_s(const struct queue_sample *q, struct wall now);

/* Seconds until a job that comes now would start; due 0: at once. */
double sampler_estimate_s(struct sampler *s, const struct queue_info *q, struct wall due, struct wall now);

/* Whether the queue takes more; if not, out_retry_after_s says when to come again. */
enum shed sampler_judge(struct sampler *s, const struct queue_info *q, int64_t *out_retry_after_s);
void sampler_entered(struct sampler *s, const struct queue_info *q); /* a job was let in */
/* The same for a call: true, or it is answered with 503 queue_full. */
bool sampler_admit(struct sampler *s, const struct queue_info *q, struct call *c);
/* What the refusal says. */
struct str sampler_detail(struct sampler *s, const struct queue_info *q, enum shed why, struct arena *a);

/* The queue that a route's job type is for; NULL when only the body says so. */
const struct queue_info *sampler_route_queue(struct sampler *s, const struct route *r);

bool sampler_redis_is_full(const struct sampler *s); /* it is up, and refuses writes */
bool sampler_mail_is_down(const struct sampler *s);  /* as workers have found it */

#endif
