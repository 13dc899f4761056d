/* How limits are dealt out: no two processes have the same part at once, whoever becomes ready or rests. */
#include <jobs/journal.h>

static const struct queue_info *the_queue(const struct queue_table *t, size_t i);
#define queue_table_at the_queue
#include "../../../worker/src/follow.c" // NOLINT(bugprone-suspicious-include): with a table of one queue
#undef queue_table_at
#include "unit.h"

enum { CHILDREN = 3, PASSES_MS = 2000 };

static const struct queue_info queue = {.name = "q"};
static const struct queue_info *the_queue(const struct queue_table *t, size_t i) {
    (void)t;
    return i == 0 ? &queue : NULL;
}

struct fixture {
    struct runtime rt;
    struct supervisor s;
    struct child children[CHILDREN];
    struct slot_table tables[CHILDREN];
};

static void add_row(PGresult *res, int kind, const char *name, int n, const char *of) {
    char numbers[2][16];
    int row = PQntuples(res);
    (void)snprintf(numbers[0], sizeof numbers[0], "%d", kind);
    (void)snprintf(numbers[1], sizeof numbers[1], "%d", n);
    const char *values[] = {numbers[0], name, numbers[1], of};
    for (int col = 0; col < 4; col++) {
        assert_int_equal(1, PQsetvalue(res, row, col, (char *)(uintptr_t)values[col], (int)strlen(values[col])));
    }
}

/* We say who is ready. */
static void tell(struct fixture *f) { take_ready(&f->s, &queue, &f->s.loads[0]); }

/* A look at rows that have so many of ours ready, behind so many of another's, and a limit of one attempt. */
static void look(struct fixture *f, int others, int ours) {
    PGresAttDesc columns[5] = {{.name = (char[]){"kind"}},
                               {.name = (char[]){"a"}},
                               {.name = (char[]){"b"}},
                               {.name = (char[]){"c"}},
                               {.name = (char[]){"d"}}};
    PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    assert_non_null(res);
    assert_int_equal(1, PQsetResultAttrs(res, 5, columns));
    add_row(res, ROW_READY, "another", others, "q");
    add_row(res, ROW_READY, "me", ours, "q");
    add_row(res, ROW_TYPE, "t", 1, "");
    limit_children(&f->s, &queue, res);
    PQclear(res);
}

static void pass(struct fixture *f) { f->s.loads[0].dealt.us -= PASSES_MS * 1000; }

/* What the processes may begin at once. */
static void assert_parts(const struct fixture *f, uint32_t first, uint32_t second) {
    assert_int_equal(first, slot_table_most(&f->tables[0], "t"));
    assert_int_equal(second, slot_table_most(&f->tables[1], "t"));
}

static int setup(void **state) {
    struct fixture *f = __real_calloc(1, sizeof *f);
    assert_non_null(f);
    assert_ok(loop_new(&f->rt.loop));
    (void)snprintf(f->rt.process, sizeof f->rt.process, "me");
    f->s.rt = &f->rt;
    TAILQ_INIT(&f->s.alive);
    for (int i = 0; i < CHILDREN; i++) {
        f->tables[i].ready = i < 2;
        f->children[i] = (struct child){.supervisor = &f->s, .queue = &queue, .slot = i, .table = &f->tables[i]};
        TAILQ_INSERT_TAIL(&f->s.alive, &f->children[i], link);
    }
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    loop_free(f->rt.loop);
    free(f);
    return 0;
}

static void test_follow__given_a_first_limit_then_it_holds_at_once(void **state) {
    struct fixture *f = *state;
    tell(f);
    look(f, 0, 2);
    assert_parts(f, 0, 1);
}

/* The rows still count one: it would have the other's part while that runs what it began. */
static void test_follow__given_one_that_goes_on_then_it_has_nothing_of_the_others_part(void **state) {
    struct fixture *f = *state;
    f->children[0].quiet = true;
    look(f, 0, 0); /* it rests */
    tell(f);
    look(f, 0, 1);
    pass(f);
    look(f, 0, 1);
    assert_parts(f, 0, 1);
    f->children[0].quiet = false;
    look(f, 0, 1);
    assert_parts(f, 0, 1);
    tell(f);
    look(f, 0, 1); /* rows from before */
    assert_parts(f, 0, 0);
    pass(f);
    look(f, 0, 1); /* still: what we said did not arrive */
    assert_parts(f, 0, 0);
    look(f, 0, 2);
    assert_parts(f, 0, 0);
    pass(f);
    look(f, 0, 2);
    assert_parts(f, 0, 1);
}

static void test_follow__given_one_that_dies_again_and_again_then_the_other_keeps_its_part(void **state) {
    struct fixture *f = *state;
    tell(f);
    look(f, 0, 2);
    pass(f);
    for (int i = 0; i < 6; i++) {
        f->tables[0].ready = i % 2 != 0;
        look(f, 0, 2);
        assert_parts(f, 0, 1);
        tell(f);
        look(f, 0, 2);
        assert_parts(f, 0, 1);
        assert_true(is_settled(&f->s, &f->s.loads[0], f->s.loads[0].deal));
    }
    f->tables[0].ready = 0;
    tell(f);
    tell(f);
    assert_int_equal(1, count_ready(&f->s.loads[0], SLOTS_MAX));
}

static void test_follow__given_another_in_ones_place_then_it_has_nothing_before_the_other_had_time(void **state) {
    struct fixture *f = *state;
    tell(f);
    look(f, 0, 2);
    pass(f);
    f->tables[0].ready = 0;
    tell(f);
    f->tables[2].ready = 1;
    tell(f); /* as many as before: the second has the first part now */
    look(f, 0, 2);
    assert_parts(f, 0, 0);
    assert_int_equal(0, slot_table_most(&f->tables[2], "t"));
    pass(f);
    look(f, 0, 2);
    assert_int_equal(1, slot_table_most(&f->tables[2], "t"));
}

static void test_follow__given_another_supervisor_then_less_at_once_and_more_later(void **state) {
    struct fixture *f = *state;
    tell(f);
    look(f, 1, 2);
    assert_parts(f, 0, 1);
    f->children[1].leaving = true; /* its part is nobody's before it is said */
    pass(f);
    look(f, 1, 2);
    assert_int_equal(0, slot_table_most(&f->tables[0], "t"));
    tell(f);
    tell(f);
    look(f, 1, 1);
    assert_int_equal(0, slot_table_most(&f->tables[0], "t"));
    pass(f);
    look(f, 1, 1);
    assert_int_equal(1, slot_table_most(&f->tables[0], "t"));
}

static void test_follow__given_a_supervisor_that_the_others_think_gone_then_it_begins_nothing_of_what_they_share(void **state) {
    struct fixture *f = *state;
    tell(f);
    look(f, 0, 2);
    pass(f);
    slot_table_limit(&f->tables[1], "free", 1);
    slot_table_limit(&f->tables[1], "free", SLOT_UNLIMITED);
    PGresult *res = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK); /* nobody is there, nor is he */
    on_look(&f->s, OK, res);
    PQclear(res);
    assert_parts(f, 0, 0);
    assert_int_equal(SLOT_UNLIMITED, slot_table_most(&f->tables[1], "free"));
    look(f, 0, 2); /* heard of again */
    assert_parts(f, 0, 0);
    pass(f);
    look(f, 0, 2);
    assert_parts(f, 0, 1);
}

static void test_follow__given_no_answer_for_five_seconds_then_it_begins_nothing_either(void **state) {
    struct fixture *f = *state;
    tell(f);
    look(f, 0, 2);
    f->s.looking = true; /* no answer has come */
    f->s.said = f->s.seen = loop_now(f->rt.loop);
    follow_look(&f->s);
    assert_parts(f, 0, 1);
    f->s.seen.us -= 5000 * 1000;
    follow_look(&f->s);
    assert_parts(f, 0, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_follow__given_a_first_limit_then_it_holds_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_follow__given_one_that_goes_on_then_it_has_nothing_of_the_others_part, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_follow__given_one_that_dies_again_and_again_then_the_other_keeps_its_part, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_follow__given_another_in_ones_place_then_it_has_nothing_before_the_other_had_time,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_follow__given_another_supervisor_then_less_at_once_and_more_later, setup, teardown),
        cmocka_unit_test_setup_teardown(
            test_follow__given_a_supervisor_that_the_others_think_gone_then_it_begins_nothing_of_what_they_share, setup,
            teardown),
        cmocka_unit_test_setup_teardown(test_follow__given_no_answer_for_five_seconds_then_it_begins_nothing_either, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
