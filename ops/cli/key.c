/* penstock key create|rotate|list|revoke: straight to Postgres, as the owner of the platform's schema, since the first key has to come
 * from somewhere. A key is pen_<id>_<secret>; only SHA-256 of the secret is kept, and only the hash goes to the server. */
#include "cli.h"
#include "show.h"
#include "text.h"

#include <base/crypto.h>
#include <base/limits.h>
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECRET_BYTES = 32, ID_BYTES = 8, NAME_MAX_BYTES = 200, KEY_MAX_BYTES = 128, ANSWER_MAX_BYTES = 16 << 20, PARAMS_MAX = 5 };
static const int64_t OVERLAP_DEFAULT_MS = 86400000, OVERLAP_MAX_MS = INT64_C(30) * 86400000;

#define UTC(column) "to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
#define KEY_JSON                                                                                                         \
    "json_strip_nulls(json_build_object('id', id, 'name', name, 'tenant', tenant, 'scopes', scopes, 'created_at', " UTC( \
        "created_at") ", 'revoked_at', " UTC("revoked_at") "))"
/* The end of a statement that has changed the row k. */
#define AUDITED(action)                                                                                          \
    ", a AS (INSERT INTO platform.audit (tenant, author, action, target, detail) SELECT tenant, 'postgres:' || " \
    "session_user, '" action "', id, jsonb_build_object('scopes', scopes, 'name', name) FROM k) SELECT " KEY_JSON " FROM k"

static const char create_sql[] = "WITH k AS (INSERT INTO platform.api_key (id, secret_hash, tenant, scopes, name) VALUES "
                                 "($1, decode($2, 'hex'), $3, string_to_array($4, ','), $5) RETURNING *)" AUDITED("key.create");
/* The secret before the last one opens nothing any more: there are two at most. */
static const char rotate_sql[] =
    "WITH k AS (UPDATE platform.api_key SET old_hash = secret_hash, old_until = now() + make_interval(secs => $3::bigint / 1000.0), "
    "secret_hash = decode($2, 'hex') WHERE id = $1 AND revoked_at IS NULL RETURNING *)" AUDITED("key.rotate");
static const char revoke_sql[] = "WITH k AS (UPDATE platform.api_key SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1 "
                                 "RETURNING *)" AUDITED("key.revoke");
static const char look_sql[] = "SELECT " KEY_JSON " FROM platform.api_key WHERE id = $1 AND revoked_at IS NULL";
static const char list_sql[] =
    "SELECT json_build_object('items', coalesce(json_agg(" KEY_JSON " ORDER BY created_at, id), '[]')) FROM platform.api_key";

static const struct column columns[] = {
    {"NAME", "id", COLUMN_TEXT, 0},
    {"TENANT", "tenant", COLUMN_TEXT, COLUMN_CUT},
    {"SCOPES", "scopes", COLUMN_TEXT, COLUMN_CUT},
    {"FOR", "name", COLUMN_TEXT, COLUMN_CUT},
    {"REVOKED", "revoked_at", COLUMN_AGE, 0},
    {"AGE", "created_at", COLUMN_AGE, 0},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

/* ---- Postgres ---- */

/* The first line of what libpq says. */
static int first_line(const char *message) { return (int)strcspn(message, "\n"); }

/* The url's own connect_timeout wins over --timeout. */
struct target {
    const char *keywords[3], *values[3];
    char seconds[24];
};

static void target_make(const struct options *o, const char *url, struct target *out) {
    (void)snprintf(out->seconds, sizeof out->seconds, "%lld", (long long)o->timeout_ms / 1000 + 1);
    out->keywords[0] = "connect_timeout";
    out->values[0] = out->seconds;
    out->keywords[1] = "dbname";
    out->values[1] = url;
    out->keywords[2] = out->values[2] = NULL;
}

static int refused(const struct options *o, PGconn *pg, const struct target *t) {
    const char *message = PQerrorMessage(pg);
    bool answers = PQpingParams(t->keywords, t->values, 1) == PQPING_OK; /* then it is about who we are */
    return cli_fail(o, answers ? EXIT_DENIED : EXIT_UNAVAILABLE,
                    "Postgres: %.*s; PENSTOCK_ADMIN_POSTGRES_URL says where and as whom", first_line(message), message);
}

static int failed(const struct options *o, const PGresult *res, PGconn *pg) {
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *message = PQerrorMessage(pg);
    struct str code = str_c(state != NULL ? state : "");
    if (str_is(code, "42501")) {
        return cli_fail(o, EXIT_DENIED, "Postgres: %.*s; PENSTOCK_ADMIN_POSTGRES_URL names the owner", first_line(message),
                        message);
    }
    if (str_is(code, "42P01") || str_is(code, "3F000")) {
        return cli_fail(o, EXIT_CONFIG, "the schema platform is not there; run penstock migrate");
    }
    return cli_fail(o, code.n == 0 ? EXIT_AGAIN : EXIT_INTERNAL, "Postgres: %.*s", first_line(message), message);
}

/* The one value of the answer; no row: the answer's json stays NULL. */
static int ask(const struct options *o, const char *url, const char *sql, int n, const char *const *values,
               struct client_answer *out) {
    struct target t;
    target_make(o, url, &t);
    PGconn *pg = PQconnectdbParams(t.keywords, t.values, 1);
    PGresult *res = NULL;
    int code = EXIT_SUCCESS;
    if (PQstatus(pg) != CONNECTION_OK) {
        code = refused(o, pg, &t);
    } else {
        res = PQexecParams(pg, sql, n, NULL, values, NULL, NULL, 0);
        code = PQresultStatus(res) == PGRES_TUPLES_OK ? EXIT_SUCCESS : failed(o, res, pg);
    }
    if (code == EXIT_SUCCESS && PQntuples(res) > 0) {
        buf_add(&out->body, str_of(PQgetvalue(res, 0, 0), (size_t)PQgetlength(res, 0, 0)));
        struct err e = buf_status(&out->body);
        if (!err_is_set(e)) {
            e = json_read(buf_str(&out->body), &out->json);
        }
        code = err_is_set(e) ? cli_fail(o, EXIT_INTERNAL, "%s", e.detail) : EXIT_SUCCESS;
    }
    PQclear(res);
    PQfinish(pg);
    return code;
}

static int query(const struct options *o, const char *sql, int n, const char *const *values, struct client_answer *out) {
    struct conf conf;
    const char *admin = getenv("PENSTOCK_ADMIN_POSTGRES_URL");
    *out = (struct client_answer){0};
    buf_init(&out->body, ANSWER_MAX_BYTES);
    if (!cli_conf(&conf)) {
        return EXIT_CONFIG;
    }
    int code = ask(o, admin != NULL && admin[0] != '\0' ? admin : conf.postgres_url, sql, n, values, out);
    conf_free(&conf);
    return code;
}

/* ---- create ---- */

static const char scope_names[] = /* each behind a space */
#define S(id, bit, name) " " name
#include <api/scopes.def>
#undef S
    ;

static bool is_scope(struct str name) {
    struct str rest = str_c(scope_names), known;
    while (str_cut(&rest, ' ', &known)) {
        if (name.n > 0 && str_eq(name, known)) {
            return true;
        }
    }
    return false;
}

static int check(const struct options *o, const char *tenant, const char *scopes, const char *name) {
    if (strcmp(tenant, "_system") == 0) {
        return cli_fail(o, EXIT_BAD_INPUT, "the tenant _system is the platform's own; no key opens it");
    }
    if (!str_is_name(str_c(tenant), LIMIT_NAME_BYTES)) {
        return cli_fail(o, EXIT_BAD_INPUT, "--tenant must be 1 to %d of A-Z a-z 0-9 _ . -", LIMIT_NAME_BYTES);
    }
    for (const char *at = scopes; at != NULL; at = strchr(at, ',') != NULL ? strchr(at, ',') + 1 : NULL) {
        struct str scope = str_of(at, strcspn(at, ","));
        if (!is_scope(scope)) {
            return cli_fail(o, EXIT_BAD_INPUT, "\"%.*s\" is no scope; there are%s", STR_ARG(scope), scope_names);
        }
    }
    return strlen(name) > NAME_MAX_BYTES ? cli_fail(o, EXIT_BAD_INPUT, "--name is longer than %d bytes", NAME_MAX_BYTES)
                                         : EXIT_SUCCESS;
}

static void make_id(char id[2 * ID_BYTES + 1]) {
    uint8_t random[ID_BYTES];
    crypto_random(random, sizeof random);
    hex_encode(random, sizeof random, id);
}

/* key: "pen_<id>_<secret>". */
static bool make_key(struct buf *key, const char *id, char hash_hex[SHA256_HEX_BYTES]) {
    uint8_t random[SECRET_BYTES], hash[SHA256_BYTES];
    crypto_random(random, sizeof random);
    buf_addf(key, "pen_%s_", id);
    size_t before = key->n;
    base64url_add(key, str_of(random, sizeof random));
    crypto_wipe(random, sizeof random);
    if (err_is_set(buf_status(key)) || err_is_set(sha256(str_of(key->p + before, key->n - before), hash))) {
        return false;
    }
    hex_encode(hash, sizeof hash, hash_hex);
    return true;
}

static int show_key(const struct options *o, struct client_answer *a, struct str key) {
    if (!o->json) {
        (void)printf("%.*s\n", STR_ARG(key));
        if (!o->quiet) {
            (void)fprintf(stderr, "This is the only time that the key is shown: PENSTOCK_KEY takes it. Its name is %s.\n",
                          json_string_value(json_object_get(a->json, "id")));
        }
        return EXIT_SUCCESS;
    }
    buf_clear(&a->body);
    bool ok = json_object_set_new(a->json, "key", json_stringn(key.p, key.n)) == 0 && !err_is_set(json_write(a->json, &a->body));
    if (ok) {
        (void)printf("%.*s\n", (int)a->body.n, a->body.p);
        crypto_wipe(a->body.p, a->body.n);
    }
    return ok ? EXIT_SUCCESS : cli_fail(o, EXIT_INTERNAL, "out of memory; the key was made: revoke it");
}

static void forget_key(struct buf *key) {
    if (key->n > 0) {
        crypto_wipe(key->p, key->n);
    }
    buf_free(key);
}

int cli_key_create(const struct options *o) {
    const char *tenant = o->value[OPTION_TENANT] != NULL ? o->value[OPTION_TENANT] : "default";
    const char *scopes = o->value[OPTION_SCOPES] != NULL ? o->value[OPTION_SCOPES] : "view,enqueue";
    const char *name = o->value[OPTION_NAME] != NULL ? o->value[OPTION_NAME] : "";
    char id[2 * ID_BYTES + 1], hash_hex[SHA256_HEX_BYTES];
    struct client_answer a = {0};
    struct buf key;
    int code = check(o, tenant, scopes, name);
    if (code != EXIT_SUCCESS) {
        return code;
    }
    make_id(id);
    buf_init(&key, KEY_MAX_BYTES);
    if (make_key(&key, id, hash_hex)) {
        const char *const values[PARAMS_MAX] = {id, hash_hex, tenant, scopes, name};
        code = query(o, create_sql, PARAMS_MAX, values, &a);
    } else {
        code = cli_fail(o, EXIT_INTERNAL, "out of memory");
    }
    if (code == EXIT_SUCCESS) {
        code = show_key(o, &a, buf_str(&key));
    }
    client_answer_free(&a);
    forget_key(&key);
    return code;
}

int cli_key_rotate(const struct options *o) {
    int64_t overlap_ms = OVERLAP_DEFAULT_MS;
    char hash_hex[SHA256_HEX_BYTES], overlap[24];
    struct client_answer a = {0};
    struct buf key;
    int code = EXIT_SUCCESS;
    if (o->value[OPTION_OVERLAP] != NULL &&
        (!text_duration(str_c(o->value[OPTION_OVERLAP]), &overlap_ms) || overlap_ms > OVERLAP_MAX_MS)) {
        return cli_fail(o, EXIT_USAGE, "--overlap must be a time like 24h, at most 30 days, not \"%.60s\"",
                        o->value[OPTION_OVERLAP]);
    }
    if (!str_is_name(str_c(o->args[0]), LIMIT_NAME_BYTES)) {
        return cli_fail(o, EXIT_NO_INPUT, "there is no key %.80s", o->args[0]);
    }
    (void)snprintf(overlap, sizeof overlap, "%lld", (long long)overlap_ms);
    buf_init(&key, KEY_MAX_BYTES);
    if (make_key(&key, o->args[0], hash_hex)) {
        const char *const values[] = {o->args[0], hash_hex, overlap};
        code = query(o, rotate_sql, 3, values, &a);
    } else {
        code = cli_fail(o, EXIT_INTERNAL, "out of memory");
    }
    if (code == EXIT_SUCCESS) {
        code = a.json != NULL ? show_key(o, &a, buf_str(&key))
                              : cli_fail(o, EXIT_NO_INPUT, "there is no live key %.80s", o->args[0]);
    }
    client_answer_free(&a);
    forget_key(&key);
    return code;
}

int cli_key_list(const struct options *o) {
    struct client_answer a;
    int code = query(o, list_sql, 0, NULL, &a);
    if (code == EXIT_SUCCESS) {
        code = show_rows(o, &a, columns, COLUMNS);
    }
    client_answer_free(&a);
    return code;
}

int cli_key_revoke(const struct options *o) {
    const char *const values[] = {o->args[0]};
    struct client_answer a;
    int code = query(o, o->dry_run ? look_sql : revoke_sql, 1, values, &a);
    if (code == EXIT_SUCCESS) {
        code = a.json != NULL ? show_change(o, &a, "key", o->args[0], o->dry_run ? "revoked (dry run)" : "revoked")
                              : cli_fail(o, EXIT_NO_INPUT, "there is no key %.80s", o->args[0]);
    }
    client_answer_free(&a);
    return code == EXIT_SUCCESS && o->dry_run ? EXIT_WORK : code;
}
