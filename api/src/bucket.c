#include "bucket.h"

#include <math.h>

void bucket_fill(struct bucket *b, int64_t now_us) {
    b->tokens = fmin(b->most, b->tokens + b->per_s * (double)(now_us - b->at_us) / 1e6);
    b->at_us = now_us;
}

void bucket_set(struct bucket *b, double per_s, double most, int64_t now_us) {
    if (b->most > 0) {
        bucket_fill(b, now_us);
        b->tokens = fmax(0, b->tokens + most - b->most);
    } else {
        b->tokens = most;
    }
    b->per_s = per_s;
    b->most = most;
    b->at_us = now_us;
}

double bucket_wait_s(const struct bucket *b) { return b->tokens >= 1 ? 0 : (1 - b->tokens) / b->per_s; }

void bucket_take(struct bucket *b) { b->tokens -= 1; }
