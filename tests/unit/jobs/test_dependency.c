#include <jobs/dependency.h>
#include <stdbool.h>

#include "unit.h"

enum { MS = 1000, SECOND = 1000 * MS, MINUTE = 60 * SECOND, MOST = 64, HALF = MOST / 2 };

static struct dependency d;
static int64_t now;

static int reset(void **state) {
    (void)state;
    now = MINUTE;
    dependency_init(&d, STR("Server"), MOST);
    d.window = MOST; /* as after some calls */
    return 0;
}

/* A call of so long. */
static void call(int64_t us, enum call_verdict v, int64_t after_ms) {
    struct dependency_call c = {0};
    dependency_call_begin(&d, &c, true, now);
    now += us;
    dependency_call_end(&c, v, now, after_ms);
}

static void calls(int n, enum call_verdict v) {
    for (int i = 0; i < n; i++) {
        call(10 * MS, v, 0);
    }
}

static struct dependency_place enter(void) {
    struct dependency_place place = {0};
    int64_t wait_ms;
    assert_true(dependency_enter(&d, &place, now, &wait_ms));
    return place;
}

static int64_t refused(void) {
    struct dependency_place place = {0};
    int64_t wait_ms = -1;
    assert_false(dependency_enter(&d, &place, now, &wait_ms));
    assert_null(place.dependency);
    return wait_ms;
}

static void open_it(void) {
    calls(10, CALL_FAILED);
    assert_int_equal(CIRCUIT_OPEN, d.circuit);
}

/* ---- verdicts ---- */

static void test_dependency__given_what_came_of_a_call_then_what_that_says(void **state) {
    (void)state;
    static const struct {
        enum err_code code;
        enum call_verdict verdict;
    } codes[] = {
        {ERR_NONE, CALL_OK},
        {ERR_REFUSED, CALL_OK},
        {ERR_NET_NOT_SENT, CALL_FAILED},
        {ERR_TRANSIENT, CALL_FAILED},
        {ERR_BAD_REPLY, CALL_FAILED},
        {ERR_TIMEOUT, CALL_OVERLOADED},
        {ERR_NET_UNKNOWN, CALL_OVERLOADED},
        {ERR_NOMEM, CALL_UNTOLD},
        {ERR_CANCELLED, CALL_UNTOLD},
        {ERR_NET_ADDRESS, CALL_UNTOLD},
        {ERR_BUSY, CALL_UNTOLD},
        {ERR_INVALID, CALL_UNTOLD},
    };
    static const struct {
        int status;
        enum call_verdict verdict;
    } statuses[] = {
        {200, CALL_OK},     {302, CALL_OK},     {402, CALL_OK},         {404, CALL_OK},
        {409, CALL_OK},     {422, CALL_OK},     {408, CALL_OVERLOADED}, {429, CALL_OVERLOADED},
        {500, CALL_FAILED}, {502, CALL_FAILED}, {503, CALL_OVERLOADED}, {504, CALL_OVERLOADED},
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        assert_int_equal(codes[i].verdict, call_verdict_of(codes[i].code));
    }
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        assert_int_equal(statuses[i].verdict, call_verdict_of_status(statuses[i].status));
    }
}

static size_t room(int64_t us) {
    dependency_look(&d, us);
    return dependency_room(&d, us);
}

/* ---- window ---- */

static void test_window__nothing_known_then_half_until_calls_come_back(void **state) {
    (void)state;
    dependency_init(&d, STR("Server"), 1000);
    dependency_bound(&d, MOST); /* the first beat tells */
    assert_int_equal(HALF, room(now));
    dependency_bound(&d, 1);
    assert_int_equal(1, room(now));
    dependency_bound(&d, MOST);
    d.entered = HALF;
    calls(HALF, CALL_OK);
    d.entered = 0;
    assert_int_equal(MOST, room(now));
}

static void test_window__full_then_those_who_ask_are_spread(void **state) {
    (void)state;
    call(100 * MS, CALL_OK, 0);
    for (int i = 0; i < MOST; i++) {
        (void)enter();
    }
    int64_t last = refused();
    assert_true(last >= 20);
    for (int i = 0; i < 1000; i++) {
        int64_t wait_ms = refused();
        assert_in_range(wait_ms, last, 300000);
        last = wait_ms;
    }
    assert_true(last > 1000);
    assert_int_equal(1001, d.refused[REFUSED_WINDOW]);
}

static void test_window__given_back_then_room_again(void **state) {
    (void)state;
    struct dependency_place place = enter();
    assert_int_equal(MOST - 1, room(now));
    dependency_leave(&place);
    dependency_leave(&place); /* nowhere */
    assert_int_equal(MOST, room(now));
}

static void test_window__overloaded_then_a_tenth_less_and_never_none(void **state) {
    (void)state;
    call(10 * MS, CALL_OVERLOADED, 0);
    assert_true(d.window > 57.5 && d.window < 57.7);
    for (int i = 0; i < 200; i++) {
        call(10 * MS, CALL_OVERLOADED, 0);
        calls(2, CALL_OK);
    }
    assert_int_equal(CIRCUIT_CLOSED, d.circuit);
    assert_true(d.window >= 1 && d.window < 1.1);
}

static void test_window__broken_but_quick_then_as_it_was(void **state) {
    (void)state;
    calls(5, CALL_FAILED);
    assert_true(d.window == MOST);
}

static void test_window__in_time_then_one_more_a_round_but_only_when_it_is_used(void **state) {
    (void)state;
    d.window = d.threshold = 4;
    calls(8, CALL_OK);
    assert_true(d.window == 4); /* nobody had entered */
    d.entered = 4;
    calls(4, CALL_OK);
    assert_true(d.window > 4.8 && d.window < 5);
    for (int i = 0; i < MOST; i++) {
        d.entered = MOST;
        calls(MOST, CALL_OK);
    }
    assert_true(d.window == MOST);
}

static void test_window__late_then_less_before_the_call_ends_and_once(void **state) {
    (void)state;
    struct dependency_call late = {0}, unhurried = {.unhurried = true};
    calls(10, CALL_OK);
    dependency_call_begin(&d, &unhurried, true, now);
    dependency_call_begin(&d, &late, true, now);
    now += SECOND;
    dependency_look(&d, now);
    assert_true(d.window == MOST);
    now += MS;
    dependency_look(&d, now);
    double less = d.window;
    assert_true(less < MOST && less > MOST * 0.89);
    now += 10 * SECOND;
    dependency_look(&d, now);
    dependency_call_end(&late, CALL_OVERLOADED, now, 0);
    dependency_call_end(&unhurried, CALL_OK, now, 0);
    assert_true(d.window == less);
}

static void test_window__usually_slow_then_late_is_twice_as_long(void **state) {
    (void)state;
    struct dependency_call c = {0};
    for (int i = 0; i < 20; i++) {
        call(2 * SECOND, CALL_OK, 0);
    }
    assert_true(d.window == MOST);
    dependency_call_begin(&d, &c, true, now);
    dependency_look(&d, now + 3900 * MS);
    assert_true(d.window == MOST);
    dependency_look(&d, now + 4100 * MS);
    assert_true(d.window < MOST);
    dependency_call_end(&c, CALL_UNTOLD, now + 4100 * MS, 0);
}

static void test_window__other_bound_then_it_follows(void **state) {
    (void)state;
    calls(1, CALL_OK);
    dependency_bound(&d, 8);
    assert_int_equal(8, room(now));
    dependency_bound(&d, 32);
    assert_int_equal(32, room(now));
    d.window = 4;
    dependency_bound(&d, 64);
    assert_int_equal(4, room(now));
}

/* ---- circuit ---- */

static void test_circuit__ten_failures_on_end_then_open(void **state) {
    (void)state;
    calls(9, CALL_FAILED);
    calls(1, CALL_OK);
    calls(1, CALL_UNTOLD);
    calls(9, CALL_OVERLOADED);
    assert_int_equal(CIRCUIT_CLOSED, d.circuit);
    calls(1, CALL_FAILED);
    assert_int_equal(CIRCUIT_OPEN, d.circuit);
    assert_int_equal(0, room(now));
    assert_in_range(refused(), 900, 2000);
    assert_int_equal(1, d.refused[REFUSED_CIRCUIT]);
}

static void test_circuit__half_of_64_failed_then_open(void **state) {
    (void)state;
    for (int i = 0; i < 31; i++) {
        calls(1, CALL_FAILED);
        calls(1, CALL_OK);
    }
    assert_int_equal(CIRCUIT_CLOSED, d.circuit);
    calls(1, CALL_FAILED);
    assert_int_equal(CIRCUIT_OPEN, d.circuit);
}

static void test_circuit__open_then_one_tries_after_1_s_2_s_and_at_most_20_s(void **state) {
    (void)state;
    static const int seconds[] = {1, 2, 4, 8, 16, 20, 20};
    open_it();
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        assert_int_equal(0, room(now + seconds[i] * SECOND - 1));
        now += seconds[i] * SECOND;
        struct dependency_place probe = enter();
        assert_int_equal(CIRCUIT_HALF_OPEN, d.circuit);
        (void)refused();
        calls(1, CALL_FAILED);
        dependency_leave(&probe);
        assert_int_equal(CIRCUIT_OPEN, d.circuit);
    }
}

static void test_circuit__the_try_made_no_call_then_another_one(void **state) {
    (void)state;
    open_it();
    now += SECOND;
    struct dependency_place probe = enter();
    calls(1, CALL_UNTOLD);
    dependency_leave(&probe);
    probe = enter();
    dependency_leave(&probe);
    assert_int_equal(CIRCUIT_HALF_OPEN, d.circuit);
}

static void test_room__asked_then_nothing_moves(void **state) {
    (void)state;
    open_it();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(1, dependency_room(&d, now + SECOND));
        assert_int_equal(CIRCUIT_OPEN, d.circuit);
    }
}

static void test_circuit__the_try_succeeds_then_closed_and_it_begins_with_one(void **state) {
    (void)state;
    open_it();
    now += SECOND;
    struct dependency_place probe = enter();
    calls(1, CALL_OK);
    assert_int_equal(CIRCUIT_CLOSED, d.circuit);
    assert_int_equal(0, room(now));
    dependency_leave(&probe);
    assert_int_equal(1, room(now));
    d.entered = MOST;
    calls(MOST / 2 - 1, CALL_OK); /* one more for each call, up to half of what it was */
    assert_true(d.window == HALF);
    calls(MOST / 2, CALL_OK);
    assert_true(d.window <= HALF + 1);
}

static void test_circuit__closed_then_half_is_for_others_until_those_who_were_refused_are_back(void **state) {
    (void)state;
    open_it();
    while (refused() < 2000) {
    }
    now += SECOND;
    struct dependency_place probe = enter();
    calls(1, CALL_OK);
    dependency_leave(&probe);
    d.entered = MOST;
    while (now + MS < d.later_us) {
        call(MS, CALL_OK, 0);
        assert_true(d.window <= HALF);
    }
    assert_true(d.window == HALF);
    calls(MOST, CALL_OK);
    assert_true(d.window > HALF + 1);
}

static void test_circuit__just_closed_then_half_as_many_failures_open_it_for_longer(void **state) {
    (void)state;
    open_it();
    now += SECOND;
    struct dependency_place probe = enter();
    calls(1, CALL_OK);
    dependency_leave(&probe);
    calls(5, CALL_FAILED);
    assert_int_equal(CIRCUIT_OPEN, d.circuit);
    assert_int_equal(0, room(now + 2 * SECOND - 1));
    now += 2 * SECOND;
    probe = enter();
    calls(1, CALL_OK);
    dependency_leave(&probe);
    now += 2 * MINUTE; /* that was long ago */
    calls(10, CALL_FAILED);
    assert_int_equal(1, room(now + SECOND));
}

static void test_circuit__a_call_from_before_then_it_says_nothing(void **state) {
    (void)state;
    struct dependency_call old[3] = {0};
    calls(1, CALL_OK);
    for (int i = 0; i < 3; i++) {
        dependency_call_begin(&d, &old[i], true, now);
    }
    open_it();
    dependency_call_end(&old[0], CALL_OK, now, 0);
    assert_int_equal(CIRCUIT_OPEN, d.circuit);
    now += SECOND;
    assert_int_equal(1, room(now)); /* the others are late now */
    assert_true(d.threshold == HALF);
    struct dependency_place probe = enter();
    dependency_call_end(&old[1], CALL_OK, now, 0);
    assert_int_equal(CIRCUIT_HALF_OPEN, d.circuit);
    calls(1, CALL_OK);
    dependency_leave(&probe);
    uint64_t failures = d.failures;
    dependency_call_end(&old[2], CALL_FAILED, now, 0);
    assert_true(failures == d.failures);
}

static void test_circuit__retry_after_then_not_before_within_five_minutes(void **state) {
    (void)state;
    static const struct {
        int64_t after_ms, open_us;
    } rows[] = {{0, SECOND}, {100, SECOND}, {90000, 90LL * SECOND}, {86400000, 300LL * SECOND}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        (void)reset(NULL);
        calls(9, CALL_FAILED);
        call(10 * MS, CALL_OVERLOADED, rows[i].after_ms);
        assert_int_equal(CIRCUIT_OPEN, d.circuit);
        assert_int_equal(0, room(now + rows[i].open_us - 1));
        assert_int_equal(1, room(now + rows[i].open_us));
    }
}

static void test_spares__while_it_is_away_and_for_a_day(void **state) {
    (void)state;
    assert_false(dependency_spares(&d, now));
    open_it();
    int64_t away = now;
    assert_true(dependency_spares(&d, now));
    now += SECOND;
    struct dependency_place probe = enter();
    assert_true(dependency_spares(&d, now)); /* nor is the one that tries charged */
    calls(1, CALL_FAILED);
    dependency_leave(&probe);
    assert_true(dependency_spares(&d, away + 24LL * 60 * MINUTE - 1));
    assert_false(dependency_spares(&d, away + 24LL * 60 * MINUTE));
}

/* ---- budget ---- */

static int retries(void) {
    int n = 0;
    int64_t wait_ms = 0;
    while (dependency_retry(&d, now, &wait_ms)) {
        n++;
    }
    assert_true(wait_ms >= 20);
    return n;
}

static void test_budget__one_for_five_calls_and_one_a_second(void **state) {
    (void)state;
    assert_int_equal(10, retries());
    assert_int_equal(0, retries());
    struct dependency_call c = {0};
    for (int i = 0; i < 26; i++) { /* each leaves a fifth, and something may be lost in rounding */
        dependency_call_begin(&d, &c, true, now);
        dependency_call_end(&c, CALL_OK, now, 0);
        dependency_call_begin(&d, &c, false, now);
        dependency_call_end(&c, CALL_OK, now, 0);
    }
    assert_int_equal(5, retries());
    now += 3 * SECOND + 100 * MS;
    assert_int_equal(3, retries());
    now += 60LL * MINUTE;
    assert_int_equal(10, retries());
    assert_int_equal(5, d.refused[REFUSED_BUDGET]);
}

static void test_nobody__then_everything_is_allowed(void **state) {
    (void)state;
    struct dependency_call c = {0};
    struct dependency_place nowhere = {0};
    int64_t wait_ms;
    assert_true(dependency_retry(NULL, now, &wait_ms));
    dependency_call_begin(NULL, &c, true, now);
    dependency_call_end(&c, CALL_FAILED, now, 0);
    dependency_leave(&nowhere);
}

static void test_circuit__retry_after_then_only_of_what_failed(void **state) {
    (void)state;
    assert_string_equal("server", d.name);
    call(10 * MS, CALL_OK, 60000);
    call(10 * MS, CALL_UNTOLD, 60000);
    assert_int_equal(0, d.asked_us);
    call(10 * MS, CALL_FAILED, 1);
    assert_int_equal(now + 1 * MS, d.asked_us);
}

/* 64 calls at once of a tenth of a second each: 640 a second, half of them for who has waited. */
static void test_wait__nothing_is_known_then_at_a_guessed_speed(void **state) {
    (void)state;
    assert_int_equal(20, dependency_wait_ms(&d, now));
    for (int i = 1; i < 99; i++) {
        (void)dependency_wait_ms(&d, now);
    }
    assert_int_equal(100 * 1562 / 1000, dependency_wait_ms(&d, now));
    for (int i = 100; i < 200000; i++) {
        (void)dependency_wait_ms(&d, now);
    }
    assert_int_equal(1000, dependency_wait_ms(&d, now));
    calls(1, CALL_OK); /* then it is known */
    for (int i = 0; i < 2000000; i++) {
        (void)dependency_wait_ms(&d, now);
    }
    assert_int_equal(300000, dependency_wait_ms(&d, now));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_dependency__given_what_came_of_a_call_then_what_that_says, reset),
        cmocka_unit_test_setup(test_window__nothing_known_then_half_until_calls_come_back, reset),
        cmocka_unit_test_setup(test_window__full_then_those_who_ask_are_spread, reset),
        cmocka_unit_test_setup(test_window__given_back_then_room_again, reset),
        cmocka_unit_test_setup(test_window__overloaded_then_a_tenth_less_and_never_none, reset),
        cmocka_unit_test_setup(test_window__broken_but_quick_then_as_it_was, reset),
        cmocka_unit_test_setup(test_window__in_time_then_one_more_a_round_but_only_when_it_is_used, reset),
        cmocka_unit_test_setup(test_window__late_then_less_before_the_call_ends_and_once, reset),
        cmocka_unit_test_setup(test_window__usually_slow_then_late_is_twice_as_long, reset),
        cmocka_unit_test_setup(test_window__other_bound_then_it_follows, reset),
        cmocka_unit_test_setup(test_circuit__ten_failures_on_end_then_open, reset),
        cmocka_unit_test_setup(test_circuit__half_of_64_failed_then_open, reset),
        cmocka_unit_test_setup(test_circuit__open_then_one_tries_after_1_s_2_s_and_at_most_20_s, reset),
        cmocka_unit_test_setup(test_circuit__the_try_made_no_call_then_another_one, reset),
        cmocka_unit_test_setup(test_room__asked_then_nothing_moves, reset),
        cmocka_unit_test_setup(test_circuit__the_try_succeeds_then_closed_and_it_begins_with_one, reset),
        cmocka_unit_test_setup(test_circuit__closed_then_half_is_for_others_until_those_who_were_refused_are_back, reset),
        cmocka_unit_test_setup(test_circuit__just_closed_then_half_as_many_failures_open_it_for_longer, reset),
        cmocka_unit_test_setup(test_circuit__a_call_from_before_then_it_says_nothing, reset),
        cmocka_unit_test_setup(test_circuit__retry_after_then_not_before_within_five_minutes, reset),
        cmocka_unit_test_setup(test_spares__while_it_is_away_and_for_a_day, reset),
        cmocka_unit_test_setup(test_budget__one_for_five_calls_and_one_a_second, reset),
        cmocka_unit_test_setup(test_nobody__then_everything_is_allowed, reset),
        cmocka_unit_test_setup(test_circuit__retry_after_then_only_of_what_failed, reset),
        cmocka_unit_test_setup(test_wait__nothing_is_known_then_at_a_guessed_speed, reset),
    };
    return cmocka_run_group_tests_name("dependency", tests, NULL, NULL);
}
