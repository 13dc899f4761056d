#include <progress.h>

#include "unit.h"

static void test_bar__given_each_stage_then_how_far_and_how_long_yet(void **state) {
    (void)state;
    static const struct {
        int64_t done, total, elapsed_ms;
        int columns;
        const char *wanted;
    } rows[] = {
        {0, 200, 0, 80, "retried [..............................]   0% 0/200"},
        {50, 200, 10000, 80, "retried [#######.......................]  25% 50/200, 30s left"},
        {200, 200, 40000, 80, "retried [##############################] 100% 200/200"},
        {250, 200, 40000, 80, "retried [##############################] 100% 250/200"},
        {50, 200, 10000, 40, "retried 25% 50/200, 30s left"},
        {1234, 0, 5000, 80, "retried 1234"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct progress p = {.what = "retried", .total = rows[i].total};
        struct buf out;
        buf_init(&out, 512);
        progress_write(&p, rows[i].done, rows[i].elapsed_ms, rows[i].columns, &out);
        assert_ok(buf_status(&out));
        assert_str(rows[i].wanted, buf_str(&out));
        buf_free(&out);
    }
}

static void scenario(void *arg) {
    const struct progress p = {.what = "retried", .total = 9};
    struct buf out;
    (void)arg;
    buf_init(&out, 512);
    progress_write(&p, 3, 1000, 80, &out);
    buf_free(&out);
}

static void test_bar__given_no_memory_then_no_harm(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bar__given_each_stage_then_how_far_and_how_long_yet),
        cmocka_unit_test(test_bar__given_no_memory_then_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
