#include <base/limits.h>
#include <queues/shard.h>

#include "unit.h"

static void test_shard__given_a_queue_then_every_key_has_its_hash_tag(void **state) {
    (void)state;
    static const char *const keys[KEY_MAX] = {
        [KEY_STREAM] = "pen:{orders:3}:s",      [KEY_DELAYED] = "pen:{orders:3}:d",     [KEY_DELAYED_HOME] = "pen:{orders:3}:dh",
        [KEY_PARKED] = "pen:{orders:3}:p",      [KEY_CANCEL_0] = "pen:{orders:3}:x:0",  [KEY_CANCEL_1] = "pen:{orders:3}:x:1",
        [KEY_DEDUPE_0] = "pen:{orders:3}:i:0",  [KEY_DEDUPE_1] = "pen:{orders:3}:i:1",  [KEY_RUNNING] = "pen:{orders:3}:r",
        [KEY_OUTCOME_0] = "pen:{orders:3}:o:0", [KEY_OUTCOME_1] = "pen:{orders:3}:o:1", [KEY_COUNTERS] = "pen:{orders:3}:n",
        [KEY_EPOCH] = "pen:{orders:3}:e",       [KEY_SWEEP] = "pen:{orders:3}:l",       [KEY_CRASHES] = "pen:{orders:3}:c",
        [KEY_DEAD] = "pen:{orders:3}:dead",
    };
    struct shard s;
    assert_ok(shard_init(&s, STR("orders"), 3));
    assert_string_equal("orders", s.queue);
    assert_int_equal(3, s.number);
    for (int k = 0; k < KEY_MAX; k++) {
        assert_str(keys[k], s.key[k]);
    }
}

static void test_shard__given_the_longest_name_then_its_keys_fit(void **state) {
    (void)state;
    char name[LIMIT_NAME_BYTES + 1];
    memset(name, 'q', sizeof name);
    struct shard s;
    assert_ok(shard_init(&s, str_of(name, LIMIT_NAME_BYTES), LIMIT_SHARDS - 1));
    for (int k = 0; k < KEY_MAX; k++) {
        assert_true(s.key[k].n < SHARD_KEY_BYTES && s.key[k].n > LIMIT_NAME_BYTES);
    }
    assert_err(ERR_INVALID, shard_init(&s, str_of(name, sizeof name), 0));
}

static void test_shard__given_what_is_no_shard_then_it_is_refused(void **state) {
    (void)state;
    static const struct {
        struct str queue;
        unsigned number;
    } rows[] = {{STR(""), 0},
                {{NULL, 0}, 0},
                {STR("a}b"), 0},
                {STR("a:b"), 0},
                {STR("a b"), 0},
                {STR("ev"), 0},
                {STR("orders"), LIMIT_SHARDS}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct shard s;
        assert_err(ERR_INVALID, shard_init(&s, rows[i].queue, rows[i].number));
    }
}

/* Where a job lives must not change between releases: producers in other languages compute it too (PROTOCOL.md section 2). */
static void test_shard__given_the_same_job_then_the_same_shard_for_ever(void **state) {
    (void)state;
    static const struct {
        unsigned n;
        struct str a, b;
        unsigned shard;
    } rows[] = {
        {1, STR("anything"), STR(""), 0},      {0, STR("anything"), STR(""), 0},      {16, STR("acme"), STR("order-1"), 5},
        {16, STR("acme"), STR("order-2"), 12}, {16, STR("acmeo"), STR("rder-1"), 15}, {3, STR("customer-7"), STR(""), 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(rows[i].shard, shard_pick(rows[i].n, rows[i].a, rows[i].b));
    }
}

static void test_shard__given_many_keys_then_every_shard_gets_its_part(void **state) {
    (void)state;
    unsigned hits[LIMIT_SHARDS] = {0};
    for (uint32_t i = 0; i < 16000; i++) {
        hits[shard_pick(LIMIT_SHARDS, str_of(&i, sizeof i), STR(""))]++;
    }
    for (size_t s = 0; s < LIMIT_SHARDS; s++) {
        assert_in_range(hits[s], 700, 1300);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shard__given_a_queue_then_every_key_has_its_hash_tag),
        cmocka_unit_test(test_shard__given_the_longest_name_then_its_keys_fit),
        cmocka_unit_test(test_shard__given_what_is_no_shard_then_it_is_refused),
        cmocka_unit_test(test_shard__given_the_same_job_then_the_same_shard_for_ever),
        cmocka_unit_test(test_shard__given_many_keys_then_every_shard_gets_its_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
