#include <jobs/mask.h>

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
        cmocka_unit_test(test_mask__given_stars_in_an_edited_payload_then_what_was_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
