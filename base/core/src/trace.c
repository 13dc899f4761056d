#include <base/crypto.h>
#include <base/trace.h>

enum { SAMPLED = 1, RANDOM = 2 };

static bool is_zero(const uint8_t *p, size_t n) {
    uint8_t any = 0;
    for (size_t i = 0; i < n; i++) {
        any |= p[i];
    }
    return any == 0;
}

/* Lower-case digits only, as the standard wants. */
static bool read_hex(const char *p, size_t n, uint8_t *out) {
    for (size_t i = 0; i < 2 * n; i++) {
        if (p[i] >= 'A' && p[i] <= 'F') {
            return false;
        }
    }
    return hex_decode(str_of(p, 2 * n), out, n);
}

bool trace_parse(struct str s, struct trace *out) {
    enum { VERSION_AT = 0, TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53, END = 55 };
    struct trace t;
    uint8_t version;
    if (s.n < END || s.p[TRACE_AT - 1] != '-' || s.p[SPAN_AT - 1] != '-' || s.p[FLAGS_AT - 1] != '-') {
        return false;
    }
    if (!read_hex(s.p + VERSION_AT, 1, &version) || version == 0xff) {
        return false;
    }
    if (s.n > END && (version == 0 || s.p[END] != '-')) {
        return false;
    }
    if (!read_hex(s.p + TRACE_AT, sizeof t.trace_id, t.trace_id) || !read_hex(s.p + SPAN_AT, sizeof t.span_id, t.span_id) ||
        !read_hex(s.p + FLAGS_AT, 1, &t.flags)) {
        return false;
    }
    if (is_zero(t.trace_id, sizeof t.trace_id) || is_zero(t.span_id, sizeof t.span_id)) {
        return false;
    }
    t.flags &= SAMPLED | RANDOM;
    *out = t;
    return true;
}

void trace_text(const struct trace *t, char out[TRACEPARENT_BYTES]) {
    memcpy(out, "00-", 3);
    hex_encode(t->trace_id, sizeof t->trace_id, out + 3);
    out[35] = '-';
    hex_encode(t->span_id, sizeof t->span_id, out + 36);
    out[52] = '-';
    hex_encode(&t->flags, 1, out + 53);
}

void trace_id_text(const struct trace *t, char out[TRACE_ID_HEX_BYTES]) { hex_encode(t->trace_id, sizeof t->trace_id, out); }

static void random_id(uint8_t *out, size_t n) {
    do {
        crypto_random_id(out, n);
    } while (is_zero(out, n));
}

struct trace trace_new(void) {
    struct trace t = {.flags = SAMPLED | RANDOM};
    random_id(t.trace_id, sizeof t.trace_id);
    random_id(t.span_id, sizeof t.span_id);
    return t;
}

struct trace trace_child(const struct trace *parent) {
    struct trace t = *parent;
    random_id(t.span_id, sizeof t.span_id);
    return t;
}
