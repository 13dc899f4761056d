#include <queues/upkeep.h>

#include "call.h"

void queue_epoch_set(const struct broker *b, const struct shard *s, struct str expected, struct str value, queue_count_cb *cb,
                     void *arg) {
    struct call c;
    call_function(&c, FN_EPOCH, s);
    call_add(&c, expected);
    call_add(&c, value);
    call_send_count(&c, b, 1, cb, arg);
}

void queue_group_create(const struct broker *b, const struct shard *s, queue_count_cb *cb, void *arg) {
    struct call c;
    call_function(&c, FN_GROUP, s);
    call_send_count(&c, b, 1, cb, arg);
}

int64_t queue_epoch_nonce(struct str epoch) {
    struct str word = STR("");
    int64_t nonce = 0;
    size_t words = 0;
    while (str_cut(&epoch, ' ', &word)) {
        words++;
    }
    return words > 1 && str_to_i64(word, &nonce) && nonce > 0 ? nonce : 0;
}
