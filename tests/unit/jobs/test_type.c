#include <jobs/type.h>

#include "unit.h"

static const struct job_type a_types[] = {{.name = "a.one"}, {.name = "a.two"}};
static const struct job_type b_types[] = {{.name = "b.one"}};
static const struct module a = {.name = "a", .types = a_types, .types_n = 2}, b = {.name = "b", .types = b_types, .types_n = 1},
                           c = {.name = "c"};
static const struct module *const modules[] = {&a, &b, &c};
static const struct registry registry = {modules, 3};

static void test_registry__given_a_name_then_its_type_and_module(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const struct job_type *type;
        const struct module *module;
    } rows[] = {
        {"a.one", &a_types[0], &a}, {"a.two", &a_types[1], &a}, {"b.one", &b_types[0], &b}, {"a.on", NULL, NULL},
        {"a.one ", NULL, NULL},     {"A.ONE", NULL, NULL},      {"", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct module *m = NULL;
        assert_ptr_equal(rows[i].type, registry_type(&registry, str_c(rows[i].name), &m));
        assert_ptr_equal(rows[i].module, m);
        assert_ptr_equal(rows[i].type, registry_type(&registry, str_c(rows[i].name), NULL));
    }
    assert_null(registry_type(&(struct registry){NULL, 0}, STR("a.one"), NULL));
    assert_null(registry_type(&registry, STR("a.one\0x"), NULL));
}

static void test_registry__given_a_schema_then_its_module(void **state) {
    (void)state;
    assert_ptr_equal(&a, registry_module(&registry, STR("a")));
    assert_ptr_equal(&c, registry_module(&registry, STR("c")));
    assert_null(registry_module(&registry, STR("d")));
    assert_null(registry_module(&registry, STR("")));
}

static void test_outcome__given_its_name_then_the_same_back(void **state) {
    (void)state;
    static const char *const names[OUTCOME_MAX] = {"done", "dead", "cancelled", "expired"};
    for (int o = 0; o < OUTCOME_MAX; o++) {
        enum job_outcome back = OUTCOME_MAX;
        assert_string_equal(names[o], job_outcome_name((enum job_outcome)o));
        assert_true(job_outcome_parse(str_c(names[o]), &back));
        assert_int_equal(o, back);
    }
}

static void test_outcome__given_another_word_then_refused_and_untouched(void **state) {
    (void)state;
    static const char *const words[] = {"", "don", "done ", "Done", "waiting", "?", "canceled"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        enum job_outcome o = OUTCOME_EXPIRED;
        assert_false(job_outcome_parse(str_c(words[i]), &o));
        assert_int_equal(OUTCOME_EXPIRED, o);
    }
    assert_string_equal("?", job_outcome_name(OUTCOME_MAX));
    assert_string_equal("?", job_outcome_name((enum job_outcome) - 1));
}

static void test_class__given_one_then_its_name(void **state) {
    (void)state;
    assert_string_equal("journal", job_class_name(CLASS_JOURNAL));
    assert_string_equal("stream", job_class_name(CLASS_STREAM));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry__given_a_name_then_its_type_and_module),
        cmocka_unit_test(test_registry__given_a_schema_then_its_module),
        cmocka_unit_test(test_outcome__given_its_name_then_the_same_back),
        cmocka_unit_test(test_outcome__given_another_word_then_refused_and_untouched),
        cmocka_unit_test(test_class__given_one_then_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
