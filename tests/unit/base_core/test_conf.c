#include <base/conf.h>
#include <base/str.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static char folder[] = "/tmp/unit_conf_XXXXXX";
static char path[64];

static void write_bytes(struct str text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(text.n, fwrite(text.p, 1, text.n, f));
    assert_int_equal(0, fclose(f));
}

static void write_file(const char *text) { write_bytes(str_c(text)); }

/* The detail of the refusal must be exactly this, behind the file's name. */
static void assert_refused(const char *text, const char *detail) {
    struct conf c;
    write_file(text);
    struct err e = conf_load(path, &c);
    assert_err(ERR_INVALID, e);
    assert_true(str_starts(str_c(e.detail), str_c(path)));
    assert_string_equal(detail, e.detail + strlen(path));
    assert_null(c.redis_url); /* left freed */
}

static void test_conf__given_nothing_then_the_defaults(void **state) {
    (void)state;
    struct conf c;
    assert_ok(conf_load(NULL, &c));
    assert_string_equal("redis://127.0.0.1:6379", c.redis_url);
    assert_string_equal("", c.webhook_secret);
    assert_int_equal(1000, c.redis_connect_ms);
    assert_int_equal(1000000, c.admission_max_open_jobs);
    conf_free(&c);
    assert_null(c.redis_url);
    write_file("");
    assert_ok(conf_load(path, &c));
    assert_int_equal(1000, c.redis_connect_ms);
    conf_free(&c);
}

static void test_conf__given_a_file_and_variables_then_the_variable_wins(void **state) {
    (void)state;
    struct conf c;
    write_file("# comment with 99999999999999999999 and @include\n"
               "redis = { url = \"redis://h/9876543210\"; connect_ms = 0x14; /* 99999999999 */ };\n"
               "worker : { lease_ms = 500L // 99999999999 \"\n };\n"
               "mail = { from = \"a\\\"@b # no comment\"; };\n");
    assert_int_equal(0, setenv("PENSTOCK_WORKER_LEASE_MS", "700", 1));
    assert_int_equal(0, setenv("PENSTOCK_MAIL_URL", "smtp://x", 1));
    assert_ok(conf_load(path, &c));
    assert_string_equal("redis://h/9876543210", c.redis_url);
    assert_int_equal(20, c.redis_connect_ms);
    assert_int_equal(2000, c.redis_command_ms);
    assert_int_equal(700, c.worker_lease_ms);
    assert_string_equal("smtp://x", c.mail_url);
    assert_string_equal("a\"@b # no comment", c.mail_from);
    conf_free(&c);
    assert_int_equal(0, unsetenv("PENSTOCK_WORKER_LEASE_MS"));
    assert_int_equal(0, unsetenv("PENSTOCK_MAIL_URL"));
}

static void test_conf__given_an_unknown_key_then_line_and_nearest_key(void **state) {
    (void)state;
    assert_refused("\nredis = { url = \"x\";\n connect_msec = 5; };",
                   ":3: unknown setting redis.connect_msec, did you mean redis.connect_ms?");
    assert_refused("worker = { lease = 5; };", ":1: unknown setting worker.lease, did you mean worker.lease_ms?");
    assert_refused("reddis = { url = \"x\"; };", ":1: unknown setting reddis, did you mean redis?");
    assert_refused("lease_ms = 5;", ":1: unknown setting lease_ms, did you mean worker.lease_ms?");
    assert_refused("redis = 5;", ":1: redis must be a group: redis = { … };");
    assert_refused(
        "redis = { x_0123456789012345678901234567890123456789012345678901234567890123456789 = 1; };",
        ":1: unknown setting redis.x_01234567890123456789012345678901234567890123456789012345, did you mean redis.url?");
}

static void test_conf__given_a_wrong_value_then_line_and_allowed_range(void **state) {
    (void)state;
    static const char *const no_numbers[] = {"\"5\"", "5.0", "true", "[5]", "(5)", "{ x = 5; }", "1e3"};
    static const char *const wraps[] = {"4294967306", "-4294967286", "99999999999999999999", "0x10000000A", "00000000020"};
    char text[128];
    assert_refused("redis = { connect_ms = 9; };", ":1: redis.connect_ms = 9 is out of range: 10 to 60000");
    assert_refused("redis = {\n\nconnect_ms = 60001; };", ":3: redis.connect_ms = 60001 is out of range: 10 to 60000");
    assert_refused("redis = { connect_ms = -20; };", ":1: redis.connect_ms = -20 is out of range: 10 to 60000");
    assert_refused("redis = { connect_ms = 4294967306L; };", ":1: redis.connect_ms = 4294967306 is out of range: 10 to 60000");
    assert_refused("redis = { url = 5; };", ":1: redis.url must be a string in double quotes");
    for (size_t i = 0; i < sizeof no_numbers / sizeof no_numbers[0]; i++) {
        (void)snprintf(text, sizeof text, "redis = { connect_ms = %s; };", no_numbers[i]);
        assert_refused(text, ":1: redis.connect_ms must be a whole number from 10 to 60000");
    }
    for (size_t i = 0; i < sizeof wraps / sizeof wraps[0]; i++) { /* libconfig would read another number */
        char detail[64];
        (void)snprintf(text, sizeof text, "redis = {\n connect_ms = %s; };", wraps[i]);
        (void)snprintf(detail, sizeof detail, ":2: %s is out of range", wraps[i] + (wraps[i][0] == '-'));
        assert_refused(text, detail);
    }
}

static void test_conf__given_a_broken_file_then_it_says_where(void **state) {
    (void)state;
    struct conf c;
    assert_refused("redis = {\n url = ;\n};", ":2: syntax error");
    assert_refused("redis = { url = \"abc", ":1: syntax error");
    assert_refused("redis = { url = \"abc\\", ":1: syntax error");
    assert_refused("redis = { };\n/* open\n mail = { };", ":2: the comment is not closed");
    assert_refused("redis = { };\n/*/", ":2: the comment is not closed");
    assert_refused("redis = { };\nredis = { };", ":2: duplicate setting name");
    assert_refused("\n@include \"/tmp\"", ":2: @include is not supported"); /* a folder: libconfig would exit */
    write_bytes(str_of("redis = { };\0junk", 17));
    assert_err(ERR_INVALID, conf_load(path, &c));
    assert_err(ERR_SYSTEM, conf_load("/tmp", &c));
    struct err e = conf_load("/nowhere/penstock.conf", &c);
    assert_err(ERR_SYSTEM, e);
    assert_string_equal("/nowhere/penstock.conf: No such file or directory", e.detail);
    char *big = malloc(300 * 1024);
    assert_non_null(big);
    memset(big, ' ', 300 * 1024);
    write_bytes(str_of(big, 300 * 1024));
    free(big);
    assert_err(ERR_TOO_LARGE, conf_load(path, &c));
}

static void test_conf__given_a_wrong_variable_then_it_is_named(void **state) {
    (void)state;
    static const struct {
        const char *name, *value, *detail;
    } cases[] = {
        {"PENSTOCK_REDIS_URI", "x", "unknown environment variable PENSTOCK_REDIS_URI, did you mean PENSTOCK_REDIS_URL?"},
        {"PENSTOCK_WORKER_LEASE", "x",
         "unknown environment variable PENSTOCK_WORKER_LEASE, did you mean PENSTOCK_WORKER_LEASE_MS?"},
        {"PENSTOCK_redis_url", "x", NULL},
        {"PENSTOCK_", "x", NULL},
        {"PENSTOCK_REDIS_CONNECT_MS", "", "PENSTOCK_REDIS_CONNECT_MS must be a whole number from 10 to 60000"},
        {"PENSTOCK_REDIS_CONNECT_MS", "5s", "PENSTOCK_REDIS_CONNECT_MS must be a whole number from 10 to 60000"},
        {"PENSTOCK_REDIS_CONNECT_MS", "9", "PENSTOCK_REDIS_CONNECT_MS = 9 is out of range: 10 to 60000"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct conf c;
        assert_int_equal(0, setenv(cases[i].name, cases[i].value, 1));
        struct err e = conf_load(NULL, &c);
        assert_int_equal(0, unsetenv(cases[i].name));
        assert_err(ERR_INVALID, e);
        if (cases[i].detail != NULL) {
            assert_string_equal(cases[i].detail, e.detail);
        }
    }
}

static void test_conf__given_variables_of_others_then_they_are_left_alone(void **state) {
    (void)state;
    static const struct {
        const char *name;
        bool fine;
    } cases[] = {
        {"PENSTOCK_CONFIG", true}, {"PENSTOCK_URL", true},       {"PENSTOCK_KEY", true}, {"PENSTOCKS", true},
#ifdef PENSTOCK_FAULTS
        {"PENSTOCK_FAULT", true},  {"PENSTOCK_FAULT_LOG", true},
#else
        {"PENSTOCK_FAULT", false}, /* without failpoints a test must not believe that it is armed */
        {"PENSTOCK_FAULT_LOG", false},
#endif
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct conf c;
        assert_int_equal(0, setenv(cases[i].name, "x", 1));
        assert_int_equal(cases[i].fine, !err_is_set(conf_load(NULL, &c)));
        assert_int_equal(0, unsetenv(cases[i].name));
        conf_free(&c);
    }
}

static void test_conf__the_description_is_a_file_with_every_setting_and_its_default(void **state) {
    (void)state;
    struct conf c;
    struct conf defaults;
    struct buf text;
    buf_init(&text, 64 * 1024);
    conf_describe(&text);
    assert_ok(buf_status(&text));
    write_bytes(buf_str(&text));
    buf_add_char(&text, '\0');
    assert_non_null(strstr(text.p, "\nredis = {\n    # redis://[user[:password]@]host[:port][/db] or unix:/path. Environment: "
                                   "PENSTOCK_REDIS_URL\n    url = \"redis://127.0.0.1:6379\";\n"));
    assert_non_null(strstr(text.p, "    # deadline of one command; 10 to 60000. Environment: PENSTOCK_REDIS_COMMAND_MS\n"
                                   "    command_ms = 2000;\n"));
    assert_ok(conf_load(path, &c));
    assert_ok(conf_load(NULL, &defaults));
#define C_STR(group, name, def, doc)                                \
    assert_string_equal(defaults.group##_##name, c.group##_##name); \
    assert_non_null(strstr(text.p, doc));
#define C_INT(group, name, def, min, max, doc)                   \
    assert_int_equal(defaults.group##_##name, c.group##_##name); \
    assert_non_null(strstr(text.p, doc));
#include <base/conf.def>
    conf_free(&c);
    conf_free(&defaults);
    buf_free(&text);
}

static void test_conf__given_a_secret_file_then_its_first_line(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *secret; /* NULL: refused */
    } cases[] = {
        {"s3cret\n", "s3cret"}, {"s3cret", "s3cret"}, {" two words \nsecond line\n", " two words "}, {"", NULL},
        {"\nsecond\n", NULL},
    };
    char *secret = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_file(cases[i].text);
        struct err e = conf_secret(path, &secret);
        if (cases[i].secret != NULL) {
            assert_ok(e);
            assert_string_equal(cases[i].secret, secret);
            free(secret);
            secret = NULL;
        } else {
            assert_err(ERR_INVALID, e);
            assert_null(secret);
        }
    }
    assert_ok(conf_secret("", &secret));
    assert_string_equal("", secret);
    free(secret);
    secret = NULL;
    write_bytes(str_of("a\0b\n", 4));
    assert_err(ERR_INVALID, conf_secret(path, &secret));
    char most[1025];
    memset(most, 'x', sizeof most);
    write_bytes(str_of(most, 1023));
    assert_ok(conf_secret(path, &secret));
    assert_int_equal(1023, strlen(secret));
    free(secret);
    write_bytes(str_of(most, 1024));
    assert_err(ERR_INVALID, conf_secret(path, &secret));
    assert_err(ERR_SYSTEM, conf_secret("/tmp", &secret));
    assert_err(ERR_SYSTEM, conf_secret("/nowhere", &secret));
}

static void load(void *arg) {
    (void)arg;
    struct conf c;
    char *secret = NULL;
    struct err e = conf_load(path, &c);
    struct err from_file = conf_secret(path, &secret);
    if (torture_is_failing()) {
        assert_true(!err_is_set(e) || e.code == ERR_NOMEM || e.code == ERR_SYSTEM);
        assert_int_equal(err_is_set(from_file), secret == NULL);
    } else {
        assert_ok(e);
        assert_ok(from_file);
    }
    free(secret);
    conf_free(&c);
}

static void test_conf__given_no_memory_then_an_error_and_nothing_kept(void **state) {
    (void)state;
    write_file("redis = { url = \"redis://x\"; connect_ms = 20; };\n");
    torture(load, NULL);
}

static void test_conf__a_system_call_fails_then_an_error_or_no_difference(void **state) {
    (void)state;
    write_file("redis = { url = \"redis://x\"; connect_ms = 20; };\n");
    torture_io(load, NULL);
}

static int make_folder(void **state) {
    (void)state;
    static const char prefix[] = "PENSTOCK_";
    for (char **e = environ; *e != NULL;) { /* what the caller has set would be read */
        if (strncmp(*e, prefix, sizeof prefix - 1) != 0) {
            e++;
            continue;
        }
        char *name = strndup(*e, strcspn(*e, "="));
        if (name == NULL || unsetenv(name) != 0) {
            return -1;
        }
        free(name);
    }
    if (mkdtemp(folder) == NULL) {
        return -1;
    }
    (void)snprintf(path, sizeof path, "%s/p.conf", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    return unlink(path) == 0 ? rmdir(folder) : -1;
}

static void assert_shown(const struct buf *shown, const char *text) {
    if (memmem(shown->p, shown->n, text, strlen(text)) == NULL) {
        fail_msg("%s is not in %.*s", text, (int)shown->n, shown->p);
    }
}

static void test_conf__given_secrets_then_they_are_not_shown_and_sources_are(void **state) {
    (void)state;
    struct conf c;
    struct buf shown;
    write_file("webhook = { secret = \"whsec_abc\"; }; redis = { url = \"redis://user:pass@h:1/2\"; connect_ms = 20; };"
               "otlp = { headers = \"Authorization=Bearer%20abc\"; };"
               "postgres = { url = \"postgresql://h:5/db?sslmode=require&password=hush\"; };");
    assert_int_equal(0, setenv("PENSTOCK_MAIL_URL", "smtp://h:25", 1));
    assert_ok(conf_load(path, &c));
    assert_int_equal(0, unsetenv("PENSTOCK_MAIL_URL"));
    buf_init(&shown, 64 * 1024);
    conf_show(&c, &shown);
    assert_ok(buf_status(&shown));
    assert_shown(&shown, "{\"name\":\"webhook.secret\",\"value\":\"***\",\"default\":\"\",\"from\":\"file\"");
    assert_shown(&shown, "\"value\":\"redis://user:***@h:1/2\",");
    assert_shown(&shown, "\"redis.connect_ms\",\"value\":20,\"default\":1000,\"from\":\"file\"");
    assert_shown(&shown, "\"mail.url\",\"value\":\"smtp://h:25\",\"default\":\"smtp://127.0.0.1:25\",\"from\":\"environment\"");
    assert_shown(&shown, "\"handler.secret\",\"value\":\"\",\"default\":\"\",\"from\":\"default\"");
    assert_shown(&shown, "\"otlp.headers\",\"value\":\"***\",");
    assert_null(memmem(shown.p, shown.n, "whsec_abc", 9));
    assert_null(memmem(shown.p, shown.n, "pass@", 5));
    assert_shown(&shown, "\"value\":\"postgresql://h:5/db?***\",");
    assert_null(memmem(shown.p, shown.n, "hush", 4));
    buf_free(&shown);
    conf_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conf__given_nothing_then_the_defaults),
        cmocka_unit_test(test_conf__given_a_file_and_variables_then_the_variable_wins),
        cmocka_unit_test(test_conf__given_an_unknown_key_then_line_and_nearest_key),
        cmocka_unit_test(test_conf__given_a_wrong_value_then_line_and_allowed_range),
        cmocka_unit_test(test_conf__given_a_broken_file_then_it_says_where),
        cmocka_unit_test(test_conf__given_a_wrong_variable_then_it_is_named),
        cmocka_unit_test(test_conf__given_variables_of_others_then_they_are_left_alone),
        cmocka_unit_test(test_conf__the_description_is_a_file_with_every_setting_and_its_default),
        cmocka_unit_test(test_conf__given_secrets_then_they_are_not_shown_and_sources_are),
        cmocka_unit_test(test_conf__given_a_secret_file_then_its_first_line),
        cmocka_unit_test(test_conf__given_no_memory_then_an_error_and_nothing_kept),
        cmocka_unit_test(test_conf__a_system_call_fails_then_an_error_or_no_difference),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
