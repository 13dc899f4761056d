#include "../../../api/src/admission.h"

#include <math.h>

#include "unit.h"

static const struct pressure_limits limits = {.max_depth = 100000, .max_open = 200000, .max_drain_s = 60, .max_fill_pct = 75};
static const struct share anybody = {0, 1};

static struct pressure at(int64_t waiting, double rate) {
    return (struct pressure){.waiting = waiting, .depth = waiting, .open = waiting, .rate = rate};
}

static enum shed judge(struct admission *a, struct pressure p) { return admission_judge(a, &p, &limits, anybody); }

/* ---- the verdict ---- */

/* The same queue, as deep in every row: the rate alone decides. */
static void test_admission__given_the_same_depth_then_the_drain_rate_changes_the_verdict(void **state) {
    (void)state;
    static const struct {
        double rate;
        enum shed verdict;
    } rows[] = {
        {100, SHED_NOTHING},  {10, SHED_NOTHING},   {9.9, SHED_DRAIN_TIME},
        {1, SHED_DRAIN_TIME}, {0, SHED_DRAIN_TIME}, {10.3, SHED_NOTHING},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct admission fresh = {0};
        assert_int_equal(rows[i].verdict, judge(&fresh, at(600, rows[i].rate)));
    }
    struct admission door = {0}; /* and in the course of time */
    assert_int_equal(SHED_NOTHING, judge(&door, at(600, 20)));
    assert_int_equal(SHED_DRAIN_TIME, judge(&door, at(600, 2)));
    assert_int_equal(ADMISSION_CLOSED, door.state);
    assert_int_equal(SHED_NOTHING, judge(&door, at(600, 20)));
    assert_int_equal(ADMISSION_OPEN, door.state);
}

static void test_admission__given_drain_time_then_it_closes_at_the_limit_and_opens_some_seconds_below(void **state) {
    (void)state;
    struct admission door = {0};
    assert_int_equal(SHED_NOTHING, judge(&door, at(600, 10)));
    assert_int_equal(SHED_DRAIN_TIME, judge(&door, at(601, 10)));
    assert_int_equal(SHED_DRAIN_TIME, judge(&door, at(521, 10)));
    assert_int_equal(SHED_DRAIN_TIME, judge(&door, at(521, 10.5))); /* a little faster: that may be noise */
    assert_int_equal(SHED_NOTHING, judge(&door, at(520, 10)));
    assert_int_equal(SHED_NOTHING, judge(&door, at(590, 10)));
    assert_int_equal(SHED_DRAIN_TIME, judge(&door, at(601, 10)));
    assert_int_equal(SHED_DRAIN_TIME, judge(&door, at(520, 8))); /* slower meanwhile: 65 s */
    assert_int_equal(SHED_NOTHING, judge(&door, at(480, 8)));
}

static void test_admission__given_old_jobs_then_it_closes_although_the_drain_time_is_short(void **state) {
    (void)state;
    struct admission door = {0};
    struct pressure p = at(10, 10);
    p.age_s = 120;
    assert_int_equal(SHED_NOTHING, judge(&door, p));
    p.age_s = 121;
    assert_int_equal(SHED_AGE, judge(&door, p));
    p.age_s = 113;
    assert_int_equal(SHED_AGE, judge(&door, p));
    p.age_s = 112;
    assert_int_equal(SHED_NOTHING, judge(&door, p));
}

static void test_admission__given_a_full_redis_then_who_matters_less_stops_first(void **state) {
    (void)state;
    static const struct {
        double fill;
        bool refused[4]; /* notifications, default, orders, payments */
    } rows[] = {
        {0.69, {false, false, false, false}}, {0.72, {true, false, false, false}}, {0.80, {true, true, false, false}},
        {0.90, {true, true, true, false}},    {0.96, {true, true, true, true}},    {0, {false, false, false, false}},
    };
    static const int pct[] = {70, 75, 88, 95};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t q = 0; q < 4; q++) {
            struct admission door = {0};
            struct pressure_limits l = limits;
            struct pressure p = at(10, 10);
            l.max_fill_pct = pct[q];
            p.fill = rows[i].fill;
            p.paused = true; /* memory counts all the same */
            assert_int_equal(rows[i].refused[q] ? SHED_MEMORY : SHED_NOTHING, admission_judge(&door, &p, &l, anybody));
        }
    }
    struct admission door = {0};
    struct pressure p = at(10, 10);
    p.fill = 0.76;
    assert_int_equal(SHED_MEMORY, judge(&door, p));
    p.fill = 0.71;
    assert_int_equal(SHED_MEMORY, judge(&door, p));
    p.fill = 0.70;
    assert_int_equal(SHED_NOTHING, judge(&door, p));
}

static void test_admission__given_depth_or_open_rows_then_they_close_without_hysteresis(void **state) {
    (void)state;
    struct admission door = {0};
    struct pressure p = at(10, 100);
    p.depth = limits.max_depth;
    assert_int_equal(SHED_DEPTH, judge(&door, p));
    p.depth--;
    assert_int_equal(SHED_NOTHING, judge(&door, p));
    p.open = limits.max_open;
    assert_int_equal(SHED_OPEN, judge(&door, p));
    p.depth = limits.max_depth;
    assert_int_equal(SHED_OPEN, judge(&door, p));
}

static void test_admission__given_a_paused_queue_then_drain_time_and_age_do_not_count(void **state) {
    (void)state;
    struct admission door = {0};
    struct pressure p = at(90000, 0);
    p.paused = true;
    p.age_s = 1e6;
    assert_int_equal(SHED_NOTHING, admission_judge(&door, &p, &limits, (struct share){90000, 2}));
    p.depth = limits.max_depth;
    assert_int_equal(SHED_DEPTH, judge(&door, p));
}

static void test_admission__given_no_drain_limit_then_only_memory_depth_and_open_rows_count(void **state) {
    (void)state;
    struct admission door = {0};
    struct pressure_limits payments = limits;
    struct pressure p = at(99999, 0);
    p.age_s = 1e6;
    payments.max_drain_s = 0;
    assert_int_equal(SHED_NOTHING, admission_judge(&door, &p, &payments, (struct share){99999, 2}));
    p.fill = 0.9;
    assert_int_equal(SHED_MEMORY, admission_judge(&door, &p, &payments, anybody));
}

static void test_admission__given_nothing_ends_then_drain_time_is_finite(void **state) {
    (void)state;
    struct pressure p = at(10, 0);
    assert_true(admission_drain_s(&p) == 1000);
}

/* ---- tenants ---- */

static void test_admission__given_pressure_then_tenants_beyond_their_share_are_refused_first(void **state) {
    (void)state;
    static const struct {
        int64_t waiting; /* at 10/s; 600 is the limit */
        struct share who;
        enum shed verdict;
    } rows[] = {
        {400, {400, 2}, SHED_NOTHING}, /* no pressure: one may use what the other leaves */
        {500, {490, 2}, SHED_TENANT},  /* pressure: half of 600 is its share */
        {500, {300, 2}, SHED_TENANT},   {500, {299, 2}, SHED_NOTHING}, {500, {0, 2}, SHED_NOTHING},
        {500, {150, 4}, SHED_TENANT},   {500, {149, 4}, SHED_NOTHING}, {500, {500, 1}, SHED_NOTHING}, /* alone it may use all */
        {601, {0, 2}, SHED_DRAIN_TIME},                                                               /* full for everybody */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct admission door = {0};
        struct pressure p = at(rows[i].waiting, 10);
        assert_int_equal(rows[i].verdict, admission_judge(&door, &p, &limits, rows[i].who));
    }
}

static void test_admission__given_shedding_then_it_ends_below_where_it_began(void **state) {
    (void)state;
    struct admission door = {0};
    struct pressure p = at(481, 10);
    admission_move(&door, &p, &limits, 2);
    assert_int_equal(ADMISSION_SHEDDING, door.state);
    assert_int_equal(SHED_TENANT, door.why);
    p.waiting = 421;
    admission_move(&door, &p, &limits, 2);
    assert_int_equal(ADMISSION_SHEDDING, door.state);
    admission_move(&door, &p, &limits, 1); /* nobody is left to favour */
    assert_int_equal(ADMISSION_OPEN, door.state);
    admission_move(&door, &p, &limits, 2);
    assert_int_equal(ADMISSION_OPEN, door.state);
}

/* ---- Retry-After ---- */

static int64_t retry_after(const struct admission *door, struct pressure p, enum shed why, double random01) {
    return admission_retry_after_s(door, &p, &limits, why, (struct share){450, 2}, random01);
}

static void test_admission__given_a_refusal_then_retry_after_is_when_the_cause_should_be_gone(void **state) {
    (void)state;
    struct admission door = {0};
    assert_int_equal(SHED_DRAIN_TIME, judge(&door, at(800, 10)));
    assert_int_equal(28, retry_after(&door, at(800, 10), SHED_DRAIN_TIME, 0)); /* until 520 wait */
    assert_int_equal(31, retry_after(&door, at(800, 10), SHED_DRAIN_TIME, 1));
    assert_int_equal(100, retry_after(&door, at(800, 5), SHED_DRAIN_TIME, 0)); /* 300 is the limit now */
    assert_int_equal(17, retry_after(&door, at(500, 10), SHED_TENANT, 0));     /* 150 of 450 that are nine tenths of what ends */
    struct pressure later = at(800, 10);
    later.since_s = 0.9;
    assert_int_equal(28, retry_after(&door, later, SHED_DRAIN_TIME, 0)); /* 27.1 */
    struct pressure p = at(limits.max_depth + 99, 10);
    assert_int_equal(10, retry_after(&door, p, SHED_DEPTH, 0));
    p.paused = true;
    assert_int_equal(30, retry_after(&door, p, SHED_DEPTH, 0));                            /* nobody knows */
    assert_int_equal(300, retry_after(&door, at(limits.max_open + 999, 1), SHED_OPEN, 0)); /* no later than that */
    assert_int_equal(1, retry_after(&door, at(limits.max_depth, 5000), SHED_DEPTH, 0));    /* no sooner than that */
}

/* ---- virtual time ---- */

/* A queue whose workers end rate jobs a second, to which offered a second are brought; ticks of 10 ms, and a reading each second as the
 * sampler takes it. */
enum { TICKS_PER_S = 100 };
struct model {
    struct admission door;
    struct capacity capacity;
    double waiting, ended, read_ended, entered;
    int64_t read_waiting;
    int64_t ticks, refused, accepted;
    struct pressure_limits limits;
};

static struct pressure model_pressure(const struct model *m) {
    struct pressure p = at(m->read_waiting + (int64_t)m->entered, m->capacity.per_s);
    p.since_s = (double)(m->ticks % TICKS_PER_S) / TICKS_PER_S;
    return p;
}

static void model_read(struct model *m) {
    capacity_add(&m->capacity, (int64_t)(m->ended - m->read_ended), 1, m->read_waiting > 0 && m->waiting >= 1);
    m->read_ended = m->ended;
    m->read_waiting = (int64_t)m->waiting;
    m->entered = 0;
    struct pressure p = model_pressure(m);
    admission_move(&m->door, &p, &m->limits, 1);
}

static enum shed model_request(struct model *m) {
    struct pressure p = model_pressure(m);
    enum shed why = admission_judge(&m->door, &p, &m->limits, anybody);
    if (why == SHED_NOTHING) {
        m->waiting++;
        m->entered++;
        m->accepted++;
    } else {
        m->refused++;
    }
    return why;
}

/* One tick; how many requests it brings in all. */
static void model_tick(struct model *m, double rate, double offered) {
    double done = fmin(m->waiting, rate / TICKS_PER_S);
    m->waiting -= done;
    m->ended += done;
    int64_t before = (int64_t)(offered * (double)m->ticks / TICKS_PER_S);
    m->ticks++;
    for (int64_t n = (int64_t)(offered * (double)m->ticks / TICKS_PER_S) - before; n > 0; n--) {
        (void)model_request(m);
    }
    if (m->ticks % TICKS_PER_S == 0) {
        model_read(m);
    }
}

static void model_init(struct model *m, double rate, int64_t max_drain_s) {
    *m = (struct model){.limits = limits, .capacity = {.per_s = rate, .seen_s = 1000}};
    m->limits.max_drain_s = max_drain_s;
}

static void test_admission__given_ten_times_the_load_then_workers_never_starve_and_the_door_opens_soon_after(void **state) {
    (void)state;
    static const struct {
        double rate;
        int64_t max_drain_s;
    } rows[] = {{40, 60}, {40, 300}, {400, 20}, {5, 60}, {40, 5}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct model m;
        model_init(&m, rows[i].rate, rows[i].max_drain_s);
        for (int t = 0; t < 120 * TICKS_PER_S; t++) {
            model_tick(&m, rows[i].rate, 10 * rows[i].rate);
            assert_true(m.waiting <= (double)rows[i].max_drain_s * rows[i].rate * 1.1 + 1);
        }
        assert_true(m.ended >= 0.99 * 120 * rows[i].rate);
        assert_true(m.refused > m.accepted);
        int64_t left = 0;
        for (; m.door.state != ADMISSION_OPEN; left++) {
            model_tick(&m, rows[i].rate, 0);
        }
        assert_true(left <= 10 * TICKS_PER_S);
    }
}

/* What a refused client is told is when it would be let in: each second of the time that the door is closed, by any throw of the dice. */
static void check_told(double before, double after, int64_t max_drain_s, double random01) {
    struct model m;
    double told[400];
    int64_t ticks = 0, n = 0;
    model_init(&m, before, max_drain_s);
    while (m.door.state != ADMISSION_CLOSED) {
        model_tick(&m, before, 10 * before);
    }
    for (; m.door.state == ADMISSION_CLOSED && n < 400; ticks++) {
        if (ticks == n * TICKS_PER_S) {
            struct pressure p = model_pressure(&m);
            told[n++] = (double)admission_retry_after_s(&m.door, &p, &m.limits, SHED_DRAIN_TIME, anybody, random01);
        }
        model_tick(&m, after, 10 * after);
    }
    for (int64_t i = 0; i < n; i++) {
        double real = (double)ticks / TICKS_PER_S - (double)i;
        assert_true(fabs(told[i] - real) <= fmax(0.3 * real, 1)); /* the header counts whole seconds */
    }
}

static void test_admission__given_a_closed_door_then_retry_after_is_right_within_three_tenths(void **state) {
    (void)state;
    static const struct {
        double before, after; /* the workers' rate until it closes, and then */
        int64_t max_drain_s;
    } rows[] = {{40, 40, 60}, {40, 40, 300}, {400, 400, 20}, {40, 36, 60}, {40, 44, 60}, {4, 4, 30}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int dice = 0; dice <= 10; dice++) {
            check_told(rows[i].before, rows[i].after, rows[i].max_drain_s, dice / 10.0);
        }
    }
}

static void test_admission__given_workers_that_stop_then_the_door_closes_at_the_same_depth(void **state) {
    (void)state;
    struct model m;
    model_init(&m, 100, 60);
    m.waiting = 1000; /* 10 s */
    model_read(&m);
    assert_int_equal(SHED_NOTHING, model_request(&m));
    int64_t seconds = 0;
    while (model_request(&m) == SHED_NOTHING && seconds < 300) {
        for (int t = 0; t < TICKS_PER_S; t++) {
            model_tick(&m, 0, 0);
        }
        seconds++;
    }
    assert_true(seconds > 5 && seconds < 60 && m.waiting < 1100);
}

/* ---- the rate ---- */

static void test_admission__given_jobs_wait_then_capacity_follows_what_ends(void **state) {
    (void)state;
    struct capacity c;
    capacity_start(&c, 64);
    for (int i = 0; i < 60; i++) {
        capacity_add(&c, 200, 1, true);
    }
    assert_true(c.per_s > 199 && c.per_s < 201);
    for (int i = 0; i < 60; i++) {
        capacity_add(&c, 0, 1, true);
    }
    assert_true(c.per_s < 2);
}

/* One job every ten seconds: neither a second with one nor nine without say what the rate is. */
/* A process that has just begun knows the rate after a second, whatever it supposed; and where no job has ended yet, it does not suppose
 * that none will. */
static void test_admission__given_the_first_seconds_then_capacity_is_what_was_seen_of_them(void **state) {
    (void)state;
    struct capacity fast, slow;
    capacity_start(&fast, 4);
    capacity_add(&fast, 100, 1, true);
    assert_true(fast.per_s > 99 && fast.per_s < 110);
    capacity_start(&slow, 64);
    for (int i = 0; i < 10; i++) {
        capacity_add(&slow, 0, 1, true);
        assert_true(slow.per_s * (i + 1) > 63);
    }
}

static void test_admission__given_few_ends_then_capacity_does_not_jump(void **state) {
    (void)state;
    struct capacity c = {.per_s = 0.1, .seen_s = 1000};
    for (int i = 0; i < 600; i++) {
        capacity_add(&c, i % 10 == 0, 1, true);
        assert_true(c.per_s > 0.09 && c.per_s < 0.11);
    }
}

static void test_admission__given_an_idle_queue_then_capacity_is_not_forgotten(void **state) {
    (void)state;
    struct capacity c;
    capacity_start(&c, 64);
    for (int i = 0; i < 600; i++) {
        capacity_add(&c, 3, 1, false);
    }
    assert_true(c.per_s == 64);
    for (int i = 0; i < 600; i++) {
        capacity_add(&c, 100, 1, false);
    }
    assert_true(c.per_s > 99); /* it can do at least that */
}

static void test_admission__given_counters_that_began_anew_then_capacity_stays(void **state) {
    (void)state;
    struct capacity c;
    capacity_start(&c, 10);
    capacity_add(&c, -5000, 1, true);
    capacity_add(&c, 50, 0, true);
    assert_true(c.per_s == 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admission__given_the_same_depth_then_the_drain_rate_changes_the_verdict),
        cmocka_unit_test(test_admission__given_drain_time_then_it_closes_at_the_limit_and_opens_some_seconds_below),
        cmocka_unit_test(test_admission__given_old_jobs_then_it_closes_although_the_drain_time_is_short),
        cmocka_unit_test(test_admission__given_a_full_redis_then_who_matters_less_stops_first),
        cmocka_unit_test(test_admission__given_depth_or_open_rows_then_they_close_without_hysteresis),
        cmocka_unit_test(test_admission__given_a_paused_queue_then_drain_time_and_age_do_not_count),
        cmocka_unit_test(test_admission__given_no_drain_limit_then_only_memory_depth_and_open_rows_count),
        cmocka_unit_test(test_admission__given_nothing_ends_then_drain_time_is_finite),
        cmocka_unit_test(test_admission__given_pressure_then_tenants_beyond_their_share_are_refused_first),
        cmocka_unit_test(test_admission__given_shedding_then_it_ends_below_where_it_began),
        cmocka_unit_test(test_admission__given_a_refusal_then_retry_after_is_when_the_cause_should_be_gone),
        cmocka_unit_test(test_admission__given_ten_times_the_load_then_workers_never_starve_and_the_door_opens_soon_after),
        cmocka_unit_test(test_admission__given_a_closed_door_then_retry_after_is_right_within_three_tenths),
        cmocka_unit_test(test_admission__given_workers_that_stop_then_the_door_closes_at_the_same_depth),
        cmocka_unit_test(test_admission__given_jobs_wait_then_capacity_follows_what_ends),
        cmocka_unit_test(test_admission__given_the_first_seconds_then_capacity_is_what_was_seen_of_them),
        cmocka_unit_test(test_admission__given_few_ends_then_capacity_does_not_jump),
        cmocka_unit_test(test_admission__given_an_idle_queue_then_capacity_is_not_forgotten),
        cmocka_unit_test(test_admission__given_counters_that_began_anew_then_capacity_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
