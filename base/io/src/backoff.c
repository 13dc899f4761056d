#include "backoff.h"

#include <base/crypto.h>

int64_t backoff_ms(unsigned failures) {
    int64_t ceiling = BACKOFF_FIRST_MS;
    while (failures-- > 0 && ceiling < BACKOFF_MAX_MS) {
        ceiling *= 2;
    }
    if (ceiling > BACKOFF_MAX_MS) {
        ceiling = BACKOFF_MAX_MS;
    }
    uint32_t random;
    crypto_random(&random, sizeof random);
    return 1 + (int64_t)(random % (uint32_t)ceiling);
}
