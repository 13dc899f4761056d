#include <base/json.h>
#include <base/schema.h>

#include <stdio.h>
#include <stdlib.h>

#include "unit.h"

enum { ERRORS_MAX = 8 };

/* JSON written with ' for ", whatever it is. */
static json_t *tree(const char *text) {
    struct buf b;
    json_t *wrapped = NULL;
    buf_init(&b, 1024 * 1024);
    buf_addf(&b, "[%s]", text);
    for (size_t i = 0; i < b.n; i++) {
        b.p[i] = b.p[i] == '\'' ? '"' : b.p[i];
    }
    assert_ok(json_read(buf_str(&b), &wrapped));
    json_t *v = json_incref(json_array_get(wrapped, 0));
    json_decref(wrapped);
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

/* "pointer: detail", one a line; empty when valid. */
static void check_text(const struct schema *s, const json_t *v, char *out, size_t size) {
    struct schema_error errors[ERRORS_MAX];
    size_t n = schema_check(s, v, errors, ERRORS_MAX);
    out[0] = '\0';
    for (size_t i = 0, at = 0; i < n; i++) {
        at += (size_t)snprintf(out + at, size - at, "%s%s: %s", i > 0 ? "\n" : "", errors[i].pointer, errors[i].detail);
    }
}

static void assert_errors(const char *schema, const char *value, const char *expected) {
    char text[4096];
    struct schema *s = compiled(schema);
    json_t *v = tree(value);
    check_text(s, v, text, sizeof text);
    if (strcmp(expected, text) != 0) {
        fail_msg("%s with %s:\nexpected %s\ngot      %s", schema, value, expected, text);
    }
    json_decref(v);
    schema_free(s);
}

static const struct {
    const char *schema, *value, *expected;
} broken_rules[] = {
    {"true", "1", ""},
    {"false", "1", "#: must be left out"},
    {"{}", "[{}]", ""},
    {"{'type':'string'}", "1", "#: must be a string"},
    {"{'type':['null','string','integer']}", "1.5", "#: must be a string or an integer or null"},
    {"{'type':'integer'}", "606.0", ""},
    {"{'type':'integer'}", "606.5", "#: must be an integer"},
    {"{'type':'integer'}", "1e18", "#: must be an integer"},
    {"{'type':'number','minimum':1}", "true", "#: must be a number"},
    {"{'enum':['a'],'minimum':2,'type':'string'}", "1", "#: must be a string"},
    {"{'enum':['a',1,null]}", "'b'", "#: must be one of: \"a\", 1, null"},
    {"{'enum':[[1,{'a':1}]]}", "[1.0,{'a':1.0}]", ""},
    {"{'const':1}", "true", "#: must be 1"},
    {"{'const':{'a':[1,2]}}", "{'a':[2,1]}", "#: must be {\"a\":[1,2]}"},
    {"{'const':[1]}", "[1,2]", "#: must be [1]"},
    {"{'const':{'a':1}}", "{'a':1,'b':2}", "#: must be {\"a\":1}"},
    {"{'const':{'a':1}}", "{'b':1}", "#: must be {\"a\":1}"},
    {"{'minimum':1}", "0", "#: must be >= 1"},
    {"{'maximum':1.5}", "2", "#: must be <= 1.5"},
    {"{'maximum':1.5}", "1", ""},
    {"{'exclusiveMaximum':1.5}", "1.5", "#: must be < 1.5"},
    {"{'minimum':2}", "1.5", "#: must be >= 2"},
    {"{'minimum':-1}", "-1.5", "#: must be >= -1"},
    {"{'exclusiveMinimum':0}", "0", "#: must be > 0"},
    {"{'exclusiveMaximum':10}", "10", "#: must be < 10"},
    {"{'maximum':9007199254740992.0}", "9007199254740993", "#: must be <= 9007199254740992"},
    {"{'maximum':1e19}", "9223372036854775807", ""},
    {"{'minimum':-1e19}", "-9223372036854775808", ""},
    {"{'multipleOf':5}", "12", "#: must be a multiple of 5"},
    {"{'multipleOf':2}", "606.5", "#: must be a multiple of 2"},
    {"{'multipleOf':2}", "1e300", ""},
    {"{'multipleOf':0.01}", "19.99", ""},
    {"{'multipleOf':0.1}", "0.30000000000000004", ""},
    {"{'multipleOf':0.01}", "19.999", "#: must be a multiple of 0.01"},
    {"{'minLength':2}", "'\xC3\xBC'", "#: must have at least 2 characters"},
    {"{'maxLength':1}", "'\xF0\x9F\x98\x80'", ""},
    {"{'maxLength':1}", "'ab'", "#: must have at most 1 character"},
    {"{'pattern':'^[a-z]+$'}", "'a1'", "#: must match the pattern ^[a-z]+$"},
    {"{'format':'uuid'}", "'x'", "#: must be a UUID such as 0190a7c2-5f3e-7d1a-9b4c-2e8f6a1d3c5b"},
    {"{'minItems':1}", "[]", "#: must have at least 1 item"},
    {"{'maxItems':1}", "[1,2]", "#: must have at most 1 item"},
    {"{'items':{'type':'integer'}}", "[1,'x',2,true]", "#/1: must be an integer\n#/3: must be an integer"},
    {"{'prefixItems':[{'type':'string'}],'items':false}", "['a',2]", "#: must have at most 1 item"},
    {"{'uniqueItems':true}", "[1,'1',true,1.0]", "#/3: is the same as item 0; items must be unique"},
    {"{'uniqueItems':true}", "[[1],[true],{'a':[2],'b':1},{'b':1,'a':[2.0]}]",
     "#/3: is the same as item 2; items must be unique"},
    {"{'uniqueItems':false}", "[1,1]", ""},
    {"{'required':['a','b']}", "{'b':1}", "#: missing member a"},
    {"{'properties':{'a':{},'b':{}},'additionalProperties':false}", "{'c':1}", "#/c: unknown member; allowed: a, b"},
    {"{'additionalProperties':false}", "{'c':1}", "#/c: unknown member; allowed: none"},
    {"{'additionalProperties':{'type':'integer'}}", "{'c':'x'}", "#/c: must be an integer"},
    {"{'propertyNames':{'pattern':'^[a-z]$'}}", "{'c':1,'cc':1}", "#/cc: must match the pattern ^[a-z]$"},
    {"{'propertyNames':{'type':'string','not':{'const':5}}}", "{'c':1}", ""},
    {"{'propertyNames':{'enum':['a']}}", "{'c':1}", "#/c: must be one of: \"a\""},
    {"{'minProperties':2}", "{'c':1}", "#: must have at least 2 members"},
    {"{'maxProperties':0}", "{'c':1}", "#: must have at most 0 members"},
    {"{'dependentRequired':{'a':['b']}}", "{'a':1}", "#: missing member b, required beside a"},
    {"{'dependentRequired':{'a':['b']}}", "{'b':1}", ""},
    {"{'not':{'type':'null'}}", "null", "#: has a form that is not allowed here"},
    {"{'allOf':[{'minimum':1},{'multipleOf':2}]}", "-1", "#: must be >= 1\n#: must be a multiple of 2"},
    {"{'anyOf':[{'type':'null'},{'type':'string','minLength':2}]}", "'a'", "#: must have at least 2 characters"},
    {"{'anyOf':[{'const':1},{'const':2,'type':'integer'}]}", "2", ""},
    {"{'anyOf':[{'const':1},{'type':'integer','multipleOf':2}]}", "3", "#: must be a multiple of 2"},
    {"{'anyOf':[{'minimum':1},{'maximum':-1}]}", "0", "#: fits none of the 2 allowed forms"},
    {"{'oneOf':[{'minimum':1},{'minimum':2}]}", "3", "#: fits 2 of the 2 allowed forms, must fit exactly one"},
    {"{'$ref':'#/$defs/a','$defs':{'a':{'type':'null'}}}", "1", "#: must be null"},
};

static void test_schema__given_a_value_that_breaks_a_rule_then_the_error_says_where_and_what(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof broken_rules / sizeof broken_rules[0]; i++) {
        assert_errors(broken_rules[i].schema, broken_rules[i].value, broken_rules[i].expected);
    }
}

static void test_schema__given_a_nested_value_then_pointers_lead_to_it(void **state) {
    (void)state;
    const char *order =
        "{'type':'object','required':['lines'],'additionalProperties':false,'properties':{'lines':{'type':'array',"
        "'items':{'$ref':'#/$defs/line'}}},'$defs':{'line':{'type':'object','required':['sku','qty'],"
        "'properties':{'sku':{'type':'string'},'qty':{'type':'integer','minimum':1}}}}}";
    assert_errors(order, "{'lines':[{'sku':'a','qty':0},{'sku':1}]}",
                  "#/lines/0/qty: must be >= 1\n#/lines/1: missing member qty\n#/lines/1/sku: must be a string");
    assert_errors("{'additionalProperties':{'additionalProperties':false}}", "{'a/b':{'m~n':1},'\xC3\xBC %':{'':1}}",
                  "#/a~1b/m~0n: unknown member; allowed: none\n#/%C3%BC%20%25/: unknown member; allowed: none");
}

static void test_schema__given_a_discriminator_then_its_branch_is_explained(void **state) {
    (void)state;
    const char *payment =
        "{'oneOf':[{'$ref':'#/$defs/card'},{'$ref':'#/$defs/sepa'}],'$defs':{'card':{'type':'object',"
        "'properties':{'kind':{'const':'card'},'token':{'type':'string'}},'required':['kind','token']},"
        "'sepa':{'type':'object','properties':{'kind':{'const':'sepa'},'iban':{'type':'string','minLength':15}},"
        "'required':['kind','iban']}}}";
    assert_errors(payment, "{'kind':'card','token':'t'}", "");
    assert_errors(payment, "{'kind':'card'}", "#: missing member token");
    assert_errors(payment, "{'kind':'sepa','iban':'x'}", "#/iban: must have at least 15 characters");
    assert_errors(payment, "{'kind':'cash'}", "#/kind: must be one of: \"card\", \"sepa\"");
    assert_errors(payment, "{'token':'t'}", "#: missing member kind, one of: \"card\", \"sepa\"");
    assert_errors(payment, "5", "#: fits none of the 2 allowed forms");
    assert_errors("{'anyOf':[{'type':'string'},{'type':'object','properties':{'a':{'const':1},'b':{'type':'null'}}},"
                  "{'type':'object','properties':{'a':{'const':2}},'required':['b']}]}",
                  "{'a':1,'b':1}", "#/b: must be null");
}

static void test_schema__given_more_errors_than_asked_for_then_it_stops_there(void **state) {
    (void)state;
    struct schema_error errors[2];
    struct schema *s = compiled("{'items':{'type':'integer'}}");
    json_t *v = tree("['a','b','c']");
    assert_int_equal(1, schema_check(s, v, errors, 1));
    assert_string_equal("#/0", errors[0].pointer);
    assert_int_equal(2, schema_check(s, v, errors, 2));
    assert_string_equal("#/1", errors[1].pointer);
    json_decref(v);
    schema_free(s);
}

/* 150 times a character of two bytes. */
static void add_umlauts(struct buf *b) {
    for (int i = 0; i < 150; i++) {
        buf_add_c(b, "\xC3\xBC");
    }
}

static void test_schema__given_long_texts_then_pointer_and_detail_are_cut_cleanly(void **state) {
    (void)state;
    struct schema_error e;
    char name[121];
    char value[512];
    struct buf b;
    memset(name, 'x', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    (void)snprintf(value, sizeof value, "{'%s':{'%s':'a'}}", name, name);
    buf_init(&b, 4096);
    buf_add_c(&b, "{'additionalProperties':{'additionalProperties':{'const':'");
    add_umlauts(&b);
    buf_add(&b, STR("'}}}\0"));
    struct schema *s = compiled(b.p);
    json_t *v = tree(value);
    assert_int_equal(1, schema_check(s, v, &e, 1));
    assert_int_equal(2 + 120, strlen(e.pointer)); /* the ancestor that fits */
    buf_clear(&b);
    buf_add_c(&b, "must be \"");
    add_umlauts(&b);
    size_t n = strlen(e.detail) - 3;
    assert_true(n > SCHEMA_DETAIL_BYTES - 8 && n % 2 == 1); /* behind 9 bytes no character is cut in two */
    assert_memory_equal(b.p, e.detail, n);
    assert_string_equal("\xE2\x80\xA6", e.detail + n);
    buf_free(&b);
    json_decref(v);
    schema_free(s);
}

static void test_schema__given_a_bad_document_then_the_keyword_is_named(void **state) {
    (void)state;
    static const struct {
        const char *schema, *detail;
    } rows[] = {
        {"5", "#: must be a schema: an object, true or false"},
        {"{'properties':{'a':{'contains':{}}}}", "#/properties/a/contains: unknown keyword"},
        {"{'properties':{'a':{'oneOf':[{},{'if':true}]}}}", "#/properties/a/oneOf/1/if: unknown keyword"},
        {"{'$defs':{'unused':{'Type':'string'}}}", "#/$defs/unused/Type: unknown keyword"},
        {"{'':1}", "#/: unknown keyword"},
        {"{'$schema':'http://json-schema.org/draft-07/schema#'}",
         "#/$schema: only https://json-schema.org/draft/2020-12/schema is known"},
        {"{'items':{'$id':'x'}}", "#/items/$id: must be a string, at the root of the document"},
        {"{'type':'int'}", "#/type: must be one or several of null boolean integer number string array object"},
        {"{'type':[]}", "#/type: must not be empty"},
        {"{'type':['null','null']}", "#/type: must be one or several of null boolean integer number string array object"},
        {"{'enum':[]}", "#/enum: must be an array with at least one value"},
        {"{'minimum':'1'}", "#/minimum: must be a number"},
        {"{'multipleOf':0}", "#/multipleOf: must be a number above 0"},
        {"{'multipleOf':'1'}", "#/multipleOf: must be a number above 0"},
        {"{'maxLength':-1}", "#/maxLength: must be an integer of at least 0"},
        {"{'uniqueItems':1}", "#/uniqueItems: must be true or false"},
        {"{'pattern':'a('}", "#/pattern: character 3: missing closing parenthesis"},
        {"{'pattern':1}", "#/pattern: must be a string"},
        {"{'format':'ipv4'}", "#/format: must be one of uuid date-time email uri"},
        {"{'required':'a'}", "#/required: must be an array of names"},
        {"{'required':['a',1]}", "#/required: must be an array of names"},
        {"{'properties':[]}", "#/properties: must be an object"},
        {"{'$defs':[]}", "#/$defs: must be an object"},
        {"{'dependentRequired':[]}", "#/dependentRequired: must be an object"},
        {"{'dependentRequired':{'a':1}}", "#/dependentRequired/a: must be an array of names"},
        {"{'allOf':[]}", "#/allOf: must be an array with at least one schema"},
        {"{'additionalProperties':null}", "#/additionalProperties: must be a schema: an object, true or false"},
        {"{'$ref':'other.json'}", "#/$ref: only references within the document, \"#/$defs/name\""},
        {"{'$ref':'#anchor'}", "#/$ref: only references within the document, \"#/$defs/name\""},
        {"{'$ref':1}", "#/$ref: only references within the document, \"#/$defs/name\""},
        {"{'items':{'$ref':'#/$defs/a'}}", "#/items/$ref: there is nothing at this place in the document"},
        {"{'items':{'$ref':'#/%zz'}}", "#/items/$ref: there is nothing at this place in the document"},
        {"{'items':{'$ref':'#/~'}}", "#/items/$ref: there is nothing at this place in the document"},
        {"{'items':{'$ref':'#/enum'},'enum':[{}]}", "#/items/$ref: what is at this place is not a schema"},
        {"{'$ref':'#'}", "#: leads back to itself without going deeper into the value"},
        {"{'$defs':{'a':{'allOf':[{'$ref':'#/$defs/b'}]},'b':{'not':{'$ref':'#/$defs/a'}}}}",
         "#/$defs/a: leads back to itself without going deeper into the value"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct schema *s = NULL;
        json_t *doc = tree(rows[i].schema);
        struct err e = schema_compile(doc, &s);
        json_decref(doc);
        assert_null(s);
        assert_int_equal(ERR_INVALID, e.code);
        assert_string_equal(rows[i].detail, e.detail);
    }
}

static void test_schema__given_annotations_then_they_change_nothing(void **state) {
    (void)state;
    assert_errors("{'$schema':'https://json-schema.org/draft/2020-12/schema','$id':'https://example.org/x','title':'t',"
                  "'description':'d','default':1,'examples':[1],'deprecated':true,'x-money':{'any':['thing']}}",
                  "{'a':1}", "");
}

static void test_schema__given_references_with_escapes_and_recursion_then_they_are_followed(void **state) {
    (void)state;
    assert_errors("{'items':{'$ref':'#/$defs/a~1b%20~0c'},'$defs':{'a/b ~c':{'type':'null'}}}", "[1]", "#/0: must be null");
    assert_errors("{'items':{'$ref':'#/allOf/1'},'allOf':[{},{'type':'array'}]}", "[1]", "#/0: must be an array");
    assert_errors("{'type':'object','properties':{'left':{'$ref':'#'},'right':{'$ref':'#'},'v':{'type':'integer'}}}",
                  "{'left':{'left':{'v':'x'}},'right':{'v':1}}", "#/left/left/v: must be an integer");
}

/* allOf in allOf …, n schemas in all. */
static struct err compile_nested(int n) {
    struct buf b;
    struct schema *s = NULL;
    buf_init(&b, 64 * 1024);
    buf_add_c(&b, "{'$defs':{");
    for (int i = 1; i < n; i++) {
        buf_addf(&b, "'%d':{'$ref':'#/$defs/%d'},", i, i + 1);
    }
    buf_addf(&b, "'%d':true}}", n);
    buf_add_char(&b, '\0');
    json_t *doc = tree(b.p);
    struct err e = schema_compile(doc, &s);
    schema_free(s);
    json_decref(doc);
    buf_free(&b);
    return e;
}

static void test_schema__given_a_long_chain_of_references_then_it_is_refused(void **state) {
    (void)state;
    assert_ok(compile_nested(32));
    assert_err(ERR_INVALID, compile_nested(33));
    assert_err(ERR_INVALID, compile_nested(500));
}

static void assert_gives_up(const char *schema, const char *value, const char *expected) {
    struct schema_error errors[2];
    struct schema *s = compiled(schema);
    json_t *v = tree(value);
    assert_int_equal(1, schema_check(s, v, errors, 2));
    assert_string_equal("#", errors[0].pointer);
    assert_string_equal(expected, errors[0].detail);
    json_decref(v);
    schema_free(s);
}

/* Each level of the value doubles the work. Under "not" a check that ends early must not come out as valid. */
static void test_schema__given_a_value_too_costly_to_check_then_it_is_refused(void **state) {
    (void)state;
    const char *doubling = "{'not':{'$ref':'#/$defs/a'},'$defs':{'a':{'anyOf':[{'items':{'$ref':'#/$defs/a'},'maxItems':1,'type':"
                           "'array'},{'items':{'$ref':'#/$defs/a'},'minItems':1,'type':'array'}]}}}";
    assert_gives_up(doubling, "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
                    "too large for this schema: checking it would take too long");
    struct buf b;
    buf_init(&b, 64 * 1024);
    buf_add_char(&b, '[');
    for (int i = 0; i < 4000; i++) {
        buf_addf(&b, "%s%d", i > 0 ? "," : "", i);
    }
    buf_add(&b, str_of("]", 2));
    assert_gives_up("{'uniqueItems':true}", b.p, "too large for this schema: checking it would take too long");
    buf_free(&b);
}

static void test_schema__given_explosive_patterns_then_the_value_is_refused(void **state) {
    (void)state;
    const char *costly = "too large for this schema: checking it would take too long";
    assert_gives_up("{'not':{'pattern':'^(a+)+$'}}", "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab'",
                    costly);
    struct buf b; /* each string is cheap enough by itself */
    buf_init(&b, 64 * 1024);
    for (int i = 0; i < 60; i++) {
        buf_addf(&b, "%c'%0500d'", i > 0 ? ',' : '[', 0);
    }
    buf_add(&b, str_of("]", 2));
    assert_gives_up("{'items':{'not':{'pattern':'0.*0.*1|q'}}}", b.p, costly);
    buf_clear(&b); /* little backtracking, but each start scans to the end */
    buf_addf(&b, "'%020000d'", 0);
    buf_add_char(&b, '\0');
    assert_gives_up("{'not':{'pattern':'[0-9]+[a-z]'}}", b.p, costly);
    buf_free(&b);
}

static void test_schema__given_long_strings_then_simple_patterns_still_match(void **state) {
    (void)state;
    char value[8003];
    memset(value, 'a', sizeof value);
    value[0] = value[sizeof value - 2] = '\'';
    value[sizeof value - 1] = '\0';
    assert_errors("{'pattern':'^[a-z]+$'}", value, "");
    assert_errors("{'pattern':'^(a|bc)*$'}", value, "");
    assert_errors("{'pattern':'z$'}", value, "#: must match the pattern z$");
}

static void compile_and_check(void *arg) {
    struct schema *s = NULL;
    struct schema_error e;
    json_t **documents = arg;
    struct err err = schema_compile(documents[0], &s);
    if (err_is_set(err)) {
        assert_true(torture_is_failing());
        assert_int_equal(ERR_NOMEM, err.code);
        assert_null(s);
        return;
    }
    assert_int_equal(1, schema_check(s, documents[1], &e, 1));
    assert_string_equal("#/lines/0/sku", e.pointer);
    schema_free(s);
}

static void refuse(void *arg) {
    struct schema *s = NULL;
    struct err e = schema_compile(arg, &s);
    assert_true(e.code == ERR_INVALID || (torture_is_failing() && e.code == ERR_NOMEM));
    assert_null(s);
}

static void test_schema__given_a_failing_allocation_then_nothing_is_compiled_and_checks_do_not_care(void **state) {
    (void)state;
    json_t *documents[] = {
        tree("{'type':'object','properties':{'lines':{'items':{'$ref':'#/$defs/line'},'uniqueItems':true}},'required':['lines'],"
             "'$defs':{'line':{'oneOf':[{'properties':{'sku':{'type':'string','pattern':'^[a-z]$'}}},false],"
             "'dependentRequired':{'a':['b']}}}}"),
        tree("{'lines':[{'sku':'A','a':1,'b':[1,2,3]}]}"),
    };
    torture(compile_and_check, documents);
    json_t *bad = tree("{'properties':{'a':{'pattern':'a'},'b':{'allOf':[{'$ref':'#/properties/b'}]}}}");
    torture(refuse, bad);
    json_decref(bad);
    json_decref(documents[0]);
    json_decref(documents[1]);
}

int main(void) {
    json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema__given_a_value_that_breaks_a_rule_then_the_error_says_where_and_what),
        cmocka_unit_test(test_schema__given_a_nested_value_then_pointers_lead_to_it),
        cmocka_unit_test(test_schema__given_a_discriminator_then_its_branch_is_explained),
        cmocka_unit_test(test_schema__given_more_errors_than_asked_for_then_it_stops_there),
        cmocka_unit_test(test_schema__given_long_texts_then_pointer_and_detail_are_cut_cleanly),
        cmocka_unit_test(test_schema__given_a_bad_document_then_the_keyword_is_named),
        cmocka_unit_test(test_schema__given_annotations_then_they_change_nothing),
        cmocka_unit_test(test_schema__given_references_with_escapes_and_recursion_then_they_are_followed),
        cmocka_unit_test(test_schema__given_a_long_chain_of_references_then_it_is_refused),
        cmocka_unit_test(test_schema__given_a_value_too_costly_to_check_then_it_is_refused),
        cmocka_unit_test(test_schema__given_explosive_patterns_then_the_value_is_refused),
        cmocka_unit_test(test_schema__given_long_strings_then_simple_patterns_still_match),
        cmocka_unit_test(test_schema__given_a_failing_allocation_then_nothing_is_compiled_and_checks_do_not_care),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
