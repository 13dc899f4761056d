/* How many workers a queue is given, in virtual time: a queue of so many arrivals a second, of attempts that take so long, looked at every
 * two seconds. Processes come two seconds after they are wanted. */
#include "../../../scheduler/src/autoscale_plan.h"

#include <math.h>
#include <string.h>

#include "unit.h"

enum { LOOK_MS = 2000 };

struct queue {
    double service_s;
    int64_t slots;
    bool stands; /* nothing is run: its dependency is away, or its jobs kill their processes */
    bool paused, blind;
    double waiting, busy, attempts_per_s, run_s_per_s, age_s;
    int64_t now_ms, running, workers;
    struct autoscale scale;
    struct autoscale_bounds bounds;
    /* what came of it */
    int64_t most, changes, told;
    char reason[AUTOSCALE_REASON_BYTES];
};

static struct queue queue_of(double service_s, int64_t workers, int64_t min, int64_t max) {
    return (struct queue){
        .service_s = service_s, .slots = 8, .workers = workers, .running = workers, .now_ms = 1000, .bounds = {min, max, 5}};
}

static struct autoscale_sight sight_of(const struct queue *q) {
    return (struct autoscale_sight){.now_ms = q->now_ms,
                                    .known = !q->blind,
                                    .paused = q->paused,
                                    .workers = q->workers,
                                    .slots = q->slots,
                                    .running = q->running,
                                    .busy = (int64_t)ceil(q->busy),
                                    .attempts_per_s = q->attempts_per_s,
                                    .run_s_per_s = q->run_s_per_s,
                                    .waiting = (int64_t)q->waiting,
                                    .ready = (int64_t)(q->waiting + q->busy),
                                    .age_s = q->age_s};
}

/* Two seconds, in steps of half an attempt; waiting and busy are no whole numbers. */
static void run_queue(struct queue *q, double per_s) {
    double step = fmin(0.1, q->service_s / 2), done = 0;
    double room = q->stands || q->paused ? 0 : (double)(q->running * q->slots);
    for (int n = (int)round(LOOK_MS / 1000.0 / step); n > 0; n--) {
        double ends = fmin(q->busy, q->busy * step / q->service_s);
        q->busy -= ends;
        done += ends;
        q->waiting += per_s * step;
        double starts = fmax(0, fmin(q->waiting, room - q->busy));
        q->busy += starts;
        q->waiting -= starts;
        q->age_s = q->waiting < 1e-9 ? 0 : starts > 0 ? q->waiting / (starts / step) : q->age_s + step;
    }
    double dt = (double)LOOK_MS / 1000, weight = 1 - exp(-dt / 5);
    q->attempts_per_s += (done / dt - q->attempts_per_s) * weight;
    q->run_s_per_s += (done / dt * q->service_s - q->run_s_per_s) * weight;
    q->running = q->workers;
}

static void look(struct queue *q) {
    struct autoscale_sight x = sight_of(q);
    struct autoscale_plan p;
    autoscale_plan(&q->scale, &q->bounds, &x, &p);
    q->changes += p.workers != q->workers;
    q->workers = p.workers;
    q->most = p.workers > q->most ? p.workers : q->most;
    q->told += p.tell;
    if (p.tell) {
        memcpy(q->reason, p.reason, sizeof q->reason);
    }
}

static void run_until(struct queue *q, int64_t until_s, double per_s) {
    while (q->now_ms < until_s * 1000) {
        run_queue(q, per_s);
        look(q);
        q->now_ms += LOOK_MS;
    }
}

static bool says(const struct queue *q, const char *what) { return strstr(q->reason, what) != NULL; }

static void test_step__load_comes_then_enough_within_a_minute_and_few_too_many(void **state) {
    (void)state;
    static const struct {
        double per_s, service_s;
        int64_t enough; /* slots ÷ 8 at 80 % */
    } rows[] = {{420, 0.08, 6}, {40, 2, 13}, {2000, 0.004, 2}, {3, 10, 5}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct queue q = queue_of(rows[i].service_s, 1, 1, 64);
        run_until(&q, 60, 0.5 / rows[i].service_s);
        assert_int_equal(1, q.workers);
        assert_int_equal(0, q.told);
        run_until(&q, 120, rows[i].per_s);
        assert_in_range(q.workers, rows[i].enough, 64);
        run_until(&q, 180, rows[i].per_s);
        assert_true(q.age_s < 5);
        run_until(&q, 600, rows[i].per_s);
        assert_in_range(q.workers, rows[i].enough, rows[i].enough * 4 / 3 + 1); /* what waited is gone, and who worked it off */
        assert_true(q.changes <= 6);
    }
}

static void test_step__reason_then_the_sum_in_words(void **state) {
    (void)state;
    struct queue q = queue_of(0.08, 1, 1, 64);
    struct autoscale_sight x = {.now_ms = 1000,
                                .known = true,
                                .workers = 1,
                                .slots = 8,
                                .running = 1,
                                .busy = 8,
                                .attempts_per_s = 420,
                                .run_s_per_s = 33.6,
                                .waiting = 0,
                                .ready = 8,
                                .age_s = 7};
    struct autoscale_plan p;
    autoscale_plan(&q.scale, &q.bounds, &x, &p);
    assert_string_equal("need 34 slots: 420/s x 80 ms, age 7.0 s > 5.0 s", p.reason);
    assert_int_equal(6, p.workers);
    assert_true(p.tell);
}

static void test_idle__then_the_least_after_a_minute_and_no_sooner(void **state) {
    (void)state;
    struct queue q = queue_of(0.08, 6, 2, 64);
    run_until(&q, 100, 420);
    assert_int_equal(6, q.workers);
    run_until(&q, 100 + AUTOSCALE_DOWN_MS / 1000 - 4, 0);
    assert_int_equal(6, q.workers);
    run_until(&q, 300, 0);
    assert_int_equal(2, q.workers);
    assert_true(says(&q, "idle for 60 s") || says(&q, "no more for 60 s"));
}

static void test_idle__min_0_then_none_and_the_first_job_brings_one_at_once(void **state) {
    (void)state;
    struct queue q = queue_of(0.08, 1, 0, 64);
    run_until(&q, 200, 0);
    assert_int_equal(0, q.workers);
    q.running = 0;
    q.waiting = 1;
    look(&q);
    assert_int_equal(1, q.workers);
}

static void test_stands__jobs_wait_and_none_runs_then_no_more_workers_and_said_once(void **state) {
    (void)state;
    struct queue q = queue_of(0.08, 1, 1, 64);
    run_until(&q, 60, 50);
    q.stands = true;
    run_until(&q, 700, 50);
    assert_int_equal(1, q.workers);
    assert_int_equal(1, q.told);
    assert_true(says(&q, " of 8 slots busy: more would not help"));
    q.stands = false;
    run_until(&q, 1500, 50);
    assert_true(q.age_s < 5);
    assert_false(says(&q, "would not help"));
}

static void test_processes_missing__then_it_waits_for_them(void **state) {
    (void)state;
    struct queue q = queue_of(0.08, 4, 1, 64);
    for (int i = 0; i < 100; i++) { /* they die as they come: poison */
        q.running = 2;
        q.busy = 16;
        q.waiting = 1000;
        q.age_s = 60;
        q.attempts_per_s = 200;
        q.run_s_per_s = 16;
        look(&q);
        q.now_ms += LOOK_MS;
    }
    assert_int_equal(4, q.workers);
}

static void test_paused__or_nothing_known_then_as_it_was(void **state) {
    (void)state;
    for (int blind = 0; blind <= 1; blind++) {
        struct queue q = queue_of(0.08, 6, 1, 64);
        run_until(&q, 60, 420);
        q.paused = !blind;
        q.blind = blind;
        run_until(&q, 600, blind ? 0 : 420);
        assert_int_equal(6, q.workers);
        q.paused = q.blind = false;
        run_until(&q, 640, 0); /* a pause is no time of little load */
        assert_in_range(q.workers, 6, 64);
    }
}

static void test_flapping__20_s_of_load_and_20_s_of_none_then_it_stays(void **state) {
    (void)state;
    struct queue q = queue_of(0.08, 1, 1, 64);
    for (int64_t s = 0; s < 600; s += 40) {
        run_until(&q, s + 20, 420);
        run_until(&q, s + 40, 0);
        if (s == 80) {
            q.changes = 0;
        }
    }
    assert_true(q.changes <= 1);
    assert_in_range(q.workers, 5, 12);
}

static void test_border__load_about_a_limit_then_nothing_moves(void **state) {
    (void)state;
    struct queue q = queue_of(0.1, 4, 1, 64); /* 4 x 8 x 0.8 = 25.6 slots: 256/s */
    for (int64_t s = 0; s < 2000; s += 200) { /* 18 slots would do in three processes, with too little to spare */
        run_until(&q, s + 100, 250);
        run_until(&q, s + 200, 180);
    }
    assert_int_equal(4, q.workers);
    assert_int_equal(0, q.changes);
}

static void test_max__then_no_more_and_said_once(void **state) {
    (void)state;
    struct queue q = queue_of(0.08, 1, 1, 3);
    run_until(&q, 600, 420);
    assert_int_equal(3, q.workers);
    assert_true(says(&q, "; max 3"));
    assert_in_range(q.told, 2, 4);
}

static void test_bounds__moved_then_followed(void **state) {
    (void)state;
    struct queue q = queue_of(0.08, 6, 1, 64);
    run_until(&q, 60, 420);
    q.bounds.max = 4;
    run_until(&q, 200, 420);
    assert_int_equal(4, q.workers);
    q.bounds.max = 64;
    q.bounds.min = 9;
    q.blind = true; /* it needs no figures for that */
    look(&q);
    assert_int_equal(9, q.workers);
    assert_string_equal("min 9", q.reason);
}

static void test_long_jobs__none_has_ended_then_it_doubles_while_they_wait(void **state) {
    (void)state;
    struct queue q = queue_of(600, 1, 1, 6);
    run_until(&q, 120, 1);
    assert_int_equal(6, q.workers);
    q = queue_of(600, 1, 1, 6);
    q.busy = 8;
    q.waiting = 12;
    q.age_s = 6;
    look(&q);
    assert_int_equal(2, q.workers);
    assert_string_equal("12 wait, none has ended yet, age 6.0 s > 5.0 s", q.reason);
}

static void test_long_jobs__run_and_none_waits_then_no_fewer_than_one(void **state) {
    (void)state;
    struct queue q = queue_of(600, 1, 0, 6);
    q.busy = 1;
    for (int i = 0; i < 300; i++) {
        look(&q);
        q.now_ms += LOOK_MS;
    }
    assert_int_equal(1, q.workers);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step__load_comes_then_enough_within_a_minute_and_few_too_many),
        cmocka_unit_test(test_step__reason_then_the_sum_in_words),
        cmocka_unit_test(test_idle__then_the_least_after_a_minute_and_no_sooner),
        cmocka_unit_test(test_idle__min_0_then_none_and_the_first_job_brings_one_at_once),
        cmocka_unit_test(test_stands__jobs_wait_and_none_runs_then_no_more_workers_and_said_once),
        cmocka_unit_test(test_processes_missing__then_it_waits_for_them),
        cmocka_unit_test(test_paused__or_nothing_known_then_as_it_was),
        cmocka_unit_test(test_flapping__20_s_of_load_and_20_s_of_none_then_it_stays),
        cmocka_unit_test(test_border__load_about_a_limit_then_nothing_moves),
        cmocka_unit_test(test_max__then_no_more_and_said_once),
        cmocka_unit_test(test_bounds__moved_then_followed),
        cmocka_unit_test(test_long_jobs__none_has_ended_then_it_doubles_while_they_wait),
        cmocka_unit_test(test_long_jobs__run_and_none_waits_then_no_fewer_than_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
