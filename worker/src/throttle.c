#include "throttle.h"

#include "process.h"

#include <base/crypto.h>

enum { ELSEWHERE_MS = 1000, LATEST_MS = 60000, LEAST_MS = 10, AVERAGE_WEIGHT = 16 };

/* Where this process may have none another may: soon, and not all at once. Else one behind the other, as room comes. */
static int64_t wait_ms(struct held *h, uint32_t most) {
    const struct process *p = h->process;
    struct kind *k = h->kind;
    int64_t now_us = loop_now(p->rt->loop).us;
    uint32_t r;
    if (most == 0) {
        crypto_random(&r, sizeof r);
        return ELSEWHERE_MS / 4 + (int64_t)(r % ELSEWHERE_MS);
    }
    int64_t pace_us = k->service_us / most;
    k->later_us = (k->later_us > now_us ? k->later_us : now_us) + (pace_us > 1000 ? pace_us : 1000);
    int64_t ms = (k->later_us - now_us) / 1000;
    if (ms > LATEST_MS) {
        k->later_us = now_us + LATEST_MS * 1000;
        ms = LATEST_MS;
    }
    return ms > LEAST_MS ? ms : LEAST_MS;
}

bool throttle_enter(struct held *h) {
    uint32_t most = slot_table_most(h->process->table, h->kind->name.p);
    if (h->kind->running <= most || h->process->lone) {
        return true;
    }
    attempt_later(&h->attempt, wait_ms(h, most), err_make(ERR_BUSY, "%s: %u at once in this process", h->kind->name.p, most));
    return false;
}

void throttle_left(struct held *h, const struct attempt_end *end, int64_t us) {
    struct kind *k = h->kind;
    k->running--;
    if (end->kind != END_LATER) { /* what was refused took no time, and says nothing */
        k->service_us += (us - k->service_us) / (k->service_us > 0 ? AVERAGE_WEIGHT : 1);
    }
}
