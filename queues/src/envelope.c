#include <queues/envelope.h>

#include <base/limits.h>
#include <endian.h>

enum { FLAG_UNCHECKED = 1, FLAG_TRIED = 2, FLAG_ROOT = 4, FLAG_DEADLINE = 8, FLAG_TRACE = 16, FLAGS_ALL = 31 };
enum { AT_FLAGS = 1, AT_SCHEMA = 2, AT_ID = 4, AT_REST = 20 };

/* Version 1 has everything, and in the order of these places. */
enum {
    V1 = 1,
    V1_AT_ROOT = 20,
    V1_AT_GENERATION = 36,
    V1_AT_ATTEMPT = 40,
    V1_AT_DEADLINE = 52, /* at 44, when it became ready: the id of the entry tells better */
    V1_AT_TRACE = 60,
    V1_AT_NAMES = 85
};

static void put(uint8_t *to, uint64_t v, size_t bytes) {
    v = htole64(v);
    memcpy(to, &v, bytes);
}

static uint64_t get(const void *from, size_t bytes) {
    uint64_t v = 0;
    memcpy(&v, from, bytes);
    return le64toh(v);
}

static const struct trace no_trace;

static bool is_traced(const struct trace *t) {
    return t->flags != 0 || memcmp(t->trace_id, no_trace.trace_id, sizeof t->trace_id) != 0 ||
           memcmp(t->span_id, no_trace.span_id, sizeof t->span_id) != 0;
}

/* ---- encoding ---- */

static size_t put_name(uint8_t *to, struct str name) {
    to[0] = (uint8_t)name.n;
    memcpy(to + 1, name.p, name.n);
    return name.n + 1;
}

static uint8_t flags_of(const struct envelope *e) {
    bool tried = e->generation != 0 || e->attempt != 0;
    return (uint8_t)((e->unchecked ? FLAG_UNCHECKED : 0) | (tried ? FLAG_TRIED : 0) | (uuid_eq(e->root, e->id) ? 0 : FLAG_ROOT) |
                     (e->deadline.ms != 0 ? FLAG_DEADLINE : 0) | (is_traced(&e->trace) ? FLAG_TRACE : 0));
}

static size_t put_trace(uint8_t *to, const struct trace *t) {
    memcpy(to, t->trace_id, 16);
    memcpy(to + 16, t->span_id, 8);
    to[24] = t->flags;
    return ENVELOPE_TRACE_BYTES;
}

size_t envelope_encode(const struct envelope *e, uint8_t out[ENVELOPE_MAX_BYTES]) {
    if (!str_is_name(e->tenant, LIMIT_NAME_BYTES) || !str_is_name(e->type, LIMIT_NAME_BYTES) ||
        e->errors.n > ENVELOPE_ERRORS_MAX) {
        return 0;
    }
    uint8_t flags = flags_of(e);
    size_t n = AT_REST;
    out[0] = ENVELOPE_VERSION;
    out[AT_FLAGS] = flags;
    put(out + AT_SCHEMA, e->schema_version, 2);
    memcpy(out + AT_ID, e->id.b, 16);
    if (flags & FLAG_TRIED) {
        put(out + n, e->generation, 4);
        put(out + n + 4, e->attempt, 4);
        n += 8;
    }
    n += put_name(out + n, e->tenant);
    n += put_name(out + n, e->type);
    if (flags & FLAG_ROOT) {
        memcpy(out + n, e->root.b, 16);
        n += 16;
    }
    if (flags & FLAG_DEADLINE) {
        put(out + n, (uint64_t)e->deadline.ms, 8);
        n += 8;
    }
    if (flags & FLAG_TRACE) {
        n += put_trace(out + n, &e->trace);
    }
    if (e->errors.n > 0) {
        memcpy(out + n, e->errors.p, e->errors.n);
    }
    return n + e->errors.n;
}

/* ---- decoding ---- */

/* Cuts so many bytes off the front; p NULL: there are fewer. */
static struct str cut(struct str *rest, size_t n) {
    if (rest->n < n) {
        *rest = STR_NONE;
        return STR_NONE;
    }
    struct str front = str_of(rest->p, n);
    *rest = str_of(rest->p + n, rest->n - n);
    return front;
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

static bool get_tries(const char *p, struct envelope *out) {
    out->generation = (uint32_t)get(p, 4);
    out->attempt = (uint32_t)get(p + 4, 4);
    return out->generation <= INT32_MAX && out->attempt <= INT32_MAX; /* they go into integers of Postgres */
}

static void get_trace(const char *p, struct trace *out) {
    memcpy(out->trace_id, p, 16);
    memcpy(out->span_id, p + 16, 8);
    out->flags = (uint8_t)p[24];
}

/* Length and errors, or nothing. */
static bool get_errors_1(struct str rest, struct str *out) {
    if (rest.n == 0) {
        return true;
    }
    if (rest.n <= 2 || rest.n - 2 != get(rest.p, 2) || rest.n - 2 > ENVELOPE_ERRORS_MAX) {
        return false;
    }
    *out = str_of(rest.p + 2, rest.n - 2);
    return true;
}

static bool decode_1(struct str header, struct envelope *e) {
    const char *h = header.p;
    if (header.n < V1_AT_NAMES || (h[AT_FLAGS] & ~FLAG_UNCHECKED) != 0 || !get_tries(h + V1_AT_GENERATION, e)) {
        return false;
    }
    memcpy(e->root.b, h + V1_AT_ROOT, 16);
    e->deadline.ms = (int64_t)get(h + V1_AT_DEADLINE, 8);
    get_trace(h + V1_AT_TRACE, &e->trace);
    struct str rest = str_of(h + V1_AT_NAMES, header.n - V1_AT_NAMES);
    return get_name(&rest, &e->tenant) && get_name(&rest, &e->type) && get_errors_1(rest, &e->errors);
}

/* What a flag promises, and what is left out otherwise: there is one header for a job, no second way to say the same. */
static bool get_optional(uint8_t flags, struct str *rest, struct envelope *e) {
    if (flags & FLAG_ROOT) {
        struct str root = cut(rest, 16);
        if (root.p == NULL || memcmp(root.p, e->id.b, 16) == 0) {
            return false;
        }
        memcpy(e->root.b, root.p, 16);
    }
    if (flags & FLAG_DEADLINE) {
        struct str deadline = cut(rest, 8);
        e->deadline.ms = deadline.p != NULL ? (int64_t)get(deadline.p, 8) : 0;
        if (e->deadline.ms == 0) {
            return false;
        }
    }
    if (flags & FLAG_TRACE) {
        struct str trace = cut(rest, ENVELOPE_TRACE_BYTES);
        if (trace.p != NULL) {
            get_trace(trace.p, &e->trace);
        }
        return is_traced(&e->trace);
    }
    return true;
}

/* Version 2 and later, up to the type. */
static bool get_front(uint8_t flags, struct str *rest, struct envelope *e) {
    if (flags & FLAG_TRIED) {
        struct str tries = cut(rest, 8);
        if (tries.p == NULL || !get_tries(tries.p, e) || (e->generation == 0 && e->attempt == 0)) {
            return false;
        }
    }
    return get_name(rest, &e->tenant) && get_name(rest, &e->type);
}

static bool decode_2(struct str header, struct envelope *e) {
    uint8_t flags = (uint8_t)header.p[AT_FLAGS];
    struct str rest = str_of(header.p + AT_REST, header.n - AT_REST);
    if ((flags & ~FLAGS_ALL) != 0 || !get_front(flags, &rest, e) || !get_optional(flags, &rest, e) ||
        rest.n > ENVELOPE_ERRORS_MAX) {
        return false;
    }
    e->errors = rest.n > 0 ? rest : STR_NONE;
    return true;
}

uint32_t envelope_generation(struct str header) {
    bool tried = header.n > AT_FLAGS && (header.p[AT_FLAGS] & FLAG_TRIED) != 0;
    size_t at = header.n > 0 && header.p[0] == V1 ? V1_AT_GENERATION : AT_REST;
    return header.n >= at + 8 && (at != AT_REST || tried) ? (uint32_t)get(header.p + at, 4) : 0;
}

static void get_fixed(struct str header, struct envelope *e) {
    *e = (struct envelope){.schema_version = (uint16_t)get(header.p + AT_SCHEMA, 2)};
    memcpy(e->id.b, header.p + AT_ID, 16);
}

bool envelope_is_newer(struct str header, struct envelope *out) {
    if (header.n < AT_REST || (uint8_t)header.p[0] <= ENVELOPE_VERSION) {
        return false;
    }
    struct envelope e;
    struct str rest = str_of(header.p + AT_REST, header.n - AT_REST);
    get_fixed(header, &e);
    if (!get_front((uint8_t)header.p[AT_FLAGS], &rest, &e)) {
        return false;
    }
    *out = e;
    return true;
}

struct err envelope_decode(struct str header, struct envelope *out) {
    int version = header.n > 0 ? (uint8_t)header.p[0] : -1;
    if (header.n < AT_REST || version < V1 || version > ENVELOPE_VERSION) {
        return err_make(ERR_UNDECODABLE, "header of %zu bytes, version %d", header.n, version);
    }
    struct envelope e;
    get_fixed(header, &e);
    e.unchecked = (header.p[AT_FLAGS] & FLAG_UNCHECKED) != 0;
    e.root = e.id;
    if (version == V1 ? !decode_1(header, &e) : !decode_2(header, &e)) {
        return err_make(ERR_UNDECODABLE, "header of %zu bytes does not parse as version %d", header.n, version);
    }
    *out = e;
    return OK;
}
