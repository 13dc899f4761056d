/* What every process has: opened whole or not at all; its heartbeat; its modules' environments. */
#include <base/conf.h>
#include <base/json.h>
#include <base/log.h>
#include <jobs/runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server.h"
#include "unit.h"
#include "wait.h"

enum { WAIT_MS = 10000 };

static struct server *redis, *postgres;
static struct conf conf;

/* --- two modules --- */

static int opened, closed;
static struct err open_err;

static struct err open_a(struct module_env *env, struct services *services) {
    assert_non_null(env->db);
    assert_ptr_equal(&env->runtime->services, services);
    if (!err_is_set(open_err)) {
        opened++;
        env->state = &opened;
    }
    return open_err;
}

static void close_a(struct module_env *env) {
    assert_ptr_equal(&opened, env->state); /* nobody closes what did not open */
    closed++;
}

static const struct module a = {.name = "a", .open = open_a, .close = close_a}, b = {.name = "b"}, c = {.name = "c"};
static const struct module *const modules[] = {&a, &b};
static const struct registry registry = {.modules = modules, .modules_n = 2};

static void add_beat(void *arg, struct buf *json) {
    (void)arg;
    buf_add_c(json, ",\"mine\":7");
}

static int ups;

static void on_redis(void *arg, bool up) {
    (void)arg;
    ups += up;
}

static const struct runtime_options options = {.role = "worker",
                                               .conf = &conf,
                                               .registry = &registry,
                                               .queue = "orders",
                                               .beat = add_beat,
                                               .on_redis = on_redis,
                                               .arg = &conf};

static int setup(void **state) {
    char url[96];
    (void)state;
    log_setup("test", LOG_LEVEL_ERROR);
    redis = server_redis_start(NULL);
    postgres = server_postgres_start(NULL);
    (void)snprintf(url, sizeof url, "redis://127.0.0.1:%d", server_port(redis));
    (void)setenv("PENSTOCK_REDIS_URL", url, 1);
    (void)snprintf(url, sizeof url, "postgresql://127.0.0.1:%d/postgres", server_port(postgres));
    (void)setenv("PENSTOCK_POSTGRES_URL", url, 1);
    assert_ok(conf_load(NULL, &conf));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    conf_free(&conf);
    server_stop(redis);
    server_stop(postgres);
    return 0;
}

static int reset(void **state) {
    (void)state;
    opened = closed = ups = 0;
    open_err = OK;
    return 0;
}

static bool redis_is_here(void *arg) { return redis_is_up(((struct runtime *)arg)->redis_connection); }

static void test_open__then_every_module_has_its_environment(void **state) {
    (void)state;
    struct runtime *rt;
    char process[160];
    assert_ok(runtime_open(&options, &rt));
    assert_int_equal(1, opened);
    for (size_t i = 0; i < 2; i++) {
        struct module_env *env = runtime_module(rt, modules[i]);
        assert_ptr_equal(&rt->modules[i], env);
        assert_ptr_equal(modules[i], env->module);
        assert_ptr_equal(rt, env->runtime);
        assert_ptr_equal(rt->loop, env->loop);
        assert_ptr_equal(rt->http, env->http);
        assert_ptr_equal(rt->queues, env->queues);
        assert_ptr_equal(&conf, env->conf);
        assert_ptr_equal(&rt->services, env->services);
        assert_ptr_equal(&rt->ids, env->ids);
        assert_non_null(env->db);
    }
    assert_ptr_not_equal(rt->modules[0].db, rt->modules[1].db); /* each under its own role */
    assert_null(runtime_module(rt, &c));
    (void)snprintf(process, sizeof process, "%s:%ld", rt->host, (long)getpid());
    assert_string_equal(process, rt->process);
    assert_true(str_is_name(str_c(rt->host), 64));
    assert_true(wait_until(rt->loop, WAIT_MS, redis_is_here, rt));
    assert_int_equal(1, ups);
    runtime_close(rt);
    assert_int_equal(1, closed);
}

/* --- the heartbeat --- */

struct answer {
    bool done;
    char text[4096];
};

static void on_reply(void *arg, struct err err, const struct reply *reply) {
    struct answer *answer = arg;
    assert_ok(err);
    answer->done = true;
    (void)str_copy_c(reply_str(reply), answer->text, sizeof answer->text);
}

static bool is_done(void *arg) { return ((struct answer *)arg)->done; }

static struct answer ask(struct runtime *rt, const char *command, const char *key, const char *member) {
    struct answer answer = {0};
    const struct str argv[] = {str_c(command), str_c(key), str_c(member)};
    broker_call(&rt->redis, member != NULL ? 3 : 2, argv, on_reply, &answer);
    assert_true(wait_until(rt->loop, WAIT_MS, is_done, &answer));
    return answer;
}

static void test_heartbeat__redis_comes_up_then_the_process_is_listed(void **state) {
    (void)state;
    struct runtime *rt;
    char key[160];
    json_t *doc;
    struct str s;
    assert_ok(runtime_open(&options, &rt));
    assert_true(wait_until(rt->loop, WAIT_MS, redis_is_here, rt));
    (void)snprintf(key, sizeof key, "pen:w:%s", rt->process);
    struct answer beat = ask(rt, "GET", key, NULL);
    assert_ok(json_read(str_c(beat.text), &doc));
    assert_int_equal(getpid(), json_opt_i64(doc, "pid", 0));
    assert_int_equal(7, json_opt_i64(doc, "mine", 0));
    assert_in_range(json_opt_i64(doc, "at_ms", 0), loop_wall(rt->loop).ms - 10000, loop_wall(rt->loop).ms);
    static const char *const members[][2] = {{"role", "worker"}, {"queue", "orders"}, {"version", PENSTOCK_VERSION}};
    for (size_t i = 0; i < 3; i++) {
        assert_ok(json_get_str(doc, members[i][0], &s));
        assert_str(members[i][1], s);
    }
    assert_ok(json_get_str(doc, "host", &s));
    assert_str(rt->host, s);
    assert_ok(json_get_str(doc, "metrics", &s));
    assert_non_null(memmem(s.p, s.n, "penstock_build_info", 19));
    json_decref(doc);
    int64_t score;
    assert_true(str_to_i64(str_c(ask(rt, "ZSCORE", "pen:w", rt->process).text), &score));
    assert_in_range(score, loop_wall(rt->loop).ms - 10000, loop_wall(rt->loop).ms);
    runtime_close(rt);
}

static bool is_ready;
static void on_ready(void *arg) {
    assert_false(is_ready); /* once */
    *(bool *)arg = true;
}

static bool flag(void *arg) { return *(bool *)arg; }

/* The first attempt to load the queue table has found nobody. */
static bool was_refused(void *arg) {
    const struct runtime *rt = arg;
    return strstr(pg_pool_why_down(rt->platform).detail, "refused") != NULL;
}

static void test_start__postgres_comes_later_then_ready_when_it_is_there(void **state) {
    (void)state;
    struct runtime *rt;
    server_kill(postgres);
    is_ready = false;
    assert_ok(runtime_open(&options, &rt));
    runtime_start(rt, on_ready, &is_ready);
    assert_true(wait_until(rt->loop, WAIT_MS, was_refused, rt));
    assert_false(is_ready);
    assert_true(server_restart(postgres));
    char url[96];
    (void)snprintf(url, sizeof url, "host=127.0.0.1 port=%d dbname=postgres user=postgres", server_port(postgres));
    PGconn *pg = PQconnectdb(url);
    PQclear(PQexec(
        pg,
        "CREATE ROLE penstock_worker LOGIN SUPERUSER; CREATE SCHEMA platform; CREATE TABLE platform.queue (name text, "
        "number int, shards int, paused bool, slots int, max_depth bigint, max_open bigint, max_drain_s int, max_fill_pct int, version bigint); "
        "INSERT INTO platform.queue VALUES ('orders', 1, 1, false, 1, 1, 1, 1, 75, 1)"));
    PQfinish(pg);
    assert_true(wait_until(rt->loop, WAIT_MS, flag, &is_ready));
    assert_non_null(queue_table_find(rt->queues, STR("orders")));
    runtime_close(rt);
}

/* --- failing to open --- */

static void test_open__a_module_refuses_then_so_does_the_whole_and_nothing_is_left(void **state) {
    (void)state;
    struct runtime *rt = (struct runtime *)state;
    open_err = (struct err){ERR_INVALID, "webhook.secret: no"};
    struct err e = runtime_open(&options, &rt);
    assert_err(ERR_INVALID, e);
    assert_string_equal("webhook.secret: no", e.detail);
    assert_ptr_equal(state, rt);
    assert_int_equal(0, closed);
}

static void test_open__a_password_file_that_is_not_there_then_an_error(void **state) {
    (void)state;
    struct runtime *rt;
    char *before = conf.redis_password_file, missing[] = "/nonexistent/secret";
    conf.redis_password_file = missing;
    assert_err(ERR_SYSTEM, runtime_open(&options, &rt));
    conf.redis_password_file = before;
}

static void scenario(void *arg) {
    (void)arg;
    struct runtime *rt;
    opened = closed = 0;
    struct err e = runtime_open(&options, &rt);
    assert_true(!err_is_set(e) || torture_is_failing());
    if (!err_is_set(e)) {
        runtime_close(rt);
    }
    assert_int_equal(opened, closed);
}

static void test_open__any_allocation_fails_then_whole_or_nothing(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_open__then_every_module_has_its_environment, reset),
        cmocka_unit_test_setup(test_heartbeat__redis_comes_up_then_the_process_is_listed, reset),
        cmocka_unit_test_setup(test_start__postgres_comes_later_then_ready_when_it_is_there, reset),
        cmocka_unit_test_setup(test_open__a_module_refuses_then_so_does_the_whole_and_nothing_is_left, reset),
        cmocka_unit_test_setup(test_open__a_password_file_that_is_not_there_then_an_error, reset),
        cmocka_unit_test_setup(test_open__any_allocation_fails_then_whole_or_nothing, reset),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
