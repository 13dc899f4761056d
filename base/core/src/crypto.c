/* OpenSSL 3 by its EVP interface. Fetching an algorithm costs more than using it, so each is fetched once per process. */
#include <base/crypto.h>

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>

/* Kept until the process ends. A fetch that failed is tried again by the next caller, which pthread_once would not do. */
static _Atomic(EVP_MD *) sha256_algorithm;
static _Atomic(EVP_MAC *) hmac_algorithm;

static EVP_MD *fetch_sha256(void) {
    EVP_MD *md = atomic_load(&sha256_algorithm);
    if (md != NULL) {
        return md;
    }
    EVP_MD *fetched = EVP_MD_fetch(NULL, "SHA256", NULL);
    if (fetched != NULL && !atomic_compare_exchange_strong(&sha256_algorithm, &md, fetched)) {
        EVP_MD_free(fetched); /* another thread was first; md is now its */
        return md;
    }
    return fetched;
}

static EVP_MAC *fetch_hmac(void) {
    EVP_MAC *mac = atomic_load(&hmac_algorithm);
    if (mac != NULL) {
        return mac;
    }
    EVP_MAC *fetched = EVP_MAC_fetch(NULL, "HMAC", NULL);
    if (fetched != NULL && !atomic_compare_exchange_strong(&hmac_algorithm, &mac, fetched)) {
        EVP_MAC_free(fetched);
        return mac;
    }
    return fetched;
}

struct err sha256(struct str data, uint8_t out[SHA256_BYTES]) {
    return sha256_parts(&data, 1, out);
}

/* A context that nobody uses just now: making one takes as long as hashing a short text. */
static _Atomic(EVP_MD_CTX *) spare_context;

static EVP_MD_CTX *take_context(void) {
    EVP_MD_CTX *ctx = atomic_exchange(&spare_context, NULL);
    return ctx != NULL ? ctx : EVP_MD_CTX_new();
}

static void give_context(EVP_MD_CTX *ctx) { EVP_MD_CTX_free(atomic_exchange(&spare_context, ctx)); }

struct err sha256_parts(const struct str *parts, size_t n, uint8_t out[SHA256_BYTES]) {
    EVP_MD *md = fetch_sha256();
    EVP_MD_CTX *ctx = take_context();
    bool ok = md != NULL && ctx != NULL && EVP_DigestInit_ex2(ctx, md, NULL) == 1;
    for (size_t i = 0; ok && i < n; i++) {
        ok = EVP_DigestUpdate(ctx, parts[i].p, parts[i].n) == 1;
    }
    ok = ok && EVP_DigestFinal_ex(ctx, out, NULL) == 1;
    if (ok) {
        give_context(ctx);
    } else {
        EVP_MD_CTX_free(ctx);
    }
    return ok ? OK : err_make(ERR_NOMEM, "SHA-256");
}

struct err hmac_sha256(struct str key, const struct str *parts, size_t n, uint8_t out[SHA256_BYTES]) {
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, sizeof digest - 1), OSSL_PARAM_END};
    const unsigned char *key_bytes = (const unsigned char *)(key.p != NULL ? key.p : ""); /* NULL would mean "keep the old key" */
    EVP_MAC *mac = fetch_hmac();
    EVP_MAC_CTX *ctx = mac != NULL ? EVP_MAC_CTX_new(mac) : NULL;
    size_t written;
    bool ok = ctx != NULL && EVP_MAC_init(ctx, key_bytes, key.n, params) == 1;
    for (size_t i = 0; ok && i < n; i++) {
        ok = EVP_MAC_update(ctx, (const unsigned char *)parts[i].p, parts[i].n) == 1;
    }
    ok = ok && EVP_MAC_final(ctx, out, &written, SHA256_BYTES) == 1;
    EVP_MAC_CTX_free(ctx);
    return ok ? OK : err_make(ERR_NOMEM, "HMAC-SHA-256");
}

bool crypto_equal(const void *a, const void *b, size_t n) { return CRYPTO_memcmp(a, b, n) == 0; }

void crypto_random(void *out, size_t n) {
    char *to = out;
    while (n > 0) {
        ssize_t got = getrandom(to, n, 0);
        if (got < 0 && errno != EINTR) {
            abort(); /* no such system call: no id or key that we could make would be safe */
        }
        if (got > 0) {
            to += got;
            n -= (size_t)got;
        }
    }
}

/* A system call for each id would cost more than the rest of it. */
static _Thread_local struct {
    size_t left; /* at the start of bytes */
    uint8_t bytes[2048];
} ahead;

/* A child must not make its parent's ids. It has the forking thread alone. */
static void forget_ahead(void) { crypto_wipe(&ahead, sizeof ahead); }
static void watch_forks(void) { (void)pthread_atfork(NULL, NULL, forget_ahead); }

void crypto_random_id(void *out, size_t n) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (n > sizeof ahead.bytes) {
        crypto_random(out, n);
        return;
    }
    if (ahead.left < n) {
        (void)pthread_once(&once, watch_forks);
        crypto_random(ahead.bytes, sizeof ahead.bytes);
        ahead.left = sizeof ahead.bytes;
    }
    ahead.left -= n;
    memcpy(out, ahead.bytes + ahead.left, n);
    memset(ahead.bytes + ahead.left, 0, n);
}

void crypto_wipe(void *p, size_t n) { OPENSSL_cleanse(p, n); }

/* Eight digits, the first one in the lowest byte. */
static uint64_t hex_of(uint32_t bytes) {
    const uint64_t each = UINT64_C(0x0101010101010101);
    uint64_t x = bytes;
    x = (x | x << 16) & UINT64_C(0x0000FFFF0000FFFF);
    x = (x | x << 8) & UINT64_C(0x00FF00FF00FF00FF);
    x = (x >> 4 & UINT64_C(0x000F000F000F000F)) | (x & UINT64_C(0x000F000F000F000F)) << 8;
    return x + each * '0' + (((x + each * 6) >> 4) & each) * ('a' - '0' - 10);
}

void hex_encode(const void *data, size_t n, char *out) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *from = data;
    size_t i = 0;
    for (uint32_t four; i + sizeof four <= n; i += sizeof four) {
        memcpy(&four, from + i, sizeof four);
        uint64_t eight = htole64(hex_of(le32toh(four)));
        memcpy(out + 2 * i, &eight, sizeof eight);
    }
    for (; i < n; i++) {
        out[2 * i] = digits[from[i] >> 4];
        out[2 * i + 1] = digits[from[i] & 15];
    }
    out[2 * n] = '\0';
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool hex_decode(struct str hex, void *out, size_t n) {
    uint8_t *to = out;
    if (hex.n % 2 != 0 || hex.n / 2 != n) {
        return false;
    }
    for (size_t i = 0; i < hex.n; i++) {
        if (hex_digit(hex.p[i]) < 0) {
            return false;
        }
    }
    for (size_t i = 0; i < n; i++) {
        to[i] = (uint8_t)(hex_digit(hex.p[2 * i]) << 4 | hex_digit(hex.p[2 * i + 1]));
    }
    return true;
}

/* Appends the padded text; the number of characters appended, 0 on failure too. */
static size_t add_encoded(struct buf *b, struct str data) {
    if (data.n > INT_MAX / 2) { /* OpenSSL counts in int */
        b->failed = b->failed != ERR_NONE ? b->failed : ERR_TOO_LARGE;
        return 0;
    }
    size_t n = (data.n + 2) / 3 * 4;
    char *to = data.n > 0 ? buf_reserve(b, n + 1) : NULL; /* a NUL is written behind the text */
    if (to == NULL) {
        return 0;
    }
    (void)EVP_EncodeBlock((unsigned char *)to, (const unsigned char *)data.p, (int)data.n);
    buf_commit(b, n);
    return n;
}

void base64_add(struct buf *b, struct str data) { (void)add_encoded(b, data); }

void base64url_add(struct buf *b, struct str data) {
    size_t n = add_encoded(b, data);
    if (n == 0) {
        return;
    }
    while (b->p[b->n - 1] == '=') {
        b->n--;
        n--;
    }
    for (char *c = b->p + b->n - n; c < b->p + b->n; c++) {
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    }
}

static bool is_base64_char(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

/* EVP_DecodeBlock alone would skip white space and take padding anywhere. */
static bool is_base64(struct str text, size_t padding) {
    if (text.n % 4 != 0 || text.n > INT_MAX) {
        return false;
    }
    for (size_t i = 0; i < text.n - padding; i++) {
        if (!is_base64_char(text.p[i])) {
            return false;
        }
    }
    return true;
}

struct err base64_decode(struct str text, struct buf *out) {
    size_t padding = 0;
    while (padding < 2 && padding < text.n && text.p[text.n - 1 - padding] == '=') {
        padding++;
    }
    if (!is_base64(text, padding)) {
        return err_make(ERR_INVALID, "not base64 (standard alphabet, padded)");
    }
    if (text.n == 0) {
        return buf_status(out);
    }
    size_t n = text.n / 4 * 3;
    char *to = buf_reserve(out, n);
    if (to == NULL) {
        return buf_status(out);
    }
    if (EVP_DecodeBlock((unsigned char *)to, (const unsigned char *)text.p, (int)text.n) < 0) {
        return err_make(ERR_INVALID, "not base64");
    }
    buf_commit(out, n - padding);
    return OK;
}
