/* Times as people write and read them. Pure. */
#ifndef OPS_CLI_TEXT_H
#define OPS_CLI_TEXT_H

#include <base/clock.h>
#include <base/str.h>

/* "90" (seconds), "500ms", "30s", "5m", "2h", "7d". False for anything else, and above 1000 days. */
bool text_duration(struct str s, int64_t *out_ms);

enum { TEXT_AGE_BYTES = 24 };
/* "45s", "12m", "3h", "9d": two or three figures; nothing below "0s", which is also what a clock behind ours gives. */
void text_age(int64_t ms, char out[TEXT_AGE_BYTES]);

/* A time as the API writes it, "2026-11-28T21:13:34.123Z"; digits behind the second are dropped. */
bool text_time(struct str s, struct wall *out);

/* Printable ASCII, at least one and at most max characters: what may stand in a header field. */
bool text_is_plain(const char *s, size_t max);

#endif
