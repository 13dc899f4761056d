/* Payloads for people to see have stars for what is personal (schema_mask); edited, they come back with them. */
#ifndef JOBS_MASK_H
#define JOBS_MASK_H

#include <base/err.h>
#include <jansson.h>

/* Where edited has the stars, it gets what original has in the same place. */
MUST struct err mask_restore(json_t *edited, const json_t *original);

#endif
