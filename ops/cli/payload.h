/* The payload that a command is given, or a patch of one: as it is, from a file (@FILE) or from standard input (-). */
#ifndef OPS_CLI_PAYLOAD_H
#define OPS_CLI_PAYLOAD_H

#include <base/buf.h>
#include <base/limits.h>

#include "options.h"

enum { PAYLOAD_TEXT_BYTES_MAX = LIMIT_HTTP_BODY_BYTES + 4096 };

/* Appends the text of that option, which is one JSON value; without it "{}". The exit code; a failure is told on standard error. */
int payload_read(const struct options *o, enum option_id which, struct buf *out);

#endif
