#ifndef API_HEALTH_H
#define API_HEALTH_H

#include <base/buf.h>

struct api;

/* "ready":…,"degraded":["redis: cannot be reached"] */
void health_write_brief(const struct api *api, struct buf *b);

#endif
