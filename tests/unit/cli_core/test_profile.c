#include <profile.h>

#include "unit.h"

static const char TEXT[] = "# mine\n"
                           "use = staging\n"
                           "[staging]\n"
                           "  url = https://staging.example \n"
                           "key=pen_1_x\n"
                           "\n"
                           "[prod]\n"
                           "url = https://prod.example\n"
                           "url = https://prod2.example\n"
                           "timeout =\n";

static void assert_value(const char *wanted, const char *profile, const char *name) {
    struct str found = profile_get(str_c(TEXT), str_c(profile), str_c(name));
    assert_true((wanted == NULL) == (found.p == NULL));
    assert_true(wanted == NULL || str_is(found, wanted));
}

static void test_profile__given_profiles_then_each_has_its_own_values(void **state) {
    (void)state;
    assert_value("staging", "", "use");
    assert_value("https://staging.example", "staging", "url");
    assert_value("pen_1_x", "staging", "key");
    assert_value("https://prod2.example", "prod", "url");
    assert_value("", "prod", "timeout");
    assert_value(NULL, "prod", "key");
    assert_value(NULL, "", "url");
    assert_true(profile_exists(str_c(TEXT), STR("prod")));
    assert_false(profile_exists(str_c(TEXT), STR("")));
    assert_false(profile_exists(str_c(TEXT), STR("dev")));
}

static void test_profile__given_a_new_value_then_all_else_stays(void **state) {
    (void)state;
    static const struct {
        const char *text, *profile, *name, *value, *wanted;
    } rows[] = {
        {"", "dev", "url", "http://x", "[dev]\nurl = http://x\n"},
        {"", "", "use", "dev", "use = dev\n"},
        {"# c\n[a]\nurl = 1\nkey = k\n[b]\nurl = 2\n", "b", "url", "3", "# c\n[a]\nurl = 1\nkey = k\n[b]\nurl = 3\n"},
        {"[a]\nkey = k\n", "a", "url", "3", "[a]\nurl = 3\nkey = k\n"},
        {"[a]\nurl = 1\nurl = 2", "a", "url", "3", "[a]\nurl = 3\n"},
        {"use = a\n[a]\n", "", "use", "b", "use = b\n[a]\n"},
        {"[a]\nurl = 1\n", "c", "url", "2", "[a]\nurl = 1\n\n[c]\nurl = 2\n"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out, why;
        buf_init(&out, PROFILE_FILE_BYTES_MAX);
        buf_init(&why, 4096);
        profile_set(str_c(rows[i].text), str_c(rows[i].profile), str_c(rows[i].name), str_c(rows[i].value), &out);
        assert_ok(buf_status(&out));
        assert_str(rows[i].wanted, buf_str(&out));
        assert_true(profile_check(buf_str(&out), &why));
        assert_true(str_is(profile_get(buf_str(&out), str_c(rows[i].profile), str_c(rows[i].name)), rows[i].value));
        buf_free(&out);
        buf_free(&why);
    }
}

static void test_check__given_a_line_that_is_none_then_its_number(void **state) {
    (void)state;
    static const char *const texts[] = {"\n\nfrob\n", "\n\n[a b]\n", "\n\n= 3\n", "\n\n[]\n", "#\n[a]\n[b\n"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buf why;
        buf_init(&why, 4096);
        assert_false(profile_check(str_c(texts[i]), &why));
        assert_true(str_starts(buf_str(&why), STR("line 3: must be")));
        buf_free(&why);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_profile__given_profiles_then_each_has_its_own_values),
        cmocka_unit_test(test_profile__given_a_new_value_then_all_else_stays),
        cmocka_unit_test(test_check__given_a_line_that_is_none_then_its_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
