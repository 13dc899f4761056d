#include "auth.h"

#include <base/crypto.h>

#include "header.h"
#include "keys.h"
#include "server.h"
#include "session.h"

bool auth_is_loopback(const char *listen) {
    struct str s = str_c(listen);
    return str_starts(s, STR("127.")) || str_starts(s, STR("[::1]:"));
}

static enum auth_verdict refuse(struct call *c, enum problem_id id, const char *why) {
    call_header(c, "WWW-Authenticate", STR("Bearer realm=\"penstock\""));
    call_problem(c, id, "%s", why);
    return AUTH_NO;
}

/* ---- whose page made the request ---- */

static bool is_own_page(struct str origin, struct str host) {
    struct str scheme = str_starts(origin, STR("https://")) ? STR("https://") : STR("http://");
    return str_starts(origin, scheme) && str_eq_nocase(str_of(origin.p + scheme.n, origin.n - scheme.n), host);
}

/* Browsers say it in Sec-Fetch-Site, old ones in Origin alone. */
static bool is_same_origin(const struct call *c) {
    struct str host = http_request_header(c->req, "Host");
    struct str origin = http_request_header(c->req, "Origin");
    struct str site = http_request_header(c->req, "Sec-Fetch-Site");
    return site.p != NULL ? str_is(site, "same-origin") : origin.p != NULL && is_own_page(origin, host);
}

static bool is_reading(const struct call *c) { return str_is(c->req->method, "GET") || str_is(c->req->method, "HEAD"); }

/* ---- without a key ---- */

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
    c->who = (struct identity){.tenant = TENANT_DEFAULT, .author = "local", .name = "local", .scopes = ~0U};
    return AUTH_YES;
}

/* ---- with one ---- */

/* What a request brings to prove that it has a key. */
struct proof {
    char id[TENANT_BYTES];
    uint8_t bytes[SHA256_BYTES]; /* hash of the secret, or MAC of the session */
    int64_t session_ends_s;      /* 0: it is no session */
};

static bool proves(const struct call *c, const struct proof *p, const struct api_key *key) {
    uint8_t mac[SHA256_BYTES];
    if (str_is(str_c(key->tenant), TENANT_SYSTEM)) {
        return false;
    }
    if (p->session_ends_s == 0) {
        return api_key_opens(key, p->bytes);
    }
    return p->session_ends_s > loop_wall(c->api->rt->loop).ms / 1000 &&
           !err_is_set(session_mac(c->api, key, p->session_ends_s, mac)) && crypto_equal(p->bytes, mac, SHA256_BYTES);
}

static enum auth_verdict refuse_proof(struct call *c, const struct proof *p) {
    if (p->session_ends_s == 0) {
        return refuse(c, PROBLEM_UNAUTHENTICATED, "The API key is not known, or was revoked");
    }
    session_forget(c);
    return refuse(c, PROBLEM_SESSION_EXPIRED, "Its time is up, or its key was revoked");
}

static enum auth_verdict judge_scope(struct call *c) {
    enum scope wanted = c->route->scope;
    if (wanted == SCOPE_NONE || (c->who.scopes & ((unsigned)wanted | SCOPE_ADMIN)) != 0) {
        return AUTH_YES;
    }
    call_problem(c, PROBLEM_FORBIDDEN, "This needs the scope %s", scope_name(wanted));
    return AUTH_NO;
}

/* key NULL: there is none of the id. */
static enum auth_verdict judge(struct call *c, const struct proof *p, const struct api_key *key) {
    if (key == NULL || !proves(c, p, key)) {
        return refuse_proof(c, p);
    }
    c->who = (struct identity){.scopes = key->scopes, .keyed = true, .session_ends_s = p->session_ends_s};
    memcpy(c->who.secret_hash, p->session_ends_s == 0 ? p->bytes : key->secret_hash, SHA256_BYTES);
    (void)str_copy_c(str_c(key->tenant), c->who.tenant, sizeof c->who.tenant);
    (void)str_copy_c(str_c(key->id), c->who.author, sizeof c->who.author);
    (void)str_copy_c(str_c(key->name), c->who.name, sizeof c->who.name);
    return judge_scope(c);
}

/* In the call's arena. */
struct ask {
    struct key_wait wait; /* first: what keys.c knows of it */
    struct call *call;
    void (*then)(struct call *c);
    struct proof proof;
};

static void on_key(struct key_wait *w, struct err err, const struct api_key *key) {
    struct ask *ask = (struct ask *)w;
    struct call *c = ask->call;
    if (err_is_set(err)) {
        call_fail(c, err);
    } else if (c->req != NULL && judge(c, &ask->proof, key) == AUTH_YES) {
        ask->then(c);
    }
    call_release(c);
}

static enum auth_verdict look_up(struct call *c, const struct proof *p, void (*then)(struct call *c)) {
    struct ask *ask = ARENA_NEW(&c->arena, struct ask);
    if (ask == NULL) {
        call_fail(c, err_make(ERR_NOMEM, "key"));
        return AUTH_NO;
    }
    *ask = (struct ask){.wait = {.done = on_key}, .call = c, .then = then, .proof = *p};
    struct err e = keys_ask(c->api->keys, str_c(ask->proof.id), &ask->wait);
    if (err_is_set(e)) {
        call_fail(c, e);
        return AUTH_NO;
    }
    call_hold(c);
    return AUTH_LATER;
}

static enum auth_verdict try(struct call *c, const struct proof *p, void (*then)(struct call *c)) {
    const struct api_key *key;
    return keys_know(c->api->keys, str_c(p->id), &key) ? judge(c, p, key) : look_up(c, p, then);
}

/* The form was checked: the id fits. */
static bool prove_secret(struct str id, struct str secret, struct proof *out) {
    *out = (struct proof){0};
    return str_copy_c(id, out->id, sizeof out->id) && !err_is_set(sha256(secret, out->bytes));
}

enum auth_verdict auth_with_key(struct call *c, struct str api_key, void (*then)(struct call *c)) {
    struct str id, secret;
    struct proof p;
    if (!header_api_key(str_trim(api_key), &id, &secret) || !prove_secret(id, secret, &p)) {
        return refuse(c, PROBLEM_UNAUTHENTICATED, "A key looks like pen_<id>_<secret>");
    }
    return try(c, &p, then);
}

static enum auth_verdict check_session(struct call *c, struct str cookie, void (*then)(struct call *c)) {
    struct proof p = {.session_ends_s = 1};
    if (!is_reading(c) && !is_same_origin(c)) {
        call_problem(c, PROBLEM_CROSS_SITE, "The request was made by a page of another site, or by no page");
        return AUTH_NO;
    }
    if (!session_parse(cookie, p.id, &p.session_ends_s, p.bytes)) {
        return refuse_proof(c, &p);
    }
    return try(c, &p, then);
}

enum auth_verdict auth_check(struct call *c, void (*then)(struct call *c)) {
    struct str header = http_request_header(c->req, "Authorization");
    struct str id, secret, cookie;
    struct proof p;
    if (c->route->scope == SCOPE_NONE) { /* probes must not depend on what is in Postgres */
        c->who = (struct identity){.tenant = TENANT_DEFAULT, .author = "nobody"};
        return AUTH_YES;
    }
    if (header.p == NULL) {
        cookie = header_cookie(http_request_header(c->req, "Cookie"), SESSION_COOKIE);
        if (cookie.p != NULL) {
            return check_session(c, cookie, then);
        }
        return c->api->loopback ? let_in_local(c) : refuse(c, PROBLEM_UNAUTHENTICATED, "There was no Authorization header");
    }
    if (!header_bearer(header, &id, &secret) || !prove_secret(id, secret, &p)) {
        return refuse(c, PROBLEM_UNAUTHENTICATED, "Authorization must be Bearer pen_<id>_<secret>");
    }
    return try(c, &p, then);
}
