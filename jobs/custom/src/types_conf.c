#include "types_conf.h"

#include <base/arena.h>
#include <base/conf.h>
#include <base/json.h>
#include <base/limits.h>
#include <jobs/dependencies.h>
#include <libconfig.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { KEY_TEXT, KEY_WHOLE, KEY_FLAG };
enum { TEXT_MAX = 255 * 1024 /* conf_parse_file reads 256 KiB */, ARENA_MAX = 8 << 20, RETRIES_MAX_MS = 10 * 86400000 };

static const struct key {
    const char *name;
    int kind;
    size_t offset;
    const char *text;
    int64_t number, min, max;
} keys[] = {
#define T_TEXT(n, def, what) {.name = #n, .kind = KEY_TEXT, .offset = offsetof(struct declared, n), .text = def},
#define T_WHOLE(n, def, least, most, what) \
    {.name = #n, .kind = KEY_WHOLE, .offset = offsetof(struct declared, n), .number = def, .min = least, .max = most},
#define T_FLAG(n, def, what) {.name = #n, .kind = KEY_FLAG, .offset = offsetof(struct declared, n), .number = def},
#include "types_conf.def"
#undef T_TEXT
#undef T_WHOLE
#undef T_FLAG
};
enum { KEYS = sizeof keys / sizeof keys[0] };

/* The set, with all that it points to. */
struct declared_set {
    struct type_set set;
    struct arena arena;
    struct buf text;
    struct declared declared[TYPES_CONF_MAX];
    struct job_type types[TYPES_CONF_MAX];
};

static void declared_set_free(struct type_set *s) {
    struct declared_set *d = (struct declared_set *)((char *)s - offsetof(struct declared_set, set));
    arena_free(&d->arena);
    buf_free(&d->text);
    free(d);
}

/* One type of the file, while it is read. */
struct reading {
    const char *path;
    const config_setting_t *entry;
    struct arena *arena;
};

/* "file:line: why", the line of the member if it is there. */
static struct err refuse(const struct reading *r, const char *member, const char *fmt, ...) PRINTF_LIKE(3, 4);
static struct err refuse(const struct reading *r, const char *member, const char *fmt, ...) {
    const config_setting_t *at = member != NULL ? config_setting_get_member(r->entry, member) : NULL;
    char why[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    return err_make(ERR_INVALID, "%s:%u: %s%s%s", r->path, config_setting_source_line(at != NULL ? at : r->entry),
                    member != NULL ? member : "", member != NULL ? " " : "", why);
}

/* ---- members ---- */

static const struct key *find_key(const char *name) {
    for (size_t i = 0; i < KEYS; i++) {
        if (strcmp(keys[i].name, name) == 0) {
            return &keys[i];
        }
    }
    return NULL;
}

static const char *nearest_key(const char *name) {
    size_t best = 0;
    for (size_t i = 1; i < KEYS; i++) {
        best = str_distance(str_c(name), str_c(keys[i].name)) < str_distance(str_c(name), str_c(keys[best].name)) ? i : best;
    }
    return keys[best].name;
}

static void *place_of(struct declared *d, const struct key *k) { return (char *)d + k->offset; }

static void set_default(struct declared *d, const struct key *k) {
    if (k->kind == KEY_TEXT) {
        *(const char **)place_of(d, k) = k->text;
    } else if (k->kind == KEY_WHOLE) {
        *(int64_t *)place_of(d, k) = k->number;
    } else {
        *(bool *)place_of(d, k) = k->number != 0;
    }
}

static struct err set_text(const struct reading *r, const struct key *k, const config_setting_t *from, struct declared *d) {
    if (config_setting_type(from) != CONFIG_TYPE_STRING) {
        return refuse(r, k->name, "must be a string in double quotes");
    }
    struct str copy = arena_str(r->arena, str_c(config_setting_get_string(from)));
    if (copy.p == NULL) {
        return err_make(ERR_NOMEM, "%s", r->path);
    }
    *(const char **)place_of(d, k) = copy.p;
    return OK;
}

static struct err set_whole(const struct reading *r, const struct key *k, const config_setting_t *from, struct declared *d) {
    int type = config_setting_type(from);
    int64_t v = config_setting_get_int64(from);
    if ((type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64) || v < k->min || v > k->max) {
        return refuse(r, k->name, "must be a whole number from %lld to %lld", (long long)k->min, (long long)k->max);
    }
    *(int64_t *)place_of(d, k) = v;
    return OK;
}

static struct err set_flag(const struct reading *r, const struct key *k, const config_setting_t *from, struct declared *d) {
    if (config_setting_type(from) != CONFIG_TYPE_BOOL) {
        return refuse(r, k->name, "must be true or false");
    }
    *(bool *)place_of(d, k) = config_setting_get_bool(from) != 0;
    return OK;
}

static struct err read_members(const struct reading *r, struct declared *d) {
    for (unsigned i = 0; i < (unsigned)config_setting_length(r->entry); i++) {
        const config_setting_t *member = config_setting_get_elem(r->entry, i);
        const char *name = config_setting_name(member);
        const struct key *k = find_key(name);
        if (k == NULL) {
            return err_make(ERR_INVALID, "%s:%u: unknown member %.64s, did you mean %s?", r->path,
                            config_setting_source_line(member), name, nearest_key(name));
        }
        struct err e = k->kind == KEY_TEXT    ? set_text(r, k, member, d)
                       : k->kind == KEY_WHOLE ? set_whole(r, k, member, d)
                                              : set_flag(r, k, member, d);
        TRY(e);
    }
    for (size_t i = 0; i < KEYS; i++) {
        if (keys[i].kind == KEY_TEXT && *(const char **)place_of(d, &keys[i]) == NULL) {
            return refuse(r, NULL, "the type has no %s", keys[i].name);
        }
    }
    return OK;
}

/* ---- what they may be ---- */

/* Where it leads is judged when the connection is made (io/http_client.h). */
static bool is_url(struct str url) {
    const struct str secure = STR("https://"), plain = STR("http://");
    struct str prefix = str_starts(url, secure) ? secure : plain;
    if (!str_starts(url, prefix) || url.n == prefix.n) {
        return false;
    }
    for (size_t i = 0; i < url.n; i++) {
        if (url.p[i] <= ' ' || url.p[i] > '~') {
            return false;
        }
    }
    struct str host, rest = str_of(url.p + prefix.n, url.n - prefix.n);
    return str_cut(&rest, '/', &host) && host.n > 0 && memchr(host.p, '@', host.n) == NULL;
}

/* An object begins with it, a file's name does not: a set's own text (write_text) must never be taken for a name. */
static bool is_schema_text(const char *schema) { return schema[0] == '{'; }

/* The schema's text in the place of its file's name. */
static struct err load_schema(const struct reading *r, struct declared *d) {
    const char *slash = strrchr(r->path, '/');
    struct buf text;
    if (is_schema_text(d->schema)) {
        return OK;
    }
    size_t folder = slash != NULL && d->schema[0] != '/' ? (size_t)(slash + 1 - r->path) : 0;
    struct str path = arena_printf(r->arena, "%.*s%s", (int)folder, r->path, d->schema);
    if (path.p == NULL) {
        return err_make(ERR_NOMEM, "%s", r->path);
    }
    buf_init(&text, LIMIT_PAYLOAD_BYTES);
    struct err e = conf_read_text(path.p, &text);
    struct str copy = err_is_set(e) ? STR_NONE : arena_str(r->arena, str_c(text.p + strspn(text.p, " \t\r\n")));
    buf_free(&text);
    if (err_is_set(e)) {
        return e.code == ERR_NOMEM ? e : refuse(r, "schema", "cannot be read: %s", e.detail);
    }
    if (copy.p == NULL) {
        return err_make(ERR_NOMEM, "%s", r->path);
    }
    if (!is_schema_text(copy.p)) {
        return refuse(r, "schema", "is none: %s has no JSON object", path.p);
    }
    d->schema = copy.p;
    return OK;
}

static struct err check_schema(const struct reading *r, const struct declared *d) {
    json_t *document;
    struct schema *schema = NULL;
    struct err e = json_read(str_c(d->schema), &document);
    if (!err_is_set(e)) {
        e = schema_compile(document, &schema);
        json_decref(document);
    }
    schema_free(schema);
    return err_is_set(e) && e.code != ERR_NOMEM ? refuse(r, "schema", "is none: %s", e.detail) : e;
}

static struct err check(const struct reading *r, struct declared *d) {
    if (!str_is_name(str_c(d->name), LIMIT_NAME_BYTES)) {
        return refuse(r, "name", "must be 1 to %d of A-Z a-z 0-9 _ . -", LIMIT_NAME_BYTES);
    }
    if (!str_is_name(str_c(d->queue), LIMIT_NAME_BYTES)) {
        return refuse(r, "queue", "must be 1 to %d of A-Z a-z 0-9 _ . -", LIMIT_NAME_BYTES);
    }
    if (strcmp(d->class, job_class_name(CLASS_JOURNAL)) != 0 && strcmp(d->class, job_class_name(CLASS_STREAM)) != 0) {
        return refuse(r, "class", "must be journal or stream");
    }
    if (!is_url(str_c(d->handler))) {
        return refuse(r, "handler", "must be an https:// URL, without user and password");
    }
    if (d->max_attempts * d->retry_cap_ms > RETRIES_MAX_MS) {
        return refuse(r, "max_attempts", "times retry_cap_ms is more than 10 days");
    }
    TRY(load_schema(r, d));
    return check_schema(r, d);
}

/* ---- the set ---- */

static struct err read_type(const struct reading *r, struct declared_set *s, void (*start)(struct attempt *a)) {
    struct declared *d = &s->declared[s->set.types_n];
    if (!config_setting_is_group(r->entry)) {
        return refuse(r, NULL, "a type is { name = \"…\"; handler = \"…\"; … }");
    }
    for (size_t i = 0; i < KEYS; i++) {
        set_default(d, &keys[i]);
    }
    TRY(read_members(r, d));
    TRY(check(r, d));
    for (size_t i = 0; i < s->set.types_n; i++) {
        if (strcmp(s->types[i].name, d->name) == 0) {
            return refuse(r, "name", "%s is here twice", d->name);
        }
    }
    struct str origin = arena_str(r->arena, dependency_origin(str_c(d->handler)));
    if (origin.p == NULL) {
        return err_make(ERR_NOMEM, "%s", r->path);
    }
    bool stream = strcmp(d->class, job_class_name(CLASS_STREAM)) == 0;
    s->types[s->set.types_n++] = (struct job_type){
        .name = d->name,
        .version = (uint16_t)d->version,
        .queue = d->queue,
        .class = stream ? CLASS_STREAM : CLASS_JOURNAL,
        .schema = d->schema,
        .timeout_ms = d->timeout_ms,
        .retry = {.base_ms = d->retry_base_ms, .cap_ms = d->retry_cap_ms, .max_attempts = (uint32_t)d->max_attempts},
        .key_required = !stream,
        .keep_outcome = d->keep_outcome,
        .dependency = origin.p,
        .start = start,
        .declared = d,
    };
    return OK;
}

static struct err read_root(const char *path, const config_setting_t *root, struct declared_set *s,
                            void (*start)(struct attempt *a)) {
    for (unsigned i = 0; i < (unsigned)config_setting_length(root); i++) {
        const config_setting_t *list = config_setting_get_elem(root, i);
        struct reading r = {.path = path, .entry = list, .arena = &s->arena};
        if (strcmp(config_setting_name(list), "types") != 0) {
            return refuse(&r, NULL, "unknown setting %.64s, did you mean types?", config_setting_name(list));
        }
        if (!config_setting_is_list(list)) {
            return refuse(&r, NULL, "types must be a list: types = ( { … }, { … } );");
        }
        if (config_setting_length(list) > TYPES_CONF_MAX) {
            return refuse(&r, NULL, "more than %d types", TYPES_CONF_MAX);
        }
        for (unsigned t = 0; t < (unsigned)config_setting_length(list); t++) {
            r.entry = config_setting_get_elem(list, t);
            TRY(read_type(&r, s, start));
        }
    }
    return OK;
}

static void add_quoted(struct buf *b, const char *text) {
    buf_add_char(b, '"');
    for (const char *p = text; *p != '\0'; p++) {
        if (*p == '"' || *p == '\\') {
            buf_add_char(b, '\\');
        }
        buf_add_char(b, *p);
    }
    buf_add_char(b, '"');
}

static void add_type(struct buf *b, struct declared *d) {
    buf_add_char(b, '{');
    for (size_t i = 0; i < KEYS; i++) {
        buf_addf(b, " %s = ", keys[i].name);
        if (keys[i].kind == KEY_TEXT) {
            add_quoted(b, *(const char **)place_of(d, &keys[i]));
        } else if (keys[i].kind == KEY_WHOLE) {
            buf_addf(b, "%lld", (long long)*(int64_t *)place_of(d, &keys[i]));
        } else {
            buf_add_c(b, *(bool *)place_of(d, &keys[i]) ? "true" : "false");
        }
        buf_add_char(b, ';');
    }
    buf_add_c(b, " }");
}

static struct err write_text(const char *path, struct declared_set *s) {
    buf_add_c(&s->text, "types = (");
    for (size_t i = 0; i < s->set.types_n; i++) {
        buf_add_c(&s->text, i > 0 ? ",\n" : "\n");
        add_type(&s->text, &s->declared[i]);
    }
    buf_add_c(&s->text, "\n);\n");
    struct err e = buf_status(&s->text);
    return e.code == ERR_TOO_LARGE ? err_make(ERR_INVALID, "%s: types and schemas have more than %d bytes", path, TEXT_MAX) : e;
}

struct err types_conf_read(const char *path, const struct module *module, void (*start)(struct attempt *a),
                           struct type_set **out) {
    config_t parsed;
    struct declared_set *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return err_make(ERR_NOMEM, "%s", path);
    }
    s->set = (struct type_set){.module = module, .types = s->types, .refs = 1, .free = declared_set_free};
    arena_init(&s->arena, 16 << 10, ARENA_MAX);
    buf_init(&s->text, TEXT_MAX);
    struct err e = conf_parse_file(path, &parsed);
    if (!err_is_set(e)) {
        e = read_root(path, config_root_setting(&parsed), s, start);
        config_destroy(&parsed);
    }
    if (!err_is_set(e)) {
        e = write_text(path, s);
    }
    if (err_is_set(e)) {
        type_set_release(&s->set);
        return e;
    }
    s->set.text = buf_str(&s->text);
    *out = &s->set;
    return OK;
}
