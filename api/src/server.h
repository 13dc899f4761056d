/* Inside the API process. */
#ifndef API_SERVER_H
#define API_SERVER_H

#include <api/api.h>
#include <jobs/runtime.h>

#include "call.h"
#include "dead_groups.h"
#include "lookers.h"
#include "redis_watch.h"

struct accept;
struct enter;
struct keys;
struct live;
struct limits;
struct sampler;
struct slo_board;
struct types;
struct wait_table;
struct timer;

struct api {
    struct runtime *rt;
    const struct api_options *options;
    struct http_server *server;
    struct keys *keys;
    struct live *live;
    struct types *types;
    struct sampler *sampler;
    struct limits *limits;
    struct redis_watch redis;
    struct dead_groups dead;
    struct accept *accept; /* journal class */
    struct enter *enter;   /* stream class */
    struct wait_table *waits;
    struct slo_board *slo;
    struct timer *drain_timer, *tell_timer, *door_timer;
    struct buf openapi;                                   /* made once for each set of types */
    STAILQ_HEAD(, retired) retired;                       /* declared types of before, oldest first */
    enum { TELL_NOTHING, TELL_SENT, TELL_STALE } telling; /* declared.c: what is on its way to Postgres */
    uint64_t calls_n;                                     /* begun so far */
    struct call_list open, spare;
    size_t open_n, spare_n;
    struct mono started;
    struct lookers followers; /* of jobs */
    int socket;               /* inherited; 0: none */
    char listen[SERVICE_LISTEN_BYTES];
    bool loopback;                            /* listens there only */
    bool may_listen;                          /* whoever may come in is known */
    bool ready;                               /* the queue table is loaded */
    bool draining, drained, leaving, closing; /* drained: no connection is left */
    int status;                               /* of the process */
};

void api_call_ended(struct api *api); /* one less is open */

#endif
