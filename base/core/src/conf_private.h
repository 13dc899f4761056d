/* What conf.c and conf_file.c share: the table of settings, and how a value gets into struct conf. */
#ifndef BASE_CONF_PRIVATE_H
#define BASE_CONF_PRIVATE_H

#include <base/conf.h>

struct setting {
    const char *group, *name, *doc;
    const char *text;      /* default of a string; NULL: the setting is a whole number */
    int64_t def, min, max; /* of a number */
    size_t offset;         /* of the member in struct conf */
};

extern const struct setting conf_settings[];
extern const size_t conf_settings_count;

const struct setting *conf_find(const char *group, const char *name);
bool conf_has_group(const char *group);

/* where is "file:line: group.name" or the variable's name, for the error. */
MUST struct err conf_set_text(struct conf *c, const struct setting *s, const char *text);
MUST struct err conf_set_number(struct conf *c, const struct setting *s, const char *where, int64_t v);
struct err conf_not_a_number(const struct setting *s, const char *where);

enum { CONF_KEY_BYTES = 64 };
/* The ways in which a setting may be written. */
enum conf_form { CONF_GROUP, CONF_NAME, CONF_DOTTED, CONF_VARIABLE };
void conf_key(const struct setting *s, enum conf_form form, char out[CONF_KEY_BYTES]);
/* The setting whose key in this form is nearest to what was written. Never NULL. */
const struct setting *conf_nearest(const char *written, enum conf_form form);

MUST struct err conf_read_file(const char *path, struct conf *c);

#endif
