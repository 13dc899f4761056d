/* What a schema calls personal, by every way that leads to it. */
#include <base/json.h>
#include <base/schema.h>

#include "unit.h"

/* JSON written with ' for ". */
static json_t *tree(const char *text) {
    struct buf b;
    json_t *v = NULL;
    buf_init(&b, 64 * 1024);
    buf_add_c(&b, text);
    for (size_t i = 0; i < b.n; i++) {
        b.p[i] = b.p[i] == '\'' ? '"' : b.p[i];
    }
    assert_ok(json_read(buf_str(&b), &v));
    buf_free(&b);
    return v;
}

static struct schema *compiled(const char *text) {
    struct schema *s = NULL;
    json_t *doc = tree(text);
    assert_ok(schema_compile(doc, &s));
    json_decref(doc);
    return s;
}

static void assert_shown(const char *schema, const char *value, const char *expected) {
    struct schema *s = compiled(schema);
    json_t *v = tree(value);
    struct buf b;
    buf_init(&b, 64 * 1024);
    assert_ok(schema_mask(s, &v));
    assert_ok(json_write(v, &b));
    for (size_t i = 0; i < b.n; i++) {
        b.p[i] = b.p[i] == '"' ? '\'' : b.p[i];
    }
    buf_add_char(&b, '\0');
    assert_ok(buf_status(&b));
    if (strcmp(expected, b.p) != 0) {
        fail_msg("%s of %s:\nexpected %s\ngot      %s", schema, value, expected, b.p);
    }
    buf_free(&b);
    json_decref(v);
    schema_free(s);
}

#define SECRET "{'x-masked':true}"

static void test_mask__given_any_way_that_leads_there_then_stars(void **state) {
    (void)state;
    static const struct {
        const char *schema, *value, *expected;
    } rows[] = {
        {"{'properties':{'a':" SECRET ",'o':{}}}", "{'a':'s','o':'o','n':1}", "{'a':'***','o':'o','n':1}"},
        {"{'properties':{'a':" SECRET "}}", "{'a':{'deep':['s']}}", "{'a':'***'}"},
        {"{'properties':{'a':" SECRET "}}", "{'a':null}", "{'a':'***'}"},
        {"{'properties':{'a':{'$ref':'#/$defs/s'}},'$defs':{'s':" SECRET "}}", "{'a':'s'}", "{'a':'***'}"},
        {"{'properties':{'a':{'$ref':'#/$defs/r'}},'$defs':{'r':{'$ref':'#/$defs/s'},'s':" SECRET "}}", "{'a':1}", "{'a':'***'}"},
        {"{'properties':{'v':" SECRET ",'next':{'$ref':'#'}}}", "{'v':1,'next':{'v':2,'next':{'v':3}}}",
         "{'v':'***','next':{'v':'***','next':{'v':'***'}}}"},
        {"{'properties':{'o':{}},'additionalProperties':" SECRET "}", "{'o':1,'a':2,'b':[3]}", "{'o':1,'a':'***','b':'***'}"},
        {"{'additionalProperties':{'properties':{'s':" SECRET "}}}", "{'a':{'s':1,'t':2}}", "{'a':{'s':'***','t':2}}"},
        {"{'items':" SECRET "}", "[1,[2]]", "['***','***']"},
        {"{'prefixItems':[{}," SECRET "]}", "[1,2,3]", "[1,'***',3]"},
        {"{'prefixItems':[{}],'items':" SECRET "}", "[1,2,3]", "[1,'***','***']"},
        {"{'prefixItems':[" SECRET "," SECRET "]}", "[1]", "['***']"},
        {"{'properties':{'a':{'oneOf':[{'type':'integer'},{'type':'string','x-masked':true}]}}}", "{'a':'s'}", "{'a':'***'}"},
        {"{'properties':{'a':{'oneOf':[{'type':'integer'},{'type':'string','x-masked':true}]}}}", "{'a':1}", "{'a':'***'}"},
        {"{'anyOf':[{'properties':{'a':" SECRET "}},{'properties':{'b':" SECRET "}}]}", "{'a':1,'b':2}", "{'a':'***','b':'***'}"},
        {"{'allOf':[{},{'properties':{'a':{'items':" SECRET "}}}]}", "{'a':[1]}", "{'a':['***']}"},
        {"{'not':{'properties':{'a':" SECRET "}}}", "{'a':1}", "{'a':'***'}"},
        {"{'properties':{'m':{'propertyNames':{'$ref':'#/$defs/s'}}},'$defs':{'s':" SECRET "}}", "{'m':{'c@x':1},'o':1}",
         "{'m':'***','o':1}"},
        {"{'propertyNames':" SECRET "}", "{}", "{}"},
        {SECRET, "{'a':1}", "'***'"},
        {"{'$ref':'#/$defs/s','$defs':{'s':" SECRET "}}", "{'a':1}", "'***'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_shown(rows[i].schema, rows[i].value, rows[i].expected);
    }
}

static void test_mask__given_nothing_that_applies_then_as_it_was(void **state) {
    (void)state;
    static const struct {
        const char *schema, *value;
    } rows[] = {
        {"{'properties':{'a':{'x-masked':false}}}", "{'a':1}"},
        {"{'$defs':{'s':" SECRET "}}", "{'s':1}"},                                           /* nothing refers to it */
        {"{'properties':{'deep':{'properties':{'a':" SECRET "}}}}", "{'deep':['a'],'a':1}"}, /* another form, another place */
        {"{'x-note':{'properties':{'a':" SECRET "}},'const':{'a':{'x-masked':true}}}", "{'a':{'x-masked':true}}"},
        {"{'additionalProperties':" SECRET ",'properties':{'a':{}}}", "{'a':1}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_shown(rows[i].schema, rows[i].value, rows[i].value);
    }
}

static void test_mask__given_no_yes_or_no_then_the_schema_is_refused(void **state) {
    (void)state;
    struct schema *s = NULL;
    json_t *doc = tree("{'properties':{'a':{'x-masked':'true'}}}");
    struct err e = schema_compile(doc, &s);
    assert_int_equal(ERR_INVALID, e.code);
    assert_string_equal("#/properties/a/x-masked: must be true or false", e.detail);
    json_decref(doc);
}

/* Each of 14 schemas applies the next one three times: 4.8 million looks. */
static void test_mask__given_more_to_look_at_than_there_is_time_for_then_all_is_hidden(void **state) {
    (void)state;
    struct buf b;
    buf_init(&b, 64 * 1024);
    buf_add_c(&b, "{'allOf':[{'$ref':'#/$defs/1'}],'$defs':{");
    for (int i = 1; i < 15; i++) {
        buf_addf(&b, "'%d':{'allOf':[{'$ref':'#/$defs/%d'},{'$ref':'#/$defs/%d'},{'$ref':'#/$defs/%d'}]},", i, i + 1, i + 1,
                 i + 1);
    }
    buf_add_c(&b, "'15':{'properties':{'a':" SECRET "}}}}");
    buf_add_char(&b, '\0');
    assert_shown(b.p, "{'o':1}", "'***'");
    buf_free(&b);
}

static void test_mask__given_a_member_then_whether_the_schema_names_it(void **state) {
    (void)state;
    struct schema *s = compiled("{'properties':{'a':{'items':{'properties':{'b':true}}}},'$defs':{'c':{}}}");
    assert_true(schema_names(s, STR("a")) && schema_names(s, STR("b")));
    assert_false(schema_names(s, STR("c")) || schema_names(s, STR("")));
    assert_false(schema_masks(s));
    schema_free(s);
}

static void scenario(void *arg) {
    const struct schema *s = arg;
    json_t *v = NULL;
    struct err e = json_read(STR("{\"a\":[1,{\"b\":2}],\"c\":3}"), &v);
    if (!err_is_set(e)) {
        e = schema_mask(s, &v);
    }
    if (err_is_set(e)) {
        assert_true(torture_is_failing() && e.code == ERR_NOMEM);
    } else {
        assert_string_equal(SCHEMA_MASK, json_string_value(v));
    }
    json_decref(v);
}

static void test_mask__without_memory_then_it_says_so(void **state) {
    (void)state;
    struct schema *s =
        compiled("{'properties':{'a':{'items':" SECRET "}},'additionalProperties':" SECRET ",'allOf':[" SECRET "]}");
    torture(scenario, s);
    schema_free(s);
}

int main(void) {
    json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mask__given_any_way_that_leads_there_then_stars),
        cmocka_unit_test(test_mask__given_nothing_that_applies_then_as_it_was),
        cmocka_unit_test(test_mask__given_no_yes_or_no_then_the_schema_is_refused),
        cmocka_unit_test(test_mask__given_more_to_look_at_than_there_is_time_for_then_all_is_hidden),
        cmocka_unit_test(test_mask__given_a_member_then_whether_the_schema_names_it),
        cmocka_unit_test(test_mask__without_memory_then_it_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
