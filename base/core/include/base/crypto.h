/* Digests, MACs, encodings and randomness, on OpenSSL. Failures of these primitives are out-of-memory in practice. */
#ifndef BASE_CRYPTO_H
#define BASE_CRYPTO_H

#include <base/buf.h>
#include <base/err.h>
#include <base/str.h>

enum { SHA256_BYTES = 32, SHA256_HEX_BYTES = 65 };

MUST struct err sha256(struct str data, uint8_t out[SHA256_BYTES]);
MUST struct err sha256_parts(const struct str *parts, size_t n, uint8_t out[SHA256_BYTES]); /* of the concatenation */
MUST struct err hmac_sha256(struct str key, const struct str *parts, size_t n, uint8_t out[SHA256_BYTES]);
bool crypto_equal(const void *a, const void *b, size_t n); /* in constant time */
void crypto_random(void *out, size_t n);                   /* getrandom; cannot fail after boot */
/* The same for names that are not secrets, ids and traces: drawn ahead, for this thread, and kept until they are used. */
void crypto_random_id(void *out, size_t n);
void crypto_wipe(void *p, size_t n);

/* Lower-case hex of n bytes and a NUL: out has 2n+1 bytes. */
void hex_encode(const void *data, size_t n, char *out);
bool hex_decode(struct str hex, void *out, size_t n); /* exactly 2n digits */

void base64_add(struct buf *b, struct str data);    /* standard alphabet, padded */
void base64url_add(struct buf *b, struct str data); /* URL alphabet, no padding */
/* Appends the bytes; ERR_INVALID unless it is the standard alphabet, padded, without white space. */
MUST struct err base64_decode(struct str text, struct buf *out);

#endif
