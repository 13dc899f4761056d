/* What a root job has done: the rows of its module's effect table, and what modules have asked of servers outside for it. */
#ifndef API_DEEDS_H
#define API_DEEDS_H

#include <base/buf.h>
#include <io/pg.h>
#include <jobs/type.h>

struct call;

struct deeds {
    struct call *call;
    const struct module *module; /* of the job's type; NULL: it is not known here, and effects are not either */
    char root[PG_UUID_BYTES];
    void (*done)(struct deeds *d, struct err err); /* once; frees json */
    /* the outcome */
    struct buf json; /* "effects":[…],"calls":[…] */
    bool acted;      /* a step, an ending that is not "dead", or a call is behind it: it cannot begin as another job */
    /* inside */
    size_t next; /* module to ask for calls */
};

/* d lives in the call's arena, and the call until done. */
void deeds_read(struct deeds *d);

#endif
