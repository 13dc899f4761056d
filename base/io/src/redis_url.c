/* redis://[user[:password]@]host[:port][/db] and unix:/path. libcurl takes the url apart; it also decodes %XX. */
#include "redis_private.h"

#include <arpa/inet.h>
#include <base/crypto.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <sys/un.h>

enum { REDIS_PORT = 6379, REDIS_DB_MAX = 1 << 20 };

static struct err invalid(const char *what) {
    return err_make(ERR_INVALID, "redis url: %s; expected redis://[user[:password]@]address[:port][/db] or unix:/path", what);
}

/* *out stays NULL when the url has no such part. */
static struct err get_part(CURLU *h, CURLUPart part, unsigned flags, char **out) {
    char *s = NULL;
    CURLUcode rc = curl_url_get(h, part, &s, flags);
    if (rc == CURLUE_OUT_OF_MEMORY) {
        return err_make(ERR_NOMEM, "redis url");
    }
    if (rc == CURLUE_URLDECODE) {
        return invalid("bad %XX");
    }
    if (rc != CURLUE_OK || s == NULL || s[0] == '\0') {
        curl_free(s);
        return OK;
    }
    *out = strdup(s);
    crypto_wipe(s, strlen(s)); /* may be the password */
    curl_free(s);
    return *out != NULL ? OK : err_make(ERR_NOMEM, "redis url");
}

/* hiredis would resolve a name, and block on it. */
static struct err check_host(struct redis_url *u) {
    size_t n = u->host != NULL ? strlen(u->host) : 0;
    if (n == 0) {
        return invalid("no host");
    }
    if (u->host[0] == '[' && u->host[n - 1] == ']') {
        memmove(u->host, u->host + 1, n - 2);
        u->host[n - 2] = '\0';
    }
    if (strcmp(u->host, "localhost") == 0) {
        char *address = strdup("127.0.0.1");
        if (address == NULL) {
            return err_make(ERR_NOMEM, "redis url");
        }
        free(u->host);
        u->host = address;
    }
    struct in6_addr any;
    if (inet_pton(AF_INET, u->host, &any) != 1 && inet_pton(AF_INET6, u->host, &any) != 1) {
        return invalid("the host must be an address or localhost, not a name");
    }
    return OK;
}

static struct err get_numbers(CURLU *h, struct redis_url *u) {
    char *port = NULL, *path = NULL;
    int64_t n = REDIS_PORT;
    struct err e = get_part(h, CURLUPART_PORT, 0, &port);
    if (!err_is_set(e) && port != NULL && (!str_to_i64(str_c(port), &n) || n < 1 || n > 65535)) {
        e = invalid("bad port");
    }
    u->port = (int)n;
    if (!err_is_set(e)) {
        e = get_part(h, CURLUPART_PATH, 0, &path);
    }
    if (!err_is_set(e) && path != NULL && strcmp(path, "/") != 0 &&
        (!str_to_i64(str_c(path + 1), &u->db) || u->db < 0 || u->db > REDIS_DB_MAX)) {
        e = invalid("the path must be the number of a database");
    }
    free(port);
    free(path);
    return e;
}

static struct err parse_tcp(const char *url, struct redis_url *u) {
    CURLU *h = curl_url();
    if (h == NULL) {
        return err_make(ERR_NOMEM, "redis url");
    }
    struct err e = OK;
    CURLUcode rc = curl_url_set(h, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME);
    if (rc != CURLUE_OK) {
        e = rc == CURLUE_OUT_OF_MEMORY ? err_make(ERR_NOMEM, "redis url") : invalid(curl_url_strerror(rc));
    }
    if (!err_is_set(e)) {
        e = get_part(h, CURLUPART_HOST, 0, &u->host);
    }
    if (!err_is_set(e)) {
        e = get_part(h, CURLUPART_USER, CURLU_URLDECODE, &u->user);
    }
    if (!err_is_set(e)) {
        e = get_part(h, CURLUPART_PASSWORD, CURLU_URLDECODE, &u->password);
    }
    if (!err_is_set(e)) {
        e = get_numbers(h, u);
    }
    curl_url_cleanup(h);
    return err_is_set(e) ? e : check_host(u);
}

static struct err parse_unix(struct str path, struct redis_url *u) {
    if (path.n < 2 || path.p[0] != '/' || path.n >= sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1) {
        return invalid("unix: needs an absolute path of at most 106 characters");
    }
    u->path = strndup(path.p, path.n);
    return u->path != NULL ? OK : err_make(ERR_NOMEM, "redis url");
}

struct err redis_url_parse(const char *url, struct redis_url *out) {
    struct redis_url u = {0};
    struct str s = str_c(url);
    struct err e;
    if (str_starts(s, STR("redis://"))) {
        e = parse_tcp(url, &u);
    } else if (str_starts(s, STR("unix:"))) {
        e = parse_unix((struct str){s.p + 5, s.n - 5}, &u);
    } else {
        e = invalid("unknown scheme");
    }
    if (err_is_set(e)) {
        redis_url_free(&u);
        return e;
    }
    *out = u;
    return OK;
}

void redis_url_free(struct redis_url *u) {
    if (u->password != NULL) {
        crypto_wipe(u->password, strlen(u->password));
    }
    free(u->host);
    free(u->path);
    free(u->user);
    free(u->password);
    *u = (struct redis_url){0};
}
