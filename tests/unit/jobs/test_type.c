#include <jobs/type.h>

#include "unit.h"

static const struct job_type a_types[] = {{.name = "a.one"}, {.name = "a.two"}};
static const struct job_type b_types[] = {{.name = "b.one"}};
static const struct module a = {.name = "a", .types = a_types, .types_n = 2}, b = {.name = "b", .types = b_types, .types_n = 1},
                           c = {.name = "c"};
static const struct module *const modules[] = {&a, &b, &c};
static const struct registry registry = {.modules = modules, .modules_n = 3};

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
    assert_null(registry_type(&(struct registry){.modules_n = 0}, STR("a.one"), NULL));
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

/* ---- types that a file declares ---- */

static struct job_type declared_types[] = {{.name = "d.one"}, {.name = "d.two"}};
static struct type_set declared;
static int freed;

static void declared_free(struct type_set *s) {
    (void)s;
    freed++;
}

static struct err declare(const char *path, struct type_set **out) {
    if (path[0] == '!') {
        return err_make(ERR_INVALID, "%s", path);
    }
    declared = (struct type_set){.module = &b, .types = declared_types, .types_n = 2, .refs = 1, .free = declared_free};
    *out = &declared;
    return OK;
}

static const struct module d = {.name = "d", .declare = declare};
static const struct module *const with_d[] = {&a, &b, &c, &d};

static void test_registry__given_declared_types_then_they_come_last_under_their_module(void **state) {
    (void)state;
    struct registry r = {.modules = with_d, .modules_n = 4};
    const struct module *m;
    assert_ok(registry_declare(&r, "", &r.declared));
    assert_null(r.declared);
    assert_null(registry_at(&r, 3, NULL));
    assert_ok(registry_declare(&r, "file", &r.declared));
    static const char *const names[] = {"a.one", "a.two", "b.one", "d.one", "d.two"};
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(names[i], registry_at(&r, i, &m)->name);
    }
    assert_ptr_equal(&b, m);
    assert_null(registry_at(&r, 5, NULL));
    assert_ptr_equal(&declared_types[1], registry_type(&r, STR("d.two"), &m));
}

static void test_registry__a_file_that_cannot_be_taken_then_refused_and_nothing_kept(void **state) {
    (void)state;
    struct registry r = {.modules = with_d, .modules_n = 4};
    struct type_set *set = NULL;
    assert_err(ERR_INVALID, registry_declare(&r, "!", &set));
    declared_types[1].name = "a.two";
    freed = 0;
    struct err e = registry_declare(&r, "file", &set);
    declared_types[1].name = "d.two";
    assert_err(ERR_INVALID, e);
    assert_string_equal("file: a.two is a type of Penstock's own", e.detail);
    assert_int_equal(1, freed);
    assert_null(set);
}

static void test_type_set__released_as_often_as_held_then_freed(void **state) {
    (void)state;
    freed = 0;
    struct type_set s = {.refs = 2, .free = declared_free};
    type_set_release(&s);
    assert_int_equal(0, freed);
    type_set_release(&s);
    assert_int_equal(1, freed);
    type_set_release(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_registry__given_a_name_then_its_type_and_module),
        cmocka_unit_test(test_registry__given_a_schema_then_its_module),
        cmocka_unit_test(test_outcome__given_its_name_then_the_same_back),
        cmocka_unit_test(test_outcome__given_another_word_then_refused_and_untouched),
        cmocka_unit_test(test_class__given_one_then_its_name),
        cmocka_unit_test(test_registry__given_declared_types_then_they_come_last_under_their_module),
        cmocka_unit_test(test_registry__a_file_that_cannot_be_taken_then_refused_and_nothing_kept),
        cmocka_unit_test(test_type_set__released_as_often_as_held_then_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
