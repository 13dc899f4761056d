/* The file, by libconfig. Version 1.5 reads a number that does not fit an int as another number, takes the rest of the file for
 * a comment that is not closed, and ends the process when it cannot read an included file: the text is therefore read and
 * scanned here before libconfig sees it. */
#include "conf_private.h"

#include <ctype.h>
#include <errno.h>
#include <libconfig.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_MAX = 256 * 1024, WHERE_BYTES = 200 };

struct err conf_read_text(const char *path, struct buf *out) {
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return err_errno(errno, path);
    }
    for (;;) {
        char *to = buf_reserve(out, 4096);
        size_t got = to != NULL ? fread(to, 1, 4096, f) : 0;
        if (got == 0) {
            break;
        }
        buf_commit(out, got);
    }
    struct err e = ferror(f) ? err_errno(errno, path) : OK;
    (void)fclose(f);
    TRY(e);
    buf_add_char(out, '\0');
    TRY(err_is_set(buf_status(out)) ? err_wrap(buf_status(out), path) : OK);
    return memchr(out->p, '\0', out->n - 1) == NULL ? OK : err_make(ERR_INVALID, "%s: not a text file", path);
}

/* Behind a string or a comment that starts at p, or p itself; NULL when the comment is not closed. A string that is not
 * closed ends with the text: libconfig refuses it. */
static const char *skip_opaque(const char *p) {
    if (*p == '"') {
        for (p++; *p != '\0' && *p != '"'; p++) {
            p += p[0] == '\\' && p[1] != '\0';
        }
        return *p == '"' ? p + 1 : p;
    }
    if (*p == '#' || (p[0] == '/' && p[1] == '/')) {
        return p + strcspn(p, "\n");
    }
    if (p[0] == '/' && p[1] == '*') {
        const char *end = strstr(p + 2, "*/");
        return end != NULL ? end + 2 : NULL;
    }
    return p;
}

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '*'; }

static bool fits_int(struct str word) {
    uint64_t v;
    return word.p[word.n - 1] == 'L' || (word.n <= 10 && (!str_to_u64(word, &v) || v <= INT32_MAX));
}

static int line_of(const char *text, const char *at) {
    int line = 1;
    for (; text < at; text++) {
        line += *text == '\n';
    }
    return line;
}

static struct err scan(const char *path, const char *text) {
    for (const char *p = text; *p != '\0';) {
        const char *next = skip_opaque(p);
        if (next == NULL) {
            return err_make(ERR_INVALID, "%s:%d: the comment is not closed", path, line_of(text, p));
        }
        if (next != p) {
            p = next;
            continue;
        }
        if (*p == '@') {
            return err_make(ERR_INVALID, "%s:%d: @include is not supported", path, line_of(text, p));
        }
        const char *start = p;
        while (is_word(*p) && (p > start || *p != '-')) { /* a leading sign is not of the word */
            p++;
        }
        if (isdigit((unsigned char)*start) && !fits_int(str_of(start, (size_t)(p - start)))) {
            return err_make(ERR_INVALID, "%s:%d: %.*s is out of range", path, line_of(text, start), (int)(p - start), start);
        }
        p += p == start;
    }
    return OK;
}

static struct err set_value(const char *path, const struct setting *s, const config_setting_t *from, struct conf *c) {
    char where[WHERE_BYTES];
    int type = config_setting_type(from);
    (void)snprintf(where, sizeof where, "%s:%u: %s.%s", path, config_setting_source_line(from), s->group, s->name);
    if (s->text == NULL) {
        bool number = type == CONFIG_TYPE_INT || type == CONFIG_TYPE_INT64;
        return number ? conf_set_number(c, s, where, config_setting_get_int64(from)) : conf_not_a_number(s, where);
    }
    if (type != CONFIG_TYPE_STRING) {
        return err_make(ERR_INVALID, "%s must be a string in double quotes", where);
    }
    return conf_set_text(c, s, config_setting_get_string(from));
}

static struct err unknown(const char *path, const config_setting_t *at, const char *written, enum conf_form form) {
    char key[CONF_KEY_BYTES];
    conf_key(conf_nearest(written, form), form == CONF_NAME ? CONF_DOTTED : form, key);
    return err_make(ERR_INVALID, "%s:%u: unknown setting %.64s, did you mean %s?", path, config_setting_source_line(at), written,
                    key);
}

static struct err read_group(const char *path, const config_setting_t *group, struct conf *c) {
    const char *group_name = config_setting_name(group);
    for (unsigned i = 0; i < (unsigned)config_setting_length(group); i++) {
        const config_setting_t *member = config_setting_get_elem(group, i);
        const struct setting *s = conf_find(group_name, config_setting_name(member));
        if (s == NULL) {
            char written[2 * CONF_KEY_BYTES];
            (void)snprintf(written, sizeof written, "%s.%s", group_name, config_setting_name(member));
            return unknown(path, member, written, CONF_DOTTED);
        }
        TRY(set_value(path, s, member, c));
    }
    return OK;
}

static struct err read_root(const char *path, const config_setting_t *root, struct conf *c) {
    for (unsigned i = 0; i < (unsigned)config_setting_length(root); i++) {
        const config_setting_t *group = config_setting_get_elem(root, i);
        const char *name = config_setting_name(group);
        bool is_group = config_setting_is_group(group);
        if (!conf_has_group(name)) {
            return unknown(path, group, name, is_group ? CONF_GROUP : CONF_NAME);
        }
        if (!is_group) {
            return err_make(ERR_INVALID, "%s:%u: %s must be a group: %s = { … };", path, config_setting_source_line(group), name,
                            name);
        }
        TRY(read_group(path, group, c));
    }
    return OK;
}

static struct err parse(const char *path, const char *text, config_t *out) {
    config_init(out);
    if (config_read_string(out, text) == CONFIG_TRUE) {
        return OK;
    }
    struct err e = err_make(ERR_INVALID, "%s:%d: %s", path, config_error_line(out), config_error_text(out));
    config_destroy(out);
    return e;
}

struct err conf_parse_file(const char *path, struct config_t *out) {
    struct buf text;
    buf_init(&text, FILE_MAX);
    struct err e = conf_read_text(path, &text);
    if (!err_is_set(e)) {
        e = scan(path, text.p);
    }
    if (!err_is_set(e)) {
        e = parse(path, text.p, out);
    }
    buf_free(&text);
    return e;
}

struct err conf_read_file(const char *path, struct conf *c) {
    config_t parsed;
    TRY(conf_parse_file(path, &parsed));
    struct err e = read_root(path, config_root_setting(&parsed), c);
    config_destroy(&parsed);
    return e;
}
