/* What handlers share. */
#ifndef API_HANDLERS_H
#define API_HANDLERS_H

#include "job_row.h"
#include "submit.h"

#define R(id, method, path, scope, flags, type, summary, query, param, schema, example, answers) void handle_##id(struct call *c);
#include "routes.def"
#undef R

/* 202: the job is kept; s->a says which one. */
void answer_accepted(struct submit *s);
/* The end of an acceptance that is the a of a struct submit, as POST /v1/jobs answers it. */
void answer_acceptance(struct acceptance *a);

/* The job has ended: its stored status and result, byte for byte. */
void answer_result(struct call *c, const struct job_row *row);

struct call *call_of_waiter(struct waiter *w);

/* One entry of platform.audit: as a CTE "audit" behind the CTE named source, once when that has rows; parameters from first on are
 * tenant, author, action, target, detail (jsonb). */
#define AUDIT_CTE(source, p1, p2, p3, p4, p5)                                                                              \
    "audit AS (INSERT INTO platform.audit (tenant, author, action, target, detail) SELECT " p1 "::text, " p2 "::text, " p3 \
    "::text, " p4 "::text, " p5 "::jsonb WHERE EXISTS (SELECT FROM " source "))"

#endif
