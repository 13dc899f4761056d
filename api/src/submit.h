/* From a request's JSON to an acceptance: type, queue, times, key, schema, size, pressure. A refusal is a value, because a line of a
 * batch is refused in its own line. */
#ifndef API_SUBMIT_H
#define API_SUBMIT_H

#include "accept.h"
#include "types.h"

struct submit {
    struct acceptance a;    /* prepared when there is no problem */
    struct problem problem; /* what it points to is in the call's arena */
};

/* In the call's arena; NULL without memory. */
struct submit *submit_new(struct call *c);

/* A job as POST /v1/jobs takes it, {type, payload, …}; schema: "JobRequest", or "JobLine" with the key inside. raw is what the
 * fingerprint is made of. False: refused, see problem. */
bool submit_request(struct submit *s, const json_t *request, const char *schema, struct str raw);

/* A job of a known type. prefix: where the payload is in the request, for pointers. */
bool submit_job(struct submit *s, const struct job_type *type, const json_t *payload, const char *prefix, struct str raw);

/* What jobs will be made of later: type, queue and payload of {type, type_version, payload, queue}, checked and taken as for a job. */
bool submit_template(struct submit *s, const json_t *request);
/* Refuses one member, "#/cron"; false. */
bool submit_refuse_member(struct submit *s, const char *pointer, const char *detail);

/* What a failed acceptance is to the client. False: it did not fail. detail is put in problem. */
bool submit_refused(struct submit *s);

#endif
