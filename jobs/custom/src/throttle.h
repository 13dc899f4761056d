/* How many attempts of a type one process makes: at once, and in a second. Who must wait is told how long, one behind the other, so that what
 * comes back finds room. */
#ifndef CUSTOM_THROTTLE_H
#define CUSTOM_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

struct throttle {
    int64_t running;
    int64_t next_us;    /* when the rate has room again */
    int64_t later_us;   /* until when those who were sent away are spread */
    int64_t average_us; /* of an attempt; 0: none has ended yet */
};

/* rate per second, concurrency: 0 is any. False: not now, but in *out_wait_ms. */
bool throttle_take(struct throttle *t, int64_t rate, int64_t concurrency, int64_t now_us, int64_t *out_wait_ms);
void throttle_give(struct throttle *t, int64_t took_us); /* once for each that was taken */

#endif
