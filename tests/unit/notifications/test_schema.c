#include <notifications/notifications.h>

#include "payload_schema.h"

#define HOOK(members) "{\"url\":\"https://example.com/hook\",\"event_type\":\"order.confirmed\",\"data\":{}" members "}"
#define HOOK_URL(url) "{\"url\":\"" url "\",\"event_type\":\"a\",\"data\":{}}"
#define HOOK_TYPE(type) "{\"url\":\"https://example.com\",\"event_type\":\"" type "\",\"data\":{}}"
#define MAIL(members) "{\"to\":\"a@example.com\",\"subject\":\"Hello\",\"text\":\"Hi\"" members "}"
#define MAIL_TO(to) "{\"to\":\"" to "\",\"subject\":\"Hello\",\"text\":\"Hi\"}"
#define MAIL_SUBJECT(subject) "{\"to\":\"a@example.com\",\"subject\":\"" subject "\",\"text\":\"Hi\"}"

static const struct payload_row rows[] = {
    {"notify.webhook", HOOK(""), true},
    {"notify.webhook", HOOK(",\"on_unknown\":\"resend\""), true},
    {"notify.webhook", HOOK(",\"on_unknown\":\"never\""), true},
    {"notify.webhook", HOOK(",\"on_unknown\":\"ask\""), false},
    {"notify.webhook", HOOK(",\"secret\":\"x\""), false},
    {"notify.webhook", HOOK_URL("http://127.0.0.1:8090/hook"), true}, /* whether it may be called is said when it is */
    {"notify.webhook", HOOK_URL("https://user@example.com"), true},
    {"notify.webhook", HOOK_URL("ftp://example.com"), false},
    {"notify.webhook", HOOK_URL("file:///etc/passwd"), false},
    {"notify.webhook", HOOK_URL("https://"), false},
    {"notify.webhook", HOOK_URL("example.com"), false},
    {"notify.webhook", HOOK_URL(" https://example.com"), false},
    {"notify.webhook", HOOK_URL("https://example.com/a b"), false},
    {"notify.webhook", HOOK_URL("https://example.com/a\\r\\nX: y"), false},
    {"notify.webhook", HOOK_URL("https://example.com/\\n"), false},
    {"notify.webhook", HOOK_TYPE("order.confirmed.v2"), true},
    {"notify.webhook", HOOK_TYPE("order_confirmed"), true},
    {"notify.webhook", HOOK_TYPE(""), false},
    {"notify.webhook", HOOK_TYPE("."), false},
    {"notify.webhook", HOOK_TYPE("order."), false},
    {"notify.webhook", HOOK_TYPE("order-confirmed"), false},
    {"notify.webhook", HOOK_TYPE("order.confirmed\\n"), false},
    {"notify.webhook", "{\"url\":\"https://example.com\",\"event_type\":\"a\",\"data\":[]}", false},
    {"notify.webhook", "{\"url\":\"https://example.com\",\"event_type\":\"a\"}", false},
    {"notify.webhook", "{\"event_type\":\"a\",\"data\":{}}", false},
    {"notify.webhook", "{\"url\":\"https://example.com\",\"data\":{}}", false},
    {"notify.webhook", "{}", false},
    {"notify.email", MAIL(""), true},
    {"notify.email", MAIL(",\"on_unknown\":\"never\""), true},
    {"notify.email", MAIL(",\"from\":\"b@example.com\""), false},
    {"notify.email", MAIL_TO("first.last+tag@sub.example.com"), true},
    {"notify.email", MAIL_TO("a"), false},
    {"notify.email", MAIL_TO("a@"), false},
    {"notify.email", MAIL_TO("@example.com"), false},
    {"notify.email", MAIL_TO("A <a@example.com>"), false},
    {"notify.email", MAIL_TO("a@example.com, b@example.com"), false},
    {"notify.email", MAIL_TO("a@example.com\\r\\nBcc: b@example.com"), false},
    {"notify.email", MAIL_TO("a@example.com\\n"), false},
    {"notify.email", MAIL_SUBJECT("Gr\\u00fc\\u00dfe"), true},
    {"notify.email", MAIL_SUBJECT(""), false},
    {"notify.email", MAIL_SUBJECT("a\\r\\nBcc: b@example.com"), false},
    {"notify.email", MAIL_SUBJECT("a\\n"), false},
    {"notify.email", MAIL_SUBJECT("a\\r"), false},
    {"notify.email", "{\"to\":\"a@example.com\",\"subject\":\"s\"}", false},
    {"notify.email", "{\"to\":\"a@example.com\",\"text\":\"t\"}", false},
    {"notify.email", "{\"subject\":\"s\",\"text\":\"t\"}", false},
};

static void test_schema__given_payloads_then_taken_or_refused(void **state) {
    (void)state;
    assert_payloads(&notifications_module, rows, sizeof rows / sizeof rows[0]);
}

/* Lengths at their limits, and one more. */
static void test_schema__given_long_members_then_bounded(void **state) {
    (void)state;
    static const struct {
        const char *type, *before, *after;
        int limit;
    } limits[] = {
        {"notify.webhook", "{\"url\":\"https://e/", "\",\"event_type\":\"a\",\"data\":{}}", 2000 - 10},
        {"notify.webhook", "{\"url\":\"https://e\",\"event_type\":\"", "\",\"data\":{}}", 100},
        {"notify.email", "{\"to\":\"a@e.com\",\"text\":\"t\",\"subject\":\"", "\"}", 200},
        {"notify.email", "{\"to\":\"a@e.com\",\"subject\":\"s\",\"text\":\"", "\"}", 50000},
    };
    static char text[50100], payload[50300];
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        for (int extra = 0; extra < 2; extra++) {
            memset(text, 'x', sizeof text);
            text[limits[i].limit + extra] = '\0';
            (void)snprintf(payload, sizeof payload, "%s%s%s", limits[i].before, text, limits[i].after);
            const struct payload_row row = {limits[i].type, payload, extra == 0};
            assert_payloads(&notifications_module, &row, 1);
        }
    }
}

static void test_types__then_sound(void **state) {
    (void)state;
    assert_types_are_sound(&notifications_module);
    for (size_t i = 0; i < notifications_module.types_n; i++) {
        assert_int_equal(CLASS_JOURNAL, notifications_module.types[i].class);
        assert_true(notifications_module.types[i].key_required);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema__given_payloads_then_taken_or_refused),
        cmocka_unit_test(test_schema__given_long_members_then_bounded),
        cmocka_unit_test(test_types__then_sound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
