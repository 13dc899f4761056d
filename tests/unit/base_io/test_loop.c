#include <base/log.h>
#include <fcntl.h>
#include <io/loop.h>
#include <io/timer.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

static struct {
    struct loop *loop;
    struct timer *timer;
    struct turn_end hook;
    int turns, ends[2], saved;
} the;

static size_t lines_there(void) {
    char text[4096];
    size_t lines = 0;
    for (ssize_t n; (n = read(the.ends[0], text, sizeof text)) > 0;) {
        for (ssize_t i = 0; i < n; i++) {
            lines += text[i] == '\n';
        }
    }
    return lines;
}

static void on_hook(void *arg) {
    (void)arg;
    LOG(INFO, "hook", LF_INT("turn", the.turns));
    assert_int_equal(0, lines_there());
}

static void on_turn(void *arg) {
    (void)arg;
    /* of the turn before: the timer's line and the hook's */
    assert_int_equal(the.turns == 0 ? 0 : 2, lines_there());
    LOG(INFO, "timer", LF_INT("turn", the.turns));
    assert_int_equal(0, lines_there());
    if (++the.turns == 3) {
        loop_stop(the.loop);
        return;
    }
    loop_at_turn_end(the.loop, &the.hook);
    timer_start(the.timer, 1);
}

static void test_loop__given_lines_of_a_turn_then_they_leave_at_its_end(void **state) {
    (void)state;
    assert_int_equal(0, pipe2(the.ends, O_NONBLOCK));
    the.saved = dup(STDERR_FILENO);
    assert_int_equal(STDERR_FILENO, dup2(the.ends[1], STDERR_FILENO));
    log_setup("test", LOG_LEVEL_INFO);
    the.hook.run = on_hook;
    assert_ok(loop_new(&the.loop));
    assert_ok(timer_new(the.loop, on_turn, NULL, &the.timer));
    timer_start(the.timer, 0);
    loop_run(the.loop);
    assert_int_equal(1, lines_there()); /* of the turn that stopped it */
    LOG(INFO, "outside", LF_INT("turn", the.turns));
    assert_int_equal(1, lines_there()); /* at once */
    timer_free(the.timer);
    loop_free(the.loop);
    assert_int_equal(STDERR_FILENO, dup2(the.saved, STDERR_FILENO));
    log_setup("test", LOG_LEVEL_INFO);
    (void)close(the.saved);
    (void)close(the.ends[0]);
    (void)close(the.ends[1]);
    assert_int_equal(3, the.turns);
}

static struct {
    struct loop *loop;
    struct timer *timers[3];
    uint32_t seen[3];
    int fired;
} own;

static void on_owned(void *arg) {
    size_t i = (size_t)(uintptr_t)arg;
    own.seen[i] = loop_owner(own.loop);
    if (i == 0) {
        timer_start(own.timers[2], 0); /* on behalf of whoever began this */
    }
    if (++own.fired == 3) {
        loop_stop(own.loop);
    }
}

static void test_loop__given_what_was_started_on_somebodys_behalf_then_its_callback_runs_so_too(void **state) {
    (void)state;
    uint32_t cell = 99;
    assert_ok(loop_new(&own.loop));
    for (size_t i = 0; i < 3; i++) {
        assert_ok(timer_new(own.loop, on_owned, (void *)(uintptr_t)i, &own.timers[i]));
    }
    assert_int_equal(0, loop_own(own.loop, 7));
    timer_start(own.timers[0], 0);
    loop_own_in(own.loop, &cell);
    assert_int_equal(7, cell);
    assert_int_equal(7, loop_own(own.loop, 0));
    timer_start(own.timers[1], 0);
    loop_run(own.loop);
    assert_int_equal(7, own.seen[0]);
    assert_int_equal(0, own.seen[1]);
    assert_int_equal(7, own.seen[2]);
    assert_int_equal(0, cell);
    for (size_t i = 0; i < 3; i++) {
        timer_free(own.timers[i]);
    }
    loop_free(own.loop);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loop__given_lines_of_a_turn_then_they_leave_at_its_end),
        cmocka_unit_test(test_loop__given_what_was_started_on_somebodys_behalf_then_its_callback_runs_so_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
