/* The memory that a worker process shares with its supervisor, and that outlives it. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../worker/src/slot_table.h"
#include "unit.h"

static void test_table__made_then_empty(void **state) {
    (void)state;
    struct slot_table *t;
    int fd;
    assert_ok(slot_table_create(&fd, &t));
    assert_string_equal("", t->consumer);
    assert_int_equal(0, t->beats);
    for (size_t i = 0; i < SLOT_TABLE_ENTRIES; i++) {
        assert_true(stream_id_eq(t->entries[i].id, (struct stream_id){0, 0}));
        assert_int_equal(0, t->entries[i].started);
    }
    slot_table_close(t);
    slot_table_close(NULL);
    (void)close(fd);
}

static void test_table__its_process_is_killed_then_what_it_wrote_is_there(void **state) {
    (void)state;
    struct slot_table *t;
    int fd, status;
    assert_ok(slot_table_create(&fd, &t));
    pid_t pid = fork();
    if (pid == 0) {
        struct slot_table *mine;
        if (slot_table_open(fd, &mine).code == ERR_NONE) {
            memcpy(mine->consumer, "host:default-0:1", 17);
            mine->entries[0] = (struct slot_entry){{7, 8}, 1, 2};
            mine->entries[SLOT_TABLE_ENTRIES - 1] = (struct slot_entry){{9, 10}, 0, 3};
        }
        (void)kill(getpid(), SIGKILL);
    }
    assert_int_equal(pid, waitpid(pid, &status, 0));
    assert_string_equal("host:default-0:1", t->consumer);
    assert_true(stream_id_eq(t->entries[0].id, (struct stream_id){7, 8}));
    assert_int_equal(1, t->entries[0].started);
    assert_int_equal(2, t->entries[0].shard);
    assert_true(stream_id_eq(t->entries[SLOT_TABLE_ENTRIES - 1].id, (struct stream_id){9, 10}));
    slot_table_close(t);
    (void)close(fd);
}

static void test_limit__set_moved_and_ended_then_as_it_is_now(void **state) {
    (void)state;
    struct slot_table *t;
    char type[16];
    int fd;
    assert_ok(slot_table_create(&fd, &t));
    assert_int_equal(SLOT_UNLIMITED, slot_table_most(t, "a.type"));
    slot_table_limit(t, "a.type", SLOT_UNLIMITED);
    assert_int_equal(0, t->limits_n);
    slot_table_limit(t, "a.type", 3);
    slot_table_limit(t, "b.type", 0);
    assert_int_equal(3, slot_table_most(t, "a.type"));
    assert_int_equal(0, slot_table_most(t, "b.type"));
    slot_table_limit(t, "a.type", 4);
    slot_table_limit(t, "b.type", SLOT_UNLIMITED);
    assert_int_equal(4, slot_table_most(t, "a.type"));
    assert_int_equal(SLOT_UNLIMITED, slot_table_most(t, "b.type"));
    assert_int_equal(2, t->limits_n);
    for (int i = 0; i < 2 * SLOT_TABLE_LIMITS; i++) {
        (void)snprintf(type, sizeof type, "t.%d", i);
        slot_table_limit(t, type, 1);
    }
    assert_int_equal(SLOT_TABLE_LIMITS, t->limits_n);
    assert_int_equal(1, slot_table_most(t, "t.0"));
    assert_int_equal(SLOT_UNLIMITED, slot_table_most(t, type));
    slot_table_close(t);
    (void)close(fd);
}

static void test_open__no_table_then_an_error_and_untouched(void **state) {
    (void)state;
    struct slot_table *t = (struct slot_table *)state;
    assert_err(ERR_SYSTEM, slot_table_open(-1, &t));
    assert_ptr_equal(state, t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table__made_then_empty),
        cmocka_unit_test(test_table__its_process_is_killed_then_what_it_wrote_is_there),
        cmocka_unit_test(test_limit__set_moved_and_ended_then_as_it_is_now),
        cmocka_unit_test(test_open__no_table_then_an_error_and_untouched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
