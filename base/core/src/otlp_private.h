/* What the writers of the signals share. */
#ifndef BASE_OTLP_PRIVATE_H
#define BASE_OTLP_PRIVATE_H

#include <base/otlp.h>

void otlp_add_times(struct buf *out, const char *keys[2], struct mono from, struct mono to); /* ,"key":"ns","key":"ns" */
void otlp_add_u64(struct buf *out, uint64_t v);                                              /* in quotes */
void otlp_add_hex(struct buf *out, const char *key, const uint8_t *id, size_t n);
/* {"key":"k","value":{"stringValue":"v"}}, with a comma before all but the first. */
void otlp_add_attr(struct buf *out, bool *first, const char *key, struct str v);
void otlp_add_attr_int(struct buf *out, bool *first, const char *key, int64_t v);

#endif
