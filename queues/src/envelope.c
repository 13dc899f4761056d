#include <queues/envelope.h>

#include <base/limits.h>
#include <endian.h>

enum {
    AT_FLAGS = 1,
    AT_SCHEMA = 2,
    AT_ID = 4,
    AT_ROOT = 20,
    AT_GENERATION = 36,
    AT_ATTEMPT = 40,
    AT_READY = 44,
    AT_DEADLINE = 52,
    AT_TRACE = 60,
    AT_SPAN = 76,
    AT_TRACE_FLAGS = 84,
    AT_NAMES = 85,
    FLAG_UNCHECKED = 1
};

static void put(uint8_t *to, uint64_t v, size_t bytes) {
    v = htole64(v);
    memcpy(to, &v, bytes);
}

static uint64_t get(const uint8_t *from, size_t bytes) {
    uint64_t v = 0;
    memcpy(&v, from, bytes);
    return le64toh(v);
}

static size_t put_name(uint8_t *to, struct str name) {
    to[0] = (uint8_t)name.n;
    memcpy(to + 1, name.p, name.n);
    return name.n + 1;
}

size_t envelope_encode(const struct envelope *e, uint8_t out[ENVELOPE_MAX_BYTES]) {
    if (!str_is_name(e->tenant, LIMIT_NAME_BYTES) || !str_is_name(e->type, LIMIT_NAME_BYTES) ||
        e->errors.n > ENVELOPE_ERRORS_MAX) {
        return 0;
    }
    out[0] = ENVELOPE_VERSION;
    out[AT_FLAGS] = e->unchecked ? FLAG_UNCHECKED : 0;
    put(out + AT_SCHEMA, e->schema_version, 2);
    memcpy(out + AT_ID, e->id.b, 16);
    memcpy(out + AT_ROOT, e->root.b, 16);
    put(out + AT_GENERATION, e->generation, 4);
    put(out + AT_ATTEMPT, e->attempt, 4);
    put(out + AT_READY, (uint64_t)e->ready.ms, 8);
    put(out + AT_DEADLINE, (uint64_t)e->deadline.ms, 8);
    memcpy(out + AT_TRACE, e->trace.trace_id, 16);
    memcpy(out + AT_SPAN, e->trace.span_id, 8);
    out[AT_TRACE_FLAGS] = e->trace.flags;
    size_t n = AT_NAMES;
    n += put_name(out + n, e->tenant);
    n += put_name(out + n, e->type);
    if (e->errors.n > 0) {
        put(out + n, e->errors.n, 2);
        memcpy(out + n + 2, e->errors.p, e->errors.n);
        n += 2 + e->errors.n;
    }
    return n;
}

static bool get_name(struct str *rest, struct str *out) {
    size_t n = rest->n > 0 ? (uint8_t)rest->p[0] : 0;
    if (rest->n < 1 + n || !str_is_name(str_of(rest->p + 1, n), LIMIT_NAME_BYTES)) {
        return false;
    }
    *out = str_of(rest->p + 1, n);
    *rest = str_of(rest->p + 1 + n, rest->n - 1 - n);
    return true;
}

static bool get_errors(struct str rest, struct str *out) {
    if (rest.n == 0) {
        *out = STR_NONE;
        return true;
    }
    if (rest.n <= 2 || rest.n - 2 != get((const uint8_t *)rest.p, 2) || rest.n - 2 > ENVELOPE_ERRORS_MAX) {
        return false;
    }
    *out = str_of(rest.p + 2, rest.n - 2);
    return true;
}

struct err envelope_decode(struct str header, struct envelope *out) {
    const uint8_t *h = (const uint8_t *)header.p;
    if (header.n < AT_NAMES || h[0] != ENVELOPE_VERSION) {
        return err_make(ERR_UNDECODABLE, "header of %zu bytes, version %d", header.n, header.n > 0 ? h[0] : -1);
    }
    if ((h[AT_FLAGS] & ~FLAG_UNCHECKED) != 0) {
        return err_make(ERR_UNDECODABLE, "header with flags %d, version 1 has no such", h[AT_FLAGS]);
    }
    if (get(h + AT_GENERATION, 4) > INT32_MAX || get(h + AT_ATTEMPT, 4) > INT32_MAX) { /* they go into integers of Postgres */
        return err_make(ERR_UNDECODABLE, "header with a generation or an attempt above 2^31 - 1");
    }
    struct envelope e = {
        .schema_version = (uint16_t)get(h + AT_SCHEMA, 2),
        .unchecked = (h[AT_FLAGS] & FLAG_UNCHECKED) != 0,
        .generation = (uint32_t)get(h + AT_GENERATION, 4),
        .attempt = (uint32_t)get(h + AT_ATTEMPT, 4),
        .ready = {(int64_t)get(h + AT_READY, 8)},
        .deadline = {(int64_t)get(h + AT_DEADLINE, 8)},
    };
    memcpy(e.id.b, h + AT_ID, 16);
    memcpy(e.root.b, h + AT_ROOT, 16);
    memcpy(e.trace.trace_id, h + AT_TRACE, 16);
    memcpy(e.trace.span_id, h + AT_SPAN, 8);
    e.trace.flags = h[AT_TRACE_FLAGS];
    struct str rest = str_of(header.p + AT_NAMES, header.n - AT_NAMES);
    if (!get_name(&rest, &e.tenant) || !get_name(&rest, &e.type) || !get_errors(rest, &e.errors)) {
        return err_make(ERR_UNDECODABLE, "header names or errors do not parse");
    }
    *out = e;
    return OK;
}
