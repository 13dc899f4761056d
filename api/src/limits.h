/* What operators allow: jobs per second of a queue, a type, a tenant, and requests per second of an API key (platform.throttle). Read once a
 * second; the API processes that are there divide each rate evenly, so that no request asks a server. */
#ifndef API_LIMITS_H
#define API_LIMITS_H

#include <base/err.h>
#include <base/str.h>

struct api;
struct call;
struct limits;
struct job_type;
struct problem;
struct queue_info;

enum { LIMITS_MAX = 1000 }; /* rows */

MUST struct err limits_new(struct api *api, struct limits **out);
void limits_start(struct limits *l);
void limits_stop(struct limits *l); /* while the loop is there; NULL is fine */
void limits_free(struct limits *l); /* when nothing calls back any more */

/* Whether the caller's tenant may have one more job of this type in this queue at this moment. If so it is counted; if not, out_problem says
 * which limit it is and when to come again. Where the answer is one job's, it gets the fields RateLimit and RateLimit-Policy. */
bool limits_admit_job(struct call *c, const struct job_type *type, const struct queue_info *q, struct problem *out_problem);

/* The same for a request of an API key: true, or the call is answered. */
bool limits_admit_request(struct call *c);

#endif
