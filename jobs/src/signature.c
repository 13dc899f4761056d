#include <jobs/signature.h>

#include <base/crypto.h>

enum { KEY_BYTES_MAX = 256 };

struct err signature_key(struct str secret, struct buf *out) {
    const struct str prefix = STR("whsec_");
    if (str_starts(secret, prefix)) {
        secret = str_of(secret.p + prefix.n, secret.n - prefix.n);
    }
    if (secret.n == 0) {
        return err_make(ERR_INVALID, "empty");
    }
    return base64_decode(secret, out);
}

struct err signature_check(const char *secret, const char *setting) {
    struct buf key;
    buf_init(&key, KEY_BYTES_MAX);
    struct err e = secret[0] != '\0' ? signature_key(str_c(secret), &key) : OK;
    crypto_wipe(key.p, key.n);
    buf_free(&key);
    return err_is_set(e) ? err_make(e.code, "%s: %s", setting, e.detail) : OK;
}

struct err signature_add(struct buf *out, struct str secret, struct str id, struct str timestamp, struct str body) {
    struct buf key;
    uint8_t mac[SHA256_BYTES];
    buf_init(&key, KEY_BYTES_MAX);
    struct err e = signature_key(secret, &key);
    if (!err_is_set(e)) {
        const struct str parts[] = {id, STR("."), timestamp, STR("."), body};
        e = hmac_sha256(buf_str(&key), parts, sizeof parts / sizeof parts[0], mac);
    }
    if (!err_is_set(e)) {
        buf_add_c(out, "v1,");
        base64_add(out, str_of(mac, sizeof mac));
        e = buf_status(out);
    }
    crypto_wipe(key.p, key.n);
    buf_free(&key);
    return e;
}
