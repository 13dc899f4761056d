/* Signatures of Standard Webhooks 1.0.0, symmetric scheme: "v1,<base64 of HMAC-SHA-256 over id.timestamp.body>". */
#ifndef JOBS_SIGNATURE_H
#define JOBS_SIGNATURE_H

#include <base/buf.h>

/* Appends the key behind "whsec_<base64>"; the prefix may be missing. ERR_INVALID: it is no such secret. */
MUST struct err signature_key(struct str secret, struct buf *out);
/* For the start: ERR_INVALID naming the setting when the secret is none; an empty one will do. */
MUST struct err signature_check(const char *secret, const char *setting);
MUST struct err signature_add(struct buf *out, struct str secret, struct str id, struct str timestamp, struct str body);

#endif
