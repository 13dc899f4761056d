/* Identifiers: UUIDv7 (RFC 9562). A job id carries in its random bits where the job lives, so that an id alone is enough
 * to find it:
 *   bits  0..47 unix ms · 48..51 version 7 · 52..63 counter within the ms, from a random start · 64..65 variant
 *   bits 66..66 class (1 = stream) · 67..76 queue number · 77..80 shard · 81..127 random
 * In the stream-class ids that the API makes, bits 112..127 tell the tenant: where the entry in Redis is all that there is of a job,
 * its id alone must say who may see it.
 * Ids of one process never repeat and never go backwards, even when the wall clock does. */
#ifndef BASE_IDS_H
#define BASE_IDS_H

#include <base/clock.h>
#include <base/err.h>
#include <base/str.h>

struct uuid {
    uint8_t b[16];
};

enum { UUID_TEXT_BYTES = 37 };
enum { JOB_PLACE_QUEUE_MAX = 1023, JOB_PLACE_SHARD_MAX = 15 };

struct job_place {
    bool stream_class;
    uint16_t queue_number; /* platform.queue.number */
    uint8_t shard;
};

/* Makes UUIDv7 values. One per thread; clock and random come from outside, so that a simulation can repeat itself. */
struct id_maker {
    const struct clock *clock;
    void (*random)(void *self, void *out, size_t n); /* NULL: the system's (crypto_random_id) */
    void *random_self;
    int64_t last_ms;
    uint16_t counter;
};

struct uuid id_new(struct id_maker *m);
struct uuid id_new_job(struct id_maker *m, struct job_place place);
struct job_place id_job_place(struct uuid id);
int64_t id_ms(struct uuid id); /* the unix ms inside */

/* Bits 112..127 become the first 16 of SHA-256 over the tenant, a zero byte and the id's 14 bytes before them: enough for what keeps an id
 * that has leaked from other tenants, and the 31 random bits left keep ids apart. Fails only when out of memory. */
MUST struct err id_put_tenant(struct uuid *id, struct str tenant);
bool id_has_tenant(struct uuid id, struct str tenant); /* false, too, when out of memory */

/* A stable id from a parent and a step name (UUIDv8, SHA-256 of both, with the parent's time and the given place): a
 * follow-up job created again by a re-run gets the same id. Fails only when out of memory. */
MUST struct err id_derive(struct uuid parent, struct str step, struct job_place place, struct uuid *out);

static inline bool uuid_eq(struct uuid a, struct uuid b) { return memcmp(a.b, b.b, sizeof a.b) == 0; }
bool uuid_is_nil(struct uuid u);
void uuid_text(struct uuid u, char out[UUID_TEXT_BYTES]);
/* Canonical form only (8-4-4-4-12, hex of either case). */
bool uuid_parse(struct str s, struct uuid *out);

#endif
