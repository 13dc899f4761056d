/* Headers of entries, from bytes. What decodes is what a version writes: of version 2 encoding it gives the same bytes, of version 1
 * the same fields. */
#include <queues/envelope.h>

#include "fuzz.h"

static struct str cut(struct str *rest, size_t most) {
    size_t n = rest->n < most ? rest->n : most;
    struct str head = str_of(rest->p, n);
    *rest = str_of(rest->p + n, rest->n - n);
    return head;
}

static bool same(const struct envelope *a, const struct envelope *b) {
    return a->schema_version == b->schema_version && uuid_eq(a->id, b->id) && uuid_eq(a->root, b->root) &&
           a->generation == b->generation && a->attempt == b->attempt && a->deadline.ms == b->deadline.ms &&
           memcmp(&a->trace, &b->trace, sizeof a->trace) == 0 && str_eq(a->tenant, b->tenant) && str_eq(a->type, b->type) &&
           str_eq(a->errors, b->errors);
}

/* Any bytes taken for a header. */
static void decode(struct str header) {
    uint8_t out[ENVELOPE_MAX_BYTES];
    struct envelope e;
    struct envelope front;
    struct err err = envelope_decode(header, &e);
    PROMISE(err.code == ERR_NONE || err.code == ERR_UNDECODABLE);
    PROMISE(!envelope_is_newer(header, &front) ||
            (err_is_set(err) && (uint8_t)header.p[0] > ENVELOPE_VERSION && front.type.n > 0));
    if (!err_is_set(err)) {
        size_t n = envelope_encode(&e, out);
        struct envelope back;
        PROMISE(!err_is_set(envelope_decode(str_of(out, n), &back)) && same(&e, &back));
        PROMISE(header.p[0] != ENVELOPE_VERSION || (n == header.n && memcmp(out, header.p, n) == 0));
    }
}

/* Any bytes taken for the fields: what encodes comes back. */
static void encode(struct str bytes) {
    uint8_t out[ENVELOPE_MAX_BYTES];
    struct envelope back, e = {.generation = 1, .attempt = (uint32_t)bytes.n, .deadline = {INT64_MIN}};
    struct str id = cut(&bytes, sizeof e.id.b);
    memcpy(e.id.b, id.p, id.n);
    e.tenant = cut(&bytes, bytes.n % 67);
    e.type = cut(&bytes, bytes.n % 67);
    e.errors = bytes;
    size_t n = envelope_encode(&e, out);
    PROMISE(n <= sizeof out);
    if (n > 0) {
        PROMISE(!err_is_set(envelope_decode(str_of(out, n), &back)) && same(&e, &back));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    decode(str_of(data, size));
    encode(str_of(data, size));
    return 0;
}
