/* The door of each queue: admission.h on the sampler's figures. Nothing here asks a server. */
#ifndef API_DOOR_H
#define API_DOOR_H

#include <base/buf.h>

#include "admission.h"

struct call;
struct problem;
struct queue_info;
struct queue_sample;
struct route;
struct sampler;

/* Whether the queue takes a job of the call's tenant. If not, the refusal is counted, and out_problem says why (in the call's arena)
 * and when to come again. */
bool door_admits(struct call *c, const struct queue_info *q, struct problem *out_problem);
/* The same by the head of the request, where the route says which queue its job goes to: true, or the call is answered. */
bool door_admits_route(struct call *c);
/* Stream class: Redis found the shard full, which other processes may have filled. */
void door_full(struct call *c, const struct queue_info *q, struct problem *out_problem);

/* After a reading. */
void door_move(struct sampler *s, struct queue_sample *q);
/* ,"admission":{…} */
void door_write(const struct sampler *s, const struct queue_info *queue, const struct queue_sample *q, struct buf *b);
/* ,"state":…,"why":…,"retry_after_s":… */
void door_write_brief(const struct sampler *s, const struct queue_info *queue, const struct queue_sample *q, struct buf *b);

#endif
