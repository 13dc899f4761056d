/* How far a long piece of work is, on standard error: a bar on a terminal, with -o jsonl elsewhere a line of JSON every 5 s, else
 * nothing. */
#ifndef OPS_CLI_PROGRESS_H
#define OPS_CLI_PROGRESS_H

#include <base/clock.h>

#include "options.h"

struct progress {
    const char *what; /* a word */
    int64_t total;    /* 0: not known */
    struct mono began, shown;
    bool bar, lines;
};

void progress_begin(struct progress *p, const struct options *o, const char *what, int64_t total);
void progress_show(struct progress *p, int64_t done); /* as often as one likes */
void progress_hide(const struct progress *p);         /* before anything else is printed, and at the end */

/* The text of a bar, without a line's end; columns: how wide the terminal is. Pure. */
void progress_write(const struct progress *p, int64_t done, int64_t elapsed_ms, int columns, struct buf *out);

#endif
