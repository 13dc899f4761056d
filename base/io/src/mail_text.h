/* The text of one mail (RFC 5322, MIME): headers, and the body as base64. */
#ifndef MAIL_TEXT_H
#define MAIL_TEXT_H

#include <base/buf.h>
#include <base/clock.h>
#include <io/http_client.h>

enum { MAIL_ADDRESS_BYTES = 254, MAIL_ID_BYTES = 250, MAIL_SUBJECT_BYTES = 2000, MAIL_MESSAGE_BYTES = 2 * 1024 * 1024 };

/* ERR_INVALID: a field with CR, LF or NUL, an address that is not a bare local@domain in ASCII, something too long. */
MUST struct err mail_check(const struct mail_spec *spec);
/* Lines end in CRLF; no dot is stuffed. out is initialised by the caller. */
MUST struct err mail_compose(const struct mail_spec *spec, struct wall now, struct buf *out);

#endif
