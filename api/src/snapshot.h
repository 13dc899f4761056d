/* The text of a snapshot (live.h), and what it needs of the heartbeats. */
#ifndef API_SNAPSHOT_H
#define API_SNAPSHOT_H

#include <base/buf.h>
#include <base/clock.h>
#include <base/limits.h>

#include "figures.h"
#include "fleet.h"

struct api;

/* Of the processes of one queue. */
struct crew {
    int64_t running, slots, busy;
};

/* Attempts of a queue in the last minute, more or less: older ones count less and less. */
struct mishaps {
    double attempts, retries, dead;
    double retry_per_s;
};

struct fleet_view {
    struct crew crews[LIMIT_QUEUES]; /* by the queue's place in the table */
    struct buf workers;              /* JSON array */
    struct figures figures;          /* when the metrics were read last */
    struct mono figured;             /* 0: never */
    struct mishaps mishaps[LIMIT_QUEUES];
};

void fleet_view_init(struct fleet_view *v);
void fleet_view_free(struct fleet_view *v);
void fleet_view_take(struct fleet_view *v, struct api *api, enum fleet_detail detail, const struct process *processes, size_t n);

/* {"n":…,"at_ms":…} */
void snapshot_write(struct api *api, const struct fleet_view *v, uint64_t number, struct buf *b);
/* The last minutes of every queue. */
void snapshot_write_history(struct api *api, struct buf *b);

#endif
