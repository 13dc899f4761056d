#include "otlp_pile.h"

#include <stdlib.h>
#include <zlib.h>

enum { GZIP_WINDOW = 15 + 16, MEMORY = 8, STEP_BYTES = 16 << 10 };

void pile_init(struct pile *p) {
    *p = (struct pile){0};
    buf_init(&p->body, PILE_BYTES + STEP_BYTES + STEP_BYTES);
}

void pile_free(struct pile *p) {
    if (p->packer != NULL) {
        (void)deflateEnd(p->packer);
        free(p->packer);
    }
    buf_free(&p->body);
    p->packer = NULL;
}

static bool start(struct pile *p) {
    if (p->packer != NULL) {
        return deflateReset(p->packer) == Z_OK;
    }
    z_stream *z = calloc(1, sizeof *z);
    if (z == NULL || deflateInit2(z, Z_BEST_SPEED, Z_DEFLATED, GZIP_WINDOW, MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(z);
        return false;
    }
    p->packer = z;
    return true;
}

static bool pack(struct pile *p, struct str text, int flush) {
    z_stream *z = p->packer;
    z->next_in = (Bytef *)(uintptr_t)text.p; /* zlib 1.2 does not say const, and does not write */
    z->avail_in = (uInt)text.n;
    do {
        char *room = buf_reserve(&p->body, STEP_BYTES);
        if (room == NULL) {
            return false;
        }
        z->next_out = (Bytef *)room;
        z->avail_out = STEP_BYTES;
        (void)deflate(z, flush);
        buf_commit(&p->body, STEP_BYTES - z->avail_out);
    } while (z->avail_out == 0);
    return true;
}

/* What is packed in part is worth nothing. */
static void spoil(struct pile *p) {
    buf_free(&p->body);
    p->records = 0;
}

bool pile_is_full(const struct pile *p) { return p->records == PILE_RECORDS || p->body.n >= PILE_BYTES; }

bool pile_add(struct pile *p, struct str head, struct str record, size_t *out_lost) {
    size_t before = p->records;
    bool packed = p->records > 0 ? pack(p, STR(","), Z_NO_FLUSH) : start(p) && pack(p, head, Z_NO_FLUSH);
    if (!packed || !pack(p, record, Z_NO_FLUSH)) {
        spoil(p);
        *out_lost = before + 1;
        return false;
    }
    p->records++;
    return true;
}

struct err pile_take(struct pile *p, struct buf *out, size_t *out_records) {
    if (!pack(p, OTLP_END, Z_FINISH)) {
        spoil(p);
        return err_make(ERR_NOMEM, "telemetry");
    }
    *out = p->body;
    *out_records = p->records;
    buf_init(&p->body, p->body.max);
    p->records = 0;
    return OK;
}
