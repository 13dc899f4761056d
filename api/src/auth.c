#include "auth.h"

#include <base/crypto.h>
#include <io/timer.h>
#include <stdio.h>
#include <stdlib.h>

#include "header.h"
#include "server.h"

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(entry) ((entry)->hashed = false)
#include <uthash.h>

enum { BELIEVED_MS = 5000, BELIEVED_BLIND_MS = 600000, ENTRIES_MAX = 1024, AGAIN_MS = 1000 };

struct entry {
    char id[TENANT_BYTES];
    char tenant[TENANT_BYTES];
    uint8_t secret_hash[SHA256_BYTES];
    unsigned scopes;
    bool exists; /* false: remembered as absent or revoked */
    bool hashed;
    struct mono read;
    UT_hash_handle hh;
};

struct auth {
    struct api *api;
    struct entry *entries; /* in the order in which they were read */
};

static const struct pg_stmt key_stmt = {
    "api.key",
    "SELECT secret_hash, tenant, array_to_string(scopes, ' ') FROM platform.api_key WHERE id = $1 AND revoked_at IS NULL",
    1,
};
static const struct pg_stmt any_stmt = {"api.any_key", "SELECT EXISTS (SELECT FROM platform.api_key WHERE revoked_at IS NULL)",
                                        0};

static const struct {
    const char *name;
    enum scope scope;
} scopes[] = {
    {"view", SCOPE_VIEW},     {"enqueue", SCOPE_ENQUEUE}, {"operate", SCOPE_OPERATE},
    {"replay", SCOPE_REPLAY}, {"admin", SCOPE_ADMIN},
};
enum { SCOPES = sizeof scopes / sizeof scopes[0] };

unsigned auth_scope_parse(struct str name) {
    for (size_t i = 0; i < SCOPES; i++) {
        if (str_is(name, scopes[i].name)) {
            return scopes[i].scope;
        }
    }
    return 0;
}

bool auth_is_loopback(const char *listen) {
    struct str s = str_c(listen);
    return str_starts(s, STR("127.")) || str_starts(s, STR("[::1]:"));
}

struct err auth_new(struct api *api, struct auth **out) {
    struct auth *a = calloc(1, sizeof *a);
    if (a == NULL) {
        return err_make(ERR_NOMEM, "auth");
    }
    a->api = api;
    *out = a;
    return OK;
}

static void forget(struct auth *a, struct entry *e) {
    HASH_DEL(a->entries, e);
    crypto_wipe(e->secret_hash, sizeof e->secret_hash);
    free(e);
}

void auth_free(struct auth *a) {
    if (a == NULL) {
        return;
    }
    while (a->entries != NULL) {
        forget(a, a->entries);
    }
    free(a);
}

/* ---- judging ---- */

static enum auth_verdict refuse(struct call *c, const char *why) {
    call_header(c, "WWW-Authenticate", STR("Bearer realm=\"penstock\""));
    call_problem(c, PROBLEM_UNAUTHENTICATED, "%s", why);
    return AUTH_NO;
}

static const char *scope_name(enum scope s) {
    for (size_t i = 0; i < SCOPES; i++) {
        if (scopes[i].scope == s) {
            return scopes[i].name;
        }
    }
    return "none";
}

static enum auth_verdict judge_scope(struct call *c) {
    enum scope wanted = c->route->scope;
    if (wanted == SCOPE_NONE || (c->who.scopes & ((unsigned)wanted | SCOPE_ADMIN)) != 0) {
        return AUTH_YES;
    }
    call_problem(c, PROBLEM_FORBIDDEN, "This needs the scope %s", scope_name(wanted));
    return AUTH_NO;
}

static enum auth_verdict judge(struct call *c, const struct entry *e, const uint8_t hash[SHA256_BYTES]) {
    if (!e->exists || !crypto_equal(hash, e->secret_hash, SHA256_BYTES) || str_is(str_c(e->tenant), TENANT_SYSTEM)) {
        return refuse(c, "The API key is not known, or was revoked");
    }
    (void)str_copy_c(str_c(e->tenant), c->who.tenant, sizeof c->who.tenant);
    (void)str_copy_c(str_c(e->id), c->who.author, sizeof c->who.author);
    c->who.scopes = e->scopes;
    return judge_scope(c);
}

static struct entry *find(struct auth *a, struct str id) {
    struct entry *e = NULL;
    HASH_FIND(hh, a->entries, id.p, id.n, e);
    return e;
}

enum auth_verdict auth_check(struct call *c) {
    struct api *api = c->api;
    struct str header = http_request_header(c->req, "Authorization");
    struct str id, secret;
    uint8_t hash[SHA256_BYTES];
    if (c->route->scope == SCOPE_NONE) { /* probes must not depend on what is in Postgres */
        c->who = (struct identity){.tenant = TENANT_DEFAULT, .author = "nobody"};
        return AUTH_YES;
    }
    if (header.p == NULL) {
        if (!api->loopback) {
            return refuse(c, "There was no Authorization header");
        }
        c->who = (struct identity){.tenant = TENANT_DEFAULT, .author = "local", .scopes = ~0U};
        return AUTH_YES;
    }
    if (!header_bearer(header, &id, &secret) || err_is_set(sha256(secret, hash))) {
        return refuse(c, "Authorization must be Bearer pen_<id>_<secret>");
    }
    const struct entry *e = find(api->auth, id);
    if (e == NULL || mono_ms_since(loop_now(api->rt->loop), e->read) >= BELIEVED_MS) {
        return AUTH_ASK;
    }
    return judge(c, e, hash);
}

/* ---- asking ---- */

struct ask {
    struct call *call;
    void (*then)(struct call *c);
    char id[TENANT_BYTES];
    uint8_t hash[SHA256_BYTES]; /* of the secret that was sent */
};

static void read_scopes(struct entry *e, struct str text) {
    struct str name;
    while (str_cut(&text, ' ', &name)) {
        e->scopes |= auth_scope_parse(name);
    }
}

static void fill(struct entry *e, const PGresult *res, struct arena *scratch) {
    struct str hash = PQntuples(res) > 0 ? pg_col_bytes(res, 0, 0, scratch) : STR_NONE;
    if (hash.p == NULL || hash.n != SHA256_BYTES || !str_copy_c(pg_col(res, 0, 1), e->tenant, sizeof e->tenant)) {
        return;
    }
    memcpy(e->secret_hash, hash.p, SHA256_BYTES);
    read_scopes(e, pg_col(res, 0, 2));
    e->exists = true;
}

/* Replaces what is remembered of an id. NULL without memory. */
static struct entry *remember(struct auth *a, const char *id, const PGresult *res, struct arena *scratch) {
    struct entry *old = find(a, str_c(id));
    if (old != NULL) {
        forget(a, old);
    } else if (HASH_COUNT(a->entries) >= ENTRIES_MAX) {
        forget(a, a->entries); /* the one read longest ago */
    }
    struct entry *e = calloc(1, sizeof *e);
    if (e == NULL) {
        return NULL;
    }
    (void)str_copy_c(str_c(id), e->id, sizeof e->id);
    e->read = loop_now(a->api->rt->loop);
    fill(e, res, scratch);
    e->hashed = true;
    HASH_ADD_STR(a->entries, id, e);
    if (!e->hashed) {
        free(e);
        return NULL;
    }
    return e;
}

static void on_key(void *arg, struct err err, const PGresult *res) {
    struct ask *ask = arg;
    struct call *c = ask->call;
    struct auth *a = c->api->auth;
    const struct entry *e = err_is_set(err) ? find(a, str_c(ask->id)) : remember(a, ask->id, res, &c->arena);
    bool usable = e != NULL && (!err_is_set(err) || mono_ms_since(loop_now(c->api->rt->loop), e->read) < BELIEVED_BLIND_MS);
    if (!usable) {
        call_fail(c, err_is_set(err) ? err : err_make(ERR_NOMEM, "auth"));
    } else if (c->req != NULL && judge(c, e, ask->hash) == AUTH_YES) {
        ask->then(c);
    }
    call_release(c);
}

void auth_ask(struct call *c, void (*then)(struct call *c)) {
    struct str id, secret;
    struct ask *ask = ARENA_NEW(&c->arena, struct ask);
    if (ask == NULL || !header_bearer(http_request_header(c->req, "Authorization"), &id, &secret) ||
        err_is_set(sha256(secret, ask->hash)) || !str_copy_c(id, ask->id, sizeof ask->id)) {
        call_fail(c, err_make(ERR_NOMEM, "auth"));
        return;
    }
    ask->call = c;
    ask->then = then;
    call_hold(c);
    const struct pg_value value = pg_text(str_c(ask->id));
    pg_exec(c->api->rt->platform, &key_stmt, &value, 0, 0, on_key, ask);
}

/* ---- at the start ---- */

struct find_any {
    struct api *api;
    void (*done)(struct api *api, bool any);
};

static void on_any(void *arg, struct err err, const PGresult *res) {
    struct find_any *f = arg;
    struct api *api = f->api;
    if (err_is_set(err)) {
        if (!api->closing) {
            timer_start(api->keys_timer, AGAIN_MS);
        }
    } else {
        f->done(api, pg_col_bool(res, 0, 0));
    }
    free(f);
}

void auth_find_any(struct api *api, void (*done)(struct api *api, bool any)) {
    struct find_any *f = malloc(sizeof *f);
    if (f == NULL) {
        timer_start(api->keys_timer, AGAIN_MS);
        return;
    }
    *f = (struct find_any){api, done};
    pg_exec(api->rt->platform, &any_stmt, NULL, 0, 0, on_any, f);
}
