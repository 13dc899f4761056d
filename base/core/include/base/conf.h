/* Settings: one table (conf.def), a file in libconfig's syntax, the environment on top. */
#ifndef BASE_CONF_H
#define BASE_CONF_H

#include <base/buf.h>
#include <base/err.h>

struct conf {
#define C_STR(group, name, def, doc) char *group##_##name;
#define C_INT(group, name, def, min, max, doc) int64_t group##_##name;
#define C_BOOL(group, name, def, doc) bool group##_##name;
#include <base/conf.def>
#undef C_STR
#undef C_INT
#undef C_BOOL
};

/* Defaults, then the file (path may be NULL), then PENSTOCK_GROUP_NAME of the environment. ERR_INVALID with file:line, the
 * nearest valid key for an unknown one, the allowed range for a bad value. PENSTOCK_* variables that are no setting are
 * refused too, but for PENSTOCK_CONFIG, PENSTOCK_URL, PENSTOCK_KEY, PENSTOCK_FAULT and the names of conf_is_foreign_env.
 * On failure *out is left freed. */
MUST struct err conf_load(const char *path, struct conf *out);
void conf_free(struct conf *c);

/* The first line of a secret file, without its newline; *out is the caller's (free). An empty path gives "". */
MUST struct err conf_secret(const char *path, char **out);

/* The settings as a commented file: the reference documentation. */
void conf_describe(struct buf *out);

#endif
