#include "man.h"

static const struct {
    int code;
    const char *when;
} exits[] = {
#define E(id, code, when) {code, when},
#include "exits.def"
#undef E
};

static const struct {
    const char *name, *variable, *fallback, *help;
} settings[] = {
#define SETTING(id, name, variable, fallback, help) {name, variable, fallback, help},
#include "settings.def"
#undef SETTING
};

/* A character beyond ASCII as groff takes it, "\[u2026]"; returns its last byte. The tables are UTF-8, as the compiler was told. */
static const char *add_wide(struct buf *out, const char *text) {
    unsigned char first = (unsigned char)*text;
    unsigned code = first >= 0xf0 ? first & 0x07 : first >= 0xe0 ? first & 0x0f : first & 0x1f;
    while (((unsigned char)text[1] & 0xc0) == 0x80) {
        code = code << 6 | ((unsigned char)*++text & 0x3f);
    }
    buf_addf(out, "\\[u%04X]", code);
    return text;
}

/* Nothing in text is a request or an escape; a minus stays one that can be copied. */
static void add_text(struct buf *out, const char *text) {
    if (text[0] == '.' || text[0] == '\'') {
        buf_add_c(out, "\\&");
    }
    for (; *text != '\0'; text++) {
        if (*text == '\\') {
            buf_add_c(out, "\\e");
        } else if (*text == '-') {
            buf_add_c(out, "\\-");
        } else if ((unsigned char)*text >= 0x80) {
            text = add_wide(out, text);
        } else {
            buf_add_char(out, *text);
        }
    }
}

/* As a sentence. */
static void add_sentence(struct buf *out, const char *text) {
    char first = text[0] >= 'a' && text[0] <= 'z' ? (char)(text[0] - 'a' + 'A') : text[0];
    if (first == text[0]) {
        add_text(out, text);
    } else {
        buf_add_char(out, first);
        add_text(out, text + 1);
    }
    buf_add_c(out, ".\n");
}

/* "-o, --output FORM", in bold and italics. */
static void add_option(struct buf *out, int id) {
    const struct option_row *row = &option_rows[id];
    if (row->letter != 0) {
        buf_addf(out, "\\fB\\-%c\\fR, ", row->letter);
    }
    buf_add_c(out, "\\fB\\-\\-");
    add_text(out, row->name);
    buf_add_c(out, "\\fR");
    if (row->value != NULL) {
        buf_add_c(out, " \\fI");
        add_text(out, row->value);
        buf_add_c(out, "\\fR");
    }
}

static void add_command(struct buf *out, const struct command *c) {
    bool any = false;
    buf_add_c(out, ".TP\n\\fBpenstock ");
    add_text(out, c->noun);
    buf_addf(out, "%s%s\\fR", c->verb[0] != '\0' ? " " : "", c->verb);
    if (c->arguments[0] != '\0') {
        buf_add_c(out, " \\fI");
        add_text(out, c->arguments);
        buf_add_c(out, "\\fR");
    }
    buf_add_char(out, '\n');
    add_sentence(out, c->help);
    for (int id = OPTION_HELP + 1; c->act != NULL && id < OPTION_MAX; id++) {
        if (option_is_taken(c, (enum option_id)id)) {
            buf_add_c(out, any ? ", \\fB\\-\\-" : "Options: \\fB\\-\\-");
            add_text(out, option_rows[id].name);
            buf_add_c(out, "\\fR");
            any = true;
        }
    }
    buf_add_c(out, any ? ".\n" : "");
}

static void add_options(struct buf *out, int from, int to) {
    for (int id = from; id < to; id++) {
        buf_add_c(out, ".TP\n");
        add_option(out, id);
        buf_add_char(out, '\n');
        add_sentence(out, option_rows[id].help);
    }
}

static void add_environment(struct buf *out) {
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
        buf_addf(out, ".TP\n\\fB%s\\fR\n", settings[i].variable);
        add_sentence(out, settings[i].help);
        if (settings[i].fallback != NULL) {
            buf_addf(out, "Default: %s.\n", settings[i].fallback);
        }
    }
    buf_add_c(
        out, ".TP\n\\fBPENSTOCK_PROFILE\\fR\nThe profile to use, as \\fB\\-\\-profile\\fR.\n"
             ".TP\n\\fBPENSTOCK_CONFIG\\fR\nThe settings file of the roles, and of the commands \\fBkey\\fR and \\fBdoctor\\fR.\n"
             ".TP\n\\fBNO_COLOR\\fR\nWhen set, nothing is coloured.\n");
}

static void add_exits(struct buf *out) {
    buf_add_c(out, ".TP\n\\fB0\\fR\nDone.\n");
    for (size_t i = 0; i < sizeof exits / sizeof exits[0]; i++) {
        buf_addf(out, ".TP\n\\fB%d\\fR\n", exits[i].code);
        add_sentence(out, exits[i].when);
    }
}

void man_write(const struct command *table, size_t n, struct buf *out) {
    buf_add_c(
        out,
        ".TH PENSTOCK 1 \"\" \"penstock " PENSTOCK_VERSION "\" \"User Commands\"\n"
        ".SH NAME\npenstock \\- job queue, workers and commerce backend, and the commands that steer them\n"
        ".SH SYNOPSIS\n\\fBpenstock\\fR \\fICOMMAND\\fR [\\fIoptions\\fR] [\\fIarguments\\fR]\n"
        ".SH DESCRIPTION\nOne program has all roles (\\fBapi\\fR, \\fBworker\\fR, \\fBscheduler\\fR) and the commands of operators, "
        "which talk to the API.\nRows go to standard output, errors to standard error, a line each.\n.SH COMMANDS\n");
    for (size_t i = 0; i < n; i++) {
        add_command(out, &table[i]);
    }
    buf_add_c(out, ".SH OPTIONS OF EVERY OPERATORS' COMMAND\n");
    add_options(out, 0, OPTION_HELP + 1);
    buf_add_c(out, ".SH OTHER OPTIONS\n");
    add_options(out, OPTION_HELP + 1, OPTION_MAX);
    buf_add_c(out, ".SH ENVIRONMENT\nA flag wins over the environment, that over the profile, that over the default.\n");
    add_environment(out);
    buf_add_c(out, ".SH FILES\n.TP\n\\fI$XDG_CONFIG_HOME/penstock/config\\fR, \\fI~/.config/penstock/config\\fR\n"
                   "Profiles: lines \\(lqname = value\\(rq below \\(lq[profile]\\(rq. Refused when others may read it.\n"
                   ".SH EXIT STATUS\n");
    add_exits(out);
}
