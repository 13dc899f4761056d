/* A token bucket: so many a second, and so many at once. Pure. */
#ifndef API_BUCKET_H
#define API_BUCKET_H

#include <stdint.h>

struct bucket {
    double per_s, most; /* most: what it holds, at least 1 */
    double tokens;
    int64_t at_us; /* when tokens was right; any clock that goes forward */
};

/* Another rate: what was used stays used. A new one, all zero, is full. */
void bucket_set(struct bucket *b, double per_s, double most, int64_t now_us);
void bucket_fill(struct bucket *b, int64_t now_us);
/* After bucket_fill: seconds until there is one; 0: there is. */
double bucket_wait_s(const struct bucket *b);
void bucket_take(struct bucket *b);

#endif
