/* How many entries a process may bring in: its slots and the look-ahead, less what it holds; never more than it has room for while
 * what ended waits to be written. */
#include <string.h>

#include "../../../worker/src/process.h"
#include "unit.h"

static void test_room__given_what_is_held_then_what_is_still_wanted(void **state) {
    (void)state;
    static const struct {
        int slots;
        size_t running, waiting, asked, room;
    } rows[] = {
        {1, 0, 0, 0, 2}, /* one to run, one to look ahead */
        {1, 1, 0, 0, 1},           {1, 1, 1, 0, 0},           {8, 0, 0, 0, 16},    {8, 8, 0, 0, 8},
        {8, 8, 7, 0, 1},           {8, 8, 8, 0, 0},           {8, 3, 0, 13, 0}, /* sweeps on their way may bring as many */
        {8, 30, 30, 0, 0},                                                      /* more than wanted: slots were taken away */
        {64, 0, 0, 0, 64},                                                      /* a batch at a time */
        {64, 64, 0, 0, 64},        {64, 64, 60, 0, 4},        {1000, 0, 0, 0, 64}, {1000, 1000, 0, 0, 64},
        {1000, 1000, 64, 0, 0},                               /* no further ahead than a batch */
        {0, 0, 0, 0, 2},                                      /* slots that cannot be: one */
        {-5, 0, 0, 0, 2},          {1 << 30, 1024, 0, 0, 64}, /* half of what can be held, and no more */
        {1 << 30, 1024, 64, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct queue_info q = {.slots = rows[i].slots};
        const struct process p = {
            .queue = &q, .running_n = rows[i].running, .waiting_n = rows[i].waiting, .asked_n = rows[i].asked};
        if (rows[i].room != claim_room(&p)) {
            fail_msg("row %zu: %zu, not %zu", i, claim_room(&p), rows[i].room);
        }
    }
}

static void test_room__given_quarantine_then_one_at_a_time(void **state) {
    (void)state;
    const struct queue_info q = {.slots = 64};
    struct process p = {.queue = &q, .lone = true};
    assert_int_equal(1, process_slots(&p));
    assert_int_equal(1, claim_room(&p));
    p.running_n = 1;
    assert_int_equal(0, claim_room(&p));
}

static void test_room__given_an_open_circuit_then_none_and_not_in_quarantine_either(void **state) {
    (void)state;
    struct runtime rt = {0};
    struct dependency away;
    assert_ok(loop_new(&rt.loop));
    dependency_init(&away, STR("provider"), 64);
    away.circuit = CIRCUIT_OPEN;
    away.until_us = INT64_MAX;
    const struct queue_info q = {.slots = 64};
    struct process p = {.rt = &rt, .queue = &q, .dependency = &away};
    for (int lone = 0; lone < 2; lone++) {
        p.lone = lone == 1;
        assert_int_equal(0, process_slots(&p));
        assert_int_equal(0, claim_room(&p));
    }
    loop_free(rt.loop);
}

static void test_room__jobs_are_slow_then_no_look_ahead(void **state) {
    (void)state;
    const struct queue_info q = {.slots = 4};
    struct process p = {.queue = &q, .service_ms = SLOW_JOB_MS};
    assert_int_equal(8, claim_room(&p));
    p.service_ms = SLOW_JOB_MS + 1;
    assert_int_equal(4, claim_room(&p));
    p.running_n = 4;
    assert_int_equal(0, claim_room(&p));
}

/* Redis or Postgres is slow: what ended piles up. Claims go on as long as there is room beside it, and then stop. */
static void test_room__what_ended_is_not_written_yet_then_bounded(void **state) {
    (void)state;
    const struct queue_info q = {.slots = 64};
    struct process p = {.queue = &q, .running_n = 64};
    p.outgoing_n = SETTLING_ROOM;
    assert_int_equal(64, claim_room(&p));
    p.outgoing_n = SETTLING_ROOM + 10;
    assert_int_equal(54, claim_room(&p));
    p.outgoing_n = SETTLING_ROOM;
    p.finishing_n = 63;
    assert_int_equal(1, claim_room(&p));
    p.finishing_n = 64;
    assert_int_equal(0, claim_room(&p));
    p.finishing_n = 100000;
    assert_int_equal(0, claim_room(&p));
}

static void test_room__then_never_more_than_can_be_held(void **state) {
    (void)state;
    for (int slots = 1; slots <= 4096; slots *= 2) {
        const struct queue_info q = {.slots = slots};
        for (size_t held = 0; held <= HELD_MAX; held += 61) {
            for (size_t out = 0; held + out <= HELD_MAX; out += 197) {
                const struct process p = {.queue = &q, .running_n = held / 2, .waiting_n = held - held / 2, .outgoing_n = out};
                assert_true(held + out + claim_room(&p) <= HELD_MAX);
                assert_true(claim_room(&p) <= LIMIT_BATCH);
            }
        }
    }
}

static void test_slots__given_a_setting_then_bounded(void **state) {
    (void)state;
    static const struct {
        int setting;
        size_t slots;
    } rows[] = {{-1, 1}, {0, 1}, {1, 1}, {64, 64}, {1024, 1024}, {1025, 1024}, {1 << 30, 1024}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct queue_info q = {.slots = rows[i].setting};
        const struct process p = {.queue = &q};
        assert_int_equal(rows[i].slots, process_slots(&p));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room__given_what_is_held_then_what_is_still_wanted),
        cmocka_unit_test(test_room__given_quarantine_then_one_at_a_time),
        cmocka_unit_test(test_room__given_an_open_circuit_then_none_and_not_in_quarantine_either),
        cmocka_unit_test(test_room__jobs_are_slow_then_no_look_ahead),
        cmocka_unit_test(test_room__what_ended_is_not_written_yet_then_bounded),
        cmocka_unit_test(test_room__then_never_more_than_can_be_held),
        cmocka_unit_test(test_slots__given_a_setting_then_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
