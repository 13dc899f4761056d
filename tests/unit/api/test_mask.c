#include "../../../api/src/mask.h"

#include <base/json.h>

#include "unit.h"

static json_t *parse(const char *text) {
    json_t *v;
    assert_ok(json_read(str_c(text), &v));
    return v;
}

static void assert_json(const char *wanted, const json_t *v) {
    json_t *w = parse(wanted);
    assert_true(json_equal(w, v));
    json_decref(w);
}

static const char schema_text[] =
    "{\"properties\":{\"token\":{\"x-masked\":true},\"open\":{\"type\":\"string\"},\"deep\":{\"properties\":{\"mail\":{\"x-masked\":true}}},"
    "\"list\":{\"items\":{\"properties\":{\"pin\":{\"x-masked\":true}}}},\"keys\":{\"items\":{\"x-masked\":true}}},"
    "\"oneOf\":[{\"properties\":{\"branch\":{\"x-masked\":true}}}]}";

static void test_mask__given_marked_members_then_stars_wherever_they_are(void **state) {
    (void)state;
    json_t *schema = parse(schema_text);
    json_t *v =
        parse("{\"token\":{\"a\":1},\"open\":\"o\",\"deep\":{\"mail\":\"m\",\"x\":1},\"list\":[{\"pin\":5},{}],\"keys\":[\"k\"],"
              "\"branch\":\"b\",\"other\":\"c\"}");
    assert_ok(mask_hide(schema, v));
    assert_json(
        "{\"token\":\"***\",\"open\":\"o\",\"deep\":{\"mail\":\"***\",\"x\":1},\"list\":[{\"pin\":\"***\"},{}],\"keys\":[\"***\"],"
        "\"branch\":\"***\",\"other\":\"c\"}",
        v);
    json_decref(v);
    json_decref(schema);
}

static void test_mask__given_a_payload_of_another_form_then_it_stays(void **state) {
    (void)state;
    json_t *schema = parse(schema_text);
    json_t *v = parse("{\"deep\":[1],\"list\":{\"pin\":5}}");
    assert_ok(mask_hide(schema, v));
    assert_json("{\"deep\":[1],\"list\":{\"pin\":5}}", v);
    assert_ok(mask_hide(NULL, v));
    json_decref(v);
    json_decref(schema);
}

static void test_mask__given_stars_in_an_edited_payload_then_what_was_there(void **state) {
    (void)state;
    json_t *was = parse("{\"token\":{\"a\":1},\"open\":\"o\",\"list\":[{\"pin\":5}]}");
    json_t *edited =
        parse("{\"token\":\"***\",\"open\":\"new\",\"list\":[{\"pin\":\"***\"},{\"pin\":\"***\"}],\"more\":\"***\"}");
    assert_ok(mask_restore(edited, was));
    assert_json("{\"token\":{\"a\":1},\"open\":\"new\",\"list\":[{\"pin\":5},{\"pin\":\"***\"}],\"more\":\"***\"}", edited);
    json_decref(edited);
    json_decref(was);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mask__given_marked_members_then_stars_wherever_they_are),
        cmocka_unit_test(test_mask__given_a_payload_of_another_form_then_it_stays),
        cmocka_unit_test(test_mask__given_stars_in_an_edited_payload_then_what_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
