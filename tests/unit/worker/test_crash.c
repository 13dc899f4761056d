/* How a dead worker process is spoken of (in :c, in the group of the dead, in a metric's label), and what becomes of what it held. */
#include <signal.h>
#include <stdlib.h>

#include "../../../worker/src/supervisor.h"
#include "unit.h"

static void test_crash__given_how_a_child_ended_then_its_signature(void **state) {
    (void)state;
    static const struct {
        int64_t status;
        int signum;
        bool leaving, hung;
        int64_t oom_kills; /* 7 at its start */
        const char *crash;
        bool killed;
    } rows[] = {
        {0, 0, false, false, 7, "", false},
        {0, 0, true, false, 7, "", false},
        {1, 0, false, false, 7, "exit 1", false},
        {1, 0, true, false, 7, "exit 1", false},
        {-1234567890123456789, 0, false, false, 7, "exit -2112454933", false}, /* whatever it is, it fits */
        {0, SIGSEGV, false, false, 7, "SIGSEGV", false},
        {0, SIGSEGV, false, false, 8, "SIGSEGV", false},
        {0, SIGXCPU, false, false, 7, "SIGXCPU", false},
        {0, SIGABRT, true, false, 7, "SIGABRT", false},
        {0, SIGKILL, false, false, 7, "SIGKILL", true},
        {0, SIGKILL, false, false, 8, "OOM", false},
        {0, SIGKILL, false, false, -1, "OOM", false}, /* it does not say any more */
        {0, SIGKILL, true, false, 7, "", false},      /* ours: it lingered */
        {0, SIGKILL, true, true, 7, "hung", false},
        {0, SIGKILL, false, true, 7, "hung", false},
        {0, SIGTERM, true, false, 7, "", false}, /* it was not ready to hear it */
        {0, SIGTERM, false, false, 7, "SIGTERM", false},
        {0, 200, false, false, 7, "SIG?", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct child c = {.leaving = rows[i].leaving, .hung = rows[i].hung, .oom_kills = 7, .crash = "?"};
        crash_judge(&c, rows[i].status, rows[i].signum, rows[i].oom_kills);
        assert_string_equal(rows[i].crash, c.crash);
        assert_int_equal(rows[i].killed, c.killed);
    }
}

static void test_crash__given_a_kernel_that_does_not_say_then_a_kill_is_a_crash(void **state) {
    (void)state;
    struct child c = {.oom_kills = -1};
    crash_judge(&c, 0, SIGKILL, -1);
    assert_string_equal("SIGKILL", c.crash);
    assert_false(c.killed);
}

static void test_crash__given_this_kernel_then_it_says_how_many_it_has_ended(void **state) {
    (void)state;
    assert_true(crash_oom_kills() >= 0);
}

/* Entry 1-0 waits, 2-0 and 3-0 are started, 9-0 the process never saw. */
static struct child *child_new(const char *crash, uint32_t owner) {
    struct child *c = calloc(1, sizeof *c);
    assert_non_null(c);
    c->table = calloc(1, sizeof *c->table);
    assert_non_null(c->table);
    for (uint32_t i = 0; i < 3; i++) {
        c->table->entries[i] = (struct slot_entry){.id = {i + 1, 0}, .started = i > 0, .shard = 0};
    }
    c->table->owner = owner;
    (void)snprintf(c->crash, sizeof c->crash, "%s", crash);
    return c;
}

#define B FATE_BACK
#define AGAIN FATE_AGAIN
#define ALONE FATE_ALONE

static void test_reap__given_what_a_child_was_doing_then_the_fate_of_what_it_held(void **state) {
    (void)state;
    static const struct {
        const char *crash;
        bool killed, quarantine;
        uint32_t owner; /* 1 + index */
        int64_t deliveries;
        enum fate waiting, a, b;
    } rows[] = {
        {"", false, false, 0, 1, B, B, B},                    /* as it was told, */
        {"", false, false, 2, 9, B, B, B},                    /* whatever it was doing */
        {"SIGSEGV", false, false, 0, 1, B, AGAIN, AGAIN},     /* the first crash is forgiven, */
        {"SIGSEGV", false, false, 0, 2, B, ALONE, ALONE},     /* the second is not */
        {"SIGSEGV", false, false, 2, 1, B, ALONE, AGAIN},     /* on behalf of one: that it is, */
        {"SIGSEGV", false, false, 2, 8, B, ALONE, AGAIN},     /* and not those beside it, */
        {"SIGSEGV", false, false, 2, 9, B, ALONE, ALONE},     /* for a while */
        {"SIGABRT", false, false, 1, 1, ALONE, AGAIN, AGAIN}, /* while it read the header, perhaps */
        {"hung", false, false, 3, 1, B, AGAIN, ALONE},
        {"SIGABRT", false, false, 2000000000, 1, B, AGAIN, AGAIN}, /* memory was spoiled */
        {"SIGKILL", true, false, 2, 1, B, AGAIN, AGAIN},           /* by somebody, at any moment */
        {"SIGKILL", true, false, 2, 2, B, ALONE, ALONE},
        {"SIGSEGV", false, true, 0, 1, B, ALONE, ALONE},
        {"SIGKILL", true, true, 0, 1, B, B, B}, /* a lone run that does not count */
        {"OOM", false, true, 0, 1, B, ALONE, ALONE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct child *c = child_new(rows[i].crash, rows[i].owner);
        c->killed = rows[i].killed;
        c->quarantine = rows[i].quarantine;
        const enum fate fates[] = {rows[i].waiting, rows[i].a, rows[i].b};
        for (uint64_t k = 0; k < 3; k++) {
            const struct queue_pending p = {{k + 1, 0}, rows[i].deliveries};
            if (reap_fate(c, &p) != fates[k]) {
                fail_msg("row %zu, entry %d", i, (int)k);
            }
        }
        assert_int_equal(FATE_BACK, reap_fate(c, &(struct queue_pending){{9, 0}, rows[i].deliveries}));
        c->shard = 1; /* an entry with the same id */
        assert_int_equal(FATE_BACK, reap_fate(c, &(struct queue_pending){{2, 0}, rows[i].deliveries}));
        free(c->table);
        free(c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash__given_how_a_child_ended_then_its_signature),
        cmocka_unit_test(test_crash__given_a_kernel_that_does_not_say_then_a_kill_is_a_crash),
        cmocka_unit_test(test_crash__given_this_kernel_then_it_says_how_many_it_has_ended),
        cmocka_unit_test(test_reap__given_what_a_child_was_doing_then_the_fate_of_what_it_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
