/* What is known of every queue: read from Redis once a second and from Postgres as often as it is cheap. Admission, estimates, gauges
 * and the operator's pages live on it, so that none of them costs anything by itself. */
#ifndef API_SAMPLER_H
#define API_SAMPLER_H

#include <base/arena.h>
#include <base/clock.h>
#include <queues/upkeep.h>

#include "admission.h"
#include "shares.h"
#include "trend.h"

struct acceptance;
struct api;
struct queue_info;
struct sampler;

/* Jobs that this process lets in. */
struct arrivals {
    int64_t jobs, ready; /* ready: not delayed, or for less than a second */
};

/* Worker processes that there should be: who said so, why and when. */
enum { DESIRED_TEXT_BYTES = 256 };
struct desired {
    int64_t workers;
    bool pinned;
    char reason[DESIRED_TEXT_BYTES], author[DESIRED_TEXT_BYTES];
    struct wall at;
};

struct queue_sample {
    const struct queue_info *queue;
    bool known;               /* depth was read at least once */
    bool blind;               /* not for some seconds: Redis is away */
    struct queue_depth depth; /* of all shards together */
    struct mono read;
    int64_t unmarked; /* journal rows that Redis has not seen */
    int64_t dead;     /* open dead jobs */
    struct desired desired;
    struct arrivals entered;  /* accepted since the reading */
    struct arrivals deciding; /* let in, and not accepted yet */
    struct mono held;         /* when it was paused or blind last: jobs aged then, whatever the workers do */
    struct capacity capacity;
    struct shares shares; /* of the jobs that wait, and of delayed ones for as long as it takes to drain what waits */
    struct admission door;
    struct trend trend;
};

MUST struct err sampler_new(struct api *api, struct sampler **out);
void sampler_stop(struct sampler *s); /* while the loop is there; NULL is fine */
void sampler_free(struct sampler *s); /* when nothing calls back any more */

/* Begins; the queue table must be loaded. */
void sampler_start(struct sampler *s);

/* Never NULL for a queue of the table. */
const struct queue_sample *sampler_find(struct sampler *s, const struct queue_info *q);
struct pressure sampler_pressure(const struct sampler *s, const struct queue_sample *q);
double sampler_oldest_age_s(const struct queue_sample *q, struct mono now);

/* Seconds until a job that comes now would start; due 0: at once. */
double sampler_estimate_s(struct sampler *s, const struct queue_info *q, struct wall due, struct wall now);

/* The same, to be changed by the door (door.h). NULL: out of memory, or more queues than there may be. */
struct queue_sample *sampler_slot(struct sampler *s, const struct queue_info *q);
int64_t sampler_max_open(const struct sampler *s); /* of any queue */

/* How many open dead jobs the queue has (dead_groups.h). */
void sampler_dead(struct sampler *s, struct str queue, int64_t n);

/* A job was let in; and it was decided what becomes of it. */
void sampler_began(struct sampler *s, const struct acceptance *a);
void sampler_decided(struct sampler *s, const struct acceptance *a, bool accepted);

#endif
