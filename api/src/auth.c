#include "auth.h"

#include <base/crypto.h>

#include "header.h"
#include "keys.h"
#include "server.h"

bool auth_is_loopback(const char *listen) {
    struct str s = str_c(listen);
    return str_starts(s, STR("127.")) || str_starts(s, STR("[::1]:"));
}

/* ---- without a key ---- */

static enum auth_verdict refuse(struct call *c, const char *why) {
    call_header(c, "WWW-Authenticate", STR("Bearer realm=\"penstock\""));
    call_problem(c, PROBLEM_UNAUTHENTICATED, "%s", why);
    return AUTH_NO;
}

static bool is_own_page(struct str origin, struct str host) {
    struct str scheme = str_starts(origin, STR("https://")) ? STR("https://") : STR("http://");
    return str_starts(origin, scheme) && str_eq_nocase(str_of(origin.p + scheme.n, origin.n - scheme.n), host);
}

static enum auth_verdict let_in_local(struct call *c) {
    struct str host = http_request_header(c->req, "Host");
    struct str origin = http_request_header(c->req, "Origin");
    struct str site = http_request_header(c->req, "Sec-Fetch-Site");
    if (!header_host_is_local(host)) {
        call_problem(c, PROBLEM_FOREIGN, "The request is for the host \"%.*s\"", STR_ARG(host));
        return AUTH_NO;
    }
    if ((origin.p != NULL && !is_own_page(origin, host)) ||
        (site.p != NULL && !str_is(site, "same-origin") && !str_is(site, "none"))) {
        call_problem(c, PROBLEM_FOREIGN, "The request was made by a page of another site");
        return AUTH_NO;
    }
    c->who = (struct identity){.tenant = TENANT_DEFAULT, .author = "local", .scopes = ~0U};
    return AUTH_YES;
}

/* ---- with one ---- */

static enum auth_verdict judge_scope(struct call *c) {
    enum scope wanted = c->route->scope;
    if ((c->who.scopes & ((unsigned)wanted | SCOPE_ADMIN)) != 0) {
        return AUTH_YES;
    }
    call_problem(c, PROBLEM_FORBIDDEN, "This needs the scope %s", scope_name(wanted));
    return AUTH_NO;
}

/* key NULL: there is none of the id. */
static enum auth_verdict judge(struct call *c, const struct api_key *key, const uint8_t hash[SHA256_BYTES]) {
    if (key == NULL || !crypto_equal(hash, key->secret_hash, SHA256_BYTES) || str_is(str_c(key->tenant), TENANT_SYSTEM)) {
        return refuse(c, "The API key is not known, or was revoked");
    }
    (void)str_copy_c(str_c(key->tenant), c->who.tenant, sizeof c->who.tenant);
    (void)str_copy_c(str_c(key->id), c->who.author, sizeof c->who.author);
    c->who.scopes = key->scopes;
    return judge_scope(c);
}

/* In the call's arena. */
struct ask {
    struct key_wait wait; /* first: what keys.c knows of it */
    struct call *call;
    void (*then)(struct call *c);
    uint8_t hash[SHA256_BYTES]; /* of the secret that was sent */
};

static void on_key(struct key_wait *w, struct err err, const struct api_key *key) {
    struct ask *ask = (struct ask *)w;
    struct call *c = ask->call;
    if (err_is_set(err)) {
        call_fail(c, err);
    } else if (c->req != NULL && judge(c, key, ask->hash) == AUTH_YES) {
        ask->then(c);
    }
    call_release(c);
}

static enum auth_verdict look_up(struct call *c, struct str id, const uint8_t hash[SHA256_BYTES], void (*then)(struct call *c)) {
    struct ask *ask = ARENA_NEW(&c->arena, struct ask);
    if (ask == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "key"));
        return AUTH_NO;
    }
    *ask = (struct ask){.wait = {.done = on_key}, .call = c, .then = then};
    memcpy(ask->hash, hash, sizeof ask->hash);
    struct err e = keys_ask(c->api->keys, id, &ask->wait);
    if (err_is_set(e)) {
        call_fail(c, e);
        return AUTH_NO;
    }
    call_hold(c);
    return AUTH_LATER;
}

enum auth_verdict auth_check(struct call *c, void (*then)(struct call *c)) {
    struct str header = http_request_header(c->req, "Authorization");
    struct str id, secret;
    uint8_t hash[SHA256_BYTES];
    const struct api_key *key;
    if (c->route->scope == SCOPE_NONE) { /* probes must not depend on what is in Postgres */
        c->who = (struct identity){.tenant = TENANT_DEFAULT, .author = "nobody"};
        return AUTH_YES;
    }
    if (header.p == NULL) {
        return c->api->loopback ? let_in_local(c) : refuse(c, "There was no Authorization header");
    }
    if (!header_bearer(header, &id, &secret) || err_is_set(sha256(secret, hash))) {
        return refuse(c, "Authorization must be Bearer pen_<id>_<secret>");
    }
    return keys_know(c->api->keys, id, &key) ? judge(c, key, hash) : look_up(c, id, hash, then);
}
