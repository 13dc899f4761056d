#include <base/err.h>
#include <base/ids.h>

#include "unit.h"

static int64_t now_ms;
static struct wall fake_wall(void *self) {
    (void)self;
    return (struct wall){now_ms};
}
static const struct clock fake_clock = {.wall = fake_wall};

/* A random source that a test chooses: every byte the same. */
static void fake_random(void *self, void *out, size_t n) { memset(out, *(const int *)self, n); }

static unsigned counter_of(struct uuid u) { return (unsigned)(u.b[6] & 0xf) << 8 | u.b[7]; }
static bool before(struct uuid a, struct uuid b) { return memcmp(a.b, b.b, 8) < 0; } /* time and counter */

static void test_ids__given_a_time_then_the_layout_is_rfc_9562_version_7(void **state) {
    (void)state;
    int zeros = 0x00;
    int ones = 0xff;
    struct id_maker m = {.clock = &fake_clock, .random = fake_random, .random_self = &zeros};
    char text[UUID_TEXT_BYTES];
    now_ms = 0x017F22E279B0; /* the example of the RFC */
    uuid_text(id_new(&m), text);
    assert_string_equal("017f22e2-79b0-7000-8000-000000000000", text);
    m = (struct id_maker){.clock = &fake_clock, .random = fake_random, .random_self = &ones};
    struct uuid u = id_new(&m);
    uuid_text(u, text);
    assert_string_equal("017f22e2-79b0-77ff-bfff-ffffffffffff", text);
    assert_int_equal(now_ms, id_ms(u));
}

static void test_ids__given_any_place_then_the_id_alone_tells_it(void **state) {
    (void)state;
    struct id_maker m = {.clock = &clock_system};
    for (unsigned queue = 0; queue <= JOB_PLACE_QUEUE_MAX; queue += 1) {
        struct job_place in = {
            .stream_class = queue % 3 == 0, .queue_number = (uint16_t)queue, .shard = (uint8_t)(queue * 7 % 16)};
        struct uuid id = id_new_job(&m, in);
        struct job_place out = id_job_place(id);
        assert_int_equal(in.stream_class, out.stream_class);
        assert_int_equal(in.queue_number, out.queue_number);
        assert_int_equal(in.shard, out.shard);
        assert_int_equal(7, id.b[6] >> 4);
        assert_int_equal(2, id.b[8] >> 6);
    }
    int ones = 0xff;
    int zeros = 0;
    char text[UUID_TEXT_BYTES];
    now_ms = 1;
    m = (struct id_maker){.clock = &fake_clock, .random = fake_random, .random_self = &ones};
    uuid_text(id_new_job(&m, (struct job_place){0}), text); /* the bit positions of ids.h, from both sides */
    assert_string_equal("00000000-0001-77ff-8000-7fffffffffff", text);
    m = (struct id_maker){.clock = &fake_clock, .random = fake_random, .random_self = &zeros};
    uuid_text(id_new_job(&m, (struct job_place){true, 1023, 15}), text);
    assert_string_equal("00000000-0001-7000-bfff-800000000000", text);
}

static void test_ids__given_a_clock_that_goes_back_then_ids_do_not(void **state) {
    (void)state;
    struct id_maker m = {.clock = &fake_clock};
    struct uuid last = {{0}};
    static const int64_t times[] = {1000000, 1000000, 999000, 1, 1000000, 1000001, 500, 1000001, 2000000};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        now_ms = times[i];
        struct uuid u = id_new(&m);
        assert_true(before(last, u));
        last = u;
    }
    assert_int_equal(2000000, id_ms(last));
}

static void test_ids__given_a_used_up_counter_then_the_next_ms_is_borrowed(void **state) {
    (void)state;
    struct id_maker m = {.clock = &fake_clock};
    now_ms = 5000;
    struct uuid last = id_new(&m);
    assert_true(counter_of(last) < 2048);
    for (int i = 0; i < 10000; i++) {
        struct uuid u = id_new(&m);
        assert_true(before(last, u));
        last = u;
    }
    assert_true(id_ms(last) >= 5002 && id_ms(last) <= 5005);
    now_ms = 5001; /* still behind what was borrowed */
    assert_true(before(last, id_new(&m)));
}

static void test_ids__given_a_parent_and_a_step_then_the_derived_id_is_stable(void **state) {
    (void)state;
    struct uuid parent;
    struct uuid a = {{0}};
    struct uuid b = {{0}};
    struct uuid c = {{0}};
    struct job_place place = {false, 300, 9};
    char text[UUID_TEXT_BYTES];
    assert_true(uuid_parse(STR("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"), &parent));
    assert_ok(id_derive(parent, STR("void"), place, &a));
    assert_ok(id_derive(parent, STR("void"), place, &b));
    assert_ok(id_derive(parent, STR("capture"), place, &c));
    assert_true(uuid_eq(a, b));
    assert_false(uuid_eq(a, c));
    assert_int_equal(id_ms(parent), id_ms(a));
    assert_int_equal(8, a.b[6] >> 4);
    assert_int_equal(300, id_job_place(a).queue_number);
    assert_int_equal(9, id_job_place(a).shard);
    uuid_text(a, text); /* golden: an upgrade must derive the same id again */
    assert_string_equal("017f22e2-79b0-809c-8964-cd4592f729df", text);
}

static void test_ids__text_is_canonical_and_nothing_else_parses(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398ff",
        "017f22e279b07cc398c4dc0c0c07398f",
        "{17f22e2-79b0-7cc3-98c4-dc0c0c07398}",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        "017f22e2_79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e-279b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4--c0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c0739\xc3\xa9",
    };
    struct uuid u = {{42}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(uuid_parse(str_c(bad[i]), &u));
        assert_int_equal(42, u.b[0]);
    }
    char text[UUID_TEXT_BYTES];
    assert_true(uuid_parse(STR("017F22E2-79B0-7CC3-98C4-DC0C0C07398F"), &u));
    uuid_text(u, text);
    assert_string_equal("017f22e2-79b0-7cc3-98c4-dc0c0c07398f", text);
    assert_false(uuid_is_nil(u));
    assert_true(uuid_parse(STR("00000000-0000-0000-0000-000000000000"), &u));
    assert_true(uuid_is_nil(u));
}

static void test_ids__given_a_tenant_then_the_id_tells_it_and_no_other(void **state) {
    (void)state;
    struct uuid before, after;
    assert_true(
        uuid_parse(STR("017f22e2-79b0-7cc3-98c4-dc0c0c07398f"), &before)); /* always the same one: 16 bits agree now and then */
    after = before;
    assert_ok(id_put_tenant(&after, STR("acme")));
    assert_memory_equal(before.b, after.b, 14);
    assert_true(id_has_tenant(after, STR("acme")));
    assert_false(id_has_tenant(after, STR("acm")));
    assert_false(id_has_tenant(after, STR("")));
    assert_false(id_has_tenant((struct uuid){{0}}, STR("acme")));
    for (int byte = 0; byte < 16; byte++) {
        struct uuid other = after;
        other.b[byte] ^= 1;
        assert_false(id_has_tenant(other, STR("acme")));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids__given_a_tenant_then_the_id_tells_it_and_no_other),
        cmocka_unit_test(test_ids__given_a_time_then_the_layout_is_rfc_9562_version_7),
        cmocka_unit_test(test_ids__given_any_place_then_the_id_alone_tells_it),
        cmocka_unit_test(test_ids__given_a_clock_that_goes_back_then_ids_do_not),
        cmocka_unit_test(test_ids__given_a_used_up_counter_then_the_next_ms_is_borrowed),
        cmocka_unit_test(test_ids__given_a_parent_and_a_step_then_the_derived_id_is_stable),
        cmocka_unit_test(test_ids__text_is_canonical_and_nothing_else_parses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
