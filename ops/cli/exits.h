/* Exit codes: one table (exits.def). */
#ifndef OPS_CLI_EXITS_H
#define OPS_CLI_EXITS_H

#include <base/buf.h>

enum {
#define E(id, code, when) EXIT_##id = code,
#include "exits.def"
#undef E
};

/* Appends the table, a line each. */
void exits_describe(struct buf *out);

/* The exit code for an HTTP answer; 0 below 400. */
int exit_of_status(int status);

#endif
