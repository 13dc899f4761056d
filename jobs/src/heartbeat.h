/* The heartbeat of a process: its JSON under pen:w:<host>:<pid> (EX 10) and its name in pen:w, every 2 s; the queue table kept fresh, every
 * second; what is counted for the objectives kept (jobs/slo.h). */
#ifndef JOBS_HEARTBEAT_H
#define JOBS_HEARTBEAT_H

#include <jobs/runtime.h>

struct runtime_beat;

MUST struct err heartbeat_new(struct runtime *rt, const struct runtime_options *o, struct runtime_beat **out);
void heartbeat_free(struct runtime_beat *h);                 /* NULL is fine */
void heartbeat_on_redis(void *arg, bool up, struct err why); /* arg: the runtime */

#endif
