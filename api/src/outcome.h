/* The kept outcome of a stream-class job, "<outcome> <status> <result>", as its worker wrote it. */
#ifndef API_OUTCOME_H
#define API_OUTCOME_H

#include "job_row.h"

/* Fills id, state, status and result; strings point into text. */
bool outcome_parse(struct str text, struct uuid job, struct job_row *out);

#endif
