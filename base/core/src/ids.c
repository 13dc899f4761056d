/* The layout of an id is in ids.h. Change it only together with queues/PROTOCOL.md: ids outlive a release. */
#include <base/crypto.h>
#include <base/ids.h>

enum { COUNTER_MAX = 0xfff, COUNTER_START_MASK = 0x7ff, VERSION_7 = 0x70, VERSION_8 = 0x80, VARIANT = 0x80 };

static void make_random(struct id_maker *m, void *out, size_t n) {
    if (m->random != NULL) {
        m->random(m->random_self, out, n);
    } else {
        crypto_random_id(out, n);
    }
}

static void put_ms(struct uuid *u, int64_t ms) {
    for (int i = 0; i < 6; i++) {
        u->b[i] = (uint8_t)((uint64_t)ms >> (40 - 8 * i));
    }
}

static void put_place(struct uuid *u, struct job_place place) {
    unsigned queue = place.queue_number & JOB_PLACE_QUEUE_MAX;
    unsigned shard = place.shard & JOB_PLACE_SHARD_MAX;
    u->b[8] = (uint8_t)(VARIANT | (place.stream_class ? 0x20U : 0U) | queue >> 5);
    u->b[9] = (uint8_t)(queue << 3 | shard >> 1);
    u->b[10] = (uint8_t)((shard & 1) << 7 | (u->b[10] & 0x7fU));
}

struct uuid id_new(struct id_maker *m) {
    struct {
        uint16_t start;
        uint8_t tail[8];
    } r;
    struct uuid u;
    make_random(m, &r, sizeof r);
    int64_t ms = clock_wall(m->clock).ms;
    if (ms > m->last_ms || m->counter == COUNTER_MAX) {
        /* A random start makes ids of two processes in the same ms differ early; when a ms is used up the next is borrowed. */
        m->last_ms = ms > m->last_ms ? ms : m->last_ms + 1;
        m->counter = r.start & COUNTER_START_MASK;
    } else {
        m->counter++;
    }
    put_ms(&u, m->last_ms);
    u.b[6] = (uint8_t)(VERSION_7 | m->counter >> 8);
    u.b[7] = (uint8_t)m->counter;
    memcpy(u.b + 8, r.tail, sizeof r.tail);
    u.b[8] = (uint8_t)(VARIANT | (u.b[8] & 0x3f));
    return u;
}

struct uuid id_new_job(struct id_maker *m, struct job_place place) {
    struct uuid u = id_new(m);
    put_place(&u, place);
    return u;
}

struct job_place id_job_place(struct uuid id) {
    return (struct job_place){
        .stream_class = (id.b[8] & 0x20) != 0,
        .queue_number = (uint16_t)((id.b[8] & 0x1f) << 5 | id.b[9] >> 3),
        .shard = (uint8_t)((id.b[9] & 7) << 1 | id.b[10] >> 7),
    };
}

int64_t id_ms(struct uuid id) {
    int64_t ms = 0;
    for (int i = 0; i < 6; i++) {
        ms = ms << 8 | id.b[i];
    }
    return ms;
}

enum { TENANT_AT = 14, TENANT_BYTES = 2 };

struct err id_put_tenant(struct uuid *id, struct str tenant) {
    uint8_t digest[SHA256_BYTES];
    TRY(sha256_parts((const struct str[]){tenant, str_of("", 1), str_of(id->b, TENANT_AT)}, 3, digest));
    memcpy(id->b + TENANT_AT, digest, TENANT_BYTES);
    return OK;
}

bool id_has_tenant(struct uuid id, struct str tenant) {
    struct uuid own = id;
    return !err_is_set(id_put_tenant(&own, tenant)) && uuid_eq(own, id);
}

struct err id_derive(struct uuid parent, struct str step, struct job_place place, struct uuid *out) {
    uint8_t digest[SHA256_BYTES];
    struct uuid u;
    TRY(sha256_parts((const struct str[]){str_of(parent.b, sizeof parent.b), step}, 2, digest));
    memcpy(u.b, digest, sizeof u.b);
    memcpy(u.b, parent.b, 6);
    u.b[6] = (uint8_t)(VERSION_8 | (u.b[6] & 0xf));
    put_place(&u, place);
    *out = u;
    return OK;
}

bool uuid_is_nil(struct uuid u) { return uuid_eq(u, (struct uuid){{0}}); }

void uuid_text(struct uuid u, char out[UUID_TEXT_BYTES]) {
    char digits[2 * sizeof u.b + 1];
    hex_encode(u.b, sizeof u.b, digits);
    memcpy(out, digits, 8);
    memcpy(out + 9, digits + 8, 4);
    memcpy(out + 14, digits + 12, 4);
    memcpy(out + 19, digits + 16, 4);
    memcpy(out + 24, digits + 20, 12);
    out[8] = out[13] = out[18] = out[23] = '-';
    out[36] = '\0';
}

bool uuid_parse(struct str s, struct uuid *out) {
    char digits[32];
    size_t n = 0;
    if (s.n != UUID_TEXT_BYTES - 1) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        if (dash != (s.p[i] == '-')) {
            return false;
        }
        if (!dash) {
            digits[n++] = s.p[i];
        }
    }
    return hex_decode(str_of(digits, n), out->b, sizeof out->b);
}
