#include <string.h>

#include "unit.h"
#include <jobs/signature.h>

/* The first is the example of the Standard Webhooks specification, which its libraries test against; the others were computed
 * with Python's hmac. */
static const struct {
    const char *secret;
    struct str id, timestamp, body;
    const char *signature;
} vectors[] = {
    {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", STR("msg_p5jXN8AQM9LWM0D4loKWxJek"), STR("1614265330"),
     STR("{\"test\": 2432232314}"), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
    {"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", STR("msg_p5jXN8AQM9LWM0D4loKWxJek"), STR("1614265330"), STR("{\"test\": 2432232314}"),
     "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
    {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", STR(""), STR("0"), STR(""), "v1,VzQ28JIFJf+0udpQ8sGkwkIaWjCGsXxrtnallQa/U+k="},
    {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", STR(""), STR("0"), STR(""),
     "v1,VzQ28JIFJf+0udpQ8sGkwkIaWjCGsXxrtnallQa/U+k= v1,AKjH3HeictF1+Zy8BZ1/dj+fVdBSHwXklI4rupgvoNs="},
    {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", STR("a.b"), STR("1"), STR("\0\xff\n\""),
     "v1,HzxWTmld3sdwVQDxoDTee7dk6kiZbF7kJRhn9kDUNsM="},
};

static void test_signature__given_vectors_then_as_computed_elsewhere(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct buf out;
        buf_init(&out, 128);
        assert_ok(signature_add(&out, str_c(vectors[i].secret), vectors[i].id, vectors[i].timestamp, vectors[i].body));
        assert_str(vectors[i].signature, buf_str(&out));
        buf_free(&out);
    }
}

static void test_signature__a_key_of_64_bytes_then_the_whole_of_it_counts(void **state) {
    (void)state;
    static char body[1001];
    struct buf out;
    memset(body, 'x', 1000);
    buf_init(&out, 128);
    assert_ok(signature_add(&out,
                            STR("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw=="),
                            STR("m"), STR("1700000000"), str_c(body)));
    assert_str("v1,59Eq6X1M9sOuu8NJIfzzyx5SeXsvXmGWrP05/VuDKmw=", buf_str(&out));
    buf_free(&out);
}

static void test_signature__a_secret_that_is_none_then_refused(void **state) {
    (void)state;
    static const char *const secrets[] = {"",
                                          "whsec_",
                                          "whsec_not base64",
                                          "whsec_MfKQ9r8",
                                          "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
                                          "=",
                                          " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                                          "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n"};
    for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
        struct buf out;
        buf_init(&out, 128);
        assert_err(ERR_INVALID, signature_add(&out, str_c(secrets[i]), STR("m"), STR("1"), STR("{}")));
        assert_int_equal(0, out.n);
        buf_free(&out);
    }
}

static void test_signature__secrets_of_a_setting_then_none_one_or_two(void **state) {
    (void)state;
    assert_ok(signature_check("", "s"));
    assert_ok(signature_check("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "s"));
    assert_ok(signature_check("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw AAAA", "s"));
    assert_err(ERR_INVALID, signature_check("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw AAAA AAAA", "s"));
    assert_err(ERR_INVALID, signature_check("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_", "s"));
    assert_string_equal("s: empty", signature_check("whsec_", "s").detail);
}

static void scenario(void *arg) {
    (void)arg;
    struct buf out;
    buf_init(&out, 128);
    struct err e = signature_add(&out, str_c(vectors[0].secret), vectors[0].id, vectors[0].timestamp, vectors[0].body);
    assert_true(!err_is_set(e) || torture_is_failing());
    if (!err_is_set(e)) {
        assert_str(vectors[0].signature, buf_str(&out));
    }
    buf_free(&out);
}

static void test_signature__any_allocation_fails_then_right_or_an_error(void **state) {
    (void)state;
    torture(scenario, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signature__given_vectors_then_as_computed_elsewhere),
        cmocka_unit_test(test_signature__a_key_of_64_bytes_then_the_whole_of_it_counts),
        cmocka_unit_test(test_signature__a_secret_that_is_none_then_refused),
        cmocka_unit_test(test_signature__secrets_of_a_setting_then_none_one_or_two),
        cmocka_unit_test(test_signature__any_allocation_fails_then_right_or_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
