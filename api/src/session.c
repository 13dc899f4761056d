#include "session.h"

#include <base/json.h>
#include <stdio.h>

#include "handlers.h"
#include "server.h"

enum { BODY_BYTES_MAX = 4096, ATTRIBUTES_BYTES = 96 };

/* ---- the cookie: <key id>:<unix seconds>:<mac> ---- */

bool session_parse(struct str cookie, char out_id[TENANT_BYTES], int64_t *out_ends_s, uint8_t out_mac[SHA256_BYTES]) {
    struct str id, ends;
    return str_cut(&cookie, ':', &id) && str_is_name(id, LIMIT_NAME_BYTES) && str_copy_c(id, out_id, TENANT_BYTES) &&
           str_cut(&cookie, ':', &ends) && str_to_i64(ends, out_ends_s) && *out_ends_s > 0 &&
           hex_decode(cookie, out_mac, SHA256_BYTES);
}

struct err session_mac(const struct api *api, const struct api_key *key, int64_t ends_s, uint8_t out[SHA256_BYTES]) {
    char until[I64_TEXT_BYTES];
    uint8_t own[SHA256_BYTES];
    const struct runtime *rt = api->rt;
    const struct str origin[] = {STR("penstock session 1\n"), str_c(rt->postgres_password), STR("\n"), str_c(rt->redis_password)};
    const struct str parts[] = {str_c(key->id), STR(":"), str_from_i64(ends_s, until)};
    struct err e = hmac_sha256(str_of(key->secret_hash, SHA256_BYTES), origin, sizeof origin / sizeof origin[0], own);
    if (!err_is_set(e)) {
        e = hmac_sha256(str_of(own, sizeof own), parts, sizeof parts / sizeof parts[0], out);
    }
    crypto_wipe(own, sizeof own);
    return e;
}

/* Behind the proxy that ends TLS, or where there must be one. */
static bool is_secure(const struct call *c) {
    return !c->api->loopback || str_eq_nocase(http_request_header(c->req, "X-Forwarded-Proto"), STR("https"));
}

static void set_cookie(struct call *c, struct str value, int64_t max_age_s) {
    struct str line = arena_printf(&c->arena, SESSION_COOKIE "=%.*s; HttpOnly; SameSite=Strict; Path=/; Max-Age=%lld%s",
                                   STR_ARG(value), (long long)max_age_s, is_secure(c) ? "; Secure" : "");
    if (line.p != NULL) {
        call_header(c, "Set-Cookie", line);
    }
}

void session_forget(struct call *c) { set_cookie(c, STR(""), 0); }

/* ---- the routes ---- */

static void answer_identity(struct call *c) {
    struct buf b;
    const char *separator = "";
    buf_init(&b, BODY_BYTES_MAX);
    buf_add_c(&b, "{\"name\":");
    json_add_string(&b, str_c(c->who.name));
    job_add_text(&b, "tenant", str_c(c->who.tenant));
    job_add_text(&b, "author", str_c(c->who.author));
    buf_add_c(&b, ",\"scopes\":[");
    for (unsigned bit = 1; scope_name((enum scope)bit) != NULL; bit <<= 1) {
        if ((c->who.scopes & bit) != 0) {
            buf_addf(&b, "%s\"%s\"", separator, scope_name((enum scope)bit));
            separator = ",";
        }
    }
    buf_add_char(&b, ']');
    job_add_time(&b, "expires_at", (struct wall){c->who.session_ends_s * 1000});
    buf_add_char(&b, '}');
    call_header(c, "Cache-Control", STR("no-store"));
    call_json(c, 200, &b);
    buf_free(&b);
}

static void on_signed_in(struct call *c) {
    const struct api_key *key;
    uint8_t mac[SHA256_BYTES];
    char hex[SHA256_HEX_BYTES];
    int64_t ends_s = loop_wall(c->api->rt->loop).ms / 1000 + SESSION_S;
    if ((c->who.scopes & (SCOPE_VIEW | SCOPE_ADMIN)) == 0) {
        call_problem(c, PROBLEM_FORBIDDEN, "A session needs the scope %s", scope_name(SCOPE_VIEW));
        return;
    }
    if (!keys_know(c->api->keys, str_c(c->who.author), &key) || key == NULL ||
        err_is_set(session_mac(c->api, key, ends_s, mac))) {
        call_problem(c, PROBLEM_UNAVAILABLE, "The key cannot be read at this moment");
        return;
    }
    if (!crypto_equal(c->who.secret_hash, key->secret_hash,
                      SHA256_BYTES)) { /* it would outlive the time that the old one has left */
        call_problem(c, PROBLEM_UNAUTHENTICATED, "This secret was replaced: sign in with the new one");
        return;
    }
    hex_encode(mac, sizeof mac, hex);
    c->who.session_ends_s = ends_s;
    set_cookie(c, arena_printf(&c->arena, "%s:%lld:%s", c->who.author, (long long)ends_s, hex), SESSION_S);
    answer_identity(c);
}

void handle_session_post(struct call *c) {
    struct str site = http_request_header(c->req, "Sec-Fetch-Site");
    if (site.p != NULL && !str_is(site, "same-origin") && !str_is(site, "none")) {
        call_problem(c, PROBLEM_CROSS_SITE, "The request was made by a page of another site");
        return;
    }
    json_t *body = call_body(c);
    if (body == NULL) {
        return;
    }
    if (call_check(c, types_body(c->api->types, "SessionRequest"), body, "") &&
        auth_with_key(c, json_opt_str(body, "key", STR("")), on_signed_in) == AUTH_YES) {
        on_signed_in(c);
    }
    json_decref(body);
}

void handle_session_get(struct call *c) { answer_identity(c); }

void handle_session_delete(struct call *c) {
    session_forget(c);
    call_answer(c, 204, NULL, STR_NONE);
}
