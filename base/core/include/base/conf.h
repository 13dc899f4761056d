/* Settings: one table (conf.def), a file in libconfig's syntax, the environment on top. */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <base/buf.h>
#include <base/err.h>

enum conf_source { CONF_FROM_DEFAULT, CONF_FROM_FILE, CONF_FROM_ENVIRONMENT };

struct conf {
#define C_STR(group, name, def, doc) char *group##_##name;
#define C_INT(group, name, def, min, max, doc) int64_t group##_##name;
#include <base/conf.def>
#undef C_STR
#undef C_INT
    struct {
#define C_STR(group, name, def, doc) uint8_t group##_##name;
#define C_INT(group, name, def, min, max, doc) C_STR(group, name, def, doc)
#include <base/conf.def>
#undef C_STR
#undef C_INT
    } source;                 /* enum conf_source, of each */
    enum conf_source reading; /* where the value that is set next comes from */
};

/* Defaults, then the file (path may be NULL), then PENSTOCK_GROUP_NAME of the environment. ERR_INVALID with file:line (or
 * the variable), the nearest valid key for an unknown one, the allowed range for a bad value; ERR_SYSTEM when the file
 * cannot be read. PENSTOCK_* variables that are no setting are refused too, but for those that others read: PENSTOCK_CONFIG,
 * PENSTOCK_URL and PENSTOCK_KEY, and PENSTOCK_FAULT and PENSTOCK_FAULT_LOG in a build that has failpoints (the list is in
 * conf.c). On failure *out is left freed. */
MUST struct err conf_load(const char *path, struct conf *out);
void conf_free(struct conf *c);

/* Any file in libconfig's syntax, read with the care that libconfig lacks: *out is the caller's (config_destroy). Errors as conf_load's. */
struct config_t;
MUST struct err conf_parse_file(const char *path, struct config_t *out);

/* A whole text file into *out, which is empty, and a NUL behind it. ERR_SYSTEM when it cannot be read, ERR_INVALID when there is a NUL in
 * it, ERR_TOO_LARGE by out's limit. */
MUST struct err conf_read_text(const char *path, struct buf *out);

/* The first line of a secret file, without its newline; *out is the caller's (crypto_wipe, free). An empty path gives "".
 * A file that cannot be read, or whose first line is empty, is an error: the setting asks for a secret. */
MUST struct err conf_secret(const char *path, char **out);

/* The settings as a commented file with their defaults, which conf_load reads: the reference documentation. */
void conf_describe(struct buf *out);
/* The settings in force, as a JSON array of {"name","value","default","from","about"}; secrets are "***". */
void conf_show(const struct conf *c, struct buf *out);

#endif
