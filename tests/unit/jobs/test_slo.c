/* The objectives: their table, and what is counted for them, in memory and in Postgres. */
#include <base/metrics.h>
#include <jobs/runtime.h>
#include <jobs/slo.h>
#include <math.h>

#include "jobs_db.h"

enum { WORDS_MS = 5000 };

static void test_slo__the_table_then_names_are_one_each_and_times_are_bounds(void **state) {
    (void)state;
    for (size_t i = 0; i < SLOS; i++) {
        const struct slo *o = &slos[i];
        assert_true(o->target > 0.5 && o->target < 1);
        bool timed = o->kind == SLO_START || o->kind == SLO_LATENCY;
        assert_int_equal(timed, o->within_s > 0);
        assert_false(timed && isnan(metric_total(M_JOB_QUEUE_WAIT, NULL, NULL, o->within_s)));
        assert_true(str_starts(str_c(o->name), str_c(o->of)));
        assert_string_equal(slo_kind_name(o->kind), o->name + strlen(o->of) + 1);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(o->name, slos[k].name);
        }
    }
}

static void is_counted(enum slo_kind kind, const char *of, int64_t good, int64_t total) {
    const struct slo o = {.kind = kind, .of = of, .within_s = kind == SLO_START || kind == SLO_LATENCY ? 5 : 0};
    struct slo_count n = slo_counted(&o);
    assert_int_equal(good, n.good);
    assert_int_equal(total, n.total);
}

static void test_slo__given_jobs_and_requests_then_good_and_total(void **state) {
    (void)state;
    series_observe(metric_series(M_JOB_QUEUE_WAIT, "q", "a", NULL), 5);
    series_observe(metric_series(M_JOB_QUEUE_WAIT, "q", "b", NULL), 5.1);
    is_counted(SLO_START, "q", 1, 2);
    static const char *const outcomes[] = {"done", "done", "cancelled", "expired", "dead"};
    for (size_t i = 0; i < 5; i++) {
        metric_inc(M_JOBS_FINISHED, "q", "a", outcomes[i]);
    }
    is_counted(SLO_COMPLETION, "q", 4, 5);
    static const struct {
        const char *code;
        double s;
    } answers[] = {{"200", 1}, {"202", 6}, {"404", 5}, {"503", 0.1}, {"500", 9}, {"499", 20}};
    for (size_t i = 0; i < 6; i++) {
        series_observe(metric_series(M_HTTP_DURATION, "GET /5", answers[i].code, "c"), answers[i].s);
    }
    is_counted(SLO_AVAILABILITY, "c", 4, 6);
    is_counted(SLO_LATENCY, "c", 2, 4);
    is_counted(SLO_LATENCY, "other", 0, 0);
}

static void test_slo__given_errors_then_what_is_left_of_the_budget(void **state) {
    (void)state;
    const struct slo o = {.target = 0.99};
    static const struct {
        struct slo_count n;
        double left;
    } cases[] = {{{1000, 1000}, 1}, {{995, 1000}, 0.5}, {{990, 1000}, 0}, {{970, 1000}, -2}};
    for (size_t i = 0; i < 4; i++) {
        assert_true(fabs(slo_budget_left(&o, cases[i].n) - cases[i].left) < 1e-9);
    }
    assert_true(isnan(slo_budget_left(&o, (struct slo_count){0})));
}

/* ---- kept in Postgres ---- */

static struct runtime runtime;
static struct slo_keep *keep;

static int open_keep(void **state) {
    (void)state;
    sql_run(db.admin, "DELETE FROM platform.slo_day; DELETE FROM platform.slo_process");
    runtime = (struct runtime){.loop = db.loop, .platform = db.platform, .process = "host:1"};
    assert_ok(slo_keep_new(&runtime, &keep));
    return 0;
}

static int close_keep(void **state) {
    (void)state;
    slo_keep_free(keep);
    return 0;
}

static int words;
static void on_words(void *arg) {
    (void)arg;
    words++;
}
static bool spoken(void *arg) {
    (void)arg;
    return words > 0;
}

static void speak(void) {
    words = 0;
    slo_keep_last(keep, on_words, NULL);
    assert_true(wait_until(db.loop, WORDS_MS, spoken, NULL));
    assert_int_equal(1, words);
}

static void use(int n, double wait_s) {
    for (int i = 0; i < n; i++) {
        series_observe(metric_series(M_JOB_QUEUE_WAIT, "payments", "t", NULL), wait_s);
    }
}

/* "good/total of the number of statements that counted" */
static void assert_kept(const char *counts) {
    assert_string_equal(counts,
                        sql_text(db.admin, "SELECT coalesce(sum(good) || '/' || sum(total), 'none') FROM platform.slo_day "
                                           "WHERE slo = 'payments-start'"));
}

static void test_keep__given_counts_then_each_is_added_once(void **state) {
    (void)state;
    use(2, 1); /* and whatever came before: it is this process's */
    use(1, 60);
    speak();
    sql_run(db.admin, "DELETE FROM platform.slo_day");
    speak(); /* nothing is new */
    assert_kept("none");
    use(2, 1);
    use(1, 60);
    speak();
    assert_kept("2/3");
    use(1, 1);
    speak();
    assert_kept("3/4");
    assert_string_equal("3", sql_text(db.admin, "SELECT number FROM platform.slo_process"));
}

static void test_keep__given_another_process_then_they_add_up(void **state) {
    (void)state;
    sql_run(db.admin, "INSERT INTO platform.slo_process (process, number) VALUES ('another', 99)");
    speak();
    sql_run(db.admin, "UPDATE platform.slo_day SET good = 10, total = 20 WHERE slo = 'payments-start'");
    use(1, 60);
    speak();
    assert_kept("10/21");
}

/* What was sent and not answered is sent again as it was, and counts once, whether it had arrived or not. */
static void test_keep__given_a_lost_answer_then_nothing_is_lost_or_doubled(void **state) {
    (void)state;
    speak();
    sql_run(db.admin, "DELETE FROM platform.slo_day; ALTER TABLE platform.slo_day RENAME TO hidden");
    use(1, 1);
    speak(); /* fails: nothing arrived */
    sql_run(db.admin, "ALTER TABLE platform.hidden RENAME TO slo_day");
    use(1, 60); /* comes in a statement of its own */
    speak();
    assert_kept("1/2");
    sql_run(db.admin, "ALTER TABLE platform.slo_day RENAME TO hidden");
    use(5, 1);
    speak();
    sql_run(db.admin,
            "ALTER TABLE platform.hidden RENAME TO slo_day; "
            "UPDATE platform.slo_process SET number = number + 1"); /* as if it had arrived, and only its answer was lost */
    speak();
    assert_kept("1/2");
    use(1, 1);
    speak();
    assert_kept("2/3");
}

static void make_keep(void *arg) {
    struct slo_keep *k = NULL;
    (void)arg;
    struct err e = slo_keep_new(&runtime, &k);
    if (!torture_is_failing()) {
        assert_ok(e);
    }
    slo_keep_free(k);
}

static void test_keep__given_no_memory_then_it_says_so(void **state) {
    (void)state;
    torture(make_keep, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slo__the_table_then_names_are_one_each_and_times_are_bounds),
        cmocka_unit_test(test_slo__given_jobs_and_requests_then_good_and_total),
        cmocka_unit_test(test_slo__given_errors_then_what_is_left_of_the_budget),
        cmocka_unit_test_setup_teardown(test_keep__given_counts_then_each_is_added_once, open_keep, close_keep),
        cmocka_unit_test_setup_teardown(test_keep__given_another_process_then_they_add_up, open_keep, close_keep),
        cmocka_unit_test_setup_teardown(test_keep__given_a_lost_answer_then_nothing_is_lost_or_doubled, open_keep, close_keep),
        cmocka_unit_test_setup_teardown(test_keep__given_no_memory_then_it_says_so, open_keep, close_keep),
    };
    return cmocka_run_group_tests(tests, jobs_db_setup, jobs_db_teardown);
}
