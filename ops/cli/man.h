/* penstock(1), made of the tables. Pure. */
#ifndef OPS_CLI_MAN_H
#define OPS_CLI_MAN_H

#include "options.h"

/* Appends the page, for man(7). */
void man_write(const struct command *table, size_t n, struct buf *out);

#endif
