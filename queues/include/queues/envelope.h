/* The header of a stream entry (field "h"; field "p" is the payload, opaque bytes). Binary, little endian, version 1:
 *   0 u8 version · 1 u8 flags (1 unchecked, the others 0) · 2 u16 schema version · 4 id[16] · 20 root[16] · 36 u32 generation · 40 u32 attempt
 *   44 i64 ready ms · 52 i64 deadline ms (0 none) · 60 trace id[16] · 76 span id[8] · 84 u8 trace flags
 *   85 u8 n, tenant[n] · u8 n, type[n] · optional, after a failed attempt: u16 n, errors[n] (JSON array text, newest last)
 * The Functions read schema version (2), id (4), generation and attempt (36) and type, and read and write ready (44): moving them is a new
 * protocol version. To change anything else:
 * raise ENVELOPE_VERSION, keep the decoder of the old version for as long as entries of it may exist (30 days), add a
 * golden-bytes test. */
#ifndef QUEUES_ENVELOPE_H
#define QUEUES_ENVELOPE_H

#include <base/buf.h>
#include <base/ids.h>
#include <base/trace.h>

enum { ENVELOPE_VERSION = 1, ENVELOPE_ERRORS_MAX = 1024, ENVELOPE_MAX_BYTES = 87 + 64 + 64 + 2 + ENVELOPE_ERRORS_MAX };

struct envelope {
    uint16_t schema_version; /* of the type's payload schema */
    bool unchecked;          /* nobody has checked the payload against it so far: the worker does */
    struct uuid id, root;    /* root: the job's first id, kept over retries, replays and re-adds */
    uint32_t generation;     /* raised by each replay */
    uint32_t attempt;        /* attempts charged so far */
    struct wall ready;       /* when it became ready to run: enqueued, or due */
    struct wall deadline;    /* 0: none; expired afterwards */
    struct trace trace;
    struct str tenant, type; /* borrowed; at most 64 bytes each */
    struct str errors;       /* borrowed; of the last attempts, at most ENVELOPE_ERRORS_MAX bytes; empty: none failed */
};

/* Bytes written; out has ENVELOPE_MAX_BYTES. Names that are none, or too many errors: 0. */
size_t envelope_encode(const struct envelope *e, uint8_t out[ENVELOPE_MAX_BYTES]);
/* tenant, type and errors point into header. ERR_UNDECODABLE for anything that version 1 cannot have written. */
MUST struct err envelope_decode(struct str header, struct envelope *out);

#endif
