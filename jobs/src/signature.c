#include <jobs/signature.h>

#include <base/crypto.h>

enum { KEY_BYTES_MAX = 256 };

static struct err read_key(struct str secret, struct buf *out) {
    const struct str prefix = STR("whsec_");
    if (str_starts(secret, prefix)) {
        secret = str_of(secret.p + prefix.n, secret.n - prefix.n);
    }
    if (secret.n == 0) {
        return err_make(ERR_INVALID, "empty");
    }
    return base64_decode(secret, out);
}

/* Of one after the other; at least one, at most two. */
static struct err next_secret(struct str *rest, size_t n, struct str *out) {
    if (!str_cut(rest, ' ', out)) {
        return err_make(ERR_INVALID, "empty");
    }
    return n < SIGNATURE_SECRETS_MAX ? OK : err_make(ERR_INVALID, "more than %d secrets", SIGNATURE_SECRETS_MAX);
}

static struct err check_one(struct str secret) {
    struct buf key;
    buf_init(&key, KEY_BYTES_MAX);
    struct err e = read_key(secret, &key);
    crypto_wipe(key.p, key.n);
    buf_free(&key);
    return e;
}

struct err signature_check(const char *secret, const char *setting) {
    struct str rest = str_c(secret), one;
    struct err e = OK;
    for (size_t n = 0; rest.n > 0 && !err_is_set(e); n++) {
        e = next_secret(&rest, n, &one);
        e = err_is_set(e) ? e : check_one(one);
    }
    return err_is_set(e) ? err_make(e.code, "%s: %s", setting, e.detail) : OK;
}

static struct err add_one(struct buf *out, struct str secret, struct str id, struct str timestamp, struct str body) {
    struct buf key;
    uint8_t mac[SHA256_BYTES];
    buf_init(&key, KEY_BYTES_MAX);
    struct err e = read_key(secret, &key);
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

struct err signature_add(struct buf *out, struct str secret, struct str id, struct str timestamp, struct str body) {
    struct str one;
    size_t n = 0;
    do {
        TRY(next_secret(&secret, n, &one));
        buf_add_c(out, n++ > 0 ? " " : "");
        TRY(add_one(out, one, id, timestamp, body));
    } while (secret.n > 0);
    return OK;
}
