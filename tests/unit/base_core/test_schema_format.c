#include <base/json.h>
#include <base/schema.h>

#include "unit.h"

/* Many rows are those of the official test suite of JSON Schema. */
static const struct {
    const char *format, *value;
    bool holds;
} rows[] = {
    {"uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d16380", true},
    {"uuid", "2EB8AA08-AA98-11EA-B4AA-73B441D16380", true},
    {"uuid", "00000000-0000-0000-0000-000000000000", true},
    {"uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d1638", false},
    {"uuid", "2eb8aa08-aa98-11ea-b4aa-73b441d1638g", false},
    {"uuid", "2eb8aa08aa98-11ea-b4aa73b441d16380----", false},
    {"uuid", "{2eb8aa08-aa98-11ea-b4aa-73b441d16380}", false},
    {"date-time", "1963-06-19T08:30:06.283185Z", true},
    {"date-time", "1990-12-31T15:59:50.123-08:00", true},
    {"date-time", "1998-12-31T23:59:60Z", true},
    {"date-time", "1998-12-31T15:59:60.123-08:00", true},
    {"date-time", "1998-12-31T23:58:60Z", false},
    {"date-time", "1998-12-31T22:59:60Z", false},
    {"date-time", "1998-12-31T23:59:61Z", false},
    {"date-time", "1963-06-19t08:30:06.283185z", true},
    {"date-time", "2000-02-29T00:00:00Z", true},
    {"date-time", "1900-02-29T00:00:00Z", false},
    {"date-time", "2021-02-29T00:00:00Z", false},
    {"date-time", "2021-04-31T00:00:00Z", false},
    {"date-time", "2021-00-10T00:00:00Z", false},
    {"date-time", "2021-01-00T00:00:00Z", false},
    {"date-time", "1990-12-31T24:00:00Z", false},
    {"date-time", "1990-12-31T23:60:00Z", false},
    {"date-time", "1990-12-31T15:59:59-24:00", false},
    {"date-time", "1990-12-31T15:59:59+08:60", false},
    {"date-time", "1990-12-31T15:59:59+0800", false},
    {"date-time", "1963-06-19T08:30:06.Z", false},
    {"date-time", "1963-06-19T08:30:06", false},
    {"date-time", "1963-06-19 08:30:06Z", false},
    {"date-time", "1963-6-19T08:30:06Z", false},
    {"date-time", "1963-06-19T08:30:06Z ", false},
    {"date-time", "2013-350T01:01:01", false},
    {"email", "joe.bloggs@example.com", true},
    {"email", "te~st+x@example.com", true},
    {"email", "a@localhost", true},
    {"email", ".test@example.com", false},
    {"email", "test.@example.com", false},
    {"email", "te..st@example.com", false},
    {"email", "2962", false},
    {"email", "a@b@c", false},
    {"email", "a@", false},
    {"email", "a@example.org.", false},
    {"email", "a@exam_ple.org", false},
    {"email", "a@-x.org", false},
    {"email", "a\r\n@example.org", false},
    {"email", "a@example.org\n", false},
    {"email", "0123456789012345678901234567890123456789012345678901234567890123@x.org", true},
    {"email", "01234567890123456789012345678901234567890123456789012345678901234@x.org", false},
    {"uri", "http://foo.bar/?baz=qux#quux", true},
    {"uri", "http://foo.com/blah_(wikipedia)_blah#cite-1", true},
    {"uri", "http://foo.bar/?q=Test%20URL-encoded%20stuff", true},
    {"uri", "http://-.~_!$&'()*+,;=:%40:80%2f::::::@example.com", true},
    {"uri", "http://223.255.255.254", true},
    {"uri", "ftp://ftp.is.co.za/rfc/rfc1808.txt", true},
    {"uri", "ldap://[2001:db8::7]/c=GB?objectClass?one", true},
    {"uri", "mailto:John.Doe@example.com", true},
    {"uri", "tel:+1-816-555-1212", true},
    {"uri", "urn:oasis:names:specification:docbook:dtd:xml:4.1.2", true},
    {"uri", "file:///etc/hosts", true},
    {"uri", "http://example.org:/", true},
    {"uri", "//foo.bar/?baz=qux#quux", false},
    {"uri", "/abc", false},
    {"uri", "abc", false},
    {"uri", "", false},
    {"uri", "http:// shouldfail.com", false},
    {"uri", ":// should fail", false},
    {"uri", "bar,baz:foo", false},
    {"uri", "1http://example.org", false},
    {"uri", "https://[@example.org/", false},
    {"uri", "https://example.org/foobar%5", false},
    {"uri", "https://example.org/foobar\\.txt", false},
    {"uri", "https://example.org/foobar<>.txt", false},
    {"uri", "https://example.org/[x]", false},
    {"uri", "http://[::1", false},
    {"uri", "http://[::12345]/", false},
    {"uri", "http://example.org:8a/", false},
    {"uri", "http://example.org/#a#b", false},
    {"uri", "http://example.org/\xC3\xBC", false},
};

static void test_schema_format__given_strings_then_the_format_is_asserted(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct schema *s = NULL;
        struct schema_error e;
        json_t *doc = json_pack("{s:s}", "format", rows[i].format);
        json_t *v = json_string(rows[i].value);
        assert_ok(schema_compile(doc, &s));
        if ((schema_check(s, v, &e, 1) == 0) != rows[i].holds) {
            fail_msg("%s: %s", rows[i].format, rows[i].value);
        }
        json_decref(v);
        json_decref(doc);
        schema_free(s);
    }
}

static void test_schema_format__given_other_types_then_formats_say_nothing(void **state) {
    (void)state;
    struct schema *s = NULL;
    struct schema_error e;
    json_t *doc = json_pack("{s:s}", "format", "uri");
    json_t *v = json_integer(1);
    assert_ok(schema_compile(doc, &s));
    assert_int_equal(0, schema_check(s, v, &e, 1));
    json_decref(v);
    json_decref(doc);
    schema_free(s);
}

int main(void) {
    json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schema_format__given_strings_then_the_format_is_asserted),
        cmocka_unit_test(test_schema_format__given_other_types_then_formats_say_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
