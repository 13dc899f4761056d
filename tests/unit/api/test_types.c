#include "../../../api/src/types.h"

#include <base/json.h>

#include "unit.h"

static const struct job_type types[] = {
    {.name = "demo.note",
     .version = 1,
     .queue = "default",
     .schema = "{\"type\":\"object\",\"required\":[\"text\"],\"properties\":{\"text\":{\"type\":\"string\"}}}"},
    {.name = "notify.email", .version = 1, .queue = "notifications", .schema = "{\"type\":\"object\"}"},
    {.name = "notify.webhook", .version = 2, .queue = "notifications", .schema = "{\"type\":\"object\"}"},
    {.name = "demo.nothing", .version = 1, .queue = "default", .schema = "{\"type\":\"object\"}", .internal = true},
};
static const struct module module = {.name = "demo", .types = types, .types_n = sizeof types / sizeof types[0]};
static const struct module *const modules[] = {&module};
static const struct registry registry = {.modules = modules, .modules_n = 1};

static void test_types__given_the_registry_and_our_documents_then_every_schema_compiles(void **state) {
    (void)state;
    struct types *t;
    assert_ok(types_new(&registry, &t));
    for (size_t i = 0; i < routes_n; i++) {
        if (routes[i].schema != NULL) {
            assert_non_null(types_body(t, routes[i].schema));
        }
    }
    assert_null(types_body(t, "Nothing"));
    assert_non_null(json_object_get(types_components(t), "Problem"));
    for (size_t i = 0; i < module.types_n; i++) {
        assert_non_null(types_payload(t, &types[i]));
    }
    types_free(t);
}

static void test_types__given_a_schema_that_does_not_compile_then_its_type_is_named(void **state) {
    (void)state;
    static const struct job_type bad[] = {{.name = "demo.bad", .schema = "{\"tpye\":\"object\"}"}};
    static const struct module bad_module = {.name = "bad", .types = bad, .types_n = 1};
    static const struct module *const bad_modules[] = {&bad_module};
    const struct registry r = {.modules = bad_modules, .modules_n = 1};
    struct types *t = NULL;
    struct err e = types_new(&r, &t);
    assert_int_equal(ERR_INVALID, e.code);
    assert_non_null(strstr(e.detail, "demo.bad"));
    assert_null(t);
}

static void test_types__given_a_name_then_the_nearest_public_one_is_found(void **state) {
    (void)state;
    assert_string_equal("demo.note", types_nearest(&registry, STR("demo.not")));
    assert_string_equal("demo.note", types_nearest(&registry, STR("demo.nothin"))); /* demo.nothing is internal */
    assert_string_equal("notify.email", types_nearest(&registry, STR("notify.mail")));
    assert_string_equal("demo.note", types_nearest(&registry, STR("")));
    char longest[1000];
    memset(longest, 'x', sizeof longest);
    assert_non_null(types_nearest(&registry, str_of(longest, sizeof longest)));
}

static void test_types__given_a_route_then_its_job_type_is_found(void **state) {
    (void)state;
    const struct route exact = {.type = "demo.note"};
    const struct route prefix = {.type = "notify."};
    const struct route none = {.type = NULL};
    const struct route unknown = {.type = "order.place"};
    assert_ptr_equal(&types[0], types_of_route(&registry, &exact));
    assert_ptr_equal(&types[1], types_of_route(&registry, &prefix));
    assert_null(types_of_route(&registry, &none));
    assert_null(types_of_route(&registry, &unknown));
}

static void test_types__given_a_payload_inside_a_request_then_pointers_say_where(void **state) {
    (void)state;
    struct types *t;
    struct check check;
    json_t *v;
    assert_ok(types_new(&registry, &t));
    assert_ok(json_read(STR("{\"text\":5}"), &v));
    assert_false(types_check(types_payload(t, &types[0]), v, "/payload", &check));
    assert_int_equal(1, check.n);
    assert_string_equal("#/payload/text", check.errors[0].pointer);
    assert_false(types_check(types_payload(t, &types[0]), v, "", &check));
    assert_string_equal("#/text", check.errors[0].pointer);
    json_decref(v);
    types_free(t);
}

static void make_types(void *arg) {
    (void)arg;
    struct types *t;
    struct err e = types_new(&registry, &t);
    if (err_is_set(e)) {
        assert_true(torture_is_failing());
        assert_int_equal(ERR_NOMEM, e.code);
    } else {
        types_free(t);
    }
}

static void test_types__given_no_memory_then_it_is_said_and_nothing_leaks(void **state) {
    (void)state;
    torture_every(11, make_types, NULL); /* thousands of members of JSON, each by the same few lines */
}

int main(void) {
    json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types__given_the_registry_and_our_documents_then_every_schema_compiles),
        cmocka_unit_test(test_types__given_a_schema_that_does_not_compile_then_its_type_is_named),
        cmocka_unit_test(test_types__given_a_name_then_the_nearest_public_one_is_found),
        cmocka_unit_test(test_types__given_a_route_then_its_job_type_is_found),
        cmocka_unit_test(test_types__given_a_payload_inside_a_request_then_pointers_say_where),
        cmocka_unit_test(test_types__given_no_memory_then_it_is_said_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
