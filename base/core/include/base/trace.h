/* W3C Trace Context level 2: parsing and writing traceparent, making child contexts. A bad traceparent means a new trace. */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <base/str.h>

struct trace {
    uint8_t trace_id[16];
    uint8_t span_id[8];
    uint8_t flags; /* bit 0 sampled, bit 1 random: as received; the other bits are dropped */
};

enum { TRACEPARENT_BYTES = 56, TRACE_ID_HEX_BYTES = 33, SPAN_ID_HEX_BYTES = 17 }; /* with NUL */

/* False: not a valid traceparent (all-zero ids, version ff, upper case, wrong length …). Versions above 00 are read by
 * their first 55 characters. */
bool trace_parse(struct str traceparent, struct trace *out);
void trace_text(const struct trace *t, char out[TRACEPARENT_BYTES]); /* "00-…-…-01" */
void trace_id_text(const struct trace *t, char out[TRACE_ID_HEX_BYTES]);
struct trace trace_new(void);                         /* new trace, new span, flags sampled|random */
struct trace trace_child(const struct trace *parent); /* same trace and flags, new span */

#endif
