/* Outages in virtual time: jobs arrive, a worker process runs them in its slots, their server answers, is slow, or is away for ten minutes.
 * What decides is the code that decides in a worker (jobs/dependency.h, jobs/retry.h); a control without it shows that the measures
 * notice. */
#include <jobs/dependency.h>
#include <jobs/retry.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

enum {
    SECOND_US = 1000000,
    TENTHS = 10,
    SLOTS = 64,
    JOBS_MAX = 250000,
    SECONDS_MAX = 2000,
    TIMEOUT_US = 5 * SECOND_US,
    OTHER_US = 20000
};
static const struct retry_policy policy = {.base_ms = 500, .cap_ms = 300000, .max_attempts = 25};

/* The server: so many at once, the others wait in its queue. */
struct server {
    int workers;
    int64_t service_us;
    double failing; /* of its answers */
    enum { UP, REFUSING, HANGING } weather;
    int64_t free_us[SLOTS];
};

struct job {
    bool calls;  /* else of a type that needs nobody */
    bool called; /* before */
    bool fails;  /* the call on its way */
    uint32_t attempt;
    int64_t born_us, ended_us;
    struct dependency_place place;
    struct dependency_call call;
};

enum happening { ARRIVES, IS_DUE, ENDS };
struct event {
    int64_t at_us;
    enum happening what;
    int job;
};

static struct world {
    bool guarded; /* the controls are not */
    bool mixed;   /* types share the queue: entries are delayed; else it is not read */
    struct server server;
    struct dependency dependency;
    double calls_per_s, others_per_s;
    uint64_t random;
    int64_t now_us;
    struct job jobs[JOBS_MAX];
    int jobs_n, stream[2 * JOBS_MAX], head, tail, running;
    struct event heap[JOBS_MAX];
    int heap_n;
    int charged_while_away, charged, dead, first, repeated, refused;
    int begun[TENTHS * SECONDS_MAX], repeated_in[TENTHS * SECONDS_MAX]; /* calls, by the tenth of a second */
} w;

static double random01(void) {
    w.random = w.random * 6364136223846793005ULL + 1442695040888963407ULL;
    return (double)(w.random >> 11) / 9007199254740992.0;
}

/* ---- events, earliest first ---- */

static void push(int64_t at_us, enum happening what, int job) {
    assert_in_range(w.heap_n, 0, JOBS_MAX - 1);
    int i = w.heap_n++;
    for (; i > 0 && w.heap[(i - 1) / 2].at_us > at_us; i = (i - 1) / 2) {
        w.heap[i] = w.heap[(i - 1) / 2];
    }
    w.heap[i] = (struct event){at_us, what, job};
}

static struct event pop(void) {
    struct event first = w.heap[0], last = w.heap[--w.heap_n];
    int i = 0;
    for (int child = 1; child < w.heap_n; i = child, child = 2 * i + 1) {
        child += child + 1 < w.heap_n && w.heap[child + 1].at_us < w.heap[child].at_us;
        if (w.heap[child].at_us >= last.at_us) {
            break;
        }
        w.heap[i] = w.heap[child];
    }
    w.heap[i] = last;
    return first;
}

/* ---- the queue ---- */

static void enqueue(int job) {
    w.stream[w.tail] = job;
    w.tail = (w.tail + 1) % (2 * JOBS_MAX);
}

static int waiting(void) { return (w.tail - w.head + 2 * JOBS_MAX) % (2 * JOBS_MAX); }

static void delay(int job, int64_t ms) { push(w.now_us + ms * 1000, IS_DUE, job); }

static void arrive(bool calls) {
    assert_in_range(w.jobs_n, 0, JOBS_MAX - 1);
    w.jobs[w.jobs_n] = (struct job){.calls = calls, .born_us = w.now_us};
    enqueue(w.jobs_n++);
    double rate = calls ? w.calls_per_s : w.others_per_s;
    push(w.now_us + (int64_t)(SECOND_US * (0.5 + random01()) / rate), ARRIVES, calls);
}

/* ---- the server ---- */

static int64_t answered_at(struct server *s, bool *out_fails) {
    *out_fails = s->weather != UP || random01() < s->failing;
    if (s->weather != UP) {
        return w.now_us + (s->weather == REFUSING ? 1000 : TIMEOUT_US);
    }
    int soonest = 0;
    for (int i = 1; i < s->workers; i++) {
        soonest = s->free_us[i] < s->free_us[soonest] ? i : soonest;
    }
    int64_t from = s->free_us[soonest] > w.now_us ? s->free_us[soonest] : w.now_us;
    s->free_us[soonest] = from + s->service_us;
    if (s->free_us[soonest] - w.now_us > TIMEOUT_US) {
        *out_fails = true;
        return w.now_us + TIMEOUT_US;
    }
    return s->free_us[soonest];
}

/* ---- attempts, as worker/src/run.c and jobs/src/attempt.c have them ---- */

static void call(struct job *j, int id) {
    int tenth = (int)(w.now_us * TENTHS / SECOND_US);
    assert_in_range(tenth, 0, TENTHS * SECONDS_MAX - 1);
    w.begun[tenth]++;
    w.repeated_in[tenth] += j->called;
    w.repeated += j->called;
    w.first += !j->called;
    dependency_call_begin(w.guarded ? &w.dependency : NULL, &j->call, !j->called, w.now_us);
    j->called = true;
    w.running++;
    push(answered_at(&w.server, &j->fails), ENDS, id);
}

static void start(int id) {
    struct job *j = &w.jobs[id];
    int64_t wait_ms;
    if (!j->calls) {
        w.running++;
        push(w.now_us + OTHER_US, ENDS, id);
    } else if (w.guarded && !dependency_enter(&w.dependency, &j->place, w.now_us, &wait_ms)) {
        w.refused++;
        delay(id, wait_ms);
    } else if (w.guarded && j->attempt > 0 && !dependency_retry(&w.dependency, w.now_us, &wait_ms)) {
        w.refused++;
        dependency_leave(&j->place);
        delay(id, wait_ms);
    } else {
        call(j, id);
    }
}

static void end_failed(struct job *j, int id) {
    int64_t delay_ms;
    bool away = w.guarded && w.dependency.circuit != CIRCUIT_CLOSED;
    if (w.guarded && dependency_spares(&w.dependency, w.now_us)) {
        delay(id, dependency_wait_ms(&w.dependency, w.now_us));
        return;
    }
    w.charged++;
    w.charged_while_away += away;
    if (retry_decide(&policy, ERR_TRANSIENT, j->attempt++, 0, random01(), &delay_ms) == RETRY_DEAD) {
        w.dead++;
    } else {
        delay(id, delay_ms);
    }
}

static enum call_verdict verdict(const struct job *j) {
    if (!j->fails) {
        return CALL_OK;
    }
    return w.now_us - j->call.began_us >= TIMEOUT_US ? CALL_OVERLOADED : CALL_FAILED;
}

static void end(int id) {
    struct job *j = &w.jobs[id];
    w.running--;
    dependency_call_end(&j->call, verdict(j), w.now_us, 0);
    if (j->fails) {
        end_failed(j, id);
    } else {
        j->ended_us = w.now_us;
    }
    dependency_leave(&j->place);
    j->fails = false;
}

static int slots(void) {
    if (!w.guarded || w.mixed) {
        return SLOTS;
    }
    dependency_look(&w.dependency, w.now_us);
    size_t most = w.dependency.entered + dependency_room(&w.dependency, w.now_us);
    return most < SLOTS ? (int)most : SLOTS;
}

static void run_until(int64_t second) {
    while (w.heap_n > 0 && w.heap[0].at_us <= second * SECOND_US) {
        struct event e = pop();
        w.now_us = e.at_us;
        switch (e.what) {
        case ARRIVES:
            arrive(e.job != 0);
            break;
        case IS_DUE:
            enqueue(e.job);
            break;
        case ENDS:
            end(e.job);
            break;
        }
        while (waiting() > 0 && w.running < slots()) {
            int id = w.stream[w.head];
            w.head = (w.head + 1) % (2 * JOBS_MAX);
            start(id);
        }
    }
    w.now_us = second * SECOND_US;
}

static void begin(bool guarded, bool mixed, const struct server *server, double calls_per_s, double others_per_s) {
    memset(&w, 0, sizeof w);
    w.guarded = guarded;
    w.mixed = mixed;
    w.server = *server;
    w.calls_per_s = calls_per_s;
    w.others_per_s = others_per_s;
    w.random = 1;
    dependency_init(&w.dependency, STR("server"), SLOTS);
    push(0, ARRIVES, true);
    if (others_per_s > 0) {
        push(0, ARRIVES, false);
    }
}

/* ---- measures ---- */

static int sum(const int *of, int from, int n) {
    int all = 0;
    for (int i = from; i < from + n; i++) {
        all += of[i];
    }
    return all;
}

/* In any second between. */
static int most_begun(int from_s, int to_s) {
    int most = 0;
    for (int i = from_s * TENTHS; i + TENTHS <= to_s * TENTHS; i++) {
        int begun = sum(w.begun, i, TENTHS);
        most = begun > most ? begun : most;
    }
    return most;
}

/* The largest share of repeated calls in any ten seconds with a hundred calls and more. */
static double most_repeated(int from_s, int to_s) {
    double most = 0;
    for (int i = from_s * TENTHS; i + 10 * TENTHS <= to_s * TENTHS; i++) {
        int begun = sum(w.begun, i, 10 * TENTHS);
        double share = begun >= 100 ? (double)sum(w.repeated_in, i, 10 * TENTHS) / begun : 0;
        most = share > most ? share : most;
    }
    return most;
}

static int by_time(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

/* From arrival to end, of jobs of the other types that arrived between; those that have not ended count up to now. */
static double p99_ms(int from_s, int to_s) {
    static int64_t took[JOBS_MAX];
    int n = 0;
    for (int i = 0; i < w.jobs_n; i++) {
        const struct job *j = &w.jobs[i];
        if (!j->calls && j->born_us >= from_s * (int64_t)SECOND_US && j->born_us < to_s * (int64_t)SECOND_US) {
            took[n++] = (j->ended_us > 0 ? j->ended_us : w.now_us) - j->born_us;
        }
    }
    qsort(took, (size_t)n, sizeof took[0], by_time);
    int at = n * 99 / 100;
    return (double)took[at] / 1000;
}

static int undone(void) {
    int n = 0;
    for (int i = 0; i < w.jobs_n; i++) {
        n += w.jobs[i].ended_us == 0;
    }
    return n;
}

/* ---- ten minutes away ---- */

enum { AWAY_S = 60, BACK_S = 660, OVER_S = 1200, CAPACITY = 150 };
static const struct server provider = {.workers = 30, .service_us = 200000};

static void away(bool guarded, bool mixed, int weather, double calls_per_s, double others_per_s) {
    begin(guarded, mixed, &provider, calls_per_s, others_per_s);
    run_until(AWAY_S);
    w.server.weather = weather;
    run_until(BACK_S);
    w.server.weather = UP;
    run_until(OVER_S);
    print_message(
        "  %s, %s, %s: calls %d first, %d repeated; charged %d, %d of them while away; refused %d; most in a second after its "
        "return %d of %d; most repeated in 10 s %.1f %%; undone %d, dead %d\n",
        guarded ? "guarded" : "unguarded", mixed ? "mixed" : "its own queue", weather == REFUSING ? "refusing" : "hanging",
        w.first, w.repeated, w.charged, w.charged_while_away, w.refused, most_begun(BACK_S, OVER_S), CAPACITY,
        100 * most_repeated(0, OVER_S), undone(), w.dead);
}

static void assert_kept(void) {
    assert_int_equal(0, w.charged_while_away);
    assert_true(w.charged <= SLOTS); /* what had failed when the circuit opened */
    assert_int_equal(0, w.dead);
    assert_true(w.repeated <= (w.first + w.repeated) / 5);
    assert_true(most_repeated(0, OVER_S) <= 0.2);
    assert_true(most_begun(BACK_S, OVER_S) <= CAPACITY * 12 / 10);
}

static void test_outage__its_own_queue_then_nothing_is_charged_and_it_comes_back_softly(void **state) {
    (void)state;
    for (int weather = REFUSING; weather <= HANGING; weather++) {
        away(true, false, weather, 80, 0);
        assert_kept();
        assert_true(most_begun(BACK_S, BACK_S + 60) >= CAPACITY * 9 / 10); /* and soon at full speed */
    }
}

static void test_outage__mixed_queue_then_the_other_types_do_not_feel_it(void **state) {
    (void)state;
    for (int weather = REFUSING; weather <= HANGING; weather++) {
        away(true, true, weather, 50, 100);
        assert_kept();
        double before = p99_ms(0, AWAY_S), meanwhile = p99_ms(AWAY_S, BACK_S), after = p99_ms(BACK_S, OVER_S);
        print_message("  p99 of the others: %.1f ms before, %.1f meanwhile, %.1f after\n", before, meanwhile, after);
        assert_true(meanwhile <= 1.5 * before && after <= 1.5 * before);
    }
}

static void test_outage__control_without_the_guard_then_every_measure_notices(void **state) {
    (void)state;
    away(false, true, HANGING, 50, 100);
    assert_true(w.charged > 10 * SLOTS);
    assert_true(p99_ms(AWAY_S, BACK_S) > 1.5 * p99_ms(0, AWAY_S));
    assert_true(most_repeated(0, OVER_S) > 0.2);
    away(false, false, REFUSING, 80, 0);
    assert_true(w.charged > 10 * SLOTS);
    assert_true(w.repeated > (w.first + w.repeated) / 5);
}

/* ---- busy, slow, and failing now and then ---- */

/* Until the last of so many that came at once has ended. */
static double drained_s(bool guarded, bool is_known, int count) {
    begin(guarded, true, &(struct server){.workers = SLOTS, .service_us = 10000}, 1e-9, 0);
    if (is_known) {
        struct dependency_call call = {0};
        dependency_call_begin(&w.dependency, &call, true, 0);
        dependency_call_end(&call, CALL_OK, 10000, 0);
        w.dependency.window = SLOTS;
    }
    for (int i = 1; i < count; i++) {
        w.jobs[w.jobs_n] = (struct job){.calls = true};
        enqueue(w.jobs_n++);
    }
    run_until(SECONDS_MAX / 10);
    int64_t last_us = 0;
    for (int i = 0; i < w.jobs_n; i++) {
        assert_true(w.jobs[i].ended_us > 0);
        last_us = w.jobs[i].ended_us > last_us ? w.jobs[i].ended_us : last_us;
    }
    return (double)last_us / SECOND_US;
}

static void test_busy__a_server_that_keeps_up_then_the_guard_is_never_in_the_way(void **state) {
    (void)state;
    double unguarded_s = drained_s(false, true, 20000), guarded_s = drained_s(true, true, 20000);
    print_message("  20,000 jobs in %.1f s, %.1f without the guard; refused %d\n", guarded_s, unguarded_s, w.refused);
    assert_true(guarded_s <= unguarded_s);
    assert_int_equal(0, w.refused);
    guarded_s = drained_s(true, false, 20000);
    print_message("  of a server of which nothing is known: %.1f s\n", guarded_s);
    assert_true(guarded_s <= unguarded_s + 1.1); /* those whom half of the window refused come again within a second */
}

static void test_slow__ten_times_then_the_window_falls_within_5_s_and_comes_back(void **state) {
    (void)state;
    begin(true, false, &(struct server){.workers = SLOTS, .service_us = 2 * SECOND_US}, 16, 0);
    run_until(60);
    double before = w.dependency.window;
    w.server.service_us = 20 * SECOND_US;
    run_until(65);
    double fallen = w.dependency.window;
    run_until(120);
    w.server.service_us = 2 * SECOND_US;
    run_until(600);
    print_message("  window %.1f, %.1f after 5 s, %.1f again; charged while away %d\n", before, fallen, w.dependency.window,
                  w.charged_while_away);
    assert_true(before >= 32);
    assert_true(fallen <= before / 4);
    assert_true(w.dependency.window >= 32);
    assert_int_equal(0, w.charged_while_away);
}

static void test_failing__three_of_ten_then_retries_are_at_most_a_fifth(void **state) {
    (void)state;
    for (int guarded = 0; guarded < 2; guarded++) {
        struct server flaky = provider;
        flaky.failing = 0.3;
        begin(guarded, true, &flaky, 60, 0);
        run_until(300);
        double share = (double)w.repeated / (w.first + w.repeated);
        print_message("  %s: %.1f %% of the calls repeated one, circuit %d\n", guarded ? "guarded" : "unguarded", 100 * share,
                      (int)w.dependency.circuit);
        assert_true(guarded ? share <= 0.2 : share > 0.2);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outage__its_own_queue_then_nothing_is_charged_and_it_comes_back_softly),
        cmocka_unit_test(test_outage__mixed_queue_then_the_other_types_do_not_feel_it),
        cmocka_unit_test(test_outage__control_without_the_guard_then_every_measure_notices),
        cmocka_unit_test(test_busy__a_server_that_keeps_up_then_the_guard_is_never_in_the_way),
        cmocka_unit_test(test_slow__ten_times_then_the_window_falls_within_5_s_and_comes_back),
        cmocka_unit_test(test_failing__three_of_ten_then_retries_are_at_most_a_fifth),
    };
    return cmocka_run_group_tests_name("outage", tests, NULL, NULL);
}
