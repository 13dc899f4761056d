/* platform.queue as a process knows it; and what is made of it, the ids of follow-ups. */
#include <jobs/follow_up.h>

#include "jobs_db.h"

struct loading {
    int runs;
    struct err err;
};

static void on_loaded(void *arg, struct err err) {
    struct loading *l = arg;
    l->runs++;
    l->err = err;
}

static bool is_loaded(void *arg) { return ((struct loading *)arg)->runs > 0; }

static struct err load(struct queue_table *t) {
    struct loading l = {0};
    queue_table_load(t, on_loaded, &l);
    assert_true(wait_until(db.loop, MODULE_DB_WAIT_MS, is_loaded, &l));
    assert_int_equal(1, l.runs);
    return l.err;
}

static int reset(void **state) {
    (void)state;
    sql_run(db.admin, "DELETE FROM platform.desired_workers; DELETE FROM platform.queue WHERE number > 3");
    return 0;
}

static void test_table__loaded_then_the_queues_by_number_and_name(void **state) {
    (void)state;
    struct queue_table *t;
    assert_ok(queue_table_new(db.platform, &t));
    assert_int_equal(0, queue_table_count(t));
    assert_null(queue_table_find(t, STR("default")));
    assert_ok(load(t));
    static const char *const names[] = {"default", "orders", "payments", "notifications"};
    assert_int_equal(4, queue_table_count(t));
    for (unsigned i = 0; i < 4; i++) {
        const struct queue_info *q = queue_table_at(t, i);
        assert_string_equal(names[i], q->name);
        assert_ptr_equal(q, queue_table_find(t, str_c(names[i])));
        assert_ptr_equal(q, queue_table_number(t, i));
        assert_int_equal(1, q->shards_n);
        assert_string_equal(names[i], q->shards[0]->queue);
        assert_int_equal(64, q->slots);
        assert_false(q->paused);
    }
    assert_int_equal(0, queue_table_find(t, STR("payments"))->max_drain_s);
    assert_int_equal(60, queue_table_find(t, STR("notifications"))->max_drain_s);
    static const int fill[] = {75, 88, 95, 70};
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(fill[i], queue_table_at(t, i)->max_fill_pct);
    }
    assert_null(queue_table_find(t, STR("defaul")));
    assert_null(queue_table_number(t, 4));
    queue_table_free(t);
}

/* Others hold on to a queue and its shards: they stay where they are for ever. */
static void test_table__loaded_again_then_new_settings_in_the_old_places(void **state) {
    (void)state;
    struct queue_table *t;
    assert_ok(queue_table_new(db.platform, &t));
    assert_ok(load(t));
    const struct queue_info *q = queue_table_find(t, STR("default"));
    const struct shard *s = q->shards[0];
    sql_run(
        db.admin,
        "UPDATE platform.queue SET paused = true, slots = 3, max_depth = 7, max_open = 8, max_drain_s = 9, max_fill_pct = 10 WHERE number = 0");
    sql_run(db.admin, "INSERT INTO platform.queue (name, number, shards) VALUES ('wide', 1023, 16)");
    assert_ok(load(t));
    assert_ptr_equal(q, queue_table_find(t, STR("default")));
    assert_ptr_equal(s, q->shards[0]);
    assert_true(q->paused);
    assert_int_equal(3, q->slots);
    assert_int_equal(7, q->max_depth);
    assert_int_equal(8, q->max_open);
    assert_int_equal(9, q->max_drain_s);
    assert_int_equal(10, q->max_fill_pct);
    const struct queue_info *wide = queue_table_number(t, 1023);
    assert_int_equal(5, queue_table_count(t));
    assert_ptr_equal(wide, queue_table_at(t, 4)); /* appended */
    assert_int_equal(16, wide->shards_n);
    assert_string_equal("pen:{wide:15}:s", wide->shards[15]->key_text[KEY_STREAM]);
    sql_run(db.admin, "UPDATE platform.queue SET paused = false, slots = 64, max_depth = 1000000 WHERE number = 0");
    sql_run(db.admin, "UPDATE platform.queue SET shards = 2 WHERE number = 1023");
    assert_ok(load(t));
    assert_int_equal(16, wide->shards_n); /* fixed when it was made */
    queue_table_free(t);
}

static void test_table__a_queue_that_cannot_be_then_an_error_and_the_others(void **state) {
    (void)state;
    struct queue_table *t;
    sql_run(db.admin, "INSERT INTO platform.queue (name, number) VALUES ('ev', 9)"); /* the event streams' tag */
    assert_ok(queue_table_new(db.platform, &t));
    assert_err(ERR_INVALID, load(t));
    assert_int_equal(4, queue_table_count(t));
    assert_null(queue_table_find(t, STR("ev")));
    queue_table_free(t);
}

static void test_table__postgres_away_then_an_error_and_what_was_known(void **state) {
    (void)state;
    struct queue_table *t;
    assert_ok(queue_table_new(db.platform, &t));
    assert_ok(load(t));
    PQfinish(db.admin);
    server_kill(db.server);
    assert_int_equal(ERR_CLASS_INFRA, err_class(load(t).code));
    assert_int_equal(4, queue_table_count(t));
    assert_non_null(queue_table_find(t, STR("default")));
    assert_true(server_restart(db.server));
    db.admin = module_db_connect(&db, "postgres");
    for (int i = 0; i < 100 && err_is_set(load(t)); i++) {
        wait_ms(db.loop, 50);
    }
    assert_ok(load(t));
    queue_table_free(t);
}

static void scenario(void *arg) {
    (void)arg;
    struct queue_table *t;
    if (err_is_set(queue_table_new(db.platform, &t))) {
        assert_true(torture_is_failing());
        return;
    }
    struct err e = load(t);
    assert_true(torture_is_failing() || !err_is_set(e));
    for (size_t i = 0; i < queue_table_count(t); i++) { /* whole queues only */
        const struct queue_info *q = queue_table_at(t, i);
        assert_non_null(q->shards[q->shards_n - 1]);
        assert_int_equal(strcmp(q->name, "wide") == 0 ? 16 : 1, q->shards_n);
    }
    queue_table_free(t);
}

static void test_table__without_memory_then_whole_queues_or_none(void **state) {
    (void)state;
    sql_run(db.admin, "INSERT INTO platform.queue (name, number, shards) VALUES ('wide', 9, 16)");
    torture(scenario, NULL);
}

/* --- ids of follow-ups --- */

static void test_follow_up__given_parent_and_step_then_the_same_place_and_id_each_time(void **state) {
    (void)state;
    struct uuid parent = module_job_id(&db, "orders"), other = module_job_id(&db, "orders"), a, b, c, d;
    assert_ok(follow_up_id(&db.env, STR("notifications"), parent, STR("mail"), &a));
    assert_ok(follow_up_id(&db.env, STR("notifications"), parent, STR("mail"), &b));
    assert_ok(follow_up_id(&db.env, STR("notifications"), parent, STR("hook"), &c));
    assert_ok(follow_up_id(&db.env, STR("notifications"), other, STR("mail"), &d));
    assert_true(uuid_eq(a, b));
    assert_false(uuid_eq(a, c) || uuid_eq(a, d) || uuid_eq(a, parent));
    assert_int_equal(3, id_job_place(a).queue_number);
    assert_false(id_job_place(a).stream_class);
    assert_int_equal(id_ms(parent), id_ms(a));
}

static void test_follow_up__given_many_parents_then_every_shard_of_the_queue(void **state) {
    (void)state;
    sql_run(db.admin, "INSERT INTO platform.queue (name, number, shards) VALUES ('wide', 9, 5)");
    assert_ok(load(db.queues));
    int hits[5] = {0};
    for (int i = 0; i < 500; i++) {
        struct uuid id;
        assert_ok(follow_up_id(&db.env, STR("wide"), id_new(&db.ids), STR("x"), &id));
        assert_in_range(id_job_place(id).shard, 0, 4);
        assert_int_equal(9, id_job_place(id).queue_number);
        hits[id_job_place(id).shard]++;
    }
    for (int s = 0; s < 5; s++) {
        assert_in_range(hits[s], 50, 150);
    }
}

static void test_follow_up__queue_not_known_then_busy_and_untouched(void **state) {
    (void)state;
    struct uuid id = {{7}};
    assert_err(ERR_BUSY, follow_up_id(&db.env, STR("nowhere"), id_new(&db.ids), STR("x"), &id));
    assert_true(uuid_eq(id, (struct uuid){{7}}));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_table__loaded_then_the_queues_by_number_and_name, reset),
        cmocka_unit_test_setup(test_table__loaded_again_then_new_settings_in_the_old_places, reset),
        cmocka_unit_test_setup(test_table__a_queue_that_cannot_be_then_an_error_and_the_others, reset),
        cmocka_unit_test_setup(test_table__postgres_away_then_an_error_and_what_was_known, reset),
        cmocka_unit_test_setup(test_table__without_memory_then_whole_queues_or_none, reset),
        cmocka_unit_test_setup(test_follow_up__given_parent_and_step_then_the_same_place_and_id_each_time, reset),
        cmocka_unit_test_setup(test_follow_up__given_many_parents_then_every_shard_of_the_queue, reset),
        cmocka_unit_test_setup(test_follow_up__queue_not_known_then_busy_and_untouched, reset),
    };
    return cmocka_run_group_tests(tests, jobs_db_setup, jobs_db_teardown);
}
