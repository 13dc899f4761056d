/* Whether Redis keeps its append-only file, as a metric. */
#include <base/metrics.h>

#include "scheduler_db.h"

static double expected;

static bool shows(void *arg) {
    (void)arg;
    aof_look(&scheduler);
    struct buf text;
    buf_init(&text, 1 << 20);
    metrics_snapshot(&text);
    buf_add_char(&text, '\0');
    const char *at = strstr(text.p, "penstock_redis_aof_ok ");
    bool found = at != NULL && strtod(strchr(at, ' '), NULL) == expected;
    buf_free(&text);
    return found;
}

static void assert_shows(double v) {
    expected = v;
    assert_true(wait_until(scheduler.rt->loop, MODULE_DB_WAIT_MS, shows, NULL));
}

static void test_aof__given_it_is_switched_on_and_off_then_it_shows(void **state) {
    (void)state;
    (void)queue_redis_ask(&redis, "CONFIG SET appendonly yes");
    assert_shows(1);
    (void)queue_redis_ask(&redis, "CONFIG SET appendonly no");
    assert_shows(0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_aof__given_it_is_switched_on_and_off_then_it_shows)};
    return cmocka_run_group_tests(tests, scheduler_db_setup, scheduler_db_teardown);
}
