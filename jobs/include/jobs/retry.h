/* When and whether an attempt is repeated: the one table from error class to verdict, and full jitter. */
#ifndef JOBS_RETRY_H
#define JOBS_RETRY_H

#include <base/err.h>
#include <stddef.h>
#include <stdint.h>

struct retry_policy {
    int64_t base_ms, cap_ms; /* delay = U(0, min(cap, base * 2^attempt)) */
    uint32_t max_attempts;   /* charged attempts, the first included */
};

enum retry_verdict {
    RETRY_RELEASE, /* come back after a short delay, nothing charged: our own dependency is down */
    RETRY_CHARGE,  /* charge an attempt; dead when it was the last */
    RETRY_SOON,    /* like CHARGE, but with the base delay only */
    RETRY_DEAD,
};

/* random01: uniform in [0,1). after_ms: what the other side asked for (Retry-After), 0 none; honoured up to the policy's cap or a
 * minute, whichever is more. out_delay_ms is set unless RETRY_DEAD. attempt: charged so far, before this one. */
enum retry_verdict retry_decide(const struct retry_policy *p, enum err_code code, uint32_t attempt, int64_t after_ms,
                                double random01, int64_t *out_delay_ms);

/* Retry-After: seconds or an HTTP date; ms from now, 0 when it does not parse or lies in the past. */
int64_t retry_after_parse(const char *p, size_t n, int64_t now_ms);

#endif
