/* Records of one signal, packed as they come: the beginning of a gzip file, whose end is put on when it leaves. */
#ifndef OTLP_PILE_H
#define OTLP_PILE_H

#include <base/otlp.h>

/* One leaves per second at most, so that this is also what recording may cost. */
enum { PILE_RECORDS = 4096, PILE_BYTES = 1 << 20 }; /* packed */

struct pile {
    void *packer;    /* NULL: not used so far */
    struct buf body; /* packed */
    size_t records;
};

void pile_init(struct pile *p);
void pile_free(struct pile *p);
bool pile_is_full(const struct pile *p);
/* To one that is not full. head begins a request, and is written before the first record. False, without memory: *out_lost records are
 * gone, this one and those before it. */
bool pile_add(struct pile *p, struct str head, struct str record, size_t *out_lost);
/* The whole file into *out (which is the caller's), and how many records it holds; the pile is empty. Fails without memory. */
MUST struct err pile_take(struct pile *p, struct buf *out, size_t *out_records);

#endif
