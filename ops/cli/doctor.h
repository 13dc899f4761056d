/* Inside penstock doctor: each check says one line. */
#ifndef OPS_CLI_DOCTOR_H
#define OPS_CLI_DOCTOR_H

#include <base/limits.h>

#include "cli.h"

struct doctor_queue {
    char name[LIMIT_NAME_BYTES + 1];
    unsigned shards;
    int64_t desired, alive; /* worker processes */
    int64_t cut_off;        /* of those, with an open circuit, */
    char open[64];          /* and whose, of one of them, */
    char why[160];          /* and what the last call came to */
};

struct doctor {
    const struct options *o;
    struct conf conf;
    char *redis_password, *postgres_password; /* "": none */
    struct doctor_queue queues[LIMIT_QUEUES]; /* as Postgres has them; none when it did not say */
    size_t queues_n;
    int failed, warned;
    struct buf json; /* the lines, for -o json */
};

enum doctor_level { DOCTOR_OK, DOCTOR_WARN, DOCTOR_FAIL };

/* what: "redis.memory". advice NULL: nothing is to be done. */
void doctor_say(struct doctor *d, enum doctor_level level, const char *what, const char *advice, const char *fmt, ...)
    PRINTF_LIKE(5, 6);

/* The clock of a server against ours, which was read before and after it. */
void doctor_clock(struct doctor *d, const char *what, struct wall before, struct wall theirs, struct wall after);

/* Server, roles, schemas, clock; reads the queues. */
void doctor_postgres(struct doctor *d);
/* Users, version, settings, Functions, epochs, clock, processes. */
void doctor_redis(struct doctor *d);

#endif
