/* The header of a stream entry (field "h"; field "p" is the payload, opaque bytes). Binary, little endian, version 2:
 *   0 u8 version · 1 u8 flags · 2 u16 schema version · 4 id[16] · if tried (2): u32 generation, u32 attempt · u8 n, tenant[n] · u8 n, type[n] ·
 *   if root (4): root[16] · if deadline (8): i64 ms · if trace (16): trace id[16], span id[8], u8 trace flags · errors, to the end (JSON
 *   array text, newest last). Flag 1: unchecked. What is as it is of most jobs is left out: it takes memory of Redis for as long as they wait.
 * Up to the type, with flag 2 and what it promises, every later version is like this one: older Functions read that, and older workers, which put
 * such an entry aside. To change anything else: raise ENVELOPE_VERSION, keep the decoder of the old version for as long as entries of it may exist
 * (30 days), add a golden-bytes test. Version 1 is read. */
#ifndef QUEUES_ENVELOPE_H
#define QUEUES_ENVELOPE_H

#include <base/buf.h>
#include <base/ids.h>
#include <base/limits.h>
#include <base/trace.h>

enum {
    ENVELOPE_VERSION = 2,
    ENVELOPE_ERRORS_MAX = 1024,
    ENVELOPE_TRACE_BYTES = 16 + 8 + 1,
    ENVELOPE_MAX_BYTES = 20 + 8 + 1 + 64 + 1 + 64 + 16 + 8 + ENVELOPE_TRACE_BYTES + ENVELOPE_ERRORS_MAX,
    /* Of a batch of new jobs, which have no errors, one behind the other: behind each there is room for the longest. */
    ENVELOPE_BATCH_BYTES = LIMIT_BATCH * (ENVELOPE_MAX_BYTES - ENVELOPE_ERRORS_MAX) + ENVELOPE_ERRORS_MAX
};

struct envelope {
    uint16_t schema_version; /* of the type's payload schema */
    bool unchecked;          /* nobody has checked the payload against it so far: the worker does */
    struct uuid id, root;    /* root: the job's first id, kept over retries, replays and re-adds */
    uint32_t generation;     /* raised by each replay */
    uint32_t attempt;        /* attempts charged so far */
    struct wall deadline;    /* 0: none; expired afterwards */
    struct trace trace;
    struct str tenant, type; /* borrowed; at most 64 bytes each */
    struct str errors;       /* borrowed; of the last attempts, at most ENVELOPE_ERRORS_MAX bytes; empty: none failed */
};

/* Bytes written; out has ENVELOPE_MAX_BYTES. Names that are none, or too many errors: 0. */
size_t envelope_encode(const struct envelope *e, uint8_t out[ENVELOPE_MAX_BYTES]);
/* tenant, type and errors point into header. ERR_UNDECODABLE for anything that no version can have written. */
MUST struct err envelope_decode(struct str header, struct envelope *out);
/* A header of a later version: out gets what every version has in its place (schema version, id, generation, attempt, tenant, type), and no
 * more. False: it is none. */
bool envelope_is_newer(struct str header, struct envelope *out);
/* The generation alone, as age_of() of the Functions reads it, whatever the rest of the header is. */
uint32_t envelope_generation(struct str header);

#endif
