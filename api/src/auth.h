/* Who is asking. Keys are "pen_<id>_<secret>"; platform.api_key has SHA-256 of the secret (keys.h). A browser has a session instead, which a
 * key was exchanged for (session.h); what changes something must then come from a page of this server.
 *
 * On loopback a request may come without a key, and may then do everything. A browser on this machine speaks for whatever page it
 * shows: such a request is let in only if it was meant for this machine (Host), and no other site's page made it (Origin,
 * Sec-Fetch-Site). */
#ifndef API_AUTH_H
#define API_AUTH_H

#include <base/crypto.h>
#include <base/limits.h>
#include <base/str.h>

struct call;

enum { TENANT_BYTES = LIMIT_NAME_BYTES + 1, KEY_NAME_BYTES = 256 };
#define TENANT_DEFAULT "default"
#define TENANT_SYSTEM "_system" /* of the platform's own jobs: no key opens it */

struct identity {
    char tenant[TENANT_BYTES];
    char author[TENANT_BYTES];         /* the key's id; "local" without one */
    char name[KEY_NAME_BYTES];         /* the key's */
    unsigned scopes;                   /* enum scope */
    bool keyed;                        /* it came with a key, or a session of one */
    int64_t session_ends_s;            /* unix time; 0: no session */
    uint8_t secret_hash[SHA256_BYTES]; /* of the secret that it came with, or that its session was made with */
};

/* NO: answered. LATER: the key has to be looked up; then runs when the caller is let in and still there, otherwise the call is
 * answered. */
enum auth_verdict { AUTH_YES, AUTH_NO, AUTH_LATER };
enum auth_verdict auth_check(struct call *c, void (*then)(struct call *c));

/* The same for a key that came in a body: then the call is that key's. */
enum auth_verdict auth_with_key(struct call *c, struct str api_key, void (*then)(struct call *c));

bool auth_is_loopback(const char *listen);

#endif
