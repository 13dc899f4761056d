/* How long to wait before connecting again: full jitter, so that many clients of a server that comes back do not come
 * back together. */
#ifndef IO_BACKOFF_H
#define IO_BACKOFF_H

#include <stdint.h>

enum { BACKOFF_FIRST_MS = 50, BACKOFF_MAX_MS = 2000 };

int64_t backoff_ms(unsigned failures); /* random in 1 .. min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2^failures) */

#endif
