/* Which dead jobs of a queue are meant: some, a group, or all. */
#ifndef API_DLQ_H
#define API_DLQ_H

#include <jansson.h>

#include "call.h"

struct queue_info;

/* Strings are in the call's arena. */
struct dead_filter {
    struct str ids;         /* Postgres array of uuid; p NULL: any */
    struct str fingerprint; /* p NULL: any */
    struct str reason;      /* may be empty */
    int64_t limit;
    bool dry_run;
};

/* The body, checked by the schema of that name. False: answered. */
bool dead_filter_read(struct call *c, const char *schema, int64_t limit, struct dead_filter *out);

/* 200 with how many match, and the ids of some, which the action would take first. */
enum dead_match { DEAD_OPEN, DEAD_YOUNG, DEAD_DISCARDED }; /* YOUNG: open, and not too old to be run again */
void dead_filter_show(struct call *c, const struct queue_info *q, const struct dead_filter *f, enum dead_match which);

#endif
