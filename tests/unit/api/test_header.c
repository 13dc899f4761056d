#include "../../../api/src/header.h"

#include <base/limits.h>

#include "unit.h"

static void test_header__given_a_key_in_quotes_or_bare_then_it_is_the_same(void **state) {
    (void)state;
    char longest[LIMIT_KEY_BYTES + 2];
    memset(longest, 'k', sizeof longest);
    const struct {
        struct str in;
        const char *out; /* NULL: refused */
    } cases[] = {
        {STR("abc"), "abc"},         {STR("\"abc\""), "abc"},  {STR("  \"abc\"  "), "abc"}, {STR("\"a\\\"b\\\\\""), "a\"b\\"},
        {STR("a b/c:d"), "a b/c:d"}, {STR("\"a\\b\""), NULL},  {STR("\"abc"), NULL},        {STR("\""), NULL},
        {STR("\"a\"b\""), NULL},     {STR("\"abc\\\""), NULL}, {STR("\"\""), NULL},         {STR(""), NULL},
        {STR("  "), NULL},           {STR("a\tb"), NULL},      {STR("a\x7f"), NULL},        {STR("\xc3\xa9"), NULL},
    };
    struct arena a;
    arena_init(&a, 1024, 1 << 20);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str out = STR("untouched");
        assert_int_equal(cases[i].out != NULL, header_key(cases[i].in, &a, &out));
        assert_str(cases[i].out != NULL ? cases[i].out : "untouched", out);
    }
    struct str out;
    assert_true(header_key(str_of(longest, LIMIT_KEY_BYTES), &a, &out));
    assert_int_equal(LIMIT_KEY_BYTES, out.n);
    assert_false(header_key(str_of(longest, LIMIT_KEY_BYTES + 1), &a, &out));
    arena_free(&a);
}

static void test_header__given_a_bearer_token_then_id_and_secret_are_apart(void **state) {
    (void)state;
    struct str id, secret;
    assert_true(header_bearer(STR("Bearer pen_k1_s3cr_et"), &id, &secret));
    assert_str("k1", id);
    assert_str("s3cr_et", secret);
    assert_true(header_bearer(STR("bearer   pen_k-1.x_s"), &id, &secret));
    assert_str("k-1.x", id);
    static const char *const bad[] = {"",           "Bearer",        "Bearer ",       "Basic pen_a_b",    "Bearer pen_a",
                                      "Bearer a_b", "Bearer pen__b", "Bearer pen_a_", "Bearer pen_a b_c", "Bearer pem_a_b"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(header_bearer(str_c(bad[i]), &id, &secret));
    }
}

static void test_header__given_preferences_then_wait_and_async_are_read(void **state) {
    (void)state;
    static const struct {
        const char *in;
        int64_t wait_ms;
        bool async;
    } cases[] = {
        {"wait=10", 10000, false},
        {"respond-async", -1, true},
        {"respond-async, wait=5", 5000, true},
        {"Wait = 3 ; x=y , handling=lenient", 3000, false},
        {"wait=0", 0, false},
        {"wait", -1, false},
        {"wait=-1", -1, false},
        {"wait=1.5", -1, false},
        {"wait=99999999", -1, false},
        {",,;;=,", -1, false},
        {"", -1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct prefer p = {.wait_ms = -1};
        header_prefer(str_c(cases[i].in), &p);
        assert_int_equal(cases[i].wait_ms, p.wait_ms);
        assert_int_equal(cases[i].async, p.respond_async);
    }
}

static void test_header__given_a_wait_then_its_unit_counts(void **state) {
    (void)state;
    int64_t ms = 0;
    assert_true(header_wait(STR("30s"), &ms));
    assert_int_equal(30000, ms);
    assert_true(header_wait(STR("500ms"), &ms));
    assert_int_equal(500, ms);
    assert_true(header_wait(STR("2"), &ms));
    assert_int_equal(2000, ms);
    static const char *const bad[] = {"", "s", "ms", "-1s", "1.5s", "1h", "s30", "99999999999s"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(header_wait(str_c(bad[i]), &ms));
    }
}

static void test_header__given_entity_tags_then_they_match_weakly(void **state) {
    (void)state;
    assert_true(header_etag_is_in(STR("\"1\""), STR("\"1\"")));
    assert_true(header_etag_is_in(STR("\"a\", W/\"1\""), STR("\"1\"")));
    assert_true(header_etag_is_in(STR("*"), STR("\"1\"")));
    assert_false(header_etag_is_in(STR("\"11\", 1"), STR("\"1\"")));
    assert_false(header_etag_is_in(STR(""), STR("\"1\"")));
}

static void test_header__given_a_version_tag_then_only_a_strong_positive_one_counts(void **state) {
    (void)state;
    int64_t v = 0;
    assert_true(header_version(STR(" \"12\" "), &v));
    assert_int_equal(12, v);
    static const char *const bad[] = {"12", "W/\"12\"", "\"0\"", "\"-1\"", "\"x\"", "\"1\", \"2\"", "\"\"", "\"", ""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(header_version(str_c(bad[i]), &v));
    }
}

static void test_header__given_a_tag_that_may_be_another_servers_then_its_form_decides(void **state) {
    (void)state;
    static const char *const good[] = {"\"12\"", "W/\"12\"", "\"\"", " \"a,b\" "};
    static const char *const bad[] = {"12", "w/\"1\"", "\"1\", \"2\"", "\"", "W/", "", "*", "\"a b\"", "\"a\x7f\""};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(header_is_etag(str_c(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(header_is_etag(str_c(bad[i])));
    }
}

static void test_header__given_a_host_then_only_this_machines_own_names_are_local(void **state) {
    (void)state;
    static const char *const good[] = {"localhost",    "LocalHost:8080", "127.0.0.1", "127.0.0.1:1",
                                       "127.9.9.9:80", "[::1]",          "[::1]:80"};
    static const char *const bad[] = {"",
                                      "evil.example",
                                      "localhost.evil.example",
                                      "127.0.0.1.evil.example",
                                      "127.evil",
                                      "::1",
                                      "localhost:8080x",
                                      "xlocalhost",
                                      "0.0.0.0",
                                      "10.0.0.1:80",
                                      ":80",
                                      "[::2]",
                                      "localhost ",
                                      "localhost:80:80"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(header_host_is_local(str_c(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(header_host_is_local(str_c(bad[i])));
    }
}

static void test_header__given_a_content_type_then_type_and_charset_decide(void **state) {
    (void)state;
    assert_true(header_media_is(STR("application/json"), "application/json"));
    assert_true(header_media_is(STR("Application/JSON ; charset=UTF-8"), "application/json"));
    assert_true(header_media_is(STR("application/json; charset=\"utf-8\"; x"), "application/json"));
    assert_false(header_media_is(STR("application/json; charset=latin1"), "application/json"));
    assert_false(header_media_is(STR("application/jsonp"), "application/json"));
    assert_false(header_media_is(STR("text/plain"), "application/json"));
    assert_false(header_media_is(STR(""), "application/json"));
}

static void test_header__given_accept_then_a_named_type_is_accepted_unless_q_is_0(void **state) {
    (void)state;
    static const char type[] = "application/openmetrics-text";
    assert_true(header_accepts(STR("application/openmetrics-text; version=1.0.0,text/plain;q=0.5"), type));
    assert_true(header_accepts(STR("text/plain, application/openmetrics-text;q=0.3"), type));
    assert_false(header_accepts(STR("application/openmetrics-text;q=0, */*"), type));
    assert_false(header_accepts(STR("*/*"), type));
    assert_false(header_accepts(STR(""), type));
}

static void test_header__given_a_time_then_it_is_milliseconds_of_utc(void **state) {
    (void)state;
    static const struct {
        const char *in;
        int64_t ms;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-28T21:13:34.123Z", 1795900414123},
        {"2026-11-28t21:13:34.123456z", 1795900414123},
        {"2026-11-28T22:13:34.1+01:00", 1795900414100},
        {"2024-02-29T00:00:00-00:30", 1709166600000},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2000-03-01T00:00:00Z", 951868800000},
    };
    static const char *const bad[] = {"",
                                      "2026-11-28",
                                      "2026-11-28T21:13:34",
                                      "2026-11-28 21:13:34Z",
                                      "2026-13-28T21:13:34Z",
                                      "2023-02-29T21:13:34Z",
                                      "2026-11-28T24:00:00Z",
                                      "2026-11-28T21:13:34.Z",
                                      "2026-11-28T21:13:34+1:00",
                                      "2026-11-28T21:13:34+24:00",
                                      "2026-11-28T21:13:34Zx",
                                      "26-11-28T21:13:34Z"};
    struct wall w;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(header_time(str_c(good[i].in), &w));
        assert_int_equal(good[i].ms, w.ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(header_time(str_c(bad[i]), &w));
    }
}

static void test_header__given_cookies_then_the_one_of_that_name(void **state) {
    (void)state;
    static const struct {
        const char *value, *found; /* NULL: none */
    } cases[] = {
        {"s=1", "1"},         {"a=2; s=a:1:b; b=3", "a:1:b"},
        {" a=2;s=3", "3"},    {"s=", ""},
        {"xs=1; s2=2", NULL}, {"s", NULL},
        {"", NULL},           {"; ;=", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str found = header_cookie(str_c(cases[i].value), "s");
        assert_true(cases[i].found == NULL ? found.p == NULL : found.p != NULL && str_is(found, cases[i].found));
    }
    assert_null(header_cookie(STR_NONE, "s").p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header__given_a_key_in_quotes_or_bare_then_it_is_the_same),
        cmocka_unit_test(test_header__given_a_bearer_token_then_id_and_secret_are_apart),
        cmocka_unit_test(test_header__given_preferences_then_wait_and_async_are_read),
        cmocka_unit_test(test_header__given_a_wait_then_its_unit_counts),
        cmocka_unit_test(test_header__given_entity_tags_then_they_match_weakly),
        cmocka_unit_test(test_header__given_a_version_tag_then_only_a_strong_positive_one_counts),
        cmocka_unit_test(test_header__given_a_tag_that_may_be_another_servers_then_its_form_decides),
        cmocka_unit_test(test_header__given_a_host_then_only_this_machines_own_names_are_local),
        cmocka_unit_test(test_header__given_a_content_type_then_type_and_charset_decide),
        cmocka_unit_test(test_header__given_accept_then_a_named_type_is_accepted_unless_q_is_0),
        cmocka_unit_test(test_header__given_cookies_then_the_one_of_that_name),
        cmocka_unit_test(test_header__given_a_time_then_it_is_milliseconds_of_utc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
