/* What a root job has done: the rows of its module's effect table, and what modules have asked of servers outside for it. */
#ifndef JOBS_DEEDS_H
#define JOBS_DEEDS_H

#include <jobs/runtime.h>

struct deeds {
    struct runtime *rt;
    const struct module *module; /* of the job's type; NULL: it is not known here, and effects are not either */
    char root[PG_UUID_BYTES];
    /* Who shows them: a row of module_sql's effects, then one of each module's calls. NULL: nobody does. */
    void (*on_effect)(struct deeds *d, const PGresult *res, int row);
    void (*on_call)(struct deeds *d, const PGresult *res, int row);
    void (*done)(struct deeds *d, struct err err); /* once, never before deeds_read returns */
    void *arg;                                     /* theirs */
    /* the outcome */
    bool acted; /* a step, an ending that is not "dead", or a call is behind it: it cannot begin as another job */
    /* inside */
    size_t next; /* module to ask for calls */
};

/* d lives until done. */
void deeds_read(struct deeds *d);

#endif
