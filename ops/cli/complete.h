/* What may stand at the end of a command line, for the completion of shells: all of it from the command table. Pure. */
#ifndef OPS_CLI_COMPLETE_H
#define OPS_CLI_COMPLETE_H

#include "options.h"

struct complete {
    const struct command *table;
    size_t table_n;
    char **words; /* behind "penstock"; the last one is completed, and may be empty. A "=" may be a word of its own, as in bash */
    size_t words_n;
};

/* Appends candidates that begin as the last word does, a line each: "candidate", or "candidate<tab>meaning". True: names of queues
 * are candidates as well, which complete_add_queue takes. */
bool complete_add(const struct complete *c, struct buf *out);
void complete_add_queue(const struct complete *c, const char *queue, struct buf *out);

#endif
