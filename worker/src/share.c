#include "share.h"

/* The places stand one behind the other, each as wide as its room; the k-th process stands at the end of the k-th of `wanted` equal
 * stretches, and belongs to whom it stands on. */
size_t share_of(size_t wanted, const struct share_place *places, size_t n, unsigned turn) {
    size_t all = 0, before = 0;
    for (size_t i = 0; i < n; i++) {
        all += (size_t)places[i].room;
    }
    for (size_t i = 0; i < n; i++) {
        const struct share_place *place = &places[(i + turn) % n];
        size_t behind = before + (size_t)place->room;
        if (place->me) {
            return wanted * behind / all - wanted * before / all;
        }
        before = behind;
    }
    return 0;
}
