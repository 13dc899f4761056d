#include "share.h"

/* The places stand one behind the other, each as wide as its room; the k-th process stands at the end of the k-th of `wanted` equal
 * stretches, and belongs to whom it stands on. */
struct share share_of(size_t wanted, const struct share_place *places, size_t n, unsigned turn) {
    size_t all = 0, before = 0;
    for (size_t i = 0; i < n; i++) {
        all += (size_t)places[i].room;
    }
    for (size_t i = 0; i < n; i++) {
        const struct share_place *place = &places[(i + turn) % n];
        size_t behind = before + (size_t)place->room;
        if (place->me) {
            size_t first = wanted * before / all;
            return (struct share){first, wanted * behind / all - first};
        }
        before = behind;
    }
    return (struct share){0};
}
