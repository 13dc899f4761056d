#include "keys.h"

#include <base/log.h>
#include <io/timer.h>
#include <stdlib.h>

#include "server.h"

#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(item) ((item)->hashed = false)
#include <uthash.h>

enum {
    BELIEVED_MS = 5000,
    REFRESH_MS = 2500, /* read again from here on, while it is still believed: nobody waits for a key that is in use */
    BLIND_MS = 600000,
    PATIENCE_MS = 250, /* for Postgres, where something is known */
    PRESENT_MAX = 1024,
    ABSENT_MAX = 256,
    LOOKUPS_MAX = 256, /* of ids of which nothing is known */
    AGAIN_MS = 1000,
    SCRATCH_BYTES = 4096
};

struct entry {
    struct api_key key; /* of an absent one the id alone */
    struct mono asked;  /* when the question went out that this answers */
    bool hashed;
    UT_hash_handle hh;
};

/* A statement on its way, and who waits for it. */
struct lookup {
    char id[TENANT_BYTES];
    struct keys *keys;
    struct mono began;
    SLIST_HEAD(, key_wait) waits;
    bool hashed;
    UT_hash_handle hh;
};

struct keys {
    struct api *api;
    struct entry *present, *absent; /* each in the order in which they were read */
    struct lookup *lookups;
    struct timer *patience;
    struct timer *again; /* keys_find_any's */
    void (*found_any)(struct api *api, bool any);
    bool told;
};

static const struct pg_stmt key_stmt = {
    "api.key",
    "SELECT secret_hash, tenant, array_to_string(scopes, ' '), left(name, 60), CASE WHEN old_until > now() THEN old_hash END "
    "FROM platform.api_key WHERE id = $1 AND revoked_at IS NULL",
    1,
};
static const struct pg_stmt any_stmt = {"api.any_key", "SELECT EXISTS (SELECT FROM platform.api_key WHERE revoked_at IS NULL)",
                                        0};

bool api_key_opens(const struct api_key *key, const uint8_t hash[SHA256_BYTES]) {
    bool newer = crypto_equal(hash, key->secret_hash, SHA256_BYTES);
    bool older = crypto_equal(hash, key->old_hash, SHA256_BYTES) && key->has_old;
    return newer || older;
}

/* ---- what is known ---- */

static struct entry *find(struct entry *table, struct str id) {
    struct entry *e = NULL;
    HASH_FIND(hh, table, id.p, id.n, e);
    return e;
}

static void forget(struct entry **table, struct entry *e) {
    if (e != NULL) {
        HASH_DEL(*table, e);
        crypto_wipe(&e->key, sizeof e->key);
        free(e);
    }
}

/* Without memory nothing is remembered. */
static void remember(struct entry **table, unsigned most, const struct api_key *key, struct mono asked) {
    if (HASH_COUNT(*table) >= most) {
        forget(table, *table); /* the one read longest ago */
    }
    struct entry *e = calloc(1, sizeof *e);
    if (e == NULL) {
        return;
    }
    *e = (struct entry){.key = *key, .asked = asked, .hashed = true};
    HASH_ADD_STR(*table, key.id, e);
    if (!e->hashed) {
        free(e);
    }
}

static int64_t age_ms(const struct keys *k, const struct entry *e) { return mono_ms_since(loop_now(k->api->rt->loop), e->asked); }

/* Good enough when Postgres does not say. */
static const struct entry *find_usable(const struct keys *k, struct str id) {
    const struct entry *e = find(k->present, id);
    return e != NULL && age_ms(k, e) < BLIND_MS ? e : NULL;
}

static bool is_late(const struct keys *k, const struct lookup *l) {
    return mono_ms_since(loop_now(k->api->rt->loop), l->began) >= PATIENCE_MS;
}

static struct lookup *find_lookup(struct keys *k, struct str id) {
    struct lookup *l = NULL;
    HASH_FIND(hh, k->lookups, id.p, id.n, l);
    return l;
}

/* ---- asking ---- */

/* The key is a copy: those who are told may make us forget it. */
static void tell(struct lookup *l, struct err err, const struct api_key *key) {
    struct key_wait *w;
    while ((w = SLIST_FIRST(&l->waits)) != NULL) {
        SLIST_REMOVE_HEAD(&l->waits, link);
        w->done(w, err, key);
    }
}

static void on_patience(void *arg) {
    struct keys *k = arg;
    struct lookup *l, *next;
    HASH_ITER(hh, k->lookups, l, next) {
        const struct entry *e = is_late(k, l) ? find_usable(k, str_c(l->id)) : NULL;
        if (e != NULL) {
            const struct api_key key = e->key;
            tell(l, OK, &key);
        }
    }
    if (k->lookups != NULL) {
        timer_start(k->patience, PATIENCE_MS);
    }
}

static bool read_key(const PGresult *res, struct api_key *out) {
    struct arena scratch;
    struct str scopes = pg_col(res, 0, 2), name;
    arena_init(&scratch, SCRATCH_BYTES, SCRATCH_BYTES);
    struct str hash = pg_col_bytes(res, 0, 0, &scratch);
    bool good = hash.p != NULL && hash.n == SHA256_BYTES && str_copy_c(pg_col(res, 0, 1), out->tenant, sizeof out->tenant);
    (void)str_copy_c(pg_col(res, 0, 3), out->name, sizeof out->name);
    if (good) {
        memcpy(out->secret_hash, hash.p, SHA256_BYTES);
    }
    struct str old = pg_col_bytes(res, 0, 4, &scratch);
    if (old.p != NULL && old.n == SHA256_BYTES) {
        memcpy(out->old_hash, old.p, SHA256_BYTES);
        out->has_old = true;
    }
    while (str_cut(&scopes, ' ', &name)) {
        out->scopes |= scope_parse(name);
    }
    arena_free(&scratch);
    return good;
}

/* asked: the answer tells of then, however late it came. */
static void learn(struct keys *k, const PGresult *res, struct mono asked, struct api_key *key, bool *out_exists) {
    struct str id = str_c(key->id);
    *out_exists = PQntuples(res) > 0 && read_key(res, key);
    forget(&k->present, find(k->present, id));
    forget(&k->absent, find(k->absent, id));
    if (*out_exists) {
        remember(&k->present, PRESENT_MAX, key, asked);
    } else {
        remember(&k->absent, ABSENT_MAX, key, asked);
    }
}

static void on_answer(void *arg, struct err err, const PGresult *res) {
    struct lookup *l = arg;
    struct keys *k = l->keys;
    struct api_key key = {0};
    bool exists = false;
    HASH_DEL(k->lookups, l); /* first: those who are told may ask again */
    (void)str_copy_c(str_c(l->id), key.id, sizeof key.id);
    if (!err_is_set(err)) {
        learn(k, res, l->began, &key, &exists);
    } else {
        const struct entry *e = find_usable(k, str_c(l->id));
        if (e != NULL) {
            key = e->key;
            exists = true;
            err = OK;
        }
    }
    tell(l, err, exists ? &key : NULL);
    crypto_wipe(&key, sizeof key);
    free(l);
}

static struct err begin(struct keys *k, struct str id, struct lookup **out) {
    if (HASH_COUNT(k->lookups) >= LOOKUPS_MAX && find(k->present, id) == NULL) {
        return err_make(ERR_BUSY, "%d unknown API keys are being looked up", LOOKUPS_MAX);
    }
    struct lookup *l = calloc(1, sizeof *l);
    if (l == NULL) {
        return err_make(ERR_NOMEM, "key");
    }
    *l = (struct lookup){.keys = k, .began = loop_now(k->api->rt->loop), .hashed = true};
    (void)str_copy_c(id, l->id, sizeof l->id);
    HASH_ADD_STR(k->lookups, id, l);
    if (!l->hashed) {
        free(l);
        return err_make(ERR_NOMEM, "key");
    }
    const struct pg_value value = pg_text(str_c(l->id));
    pg_exec(k->api->rt->platform, &key_stmt, &value, 0, 0, on_answer, l);
    if (!timer_is_active(k->patience)) {
        timer_start(k->patience, PATIENCE_MS);
    }
    *out = l;
    return OK;
}

bool keys_know(struct keys *k, struct str id, const struct api_key **out_key) {
    const struct entry *e = find(k->present, id);
    const struct entry *none = find(k->absent, id);
    struct lookup *l = find_lookup(k, id);
    bool fresh = e != NULL && age_ms(k, e) < BELIEVED_MS;
    if (fresh && l == NULL && age_ms(k, e) >= REFRESH_MS) {
        (void)begin(k, id, &l); /* without it, who comes later asks */
    }
    if (fresh || (l != NULL && is_late(k, l) && find_usable(k, id) != NULL)) {
        *out_key = &e->key;
        return true;
    }
    *out_key = NULL;
    return e == NULL && none != NULL && age_ms(k, none) < BELIEVED_MS;
}

struct err keys_ask(struct keys *k, struct str id, struct key_wait *w) {
    struct lookup *l = find_lookup(k, id);
    if (l == NULL) {
        TRY(begin(k, id, &l));
    }
    SLIST_INSERT_HEAD(&l->waits, w, link);
    return OK;
}

/* ---- at the start ---- */

static void ask_any(void *arg);

static void on_any(void *arg, struct err err, const PGresult *res) {
    struct keys *k = arg;
    if (!err_is_set(err)) {
        k->found_any(k->api, pg_col_bool(res, 0, 0));
        return;
    }
    if (k->api->closing) {
        return;
    }
    if (!k->told) {
        k->told = true;
        LOG(WARN, "api.not_listening", LF_C("listen", k->api->listen),
            LF_C("why", "whether there are API keys is not known until Postgres answers"), LF_ERR(err));
    }
    timer_start(k->again, AGAIN_MS);
}

static void ask_any(void *arg) {
    struct keys *k = arg;
    pg_exec(k->api->rt->platform, &any_stmt, NULL, 0, 0, on_any, k);
}

void keys_find_any(struct keys *k, void (*done)(struct api *api, bool any)) {
    k->found_any = done;
    ask_any(k);
}

/* ---- life ---- */

struct err keys_new(struct api *api, struct keys **out) {
    struct keys *k = calloc(1, sizeof *k);
    if (k == NULL) {
        return err_make(ERR_NOMEM, "keys");
    }
    k->api = api;
    struct err e = timer_new(api->rt->loop, on_patience, k, &k->patience);
    if (!err_is_set(e)) {
        e = timer_new(api->rt->loop, ask_any, k, &k->again);
    }
    if (err_is_set(e)) {
        keys_stop(k);
        keys_free(k);
        return e;
    }
    *out = k;
    return OK;
}

void keys_stop(struct keys *k) {
    if (k != NULL) {
        timer_free(k->patience);
        timer_free(k->again);
    }
}

void keys_free(struct keys *k) {
    if (k == NULL) {
        return;
    }
    while (k->present != NULL) {
        forget(&k->present, k->present);
    }
    while (k->absent != NULL) {
        forget(&k->absent, k->absent);
    }
    free(k);
}
