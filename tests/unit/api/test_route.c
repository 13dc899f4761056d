#include "../../../api/src/route.h"

#include <stdio.h>

#include "unit.h"

static const char *found(const char *method, const char *path, struct str *out_param, char *out_allow) {
    const struct route *r = route_find(str_c(method), str_c(path), out_param, out_allow);
    return r != NULL ? r->id : "none";
}

static void test_route__given_a_path_then_its_route_and_parameter_are_found(void **state) {
    (void)state;
    static const struct {
        const char *method, *path, *id, *param;
    } cases[] = {
        {"POST", "/v1/jobs", "jobs_post", ""},
        {"POST", "/v1/jobs:batch", "jobs_batch", ""},
        {"GET", "/v1/jobs", "jobs_list", ""},
        {"GET", "/v1/jobs/x", "jobs_get", "x"},
        {"HEAD", "/v1/jobs/x", "jobs_get", "x"},
        {"DELETE", "/v1/jobs/x", "jobs_cancel", "x"},
        {"POST", "/v1/jobs/x/retry", "jobs_retry", "x"},
        {"POST", "/v1/payments/a%20b/refunds", "payments_refund", "a%20b"},
        {"PUT", "/v1/scale/orders", "scale_put", "orders"},
        {"GET", "/openapi.json", "openapi", ""},
        {"POST", "/v1/jobs/retry", "none", ""},
        {"GET", "/v1/jobs/", "none", ""},
        {"GET", "/v1/jobs/a/b", "none", ""},
        {"GET", "/v1/jobs/x/", "none", ""},
        {"POST", "/v1/jobs//retry", "none", ""},
        {"GET", "/V1/jobs", "none", ""},
        {"get", "/v1/jobs", "none", ""},
        {"GET", "", "none", ""},
        {"GET", "/", "ui_home", ""},
        {"GET", "/ui/jobs", "ui_page", "jobs"},
        {"GET", "/ui/", "ui_start", ""},
        {"GET", "/ui/jobs/x", "ui_page", "jobs/x"},
        {"GET", "/ui/assets/main.js", "ui_asset", "main.js"},
        {"GET", "/ui/assets/a/b.js", "ui_asset", "a/b.js"},
        {"GET", "/ui", "none", ""},
        {"GET", "/v1/live/history", "live_history", ""},
    };
    char allow[ROUTE_ALLOW_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct str param = STR("");
        assert_string_equal(cases[i].id, found(cases[i].method, cases[i].path, &param, allow));
        assert_str(cases[i].param, param);
    }
}

static void test_route__given_another_method_then_allow_lists_those_of_the_path(void **state) {
    (void)state;
    struct str param;
    char allow[ROUTE_ALLOW_BYTES];
    assert_string_equal("none", found("PATCH", "/v1/jobs", &param, allow));
    assert_string_equal("POST, GET, HEAD", allow);
    assert_string_equal("none", found("PUT", "/v1/jobs/x", &param, allow));
    assert_string_equal("GET, HEAD, DELETE", allow);
    assert_string_equal("none", found("GET", "/nothing", &param, allow));
    assert_string_equal("", allow);
}

static void test_route__given_the_table_then_every_route_is_found_by_itself_and_described(void **state) {
    (void)state;
    for (size_t i = 0; i < routes_n; i++) {
        const struct route *r = &routes[i];
        char path[128], allow[ROUTE_ALLOW_BYTES];
        const char *open = strchr(r->path, '{');
        (void)snprintf(path, sizeof path, "%.*s%s%s", (int)(open != NULL ? (size_t)(open - r->path) : strlen(r->path)), r->path,
                       open != NULL ? "x" : "", open != NULL ? strchr(open, '}') + 1 : "");
        struct str param;
        assert_string_equal(r->id, found(r->method, path, &param, allow));
        assert_int_equal(open != NULL, r->param != NULL);
        assert_true(strlen(r->summary) > 0 && strlen(r->answers) > 0);
        bool has_body = (r->flags & (ROUTE_BODY | ROUTE_LINES)) != 0;
        assert_int_equal(has_body, r->schema != NULL || r->type != NULL);
        assert_true(!has_body || r->example != NULL);
    }
}

static void test_route__given_a_scope_then_its_name_leads_back_to_it(void **state) {
    (void)state;
    static const enum scope all[] = {SCOPE_VIEW, SCOPE_ENQUEUE, SCOPE_OPERATE, SCOPE_REPLAY, SCOPE_ADMIN};
    unsigned seen = 0;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        assert_int_equal(all[i], scope_parse(str_c(scope_name(all[i]))));
        assert_int_equal(0, seen & all[i]);
        seen |= all[i];
    }
    assert_null(scope_name(SCOPE_NONE));
    assert_int_equal(0, scope_parse(STR("")));
    assert_int_equal(0, scope_parse(STR("views")));
}

static void test_route__given_a_request_then_its_class(void **state) {
    (void)state;
    static const struct {
        const char *method, *path, *quick, *waited;
    } cases[] = {
        {"POST", "/v1/jobs", "produce", "command"},
        {"POST", "/v1/orders", "produce", "command"},
        {"DELETE", "/v1/jobs/x", "produce", "command"},
        {"GET", "/v1/jobs/x", "read", "watch"},
        {"HEAD", "/v1/queues", "read", "watch"},
        {"PUT", "/v1/scale/x", "operate", "operate"},
        {"POST", "/v1/jobs/x/retry", "operate", "operate"},
        {"GET", "/metrics", "probe", "probe"},
        {"GET", "/readyz", "probe", "probe"},
        {"GET", "/nothing", "none", "none"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char allow[ROUTE_ALLOW_BYTES];
        struct str param;
        const struct route *r = route_find(str_c(cases[i].method), str_c(cases[i].path), &param, allow);
        assert_string_equal(cases[i].quick, route_class(r, false));
        assert_string_equal(cases[i].waited, route_class(r, true));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_route__given_a_path_then_its_route_and_parameter_are_found),
        cmocka_unit_test(test_route__given_another_method_then_allow_lists_those_of_the_path),
        cmocka_unit_test(test_route__given_the_table_then_every_route_is_found_by_itself_and_described),
        cmocka_unit_test(test_route__given_a_request_then_its_class),
        cmocka_unit_test(test_route__given_a_scope_then_its_name_leads_back_to_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
