/* types.conf, read: what it makes, what it refuses and where, and that a set's own text makes the same set. */
#include <base/arena.h>
#include <base/buf.h>
#include <base/json.h>
#include <custom/custom.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../../jobs/custom/src/types_conf.h"
#include "unit.h"

static char folder[] = "/tmp/penstock-types-XXXXXX", path[64], schema_path[64];

static void put(const char *where, const char *text) {
    FILE *f = fopen(where, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(0, fclose(f));
}

static int setup(void **state) {
    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/types.conf", folder);
    (void)snprintf(schema_path, sizeof schema_path, "%s/s.json", folder);
    json_setup();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    (void)unlink(path);
    (void)unlink(schema_path);
    return rmdir(folder);
}

static void start(struct attempt *a) { (void)a; }

static struct err read_text(const char *text, struct type_set **out) {
    put(path, text);
    return types_conf_read(path, &custom_module, start, out);
}

static void test_types_conf__given_the_least_then_defaults(void **state) {
    (void)state;
    struct type_set *s;
    assert_ok(read_text("types = ( { name = \"a.b\"; handler = \"https://h.example/x\"; } );", &s));
    assert_int_equal(1, s->types_n);
    assert_ptr_equal(&custom_module, s->module);
    const struct job_type *t = s->types;
    const struct declared *d = t->declared;
    assert_string_equal("a.b", t->name);
    assert_string_equal("default", t->queue);
    assert_string_equal("{\"type\":\"object\"}", t->schema);
    assert_string_equal("https://h.example/x", d->handler);
    assert_int_equal(CLASS_JOURNAL, t->class);
    assert_true(t->key_required);
    assert_false(t->keep_outcome || t->internal || t->flow);
    assert_int_equal(1, t->version);
    assert_int_equal(30000, t->timeout_ms);
    assert_int_equal(1000, t->retry.base_ms);
    assert_int_equal(600000, t->retry.cap_ms);
    assert_int_equal(20, t->retry.max_attempts);
    assert_int_equal(0, d->rate + d->concurrency);
    assert_ptr_equal(start, t->start);
    type_set_release(s);
}

static const char full[] =
    "types = ( { name = \"a\"; handler = \"https://h/\\\"%5C\"; schema = \"s.json\"; class = \"stream\"; queue = \"q.1\"; version = 7; "
    "timeout_ms = 100; retry_base_ms = 2; retry_cap_ms = 3; max_attempts = 4; rate = 5; concurrency = 6; keep_outcome = true; },\n"
    "{ name = \"b\"; handler = \"http://h\"; schema = \"{\\\"type\\\":\\\"object\\\"}\"; } );\n";

static void assert_full(const struct type_set *s) {
    assert_int_equal(2, s->types_n);
    const struct job_type *t = s->types;
    const struct declared *d = t->declared;
    assert_string_equal("{\n \"type\": \"object\", \"required\": [\"\\u00fc\\\"\"] }\n", t->schema);
    assert_string_equal("https://h/\"%5C", d->handler);
    assert_int_equal(CLASS_STREAM, t->class);
    assert_true(t->keep_outcome && !t->key_required);
    assert_string_equal("q.1", t->queue);
    assert_int_equal(7, t->version);
    assert_int_equal(100 + 2 + 3 + 4, t->timeout_ms + t->retry.base_ms + t->retry.cap_ms + t->retry.max_attempts);
    assert_int_equal(5, d->rate);
    assert_int_equal(6, d->concurrency);
}

static void test_types_conf__given_its_own_text_then_the_same_set(void **state) {
    (void)state;
    struct type_set *s, *again;
    put(schema_path,
        " \t\r\n{\n \"type\": \"object\", \"required\": [\"\\u00fc\\\"\"] }\n"); /* must not be taken for a name the next time */
    assert_ok(read_text(full, &s));
    assert_full(s);
    char *text = calloc(1, s->text.n + 1);
    assert_non_null(text);
    memcpy(text, s->text.p, s->text.n);
    assert_ok(read_text(text, &again));
    assert_full(again);
    assert_str(text, again->text);
    free(text);
    type_set_release(s);
    type_set_release(again);
}

static void test_types_conf__given_none_then_an_empty_set(void **state) {
    (void)state;
    struct type_set *s;
    assert_ok(read_text("", &s));
    assert_int_equal(0, s->types_n);
    type_set_release(s);
    assert_ok(read_text("types = ();", &s));
    type_set_release(s);
}

#define TYPE(more) "types = ( { name = \"a.b\"; handler = \"https://h/\"; " more " } );"

static void test_types_conf__what_cannot_be_then_refused_with_its_place(void **state) {
    (void)state;
    static const struct {
        const char *text, *why; /* behind the path */
    } rows[] = {
        {"typs = ();", ":1: unknown setting typs, did you mean types?"},
        {"types = [];", ":1: types must be a list: types = ( { … }, { … } );"},
        {"types = 1;", ":1: types must be a list: types = ( { … }, { … } );"},
        {"types = ( 1 );", ":1: a type is { name = \"…\"; handler = \"…\"; … }"},
        {"types = (\n{ name = \"a\"; } );", ":2: the type has no handler"},
        {TYPE("\ntimeout = 1;"), ":2: unknown member timeout, did you mean timeout_ms?"},
        {TYPE("class = \"x\";"), ":1: class must be journal or stream"},
        {TYPE("queue = \"\";"), ":1: queue must be 1 to 64 of A-Z a-z 0-9 _ . -"},
        {TYPE("version = 0;"), ":1: version must be a whole number from 1 to 65535"},
        {TYPE("version = 65536;"), ":1: version must be a whole number from 1 to 65535"},
        {TYPE("version = 1.5;"), ":1: version must be a whole number from 1 to 65535"},
        {TYPE("queue = 1;"), ":1: queue must be a string in double quotes"},
        {TYPE("keep_outcome = \"yes\";"), ":1: keep_outcome must be true or false"},
        {TYPE("max_attempts = 1000; retry_cap_ms = 900000;"), ":1: max_attempts times retry_cap_ms is more than 10 days"},
        {TYPE("schema = \"{\";"), ":1: schema is none: "},
        {TYPE("schema = \"{\\\"tpye\\\":1}\";"), ":1: schema is none: "},
        {TYPE("schema = \"none.json\";"), ":1: schema cannot be read: "},
        {"types = ( { name = \"a\"; handler = \"https://h/\"; },\n{ name = \"a\"; handler = \"https://h/\"; } );",
         ":2: name a is here twice"},
        {"types = (", ":1: syntax error"},
        {"@include \"x\"", ":1: @include is not supported"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct type_set *s = NULL;
        struct err e = read_text(rows[i].text, &s);
        assert_err(ERR_INVALID, e);
        if (strncmp(e.detail, path, strlen(path)) != 0 ||
            strncmp(e.detail + strlen(path), rows[i].why, strlen(rows[i].why)) != 0) {
            fail_msg("%s, not %s", e.detail, rows[i].why);
        }
        assert_null(s);
    }
    static const char *const urls[] = {"",          "h.example",       "ftp://h/",     "https://",         "https:///x",
                                       "HTTPS://h", "https://u@h/",    "https://h/ x", "https://u:p@h:1/", "https://h/\xc3\xbc",
                                       "http://",   "file:///etc/pwd", "https://h/\\n"};
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        char text[128];
        struct type_set *s;
        (void)snprintf(text, sizeof text, "types = ( { name = \"a\"; handler = \"%s\"; } );", urls[i]);
        assert_err(ERR_INVALID, read_text(text, &s));
    }
    struct type_set *s;
    static const char *const schemas[] = {"", " \n", "[]", "\xef\xbb\xbf{}", "x.json"};
    for (size_t i = 0; i < sizeof schemas / sizeof schemas[0]; i++) {
        put(schema_path, schemas[i]);
        struct err e = read_text(TYPE("schema = \"s.json\";"), &s);
        assert_err(ERR_INVALID, e);
        assert_non_null(strstr(e.detail, "/s.json has no JSON object"));
    }
    assert_err(ERR_SYSTEM, types_conf_read("/nowhere/types.conf", &custom_module, start, &s));
}

static void test_types_conf__more_than_may_be_then_refused(void **state) {
    (void)state;
    struct buf b;
    struct type_set *s;
    for (int n = TYPES_CONF_MAX; n <= TYPES_CONF_MAX + 1; n++) {
        buf_init(&b, 1 << 20);
        buf_add_c(&b, "types = (");
        for (int i = 0; i < n; i++) {
            buf_addf(&b, "%s{ name = \"t%d\"; handler = \"https://h/\"; }", i > 0 ? "," : "", i);
        }
        buf_add(&b, str_of(");", 3));
        assert_ok(buf_status(&b));
        struct err e = read_text(b.p, &s);
        assert_int_equal(n > TYPES_CONF_MAX ? ERR_INVALID : ERR_NONE, e.code);
        type_set_release(n > TYPES_CONF_MAX ? NULL : s);
        buf_free(&b);
    }
    buf_init(&b, 1 << 20);
    buf_add_c(&b, "{\"type\":\"object\",\"description\":\"");
    while (b.n < 60000) {
        buf_add_char(&b, 'x');
    }
    buf_add(&b, str_of("\"}", 3));
    put(schema_path, b.p);
    buf_clear(&b);
    buf_add_c(&b, "types = (");
    for (int i = 0; i < 5; i++) {
        buf_addf(&b, "%s{ name = \"t%d\"; handler = \"https://h/\"; schema = \"s.json\"; }", i > 0 ? "," : "", i);
    }
    buf_add(&b, str_of(");", 3));
    struct err e = read_text(b.p, &s);
    assert_err(ERR_INVALID, e);
    assert_non_null(strstr(e.detail, "have more than"));
    buf_free(&b);
}

static void scenario(void *arg) {
    struct type_set *s;
    (void)arg;
    struct err e = types_conf_read(path, &custom_module, start, &s);
    if (err_is_set(e)) {
        assert_true(torture_is_failing());
    } else {
        assert_full(s);
        type_set_release(s);
    }
}

static void test_types_conf__any_allocation_fails_then_refused_whole(void **state) {
    (void)state;
    put(schema_path, "{\n \"type\": \"object\", \"required\": [\"\\u00fc\\\"\"] }\n");
    put(path, full);
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_conf__given_the_least_then_defaults),
        cmocka_unit_test(test_types_conf__given_its_own_text_then_the_same_set),
        cmocka_unit_test(test_types_conf__given_none_then_an_empty_set),
        cmocka_unit_test(test_types_conf__what_cannot_be_then_refused_with_its_place),
        cmocka_unit_test(test_types_conf__more_than_may_be_then_refused),
        cmocka_unit_test(test_types_conf__any_allocation_fails_then_refused_whole),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
