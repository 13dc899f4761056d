/* The processes that are alive, as their heartbeats say. Read when asked for: the cost is that of the processes, not of the jobs. */
#ifndef API_FLEET_H
#define API_FLEET_H

#include <base/err.h>
#include <base/str.h>
#include <jansson.h>
#include <stddef.h>

struct api;
struct call;

enum { FLEET_MAX = 1024 };

struct process {
    struct str name; /* "<host>:<pid>" */
    json_t *beat;    /* an object */
};

/* Most of a heartbeat is its metrics: who does not need them is spared reading them. */
enum fleet_detail { FLEET_BRIEF, FLEET_METRICS };

/* Borrowed for the callback, sorted by nothing. err: Redis did not say. */
typedef void fleet_cb(void *arg, struct err err, const struct process *processes, size_t n);
void fleet_read(struct api *api, enum fleet_detail detail, fleet_cb *cb, void *arg);

/* The same for a call, which is held until cb has run. */
typedef void fleet_call_cb(struct call *c, struct err err, const struct process *processes, size_t n);
void fleet_read_for(struct call *c, enum fleet_detail detail, fleet_call_cb *cb);
/* One of them, briefly; none when there is none of this name. */
void fleet_find_for(struct call *c, struct str name, fleet_call_cb *cb);

#endif
