/* The id of a stream entry, "<ms>-<seq>". */
#ifndef QUEUES_STREAM_ID_H
#define QUEUES_STREAM_ID_H

#include <base/str.h>

struct stream_id {
    uint64_t ms, seq;
};

enum { STREAM_ID_BYTES = 42 }; /* two u64, the dash, NUL */

struct str stream_id_text(struct stream_id id, char room[STREAM_ID_BYTES]);
bool stream_id_parse(struct str s, struct stream_id *out);
static inline bool stream_id_eq(struct stream_id a, struct stream_id b) { return a.ms == b.ms && a.seq == b.seq; }

#endif
