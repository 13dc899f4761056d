#include <queues/shard.h>

#include <base/limits.h>
#include <stdio.h>

static const char *const suffix[KEY_MAX] = {
    [KEY_STREAM] = "s",     [KEY_DELAYED] = "d",     [KEY_DELAYED_HOME] = "dh", [KEY_PARKED] = "p",
    [KEY_CANCEL_0] = "x:0", [KEY_CANCEL_1] = "x:1",  [KEY_DEDUPE_0] = "i:0",    [KEY_DEDUPE_1] = "i:1",
    [KEY_RUNNING] = "r",    [KEY_OUTCOME_0] = "o:0", [KEY_OUTCOME_1] = "o:1",   [KEY_COUNTERS] = "n",
    [KEY_EPOCH] = "e",      [KEY_SWEEP] = "l",       [KEY_CRASHES] = "c",       [KEY_DEAD] = "dead",
};

struct err shard_init(struct shard *s, struct str queue, unsigned number) {
    if (!str_is_name(queue, LIMIT_NAME_BYTES) || str_is(queue, "ev") || number >= LIMIT_SHARDS) {
        return err_make(ERR_INVALID, "queue \"%.*s\" shard %u: not a queue name, or no such shard", STR_ARG(queue), number);
    }
    (void)str_copy_c(queue, s->queue, sizeof s->queue);
    s->number = (uint8_t)number;
    for (int k = 0; k < KEY_MAX; k++) {
        int n = snprintf(s->key_text[k], SHARD_KEY_BYTES, "pen:{%s:%u}:%s", s->queue, number, suffix[k]);
        s->key[k] = str_of(s->key_text[k], (size_t)n);
    }
    return OK;
}

static uint64_t fnv(uint64_t h, struct str s) {
    for (size_t i = 0; i < s.n; i++) {
        h = (h ^ (uint8_t)s.p[i]) * 1099511628211U;
    }
    return h;
}

unsigned shard_pick(unsigned n, struct str a, struct str b) {
    uint64_t h = fnv(fnv(fnv(14695981039346656037U, a), str_of("", 1)), b);
    return n > 1 ? (unsigned)(h % n) : 0;
}
