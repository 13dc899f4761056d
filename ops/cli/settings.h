/* Where the API is, who asks, and what forms people prefer: flags, environment, the profile in use, defaults (settings.def).
 * Profiles are in $XDG_CONFIG_HOME/penstock/config, or ~/.config/penstock/config, which nobody else may read. */
#ifndef OPS_CLI_SETTINGS_H
#define OPS_CLI_SETTINGS_H

#include "options.h"
#include "profile.h"

enum setting_id {
#define SETTING(id, name, variable, fallback, help) SETTING_##id,
#include "settings.def"
#undef SETTING
    SETTING_MAX
};

struct settings {
    char *path;                                 /* of the file; NULL: there is no home either */
    struct buf text;                            /* of the file */
    char used[PROFILE_LINE_BYTES];              /* the file's "use" */
    char kept[SETTING_MAX][PROFILE_LINE_BYTES]; /* the profile's values */
    const char *profile;                        /* NULL: none */
    char profile_label[PROFILE_LINE_BYTES];
    const char *value[SETTING_MAX]; /* in force; NULL: none */
    const char *from[SETTING_MAX];  /* "--output", "PENSTOCK_URL", "profile:x", "default"; NULL without a value */
};

#define SETTINGS_PROFILE_DEFAULT "default" /* in use where it is there, and no other is named */

/* Reads the file and fills in o: url and key, and what the command line leaves open of --output and --timeout. The exit code; why has
 * one line of a failure. To be freed in any case, when o is not needed any more. */
int settings_load(struct options *o, struct settings *out, struct buf *why);
void settings_free(struct settings *s);

/* SETTING_MAX: none of that name. */
enum setting_id setting_find(const char *name);
const char *setting_name(enum setting_id id);

/* Writes text as the whole file, mode 0600. False: errno says why. */
bool settings_write(const struct settings *s, struct str text);

#endif
