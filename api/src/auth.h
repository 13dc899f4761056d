/* Who is asking. Keys are "pen_<id>_<secret>"; platform.api_key has SHA-256 of the secret. What was read is believed for 5 s, absence
 * too, so that a revoked key works no longer than that. */
#ifndef API_AUTH_H
#define API_AUTH_H

#include <base/err.h>
#include <base/str.h>
#include <stdint.h>

struct api;
struct call;
struct auth;

enum { TENANT_BYTES = 65 };
#define TENANT_DEFAULT "default"
#define TENANT_SYSTEM "_system" /* of the platform's own jobs: no key opens it */

struct identity {
    char tenant[TENANT_BYTES];
    char author[TENANT_BYTES]; /* the key's id; "local" without one */
    unsigned scopes;           /* enum scope */
};

MUST struct err auth_new(struct api *api, struct auth **out);
void auth_free(struct auth *a);

/* NO: answered. ASK: the key is not known yet; auth_ask finds out. Without a key only loopback is let in. */
enum auth_verdict { AUTH_YES, AUTH_NO, AUTH_ASK };
enum auth_verdict auth_check(struct call *c);
/* then runs only when the caller is let in; otherwise the call is answered. */
void auth_ask(struct call *c, void (*then)(struct call *c));

unsigned auth_scope_parse(struct str name); /* enum scope; 0: none of that name */
bool auth_is_loopback(const char *listen);

/* Whether there is any live key; tries until Postgres answers. */
void auth_find_any(struct api *api, void (*done)(struct api *api, bool any));

#endif
