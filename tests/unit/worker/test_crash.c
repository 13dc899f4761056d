/* How a dead worker process is spoken of: in :c, in the group of the dead, in a metric's label. No crash: nothing that it ran is suspect. */
#include <signal.h>

#include "../../../worker/src/supervisor.h"
#include "unit.h"

static void test_crash__given_how_a_child_ended_then_its_signature(void **state) {
    (void)state;
    static const struct {
        int64_t status;
        int signum;
        bool leaving, hung;
        const char *crash;
    } rows[] = {
        {0, 0, false, false, ""},
        {0, 0, true, false, ""},
        {1, 0, false, false, "exit 1"},
        {1, 0, true, false, "exit 1"},
        {-1234567890123456789, 0, false, false, "exit -2112454933"}, /* whatever it is, it fits */
        {0, SIGSEGV, false, false, "SIGSEGV"},
        {0, SIGXCPU, false, false, "SIGXCPU"},
        {0, SIGABRT, true, false, "SIGABRT"},
        {0, SIGKILL, false, false, "SIGKILL"}, /* the kernel's, for want of memory, perhaps */
        {0, SIGKILL, true, false, ""},         /* ours: it lingered */
        {0, SIGKILL, true, true, "hung"},
        {0, SIGKILL, false, true, "hung"},
        {0, SIGTERM, true, false, ""}, /* it was not ready to hear it */
        {0, SIGTERM, false, false, "SIGTERM"},
        {0, 200, false, false, "SIG?"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct child c = {.leaving = rows[i].leaving, .hung = rows[i].hung};
        char name[CRASH_WHY_BYTES] = "?";
        crash_name(&c, rows[i].status, rows[i].signum, name);
        assert_string_equal(rows[i].crash, name);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_crash__given_how_a_child_ended_then_its_signature)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
