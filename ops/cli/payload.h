/* The payload that a command is given: --data, as it is, from a file (@FILE) or from standard input (-). */
#ifndef OPS_CLI_PAYLOAD_H
#define OPS_CLI_PAYLOAD_H

#include <base/buf.h>
#include <base/limits.h>

#include "options.h"

enum { PAYLOAD_TEXT_BYTES_MAX = LIMIT_HTTP_BODY_BYTES + 4096 };

/* Appends its text, which is one JSON value; without --data "{}". The exit code; a failure is told on standard error. */
int payload_read(const struct options *o, struct buf *out);

#endif
