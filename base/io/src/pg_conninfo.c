/* The settings of a connection. Later keywords win in libpq, so the order is: our defaults, the url, what must be ours. */
#include "pg_private.h"

#include <arpa/inet.h>
#include <base/crypto.h>
#include <stdlib.h>

enum { OPTIONS_MAX_BYTES = 4096, HOSTS_MAX_BYTES = 1024 };

static void set(struct pg_conninfo *c, const char *keyword, const char *value) {
    if (value != NULL && c->n < PG_CONNINFO_MAX - 1) {
        c->keywords[c->n] = keyword;
        c->values[c->n++] = value;
    }
}

static const char *url_value(const struct pg_conninfo *c, const char *keyword) {
    for (const PQconninfoOption *o = c->parsed; o->keyword != NULL; o++) {
        if (strcmp(o->keyword, keyword) == 0) {
            return o->val != NULL && o->val[0] != '\0' ? o->val : NULL;
        }
    }
    return NULL;
}

static struct err take_text(struct buf *b, char **out) {
    buf_add_char(b, '\0');
    struct err e = buf_status(b);
    if (err_is_set(e)) {
        buf_free(b);
        return err_wrap(e, "postgres options");
    }
    *out = b->p;
    return OK;
}

/* The address of one host of the list: libpq would resolve a name, and block on it. */
static struct err add_address(struct buf *b, struct str host) {
    char text[INET6_ADDRSTRLEN];
    struct in6_addr any;
    if (host.n > 0 && (host.p[0] == '/' || host.p[0] == '@')) {
        return OK; /* a socket's folder: no address */
    }
    if (str_is(host, "localhost")) {
        host = STR("127.0.0.1");
    }
    if (!str_copy_c(host, text, sizeof text) || (inet_pton(AF_INET, text, &any) != 1 && inet_pton(AF_INET6, text, &any) != 1)) {
        return err_make(ERR_INVALID, "postgres url: host \"%.*s\" must be an address, localhost or a socket folder, not a name",
                        STR_ARG(host));
    }
    buf_add(b, host);
    return OK;
}

static struct err make_hostaddr(struct pg_conninfo *c) {
    if (url_value(c, "hostaddr") != NULL) {
        return OK;
    }
    struct str hosts = str_c(url_value(c, "host")), host;
    if (hosts.n == 0) {
        return err_make(ERR_INVALID, "postgres url: no host; expected postgresql://address[:port]/database");
    }
    struct buf b;
    buf_init(&b, HOSTS_MAX_BYTES);
    for (bool first = true; str_cut(&hosts, ',', &host); first = false) {
        if (!first) {
            buf_add_char(&b, ',');
        }
        struct err e = add_address(&b, host);
        if (err_is_set(e)) {
            buf_free(&b);
            return e;
        }
    }
    if (b.n == 0 && b.failed == ERR_NONE) {
        return OK;
    }
    return take_text(&b, &c->hostaddr);
}

static struct err make_options(const struct pg_options *o, int64_t idle_session_ms, struct pg_conninfo *c) {
    struct buf b;
    buf_init(&b, OPTIONS_MAX_BYTES);
    const char *own = url_value(c, "options");
    if (own != NULL) {
        buf_addf(&b, "%s ", own);
    }
    /* What counts much is never in a hurry, and must not take every core from what is. */
    buf_addf(&b,
             "-c bytea_output=hex -c max_parallel_workers_per_gather=0 -c statement_timeout=%lld "
             "-c idle_in_transaction_session_timeout=%lld",
             (long long)o->statement_ms, (long long)o->statement_ms);
    if (idle_session_ms > 0) {
        buf_addf(&b, " -c idle_session_timeout=%lld", (long long)idle_session_ms);
    }
    return take_text(&b, &c->options);
}

static struct err copy(const char *from, char **to) {
    if (from == NULL || from[0] == '\0') {
        return OK;
    }
    *to = strdup(from);
    return *to != NULL ? OK : err_make(ERR_NOMEM, "postgres options");
}

static struct err parse_url(const char *url, struct pg_conninfo *c) {
    char *message = NULL;
    c->parsed = PQconninfoParse(url, &message);
    if (c->parsed != NULL) {
        return OK;
    }
    /* The message may quote the password. */
    struct err e = message != NULL ? err_make(ERR_INVALID, "postgres url: not a libpq url") : err_make(ERR_NOMEM, "postgres url");
    PQfreemem(message);
    return e;
}

static struct err fill(const struct pg_options *o, int64_t idle_session_ms, struct pg_conninfo *c) {
    TRY(parse_url(o->url, c));
    c->database = url_value(c, "dbname");
    TRY(copy(o->user, &c->user));
    TRY(copy(o->password, &c->password));
    TRY(copy(o->application_name, &c->application_name));
    TRY(make_hostaddr(c));
    TRY(make_options(o, idle_session_ms, c));
    set(c, "keepalives_idle", "60");
    set(c, "keepalives_interval", "10");
    set(c, "keepalives_count", "3");
    set(c, "tcp_user_timeout", "10000");
    set(c, "gssencmode", "disable");
    for (const PQconninfoOption *option = c->parsed; option->keyword != NULL; option++) {
        set(c, option->keyword, option->val);
    }
    set(c, "user", c->user);
    set(c, "password", c->password);
    set(c, "application_name", c->application_name);
    set(c, "hostaddr", c->hostaddr);
    set(c, "options", c->options);
    set(c, "client_encoding", "UTF8");
    return OK;
}

struct err pg_conninfo_make(const struct pg_options *o, int64_t idle_session_ms, struct pg_conninfo *out) {
    struct pg_conninfo c = {0};
    struct err e = fill(o, idle_session_ms, &c);
    if (err_is_set(e)) {
        pg_conninfo_free(&c);
        return e;
    }
    *out = c;
    return OK;
}

void pg_conninfo_free(struct pg_conninfo *c) {
    if (c->password != NULL) {
        crypto_wipe(c->password, strlen(c->password));
    }
    free(c->user);
    free(c->password);
    free(c->application_name);
    free(c->options);
    free(c->hostaddr);
    if (c->parsed != NULL) {
        PQconninfoFree(c->parsed);
    }
    *c = (struct pg_conninfo){0};
}
