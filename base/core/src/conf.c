/* The table, the defaults and the environment. A new setting is a line in conf.def and nothing else. */
#include "conf_private.h"

#include <base/crypto.h>
#include <base/json.h>
#include <base/str.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { CONF_URL_BYTES = 8192 };

#define VARIABLE_PREFIX "PENSTOCK_"

const struct setting conf_settings[] = {
#define C_STR(g, n, d, what) {.group = #g, .name = #n, .doc = what, .text = d, .offset = offsetof(struct conf, g##_##n)},
#define C_INT(g, n, d, least, most, what) \
    {.group = #g, .name = #n, .doc = what, .def = d, .min = least, .max = most, .offset = offsetof(struct conf, g##_##n)},
#include <base/conf.def>
#undef C_STR
#undef C_INT
};
const size_t conf_settings_count = sizeof conf_settings / sizeof conf_settings[0];

#define C_STR(g, n, d, what) _Static_assert(sizeof(VARIABLE_PREFIX #g "_" #n) <= CONF_KEY_BYTES, "key too long");
#define C_INT(g, n, d, least, most, what) \
    C_STR(g, n, d, what)                  \
    _Static_assert((least) <= (d) && (d) <= (most), "default out of range");
#include <base/conf.def>
#undef C_STR
#undef C_INT

/* Variables with our prefix that are not settings. Each has its reader; anything else with the prefix is a typing error. */
static const char *const foreign_variables[] = {
    VARIABLE_PREFIX "CONFIG",  /* the file to load: ops/cli */
    VARIABLE_PREFIX "URL",     /* the API that the commands talk to: ops/cli */
    VARIABLE_PREFIX "KEY",     /* their API key: ops/cli */
    VARIABLE_PREFIX "PROFILE", /* what else they take from here: ops/cli/settings.def */
    VARIABLE_PREFIX "OUTPUT",
    VARIABLE_PREFIX "TIMEOUT",
    VARIABLE_PREFIX "ADMIN_POSTGRES_URL", /* penstock migrate */
    VARIABLE_PREFIX "ADMIN_REDIS_URL",
#ifdef PENSTOCK_FAULTS
    VARIABLE_PREFIX "FAULT", /* fault.h; a build without failpoints must not seem armed */
    VARIABLE_PREFIX "FAULT_LOG",
#endif
};

static char **text_of(struct conf *c, const struct setting *s) { return (void *)((char *)c + s->offset); }
/* The sources are bytes in the order of the table. */
static void note_source(struct conf *c, const struct setting *s) {
    ((uint8_t *)&c->source)[s - conf_settings] = (uint8_t)c->reading;
}
static int64_t *number_of(struct conf *c, const struct setting *s) { return (void *)((char *)c + s->offset); }

const struct setting *conf_find(const char *group, const char *name) {
    for (size_t i = 0; i < conf_settings_count; i++) {
        if (strcmp(conf_settings[i].group, group) == 0 && strcmp(conf_settings[i].name, name) == 0) {
            return &conf_settings[i];
        }
    }
    return NULL;
}

bool conf_has_group(const char *group) {
    for (size_t i = 0; i < conf_settings_count; i++) {
        if (strcmp(conf_settings[i].group, group) == 0) {
            return true;
        }
    }
    return false;
}

struct err conf_set_text(struct conf *c, const struct setting *s, const char *text) {
    char *copy = strdup(text);
    if (copy == NULL) {
        return err_make(ERR_NOMEM, "settings");
    }
    free(*text_of(c, s));
    *text_of(c, s) = copy;
    note_source(c, s);
    return OK;
}

struct err conf_set_number(struct conf *c, const struct setting *s, const char *where, int64_t v) {
    if (v < s->min || v > s->max) {
        return err_make(ERR_INVALID, "%s = %" PRId64 " is out of range: %" PRId64 " to %" PRId64, where, v, s->min, s->max);
    }
    *number_of(c, s) = v;
    note_source(c, s);
    return OK;
}

struct err conf_not_a_number(const struct setting *s, const char *where) {
    return err_make(ERR_INVALID, "%s must be a whole number from %" PRId64 " to %" PRId64, where, s->min, s->max);
}

void conf_key(const struct setting *s, enum conf_form form, char out[CONF_KEY_BYTES]) {
    const char *prefix = form == CONF_VARIABLE ? VARIABLE_PREFIX : "";
    const char *group = form == CONF_NAME ? "" : s->group;
    const char *separator = form == CONF_DOTTED ? "." : form == CONF_VARIABLE ? "_" : "";
    (void)snprintf(out, CONF_KEY_BYTES, "%s%s%s%s", prefix, group, separator, form == CONF_GROUP ? "" : s->name);
    for (char *p = out; form == CONF_VARIABLE && *p != '\0'; p++) {
        *p = (char)toupper((unsigned char)*p);
    }
}

const struct setting *conf_nearest(const char *written, enum conf_form form) {
    const struct setting *best = &conf_settings[0];
    size_t best_distance = SIZE_MAX;
    for (size_t i = 0; i < conf_settings_count; i++) {
        char key[CONF_KEY_BYTES];
        conf_key(&conf_settings[i], form, key);
        size_t d = str_distance(str_c(written), str_c(key));
        if (d < best_distance) {
            best_distance = d;
            best = &conf_settings[i];
        }
    }
    return best;
}

static struct err set_defaults(struct conf *c) {
    for (size_t i = 0; i < conf_settings_count; i++) {
        const struct setting *s = &conf_settings[i];
        if (s->text != NULL) {
            TRY(conf_set_text(c, s, s->text));
        } else {
            *number_of(c, s) = s->def;
        }
    }
    return OK;
}

static bool is_foreign(const char *variable) {
    for (size_t i = 0; i < sizeof foreign_variables / sizeof foreign_variables[0]; i++) {
        if (strcmp(foreign_variables[i], variable) == 0) {
            return true;
        }
    }
    return false;
}

static struct err set_from_variable(struct conf *c, const char *variable, const char *value) {
    char key[CONF_KEY_BYTES];
    const struct setting *s = conf_nearest(variable, CONF_VARIABLE);
    conf_key(s, CONF_VARIABLE, key);
    if (strcmp(key, variable) != 0) {
        return err_make(ERR_INVALID, "unknown environment variable %.80s, did you mean %s?", variable, key);
    }
    if (s->text != NULL) {
        return conf_set_text(c, s, value);
    }
    int64_t v;
    return str_to_i64(str_c(value), &v) ? conf_set_number(c, s, key, v) : conf_not_a_number(s, key);
}

static struct err read_environment(struct conf *c) {
    for (char **e = environ; e != NULL && *e != NULL; e++) {
        char variable[2 * CONF_KEY_BYTES];
        struct str value = str_c(*e);
        struct str name;
        if (!str_starts(value, STR(VARIABLE_PREFIX)) || !str_cut(&value, '=', &name)) {
            continue;
        }
        (void)snprintf(variable, sizeof variable, "%.*s", STR_ARG(name));
        if (!is_foreign(variable)) {
            TRY(set_from_variable(c, variable, value.p));
        }
    }
    return OK;
}

struct err conf_load(const char *path, struct conf *out) {
    struct conf c = {0};
    struct err e = set_defaults(&c);
    if (!err_is_set(e) && path != NULL) {
        c.reading = CONF_FROM_FILE;
        e = conf_read_file(path, &c);
    }
    if (!err_is_set(e)) {
        c.reading = CONF_FROM_ENVIRONMENT;
        e = read_environment(&c);
    }
    if (err_is_set(e)) {
        conf_free(&c);
    }
    *out = c;
    return e;
}

void conf_free(struct conf *c) {
    for (size_t i = 0; i < conf_settings_count; i++) {
        if (conf_settings[i].text != NULL) {
            free(*text_of(c, &conf_settings[i]));
        }
    }
    *c = (struct conf){0};
}

/* The file's first bytes; how many in *out_n. Not by stdio, whose buffer would keep a copy of the secret. */
static struct err read_start(const char *path, char *p, size_t size, size_t *out_n) {
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_errno(errno, path);
    }
    while (n < size) {
        ssize_t got = read(fd, p + n, size - n);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            struct err e = err_errno(errno, path);
            (void)close(fd);
            return e;
        }
        if (got == 0) {
            break;
        }
        n += (size_t)got;
    }
    (void)close(fd);
    *out_n = n;
    return OK;
}

static struct err first_line(const char *path, struct str text, size_t most, char **out) {
    struct str line = STR_NONE;
    if (!str_cut(&text, '\n', &line) || line.n == 0) {
        return err_make(ERR_INVALID, "%s: the first line is empty", path);
    }
    if (line.n > most || memchr(line.p, '\0', line.n) != NULL) {
        return err_make(ERR_INVALID, "%s: the first line is no secret of at most %zu characters", path, most);
    }
    char *secret = strndup(line.p, line.n);
    if (secret == NULL) {
        return err_make(ERR_NOMEM, "secret");
    }
    *out = secret;
    return OK;
}

struct err conf_secret(const char *path, char **out) {
    enum { SECRET_MAX = 1023 };
    char text[SECRET_MAX + 1];
    size_t n = 0;
    if (path[0] == '\0') {
        char *none = strdup("");
        if (none == NULL) {
            return err_make(ERR_NOMEM, "secret");
        }
        *out = none;
        return OK;
    }
    struct err e = read_start(path, text, sizeof text, &n);
    if (!err_is_set(e)) {
        e = first_line(path, str_of(text, n), SECRET_MAX, out);
    }
    crypto_wipe(text, sizeof text);
    return e;
}

static void describe_setting(struct buf *out, const struct setting *s) {
    char variable[CONF_KEY_BYTES];
    conf_key(s, CONF_VARIABLE, variable);
    buf_addf(out, "    # %s%s", s->doc, s->text != NULL ? "" : ";");
    if (s->text == NULL) {
        buf_addf(out, " %" PRId64 " to %" PRId64, s->min, s->max);
    }
    buf_addf(out, ". Environment: %s\n    %s = ", variable, s->name);
    if (s->text != NULL) {
        buf_addf(out, "\"%s\";\n", s->text); /* no default needs an escape */
    } else {
        buf_addf(out, "%" PRId64 ";\n", s->def);
    }
}

void conf_describe(struct buf *out) {
    const char *group = "";
    buf_add_c(out, "# Every setting of penstock with its default. The environment wins over this file.\n");
    for (size_t i = 0; i < conf_settings_count; i++) {
        const struct setting *s = &conf_settings[i];
        if (strcmp(group, s->group) != 0) {
            buf_addf(out, "%s\n%s = {\n", i > 0 ? "};\n" : "", s->group);
            group = s->group;
        }
        describe_setting(out, s);
    }
    buf_add_c(out, "};\n");
}

/* ---- what is in force ---- */

/* By its name. Headers: one of them lets us in. */
static bool is_secret(const char *name) {
    return strcmp(name, "secret") == 0 || strstr(name, "_secret") != NULL || strcmp(name, "headers") == 0;
}

/* A secret itself, or an URL with one in it. */
/* Neither the password before the host nor what stands behind a question mark, where libpq takes passwords, too. */
static void show_url(struct buf *out, const char *text, const char *authority) {
    const char *query = strchr(text, '?'), *at = strrchr(text, '@'), *colon = strchr(authority, ':');
    bool has_password = at != NULL && colon != NULL && colon < at;
    struct buf url;
    buf_init(&url, CONF_URL_BYTES);
    if (has_password) {
        buf_add(&url, str_of(text, (size_t)(colon + 1 - text)));
        buf_add_c(&url, "***");
    }
    const char *rest = has_password ? at : text;
    if (query != NULL && query < rest) { /* an @ behind it */
        buf_add_c(&url, "?***");
    } else {
        buf_add(&url, str_of(rest, query != NULL ? (size_t)(query - rest) : strlen(rest)));
        buf_add_c(&url, query != NULL ? "?***" : "");
    }
    json_add_string(out, err_is_set(buf_status(&url)) ? STR("***") : buf_str(&url));
    buf_free(&url);
}

static void show_text(struct buf *out, const struct setting *s, const char *text) {
    const char *scheme = strstr(text, "://");
    if (is_secret(s->name)) {
        json_add_string(out, text[0] != '\0' ? STR("***") : STR(""));
    } else if (scheme != NULL) {
        show_url(out, text, scheme + 3);
    } else {
        json_add_string(out, str_c(text));
    }
}

void conf_show(const struct conf *c, struct buf *out) {
    static const char *const sources[] = {"default", "file", "environment"};
    for (size_t i = 0; i < conf_settings_count; i++) {
        const struct setting *s = &conf_settings[i];
        buf_addf(out, "%s{\"name\":\"%s.%s\",\"value\":", i > 0 ? "," : "[", s->group, s->name);
        if (s->text != NULL) {
            show_text(out, s, *(char *const *)(const void *)((const char *)c + s->offset));
            buf_add_c(out, ",\"default\":");
            json_add_string(out, str_c(s->text));
        } else {
            buf_addf(out, "%" PRId64 ",\"default\":%" PRId64, *(const int64_t *)(const void *)((const char *)c + s->offset),
                     s->def);
        }
        buf_addf(out, ",\"from\":\"%s\",\"about\":", sources[((const uint8_t *)&c->source)[i]]);
        json_add_string(out, str_c(s->doc));
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
}
