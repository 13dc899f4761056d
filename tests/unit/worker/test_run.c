/* Until when a running entry is kept: as long as its type may take, and the grace in which its handler ends. */
#include "../../../worker/src/process.h"
#include "unit.h"

static void test_overdue__given_a_deadline_that_cut_its_time_short_then_by_its_types_time(void **state) {
    (void)state;
    const struct conf conf = {.worker_lease_ms = 10000};
    struct runtime rt = {.conf = &conf};
    struct process p = {.rt = &rt};
    const struct job_type type = {.name = "flow", .flow = true, .timeout_ms = 30000};
    struct held h = {.process = &p, .state = HELD_RUNNING, .started = {1000000}};
    h.attempt.type = &type;
    h.attempt.give_up = (struct mono){1000000 + 200000}; /* it began 200 ms before its deadline */
    assert_false(run_is_overdue(&h, (struct mono){1000000 + 34999 * INT64_C(1000)}));
    assert_true(run_is_overdue(&h, (struct mono){1000000 + 35000 * INT64_C(1000)}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overdue__given_a_deadline_that_cut_its_time_short_then_by_its_types_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
