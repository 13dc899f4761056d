/* Payloads for people to see: what a type's schema marks as "x-masked" is shown as stars, and taken back for what it was. */
#ifndef API_MASK_H
#define API_MASK_H

#include <base/err.h>
#include <jansson.h>

#define MASK_TEXT "***"

/* Changes value, which its schema describes. */
MUST struct err mask_hide(const json_t *schema, json_t *value);
/* Where edited has the stars, it gets what original has in the same place. */
MUST struct err mask_restore(json_t *edited, const json_t *original);

#endif
