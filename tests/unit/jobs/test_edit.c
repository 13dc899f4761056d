#include <jobs/edit.h>

#include <base/json.h>

#include "unit.h"

static void becomes(const char *original, const char *change, bool is_patch, const char *expected) {
    json_t *c, *out = NULL;
    struct buf b;
    assert_ok(json_read(str_c(change), &c));
    assert_ok(edit_payload(c, is_patch, str_c(original), &out));
    buf_init(&b, 4096);
    assert_ok(json_write(out, &b));
    assert_str(expected, buf_str(&b));
    buf_free(&b);
    json_decref(out);
    json_decref(c);
}

/* RFC 7396, appendix A, as far as payloads and patches are objects. */
static void test_edit__given_the_patches_of_the_rfc_then_its_results(void **state) {
    (void)state;
    static const char *const rows[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        becomes(rows[i][0], rows[i][1], true, rows[i][2]);
    }
}

static void test_edit__given_stars_then_what_was_there(void **state) {
    (void)state;
    becomes("{\"to\":\"a@b.example\",\"n\":1}", "{\"to\":\"***\",\"n\":2}", false, "{\"to\":\"a@b.example\",\"n\":2}");
    becomes("{\"card\":{\"no\":\"4111\",\"cvc\":\"1\"}}", "{\"card\":{\"no\":\"***\",\"cvc\":null}}", true,
            "{\"card\":{\"no\":\"4111\"}}");
    becomes("{\"l\":[{\"to\":\"x\"}]}", "{\"l\":[{\"to\":\"***\"},{\"to\":\"***\"}]}", true,
            "{\"l\":[{\"to\":\"x\"},{\"to\":\"***\"}]}");
}

static void test_edit__given_an_original_that_is_no_json_then_the_change_alone(void **state) {
    (void)state;
    becomes("not json", "{\"a\":1}", false, "{\"a\":1}");
    becomes("not json", "{\"a\":1,\"b\":null}", true, "{\"a\":1}");
}

/* A patch is for many jobs: what one of them has of its own must not get into it. */
static void test_edit__given_a_patch_for_two_then_neither_has_of_the_other(void **state) {
    (void)state;
    json_t *patch, *first, *second;
    assert_ok(json_read(STR("{\"l\":[{\"to\":\"***\"}],\"o\":{\"a\":1}}"), &patch));
    assert_ok(edit_payload(patch, true, STR("{\"l\":[{\"to\":\"x\"}]}"), &first));
    assert_ok(edit_payload(patch, true, STR("{\"l\":[{\"to\":\"y\"}]}"), &second));
    assert_string_equal("y", json_string_value(json_object_get(json_array_get(json_object_get(second, "l"), 0), "to")));
    json_decref(first);
    json_decref(second);
    json_decref(patch);
}

static void patch_once(void *arg) {
    json_t *out;
    if (!err_is_set(edit_payload(arg, true, STR("{\"to\":\"x\",\"l\":[{\"to\":\"y\"}],\"gone\":1}"), &out))) {
        json_decref(out);
    }
}

static void test_edit__given_any_allocation_fails_then_an_error_and_no_leak(void **state) {
    (void)state;
    json_t *patch;
    assert_ok(json_read(
        STR("{\"to\":\"***\",\"l\":[{\"to\":\"***\",\"n\":{\"m\":[1,2]}}],\"o\":{\"p\":{\"q\":2}},\"gone\":null}"), &patch));
    torture(patch_once, patch);
    json_decref(patch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edit__given_the_patches_of_the_rfc_then_its_results),
        cmocka_unit_test(test_edit__given_stars_then_what_was_there),
        cmocka_unit_test(test_edit__given_an_original_that_is_no_json_then_the_change_alone),
        cmocka_unit_test(test_edit__given_a_patch_for_two_then_neither_has_of_the_other),
        cmocka_unit_test(test_edit__given_any_allocation_fails_then_an_error_and_no_leak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
