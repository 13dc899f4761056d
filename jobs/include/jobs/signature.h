/* Signatures of Standard Webhooks 1.0.0, symmetric scheme: "v1,<base64 of HMAC-SHA-256 over id.timestamp.body>". */
#ifndef JOBS_SIGNATURE_H
#define JOBS_SIGNATURE_H

#include <base/buf.h>

/* While a secret is changed, the new and the old one count, with a blank between: both sign, and a receiver needs to know but one. */
enum { SIGNATURE_SECRETS_MAX = 2, SIGNATURE_BYTES_MAX = 128 };

/* For the start: ERR_INVALID naming the setting when a secret is none, "whsec_<base64>" (the prefix may be missing); an empty one will do. */
MUST struct err signature_check(const char *secret, const char *setting);
/* Appends one signature for each secret. ERR_INVALID: one is none, or there is none. */
MUST struct err signature_add(struct buf *out, struct str secret, struct str id, struct str timestamp, struct str body);

#endif
