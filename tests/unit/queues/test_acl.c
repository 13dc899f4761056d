#include <queues/acl.h>
#include <queues/version.h>

#include "unit.h"

#define V "_" FUNCTIONS_TEXT(FUNCTIONS_VERSION)

static void test_acl__given_a_role_then_its_rules_allow_by_name_and_nothing_dangerous(void **state) {
    (void)state;
    static const char *const never[] = {
        "+@",      "~*",         "allkeys",    "allcommands",      "allchannels",     "&*",        "+eval",          "+script",
        "+config", "+keys",      "+flush",     "+debug",           "+xtrim",          "+restore",  "+acl",           "+scan",
        "+fcall ", "+fcall_ro ", "+function ", "+function|delete", "+function|flush", "+shutdown", "+xgroup|destroy"};
    for (int role = 0; role < ACL_ROLE_MAX; role++) {
        struct buf b;
        buf_init(&b, 16 * 1024);
        acl_add_rules(&b, (enum acl_role)role);
        buf_add_char(&b, '\0');
        assert_ok(buf_status(&b));
        assert_ptr_equal(b.p, strstr(b.p, "resetkeys resetchannels -@all clearselectors (+"));
        assert_non_null(strstr(b.p, "+ping"));
        for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
            if (strstr(b.p, never[i]) != NULL) {
                fail_msg("%s may %s", acl_role_name((enum acl_role)role), never[i]);
            }
        }
        buf_free(&b);
    }
}

static void test_acl__given_the_roles_then_each_has_its_own_functions(void **state) {
    (void)state;
    static const struct {
        const char *function;
        bool may[ACL_ROLE_MAX];
    } rows[] = {
        {"+fcall|pen_add" V " ", {true, true, true}},       {"+fcall|pen_enqueue" V " ", {true, true, false}},
        {"+fcall|pen_cancel" V " ", {true, false, false}},  {"+fcall|pen_settle" V " ", {false, true, false}},
        {"+fcall|pen_sweep" V " ", {false, true, false}},   {"+fcall|pen_promote" V " ", {false, false, true}},
        {"+fcall|pen_suspect" V " ", {false, true, false}}, {"+fcall|pen_lone" V " ", {false, true, false}},
        {"+fcall|pen_epoch" V " ", {false, false, true}},   {"+function|load ", {false, false, true}},
    };
    for (int role = 0; role < ACL_ROLE_MAX; role++) {
        struct buf b;
        buf_init(&b, 16 * 1024);
        acl_add_rules(&b, (enum acl_role)role);
        buf_add_char(&b, '\0');
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            assert_int_equal(rows[i].may[role], strstr(b.p, rows[i].function) != NULL);
        }
        buf_free(&b);
    }
    assert_string_equal("api", acl_role_name(ACL_API));
    assert_string_equal("worker", acl_role_name(ACL_WORKER));
    assert_string_equal("scheduler", acl_role_name(ACL_SCHEDULER));
}

static void write_all(void *arg) {
    (void)arg;
    for (int role = 0; role < ACL_ROLE_MAX; role++) {
        struct buf b;
        buf_init(&b, 16 * 1024);
        acl_add_rules(&b, (enum acl_role)role);
        struct err e = buf_status(&b);
        assert_true(torture_is_failing() || !err_is_set(e));
        if (!err_is_set(e)) {
            assert_true(
                str_starts(buf_str(&b), STR("resetkeys resetchannels -@all clearselectors ("))); /* whole, or an error: half */
            assert_int_equal(')', b.p[b.n - 1]);                                                 /* the rules are other ones */
        }
        buf_free(&b);
    }
}

static void test_acl__an_allocation_fails_then_the_buffer_says_so(void **state) {
    (void)state;
    torture(write_all, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acl__given_a_role_then_its_rules_allow_by_name_and_nothing_dangerous),
        cmocka_unit_test(test_acl__given_the_roles_then_each_has_its_own_functions),
        cmocka_unit_test(test_acl__an_allocation_fails_then_the_buffer_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
