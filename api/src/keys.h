/* API keys as platform.api_key has them. What Postgres said is believed for 5 s since it was asked, absence too, so that a revoked key
 * works no longer than that while Postgres answers within 250 ms. Who would have to wait longer, or gets an error, is let in by what
 * was said of a key at most 10 minutes ago: while Postgres hangs or is away a revoked key works until it answers, and for 10 minutes
 * at most. Ids that are not there are remembered apart: asking for many of them drives no key out. A key in use is asked for again
 * before its time, so that nobody waits for that. One statement per id is on its way at most. */
#ifndef API_KEYS_H
#define API_KEYS_H

#include <base/crypto.h>
#include <sys/queue.h>

#include "auth.h"

struct api;
struct keys;

struct api_key {
    char id[TENANT_BYTES], tenant[TENANT_BYTES], name[KEY_NAME_BYTES];
    uint8_t secret_hash[SHA256_BYTES];
    uint8_t old_hash[SHA256_BYTES]; /* of the secret before it, which opens as well for a while */
    bool has_old;
    unsigned scopes; /* enum scope */
};

bool api_key_opens(const struct api_key *key, const uint8_t hash[SHA256_BYTES]); /* hash: of the secret that was sent */

MUST struct err keys_new(struct api *api, struct keys **out);
void keys_stop(struct keys *k); /* while the loop is there; NULL is fine */
void keys_free(struct keys *k); /* when nothing calls back any more */

/* True: out_key is what there is to know, NULL for an id without a key; borrowed for now. False: keys_ask. */
bool keys_know(struct keys *k, struct str id, const struct api_key **out_key);

/* done runs once, after keys_ask: with what Postgres says; when it does not say soon, with what was known; or with an error. key NULL
 * without an error: there is no such key. The wait is the caller's until then. */
struct key_wait {
    void (*done)(struct key_wait *w, struct err err, const struct api_key *key);
    SLIST_ENTRY(key_wait) link; /* the rest is private */
};
MUST struct err keys_ask(struct keys *k, struct str id, struct key_wait *w);

/* Whether there is any live key; tries until Postgres answers, and logs once that it does not. */
void keys_find_any(struct keys *k, void (*done)(struct api *api, bool any));

#endif
