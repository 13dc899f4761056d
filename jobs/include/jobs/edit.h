/* A dead job of class journal with another payload, as a new root. Only where the old one has done nothing: what it did would be done twice. It
 * is dead, so it does nothing more meanwhile; and a retry that comes in between is seen by the statement that makes the new one. */
#ifndef JOBS_EDIT_H
#define JOBS_EDIT_H

#include <jansson.h>
#include <jobs/deeds.h>
#include <jobs/sending.h>

enum edit_verdict {
    EDIT_MADE,
    EDIT_NOT_FOUND,
    EDIT_NOT_DEAD, /* or was run again or put away, or died more than 25 days ago */
    EDIT_UNKNOWN_TYPE,
    EDIT_INTERNAL_TYPE, /* what such a payload says it may do, its route has decided */
    EDIT_STREAM_CLASS,
    EDIT_INVALID, /* the new payload is not what its type wants */
    EDIT_ACTED,
    EDIT_FAILED, /* err */
    EDIT_VERDICTS
};
const char *edit_verdict_name(enum edit_verdict v); /* "invalid": the code of the problem that it is */

struct edit {
    struct runtime *rt;
    struct arena *arena; /* lives until done */
    struct uuid old;
    struct str of_tenant;              /* whose job it must be; p NULL: anybody's */
    const json_t *change;              /* an object, which lives until done */
    bool is_patch;                     /* change is a merge patch (RFC 7396) of the payload; else the whole new one */
    struct str author, tenant, reason; /* for the audit */
    struct uuid bulk;                  /* the bulk action that it is part of, counted with it; nil: none */
    const struct trace *parent;        /* the new one comes of this; the old one's last attempt is one link away */
    struct span_scope *scope;          /* of that */
    /* Whether the new payload satisfies e->type's schema. */
    bool (*check)(struct edit *e, const json_t *payload);
    void (*done)(struct edit *e, enum edit_verdict verdict); /* once, never before edit_start returns */
    void *arg;                                               /* theirs */
    /* the outcome */
    struct err err;
    struct uuid id; /* the new one */
    const struct job_type *type;
    /* inside */
    struct deeds deeds;
    struct str payload;
    int64_t generation;
    const char *queue;
    struct sending sending;
    struct trace died_in; /* the span of the old one's last attempt, or what led to it */
};

void edit_start(struct edit *e);

/* What becomes of a payload: the change itself, or the payload patched by it; where that has the stars of a masked value, the original's. *out is
 * the caller's. */
MUST struct err edit_payload(const json_t *change, bool is_patch, struct str original, json_t **out);

#endif
