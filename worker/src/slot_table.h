/* Shared memory between a supervisor and one worker process: which entries the process holds, which of them it has started, on whose behalf its
 * loop is running something (of that one, most likely, it died), and how much it does. Written by the process with plain stores (limits: by the supervisor); the entries
 * are read only after its death. */
#ifndef WORKER_SLOT_TABLE_H
#define WORKER_SLOT_TABLE_H

#include <base/err.h>
#include <queues/stream_id.h>

enum { SLOT_TABLE_ENTRIES = 2048, SLOT_TABLE_LIMITS = 64 };
static const uint32_t SLOT_UNLIMITED = UINT32_MAX;

/* A type that may have so many attempts at once in this process. */
struct slot_limit {
    char type[65];
    uint32_t most;
};

struct slot_entry {
    struct stream_id id; /* 0-0: free */
    uint32_t started;
    uint32_t shard;
};

struct slot_table {
    char consumer[160]; /* name in Redis; empty until the process knows it */
    uint64_t beats;     /* one a second: a process that stops counting hangs */
    uint64_t attempts;  /* ended, */
    uint64_t ran_us;    /* and the time that they took */
    uint32_t ready;     /* 1: it knows its queue, and claims */
    uint32_t busy;      /* attempts that run */
    uint32_t owner;     /* 1 + index of the entry on whose behalf it runs (loop_owner); 0: none */
    uint32_t limits_n;  /* written by the supervisor: a type's place stays, and its number may change at any moment */
    struct slot_limit limits[SLOT_TABLE_LIMITS];
    struct slot_entry entries[SLOT_TABLE_ENTRIES];
};

MUST struct err slot_table_create(int *out_fd, struct slot_table **out);
MUST struct err slot_table_open(int fd, struct slot_table **out);
/* The supervisor's: beyond SLOT_TABLE_LIMITS types nothing is limited. */
void slot_table_limit(struct slot_table *t, const char *type, uint32_t most);
uint32_t slot_table_most(const struct slot_table *t, const char *type); /* SLOT_UNLIMITED: as many as there are slots */
void slot_table_close(struct slot_table *t);                            /* unmaps; NULL is fine */

#endif
