#include "../../../api/src/sampler.h"

#include <jobs/runtime.h>
#include <string.h>

#include "../../../api/src/accept.h"
#include "../../../api/src/door.h"
#include "../../../api/src/server.h"
#include "unit.h"

static const struct conf conf = {.admission_max_open_jobs = 1000};
static struct runtime rt = {.conf = &conf, .ids = {.clock = &clock_system}};
static struct api api = {.rt = &rt};
static struct queue_info queue = {.name = "q", .slots = 1};
static struct sampler *sampler;

static int begin(void **state) {
    (void)state;
    assert_ok(loop_new(&rt.loop));
    assert_ok(sampler_new(&api, &sampler));
    return 0;
}

static void free_sampler(struct sampler *s) {
    sampler_stop(s);
    loop_run(rt.loop);
    sampler_free(s);
}

static int end(void **state) {
    (void)state;
    free_sampler(sampler);
    loop_free(rt.loop);
    return 0;
}

static void accept_job(const char *tenant, int64_t delay_ms) {
    struct call call = {.api = &api};
    (void)str_copy_c(str_c(tenant), call.who.tenant, sizeof call.who.tenant);
    struct acceptance a = {.call = &call, .queue = &queue, .id = id_new_job(&rt.ids, (struct job_place){.stream_class = true})};
    a.due.ms = delay_ms > 0 ? id_ms(a.id) + delay_ms : 0;
    sampler_began(sampler, &a);
    sampler_decided(sampler, &a, true);
}

static void test_sampler__given_jobs_with_a_delay_then_their_tenant_has_them(void **state) {
    (void)state;
    accept_job("a", 0);
    accept_job("b", 1);
    accept_job("b", 999);
    accept_job("b", 3600000);
    const struct queue_sample *q = sampler_find(sampler, &queue);
    struct pressure p = sampler_pressure(sampler, q);
    assert_int_equal(4, p.depth);
    assert_int_equal(3, p.waiting);
    struct share a = shares_find(&q->shares, STR("a")), b = shares_find(&q->shares, STR("b"));
    assert_true(a.mine == 1 && b.mine == 3 && b.tenants == 2);
}

static void describe(void *arg) {
    struct sampler *s;
    struct buf b;
    (void)arg;
    if (err_is_set(sampler_new(&api, &s))) {
        assert_true(torture_is_failing());
        return;
    }
    buf_init(&b, 1 << 16);
    door_write(s, &queue, sampler_find(s, &queue), &b);
    if (!err_is_set(buf_status(&b))) {
        assert_true(str_starts(buf_str(&b), STR(",\"admission\":{\"state\":\"open\"")));
    }
    buf_free(&b);
    free_sampler(s);
}

static void test_door__given_no_memory_for_a_sample_then_it_is_described_as_open(void **state) {
    (void)state;
    torture(describe, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_sampler__given_jobs_with_a_delay_then_their_tenant_has_them, begin, end),
        cmocka_unit_test_setup_teardown(test_door__given_no_memory_for_a_sample_then_it_is_described_as_open, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
