#include <base/crypto.h>
#include <base/ids.h>

#include <openssl/crypto.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static void assert_hex(const char *expected, const uint8_t digest[SHA256_BYTES]) {
    char hex[SHA256_HEX_BYTES];
    hex_encode(digest, SHA256_BYTES, hex);
    assert_string_equal(expected, hex);
}

static void test_crypto__sha256_matches_fips_180(void **state) {
    (void)state;
    uint8_t out[SHA256_BYTES];
    assert_ok(sha256(STR_NONE, out));
    assert_hex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", out);
    assert_ok(sha256(STR("abc"), out));
    assert_hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", out);
    const struct str parts[] = {STR("a"), STR_NONE, STR(""), STR("bc")};
    assert_ok(sha256_parts(parts, 4, out));
    assert_hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", out);
}

static void test_crypto__hmac_matches_rfc_4231(void **state) {
    (void)state;
    uint8_t out[SHA256_BYTES];
    char key[131];
    memset(key, 0x0b, 20);
    assert_ok(hmac_sha256(str_of(key, 20), (const struct str[]){STR("Hi "), STR("There")}, 2, out));
    assert_hex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7", out);
    assert_ok(hmac_sha256(STR("Jefe"), &STR("what do ya want for nothing?"), 1, out));
    assert_hex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843", out);
    memset(key, 0xaa, sizeof key); /* longer than a block: hashed first */
    assert_ok(hmac_sha256(str_of(key, sizeof key), &STR("Test Using Larger Than Block-Size Key - Hash Key First"), 1, out));
    assert_hex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54", out);
    assert_ok(hmac_sha256(STR_NONE, NULL, 0, out));
    assert_hex("b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad", out);
}

static void test_crypto__hex_goes_there_and_back(void **state) {
    (void)state;
    uint8_t bytes[3] = {0x00, 0xab, 0xff};
    char hex[7];
    hex_encode(bytes, 3, hex);
    assert_string_equal("00abff", hex);
    uint8_t back[3] = {9, 9, 9};
    static const char *const bad[] = {"00abf", "00abff0", "00abff00", "00abfg", "00ab f", "", "0x00ab"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(hex_decode(str_c(bad[i]), back, 3));
        assert_int_equal(9, back[0]);
    }
    assert_true(hex_decode(STR("00AbFf"), back, 3));
    assert_memory_equal(bytes, back, 3);
    uint8_t all[256], all_back[256];
    char text[2 * sizeof all + 1], one[3];
    for (size_t i = 0; i < sizeof all; i++) {
        all[i] = (uint8_t)(i * 7);
    }
    for (size_t n = 0; n <= sizeof all; n++) {
        hex_encode(all, n, text);
        assert_int_equal(2 * n, strlen(text));
        assert_true(hex_decode(str_of(text, 2 * n), all_back, n));
        assert_memory_equal(all, all_back, n);
    }
    for (size_t i = 0; i < sizeof all; i++) {
        (void)snprintf(one, sizeof one, "%02x", all[i]);
        assert_memory_equal(one, text + 2 * i, 2);
    }
    assert_true(hex_decode(STR_NONE, back, 0));
}

static void test_crypto__base64_matches_rfc_4648_and_comes_back(void **state) {
    (void)state;
    static const struct {
        const char *plain, *standard, *url;
    } cases[] = {
        {"", "", ""},
        {"f", "Zg==", "Zg"},
        {"fo", "Zm8=", "Zm8"},
        {"foo", "Zm9v", "Zm9v"},
        {"foob", "Zm9vYg==", "Zm9vYg"},
        {"fooba", "Zm9vYmE=", "Zm9vYmE"},
        {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
        {"\xfb\xef\xff\xfe", "++///g==", "--___g"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf b;
        buf_init(&b, 64);
        buf_add_c(&b, "=+/"); /* what was there is not touched */
        base64_add(&b, str_c(cases[i].plain));
        assert_ok(buf_status(&b));
        buf_drop(&b, 3);
        assert_str(cases[i].standard, buf_str(&b));
        buf_clear(&b);
        buf_add_c(&b, "=+/");
        base64url_add(&b, str_c(cases[i].plain));
        buf_drop(&b, 3);
        assert_str(cases[i].url, buf_str(&b));
        buf_clear(&b);
        assert_ok(base64_decode(str_c(cases[i].standard), &b));
        assert_str(cases[i].plain, buf_str(&b));
        buf_free(&b);
    }
}

static void test_crypto__given_what_is_not_base64_then_it_is_refused_and_nothing_appended(void **state) {
    (void)state;
    static const char *const bad[] = {"Zg",     "Zg=",   "Zg===", "=Zg=", "Z===",     "====",    "=",
                                      "Zm9v\n", "Zm9v ", " Zm9",  "Zm-_", "Zg==Zg==", "Zm9\x80", "Zm=v"};
    struct buf b;
    buf_init(&b, 64);
    buf_add_c(&b, "x");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_err(ERR_INVALID, base64_decode(str_c(bad[i]), &b));
        assert_str("x", buf_str(&b));
    }
    assert_err(ERR_INVALID, base64_decode(str_of("Zm\0v", 4), &b));
    buf_free(&b);
    buf_init(&b, 4);
    assert_err(ERR_TOO_LARGE, base64_decode(STR("Zm9vYmFy"), &b));
    base64_add(&b, STR("foobar"));
    assert_int_equal(0, b.n);
    buf_free(&b);
}

static void test_crypto__equality_and_randomness(void **state) {
    (void)state;
    assert_true(crypto_equal("abc", "abd", 2));
    assert_false(crypto_equal("abc", "abd", 3));
    uint8_t many[1000] = {0}; /* more than one getrandom may give */
    unsigned zeros = 0;
    crypto_random(many, sizeof many);
    for (size_t i = 0; i < sizeof many; i++) {
        zeros += many[i] == 0;
    }
    assert_true(zeros < 40); /* about 4 are to be expected */
    crypto_wipe(many, sizeof many);
    for (size_t i = 0; i < sizeof many; i++) {
        assert_int_equal(0, many[i]);
    }
}

static void random_ids(uint8_t out[][10], size_t n) {
    for (size_t i = 0; i < n; i++) {
        crypto_random_id(out[i], sizeof out[i]);
    }
}

static void test_crypto__random_ids_never_repeat(void **state) {
    (void)state;
    enum { IDS = 1000 }; /* more than are drawn at once */
    static uint8_t ids[IDS][10];
    random_ids(ids, IDS);
    for (size_t i = 0; i < IDS; i++) {
        for (size_t k = 0; k < i; k++) {
            assert_memory_not_equal(ids[k], ids[i], sizeof ids[i]);
        }
    }
    static uint8_t large[10000];
    unsigned zeros = 0;
    crypto_random_id(large, sizeof large);
    for (size_t i = 0; i < sizeof large; i++) {
        zeros += large[i] == 0;
    }
    assert_true(zeros < 100); /* about 40 are to be expected */
}

static void test_crypto__given_a_fork_then_parent_and_child_make_different_ids(void **state) {
    (void)state;
    uint8_t ours[2][10], theirs[2][10];
    int ends[2], status;
    assert_int_equal(0, pipe(ends));
    random_ids(ours, 1); /* some are drawn ahead now */
    pid_t child = fork();
    if (child == 0) {
        random_ids(theirs, 2);
        _exit(write(ends[1], theirs, sizeof theirs) == (ssize_t)sizeof theirs ? 0 : 1);
    }
    random_ids(ours, 2);
    assert_int_equal(child, waitpid(child, &status, 0));
    assert_int_equal(sizeof theirs, read(ends[0], theirs, sizeof theirs));
    for (size_t i = 0; i < 4; i++) {
        assert_memory_not_equal(ours[i / 2], theirs[i % 2], sizeof theirs[0]);
    }
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void encode(void *arg) {
    (void)arg;
    struct buf b;
    buf_init(&b, 4096);
    for (int i = 0; i < 20; i++) {
        base64_add(&b, STR("some bytes"));
        base64url_add(&b, STR("some bytes"));
    }
    struct err e = base64_decode(STR("Zm9v"), &b);
    if (!torture_is_failing()) {
        assert_ok(e);
        assert_int_equal(20 * (16 + 14) + 3, b.n);
    }
    buf_free(&b);
}

static void test_crypto__given_no_memory_then_the_buffer_says_so(void **state) {
    (void)state;
    torture(encode, NULL);
}

/* OpenSSL's own allocations, by way of the wrapped malloc. */
static void *openssl_malloc(size_t n, const char *file, int line) {
    (void)file, (void)line;
    return malloc(n);
}
static void *openssl_realloc(void *p, size_t n, const char *file, int line) {
    (void)file, (void)line;
    return realloc(p, n);
}
static void openssl_free(void *p, const char *file, int line) {
    (void)file, (void)line;
    free(p);
}

static void digest(void *arg) {
    bool *any_failed = arg;
    uint8_t a[SHA256_BYTES];
    uint8_t b[SHA256_BYTES];
    struct uuid id = {{1}};
    struct err e[] = {sha256(STR("abc"), a), hmac_sha256(STR("key"), &STR("data"), 1, b),
                      id_derive(id, STR("step"), (struct job_place){0}, &id)};
    for (size_t i = 0; i < sizeof e / sizeof e[0]; i++) {
        if (!torture_is_failing()) {
            assert_ok(e[i]);
        } else if (err_is_set(e[i])) {
            assert_err(ERR_NOMEM, e[i]);
            *any_failed = true;
        }
    }
    if (!err_is_set(e[0])) {
        assert_hex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", a);
    }
}

static void test_crypto__given_no_memory_in_openssl_then_an_error_and_no_wrong_digest(void **state) {
    (void)state;
    bool any_failed = false;
    torture(digest, &any_failed);
    assert_true(any_failed);
}

int main(void) {
    if (CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) != 1) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crypto__sha256_matches_fips_180),
        cmocka_unit_test(test_crypto__hmac_matches_rfc_4231),
        cmocka_unit_test(test_crypto__hex_goes_there_and_back),
        cmocka_unit_test(test_crypto__base64_matches_rfc_4648_and_comes_back),
        cmocka_unit_test(test_crypto__given_what_is_not_base64_then_it_is_refused_and_nothing_appended),
        cmocka_unit_test(test_crypto__equality_and_randomness),
        cmocka_unit_test(test_crypto__random_ids_never_repeat),
        cmocka_unit_test(test_crypto__given_a_fork_then_parent_and_child_make_different_ids),
        cmocka_unit_test(test_crypto__given_no_memory_then_the_buffer_says_so),
        cmocka_unit_test(test_crypto__given_no_memory_in_openssl_then_an_error_and_no_wrong_digest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
