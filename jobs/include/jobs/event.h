/* A domain event on its way from a module's event_outbox to the consumers (CloudEvents 1.0 in the stream). */
#ifndef JOBS_EVENT_H
#define JOBS_EVENT_H

#include <base/ids.h>
#include <base/trace.h>

struct event {
    struct uuid id;
    struct str type;   /* "order.confirmed" */
    struct str source; /* the module */
    struct uuid aggregate_id;
    int64_t aggregate_version;
    struct str tenant;
    struct trace trace;
    struct wall at;
    struct str data; /* JSON object */
};

#endif
