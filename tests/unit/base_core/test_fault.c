#include <base/fault.h>
#include <base/str.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

#ifdef PENSTOCK_FAULTS

static char log_path[] = "/tmp/unit_fault_XXXXXX";

static void arm(const char *spec) {
    if (setenv("PENSTOCK_FAULT", spec, 1) != 0) {
        _exit(99);
    }
    fault_setup();
}

/* Runs body(arg) in a child with this specification (NULL: as armed before the fork); its wait status. A stopped child is reported, continued and awaited. */
static int run(const char *spec, void (*body)(void *arg), void *arg, bool *out_stopped) {
    int status = 0;
    *out_stopped = false;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)alarm(20);
        (void)close(STDERR_FILENO);
        if (spec != NULL) {
            arm(spec);
        }
        body(arg);
        _exit(0);
    }
    assert_int_equal(pid, waitpid(pid, &status, WUNTRACED));
    if (WIFSTOPPED(status)) {
        *out_stopped = true;
        assert_int_equal(0, kill(pid, SIGCONT));
        assert_int_equal(pid, waitpid(pid, &status, 0));
    }
    return status;
}

static void nothing(void *arg) { (void)arg; }
static void pass_claim(void *arg) {
    (void)arg;
    FAILPOINT(CLAIM_AFTER);
}
static void pass_settle(void *arg) {
    (void)arg;
    FAILPOINT(SETTLE_AFTER);
}

static void read_log(char *to, size_t size) {
    int fd = open(log_path, O_RDWR);
    assert_true(fd >= 0);
    ssize_t n = read(fd, to, size - 1);
    assert_true(n >= 0);
    to[n] = '\0';
    assert_int_equal(0, ftruncate(fd, 0));
    (void)close(fd);
}

static void test_fault__given_kill_then_the_hit_is_recorded_and_the_process_dies(void **state) {
    (void)state;
    char hits[200];
    char name[32];
    char action[32];
    int pid = 0;
    bool stopped;
    int status = run("claim.after=kill@1", pass_claim, NULL, &stopped);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    read_log(hits, sizeof hits);
    assert_int_equal(3, sscanf(hits, "%31s %31s %d\n", name, action, &pid));
    assert_string_equal("claim.after", name);
    assert_string_equal("kill", action);
    assert_true(pid > 0 && pid != (int)getpid());
    status = run("claim.after=kill@1", pass_settle, NULL, &stopped); /* another failpoint */
    assert_int_equal(0, status);
    status = run("claim.after=kill@0", pass_claim, NULL, &stopped);
    assert_int_equal(0, status);
    read_log(hits, sizeof hits);
    assert_string_equal("", hits);
}

static void test_fault__given_stop_then_the_process_stops_and_goes_on(void **state) {
    (void)state;
    char hits[200];
    bool stopped;
    assert_int_equal(0, run("settle.after=stop@1.0", pass_settle, NULL, &stopped));
    assert_true(stopped);
    read_log(hits, sizeof hits);
    assert_non_null(strstr(hits, "settle.after stop "));
}

static void test_fault__given_a_star_then_every_failpoint_but_the_later_word_wins(void **state) {
    (void)state;
    bool stopped;
    int status = run("*=kill@1", pass_settle, NULL, &stopped);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(0, run("*=kill@1;settle.after=kill@0", pass_settle, NULL, &stopped));
    status = run("settle.after=kill@0;*=kill@1", pass_settle, NULL, &stopped);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(0, run("", pass_settle, NULL, &stopped));
}

static void ask_switches(void *arg) {
    (void)arg;
    _exit(FAULT_SWITCH(NO_ARBITER) * 1 + FAULT_SWITCH(NO_RELAY) * 2 + FAULT_SWITCH(NO_CALL_GATE) * 4);
}

static void test_fault__given_switches_then_only_they_are_on(void **state) {
    (void)state;
    bool stopped;
    assert_int_equal(0, WEXITSTATUS(run("seed:1", ask_switches, NULL, &stopped)));
    assert_int_equal(1, WEXITSTATUS(run("switch:no_arbiter", ask_switches, NULL, &stopped)));
    assert_int_equal(6, WEXITSTATUS(run("switch:no_relay;seed:5;switch:no_call_gate;", ask_switches, NULL, &stopped)));
}

static void test_fault__given_a_bad_specification_then_the_process_does_not_start(void **state) {
    (void)state;
    static const char *const bad[] = {
        "claim.afterr=kill@1",
        "claim.after=kil@1",
        "claim.after=kill",
        "claim.after=kill@",
        "claim.after=kill@1.1",
        "claim.after=kill@-1",
        "claim.after=kill@nan",
        "claim.after=kill@1x",
        "claim.after",
        "=kill@1",
        "claim.after=@1",
        "seed:",
        "seed:x",
        "seed:-1",
        "switch:",
        "switch:no_arbiters",
        "claim.after=kill@1,settle.after=kill@1",
        "claim.after=kill@1 ",
        "claim.after=kill@0.00000000000000000000000000000001",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        bool stopped;
        int status = run(bad[i], nothing, NULL, &stopped);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 2) {
            fail_msg("%s", bad[i]);
        }
    }
    bool stopped;
    assert_int_equal(0, setenv("PENSTOCK_FAULT_LOG", "/nowhere/log", 1));
    assert_int_equal(2, WEXITSTATUS(run("claim.after=kill@1", nothing, NULL, &stopped)));
    assert_int_equal(0, setenv("PENSTOCK_FAULT_LOG", "/dev/full", 1)); /* a hit that cannot be counted */
    assert_int_equal(2, WEXITSTATUS(run("claim.after=kill@1", pass_claim, NULL, &stopped)));
    assert_int_equal(0, setenv("PENSTOCK_FAULT_LOG", log_path, 1));
}

/* Exits with the number of passes before the one that stopped, which the child finds in the log when it goes on. */
static void count_passes(void *arg) {
    (void)arg;
    char hits[64];
    for (int i = 0; i < 250; i++) {
        int fd;
        ssize_t n;
        FAILPOINT(CLAIM_AFTER);
        fd = open(log_path, O_RDONLY);
        n = read(fd, hits, sizeof hits);
        (void)close(fd);
        if (n > 0) {
            _exit(i);
        }
    }
    _exit(255);
}

/* Sixty processes; they must differ, and hit as often as the probability says. */
static void assert_spread(const char *spec) {
    enum { RUNS = 60 };
    char hits[200];
    unsigned sum = 0;
    unsigned distinct = 0;
    bool seen[256] = {false};
    read_log(hits, sizeof hits); /* of the tests before */
    for (int i = 0; i < RUNS; i++) {
        bool stopped;
        int status = run(spec, count_passes, NULL, &stopped);
        assert_true(WIFEXITED(status) && stopped);
        unsigned passes = (unsigned)WEXITSTATUS(status);
        sum += passes;
        distinct += !seen[passes];
        seen[passes] = true;
        read_log(hits, sizeof hits);
    }
    assert_in_range(sum / RUNS, 4, 15); /* 9 expected, standard error 1.2 */
    assert_true(distinct > 10);
}

static void test_fault__given_a_probability_then_hits_come_about_that_often_and_differ_by_process(void **state) {
    (void)state;
    assert_spread("seed:7;claim.after=stop@0.1");
    arm("seed:7;claim.after=stop@0.1;settle.after=kill@0");
    FAILPOINT(SETTLE_AFTER); /* begins the parent's sequence, which a child must not go on with */
    assert_spread(NULL);
}

static void test_fault__the_list_names_every_failpoint_with_its_role(void **state) {
    (void)state;
    char text[8192];
    int ends[2];
    assert_int_equal(0, pipe(ends));
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)dup2(ends[1], STDOUT_FILENO);
        fault_list();
        (void)fflush(stdout);
        _exit(0);
    }
    (void)close(ends[1]);
    assert_int_equal(pid, waitpid(pid, NULL, 0));
    ssize_t n = read(ends[0], text, sizeof text - 1);
    (void)close(ends[0]);
    assert_true(n > 0);
    text[n] = '\0';
    size_t lines = 0;
    for (const char *c = text; *c != '\0'; c++) {
        lines += *c == '\n';
    }
    assert_int_equal(FP_MAX, lines);
    assert_non_null(strstr(text, "claim.after worker\n"));
    assert_non_null(strstr(text, "handback.after supervisor\n"));
}

static int make_log(void **state) {
    (void)state;
    int fd = mkstemp(log_path);
    return fd >= 0 && close(fd) == 0 ? setenv("PENSTOCK_FAULT_LOG", log_path, 1) : -1;
}

static int remove_log(void **state) {
    (void)state;
    return unlink(log_path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault__given_kill_then_the_hit_is_recorded_and_the_process_dies),
        cmocka_unit_test(test_fault__given_stop_then_the_process_stops_and_goes_on),
        cmocka_unit_test(test_fault__given_a_star_then_every_failpoint_but_the_later_word_wins),
        cmocka_unit_test(test_fault__given_switches_then_only_they_are_on),
        cmocka_unit_test(test_fault__given_a_bad_specification_then_the_process_does_not_start),
        cmocka_unit_test(test_fault__given_a_probability_then_hits_come_about_that_often_and_differ_by_process),
        cmocka_unit_test(test_fault__the_list_names_every_failpoint_with_its_role),
    };
    return cmocka_run_group_tests(tests, make_log, remove_log);
}

#else

static void test_fault__given_a_build_without_failpoints_then_there_is_nothing(void **state) {
    (void)state;
    fault_setup();
    FAILPOINT(CLAIM_AFTER);
    assert_false(FAULT_SWITCH(NO_ARBITER));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_fault__given_a_build_without_failpoints_then_there_is_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
