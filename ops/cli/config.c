/* penstock config get|set|use: the profiles of the one who calls (settings.h). */
#include "cli.h"
#include "settings.h"
#include "show.h"
#include "text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct column columns[] = {
    {"NAME", "name", COLUMN_TEXT, 0}, {"VALUE", "value", COLUMN_TEXT, COLUMN_CUT}, {"FROM", "from", COLUMN_TEXT, 0}};

enum { ROWS_MAX_BYTES = 16 * 1024, KEY_SHOWN = 4 };

/* ---- get ---- */

/* A key shows where it begins, "pen_<id>_": enough to tell which, and nothing to use. */
static void add_value(struct buf *b, enum setting_id id, const char *value) {
    const char *secret = id == SETTING_KEY ? strrchr(value, '_') : NULL;
    if (id == SETTING_KEY) {
        buf_addf(b, "\"%.*s***\"",
                 secret != NULL && text_is_plain(value, 512) && strchr(value, '"') == NULL ? (int)(secret + 1 - value) : 0,
                 value);
    } else {
        json_add_string(b, str_c(value));
    }
}

static void add_row(struct buf *b, const char *name, const char *from) {
    buf_addf(b, "%s{\"name\":\"%s\",\"from\":\"%s\",\"value\":", b->p[b->n - 1] == '}' ? "," : "", name, from);
}

static int show_all(const struct options *o) {
    const struct settings *s = o->settings;
    struct client_answer a = {0};
    buf_init(&a.body, ROWS_MAX_BYTES);
    buf_add_c(&a.body, "{\"items\":[");
    for (int id = 0; id < SETTING_MAX && a.body.n > 0; id++) {
        if (s->value[id] != NULL) {
            add_row(&a.body, setting_name((enum setting_id)id), s->from[id]);
            add_value(&a.body, (enum setting_id)id, s->value[id]);
            buf_add_char(&a.body, '}');
        }
    }
    buf_add_c(&a.body, "]}");
    struct err e = buf_status(&a.body);
    if (!err_is_set(e)) {
        e = json_read(buf_str(&a.body), &a.json);
    }
    int code = err_is_set(e) ? cli_fail(o, EXIT_INTERNAL, "%s", e.detail)
                             : show_rows(o, &a, columns, sizeof columns / sizeof columns[0]);
    client_answer_free(&a);
    return code;
}

static int unknown(const struct options *o) {
    return cli_fail(o, EXIT_NO_INPUT, "there is no setting \"%.60s\"; there are url, key, output, timeout", o->args[0]);
}

int cli_config_get(const struct options *o) {
    if (o->args_n == 0) {
        return show_all(o);
    }
    enum setting_id id = setting_find(o->args[0]);
    if (id == SETTING_MAX) {
        return unknown(o);
    }
    if (o->settings->value[id] == NULL) {
        return cli_fail(o, EXIT_NO_INPUT, "nobody has set %s", o->args[0]);
    }
    (void)printf("%s\n", o->settings->value[id]);
    return EXIT_SUCCESS;
}

/* ---- set, use ---- */

static const char *flag_error(enum option_id id, const char *value, struct buf *why) {
    struct options trial = {0};
    trial.value[id] = value;
    return options_settle(&trial, why) ? NULL : "is not of the form";
}

static const char *error_of(enum setting_id id, const char *value, struct buf *why) {
    switch (id) {
    case SETTING_URL:
        return client_is_url(value) ? NULL : "must be an http:// or https:// address";
    case SETTING_KEY:
        return client_is_key(value) ? NULL : "must be an API key, pen_<id>_<secret>";
    case SETTING_OUTPUT:
        return flag_error(OPTION_OUTPUT, value, why);
    case SETTING_TIMEOUT:
        return flag_error(OPTION_TIMEOUT, value, why);
    case SETTING_MAX:
    default:
        return "is no setting";
    }
}

static int write_file(const struct options *o, struct str profile, const char *name, const char *value) {
    struct buf text;
    buf_init(&text, PROFILE_FILE_BYTES_MAX);
    profile_set(buf_str(&o->settings->text), profile, str_c(name), str_c(value), &text);
    int code = EXIT_SUCCESS;
    if (err_is_set(buf_status(&text))) {
        code = cli_fail(o, EXIT_INTERNAL, "the file would be larger than %d bytes", PROFILE_FILE_BYTES_MAX);
    } else if (!settings_write(o->settings, buf_str(&text))) {
        code = cli_fail(o, EXIT_IO, "%.300s cannot be written: %s", o->settings->path != NULL ? o->settings->path : "the profile",
                        strerror(errno));
    }
    buf_free(&text);
    return code;
}

static int print_done(const struct options *o, const char *profile, const char *done) {
    if (!o->quiet) {
        (void)printf("profile/%s %s\n", profile, done);
    }
    return EXIT_SUCCESS;
}

static int set(const struct options *o, enum setting_id id, const char *value) {
    const char *profile = o->settings->profile != NULL ? o->settings->profile : SETTINGS_PROFILE_DEFAULT;
    struct buf why;
    buf_init(&why, CLI_LINE_BYTES);
    const char *error = value[0] != '\0' ? error_of(id, value, &why) : NULL;
    buf_free(&why);
    if (error != NULL || strlen(value) >= PROFILE_LINE_BYTES / 2) {
        return cli_fail(o, EXIT_BAD_INPUT, "%s %s", o->args[0], error != NULL ? error : "is too long");
    }
    int code = write_file(o, str_c(profile), o->args[0], value);
    return code == EXIT_SUCCESS ? print_done(o, profile, "set") : code;
}

int cli_config_set(const struct options *o) {
    char line[PROFILE_LINE_BYTES];
    const char *value = o->args[1];
    enum setting_id id = setting_find(o->args[0]);
    if (id == SETTING_MAX) {
        return unknown(o);
    }
    if (strcmp(value, "-") == 0) { /* what stands on a command line others can see */
        if (fgets(line, sizeof line, stdin) == NULL) {
            return cli_fail(o, EXIT_NO_INPUT, "standard input has no line");
        }
        line[strcspn(line, "\r\n")] = '\0';
        value = line;
    }
    return set(o, id, value);
}

int cli_config_use(const struct options *o) {
    const char *profile = o->args[0];
    if (!profile_exists(buf_str(&o->settings->text), str_c(profile))) {
        return cli_fail(o, EXIT_NO_INPUT, "there is no profile \"%.60s\"; penstock config set --profile %.60s url URL makes it",
                        profile, profile);
    }
    int code = write_file(o, STR(""), "use", profile);
    return code == EXIT_SUCCESS ? print_done(o, profile, "used") : code;
}
