/* The processes that are alive, as their heartbeats say. Read when asked for: the cost is that of the processes, not of the jobs. */
#ifndef API_FLEET_H
#define API_FLEET_H

#include <base/err.h>
#include <base/str.h>
#include <jansson.h>
#include <stddef.h>

struct call;

enum { FLEET_MAX = 1024 };

struct process {
    struct str name; /* "<host>:<pid>" */
    json_t *beat;    /* an object */
};

/* Borrowed for the callback, sorted by nothing. err: Redis did not say. */
typedef void fleet_cb(struct call *c, struct err err, const struct process *processes, size_t n);
/* Holds the call until cb has run. */
void fleet_read(struct call *c, fleet_cb *cb);

#endif
