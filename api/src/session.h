/* Sessions of browsers: a cookie that says whose key it was made with, until when it goes, and a MAC of both. Nothing is kept of it; it ends
 * everywhere when the key is revoked. The MAC's key comes of what is stored of the secret and of this installation's passwords for its
 * servers: who reads the table of keys alone cannot make one, and a change of those passwords ends all sessions. */
#ifndef API_SESSION_H
#define API_SESSION_H

#include <base/crypto.h>

#include "keys.h"

struct call;

#define SESSION_COOKIE "penstock_session"
enum { SESSION_S = 43200 };

bool session_parse(struct str cookie, char out_id[TENANT_BYTES], int64_t *out_ends_s, uint8_t out_mac[SHA256_BYTES]);
MUST struct err session_mac(const struct api *api, const struct api_key *key, int64_t ends_s, uint8_t out[SHA256_BYTES]);
void session_forget(struct call *c); /* the answer takes the cookie away */

#endif
