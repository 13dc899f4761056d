/* Which jobs a shard holds: all of its homes, page by page, each job once or more, found by bisection. */
#include <stdlib.h>

#include "../../../scheduler/src/scheduler.h"
#include "unit.h"

static struct uuid id_of(unsigned n) {
    struct uuid id = {{0}};
    for (int i = 0; i < 4; i++) {
        id.b[i] = (uint8_t)(n >> (24 - 8 * i));
    }
    return id;
}

/* A Redis in which pen_walk_1 answers from three lists, in pages: next cursor, ids. No memory is allocated. */
enum { PAGE = 30 };

static struct {
    size_t n[KEY_MAX];
    unsigned first[KEY_MAX]; /* the ids of a home are first, first + 1, … */
    unsigned calls, fail_at; /* fail_at: that call fails; 0: none */
    char order[64];          /* which homes were walked */
} redis;

static enum shard_key home_of(const struct shard *s, struct str key) {
    for (int k = 0; k < KEY_MAX; k++) {
        if (str_eq(s->key[k], key)) {
            return (enum shard_key)k;
        }
    }
    fail_msg("no key of the shard");
    return KEY_MAX;
}

static struct shard shard;

static void call(void *self, int64_t deadline_ms, size_t argc, const struct str *argv, broker_cb *cb, void *arg) {
    static struct reply nodes[PAGE + 1];
    static struct uuid ids[PAGE];
    static char next[16];
    struct reply *elements[PAGE + 1];
    struct reply page = {.type = REPLY_ARRAY, .element = elements, .elements = 1};
    int64_t at = 0;
    (void)self;
    (void)deadline_ms;
    for (int i = 0; i <= PAGE; i++) {
        elements[i] = &nodes[i];
    }
    assert_int_equal(6, argc); /* FCALL_RO name 1 key cursor count */
    if (++redis.calls == redis.fail_at) {
        cb(arg, err_make(ERR_REDIS_LOST, "gone"), NULL);
        return;
    }
    enum shard_key home = home_of(&shard, argv[3]);
    size_t n = strlen(redis.order);
    if (argv[4].n == 0 && n + 1 < sizeof redis.order) {
        redis.order[n] = home == KEY_DELAYED ? 'd' : home == KEY_STREAM ? 's' : 'p';
    }
    assert_true(argv[4].n == 0 || str_to_i64(argv[4], &at));
    for (int i = 0; i < PAGE && (size_t)at < redis.n[home]; i++, at++) {
        ids[i] = id_of(redis.first[home] + (unsigned)at);
        nodes[page.elements++] = (struct reply){.type = REPLY_STRING, .str = (char *)ids[i].b, .len = 16};
    }
    (void)snprintf(next, sizeof next, "%lld", (long long)at);
    nodes[0] = (struct reply){.type = REPLY_STRING, .str = next, .len = (size_t)at < redis.n[home] ? strlen(next) : 0};
    cb(arg, OK, &page);
}

static struct runtime rt;
static struct scheduler scheduler = {.rt = &rt};

static int reset(void **state) {
    (void)state;
    memset(&redis, 0, sizeof redis);
    assert_ok(shard_init(&shard, STR("default"), 0));
    rt.redis = (struct broker){call, NULL};
    return 0;
}

static int answers;
static struct err answer;

static void on_collected(void *arg, struct err err) {
    (void)arg;
    answers++;
    answer = err;
}

static void collect(struct presence *p) {
    answers = 0;
    presence_collect(&scheduler, &shard, p, on_collected, NULL);
    assert_int_equal(1, answers);
}

static void test_presence__every_home_then_all_found_and_nothing_else(void **state) {
    (void)state;
    struct presence p = {0};
    redis.n[KEY_STREAM] = 75;
    redis.first[KEY_STREAM] = 1000;
    redis.n[KEY_DELAYED] = 31;
    redis.first[KEY_DELAYED] = 10;
    redis.n[KEY_PARKED] = 2;
    redis.first[KEY_PARKED] = 500;
    collect(&p);
    assert_ok(answer);
    assert_string_equal("dspd", redis.order); /* delayed again: a job may have gone back there meanwhile */
    for (unsigned id = 0; id < 2000; id++) {
        bool there = (id >= 10 && id < 41) || (id >= 500 && id < 502) || (id >= 1000 && id < 1075);
        assert_int_equal(there, presence_has(&p, id_of(id)));
    }
    for (size_t i = 1; i < p.n; i++) {
        assert_true(memcmp(&p.ids[i - 1], &p.ids[i], 16) <= 0);
    }
    presence_clear(&p);
}

static void test_presence__ids_in_two_homes_then_found(void **state) {
    (void)state;
    struct presence p = {0};
    redis.n[KEY_STREAM] = redis.n[KEY_DELAYED] = redis.n[KEY_PARKED] = 70; /* the same seventy */
    collect(&p);
    assert_ok(answer);
    for (unsigned id = 0; id < 100; id++) {
        assert_int_equal(id < 70, presence_has(&p, id_of(id)));
    }
    presence_clear(&p);
}

static void test_presence__an_empty_shard_then_nothing_found(void **state) {
    (void)state;
    struct presence p = {0};
    collect(&p);
    assert_ok(answer);
    assert_false(presence_has(&p, id_of(0)));
    presence_clear(&p);
    assert_false(presence_has(&p, id_of(0)));
}

static void test_presence__many_then_all_found(void **state) {
    (void)state;
    struct presence p = {0};
    redis.n[KEY_STREAM] = 5001; /* more than one growth */
    collect(&p);
    assert_ok(answer);
    for (unsigned id = 0; id < 5010; id++) {
        assert_int_equal(id < 5001, presence_has(&p, id_of(id)));
    }
    presence_clear(&p);
}

static void test_presence__collected_again_then_of_now(void **state) {
    (void)state;
    struct presence p = {0};
    redis.n[KEY_STREAM] = 3;
    collect(&p);
    redis.first[KEY_STREAM] = 100;
    collect(&p);
    assert_false(presence_has(&p, id_of(1)));
    assert_true(presence_has(&p, id_of(101)));
    presence_clear(&p);
}

static void test_presence__redis_goes_at_any_page_then_an_error_once(void **state) {
    (void)state;
    redis.n[KEY_STREAM] = 75;
    redis.n[KEY_DELAYED] = 31;
    for (unsigned k = 1; k <= 8; k++) { /* pages: 2, 3, 1, 2 */
        struct presence p = {0};
        redis.calls = 0;
        redis.fail_at = k;
        collect(&p);
        assert_err(ERR_REDIS_LOST, answer);
        assert_int_equal(k, redis.calls);
        presence_clear(&p);
    }
}

static void scenario(void *arg) {
    struct presence p = {0};
    (void)arg;
    collect(&p);
    assert_true(!err_is_set(answer) || torture_is_failing());
    for (unsigned id = 0; id < 2100 && !err_is_set(answer); id++) {
        assert_true(presence_has(&p, id_of(id))); /* all, or an error */
    }
    presence_clear(&p);
}

static void test_presence__any_allocation_fails_then_all_or_an_error(void **state) {
    (void)state;
    redis.n[KEY_STREAM] = 2100;
    redis.fail_at = 0;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_presence__every_home_then_all_found_and_nothing_else, reset),
        cmocka_unit_test_setup(test_presence__ids_in_two_homes_then_found, reset),
        cmocka_unit_test_setup(test_presence__an_empty_shard_then_nothing_found, reset),
        cmocka_unit_test_setup(test_presence__many_then_all_found, reset),
        cmocka_unit_test_setup(test_presence__collected_again_then_of_now, reset),
        cmocka_unit_test_setup(test_presence__redis_goes_at_any_page_then_an_error_once, reset),
        cmocka_unit_test_setup(test_presence__any_allocation_fails_then_all_or_an_error, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
