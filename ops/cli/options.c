#include "options.h"

#include <getopt.h>
#include <limits.h>
#include <string.h>

#include "text.h"

const struct option_row option_rows[OPTION_MAX] = {
#define OPTION(id, letter, name, value, help) [OPTION_##id] = {letter, name, value, help},
#include "options.def"
#undef OPTION
};

enum { EVERYBODYS = OPTION_HELP + 1, LONG_BASE = 256, LETTERS_BYTES = 2 + 2 * OPTION_MAX };
static const int64_t TIMEOUT_DEFAULT_MS = 30000, TIMEOUT_MAX_MS = 3600000;

bool option_is_taken(const struct command *c, enum option_id id) {
    struct str rest = str_c(c->options);
    struct str name;
    bool taken = (int)id < EVERYBODYS;
    while (!taken && str_cut(&rest, ' ', &name)) {
        taken = str_is(name, option_rows[id].name);
    }
    return taken;
}

void command_add_name(struct buf *out, const struct command *c) {
    buf_addf(out, "%s%s%s", c->noun, c->verb[0] != '\0' ? " " : "", c->verb);
}

/* ---- getopt's tables ---- */

static void make_tables(const struct command *c, struct option names[OPTION_MAX + 1], char letters[LETTERS_BYTES]) {
    size_t n = 0, at = 0;
    letters[at++] = ':'; /* a missing value is told apart from an unknown option */
    for (int id = 0; id < OPTION_MAX; id++) {
        if (!option_is_taken(c, (enum option_id)id)) {
            continue;
        }
        names[n++] = (struct option){option_rows[id].name, option_rows[id].value != NULL ? required_argument : no_argument, NULL,
                                     LONG_BASE + id};
        if (option_rows[id].letter != 0) {
            letters[at++] = (char)option_rows[id].letter;
            if (option_rows[id].value != NULL) {
                letters[at++] = ':';
            }
        }
    }
    names[n] = (struct option){0};
    letters[at] = '\0';
}

/* The id behind what getopt_long gives; OPTION_MAX: none. */
static int id_of(int got) {
    if (got >= LONG_BASE) {
        return got - LONG_BASE;
    }
    int id = 0;
    while (id < OPTION_MAX && (option_rows[id].letter == 0 || option_rows[id].letter != got)) {
        id++;
    }
    return id;
}

/* word: the last one that getopt has left behind. */
static void refuse(const struct command *c, int got, const char *word, struct buf *why) {
    int id = id_of(optopt);
    if (got == ':') {
        buf_addf(why, "--%s needs a value, %s", option_rows[id].name, option_rows[id].value);
    } else if (id < OPTION_MAX && option_is_taken(c, (enum option_id)id)) {
        buf_addf(why, "--%s takes no value", option_rows[id].name);
    } else if (optopt != 0) {
        buf_addf(why, "there is no option -%c", optopt);
    } else {
        buf_addf(why, "there is no option %.60s, or it is short for several", word);
    }
}

/* ---- what must hold ---- */

static bool check_count(const struct command *c, int n, struct buf *why) {
    struct str rest = str_c(c->arguments);
    struct str word;
    int least = 0, most = 0;
    while (str_cut(&rest, ' ', &word)) {
        least += word.p[0] != '[';
        most = word.n > 4 && memmem(word.p, word.n, "...", 3) != NULL ? INT_MAX : most + 1;
    }
    if (n < least || n > most) {
        buf_addf(why, "wants %s, not %d argument%s", most == 0 ? "no arguments" : c->arguments, n, n == 1 ? "" : "s");
        return false;
    }
    return true;
}

/* The place of word among those of the list "table|wide"; negative: none. */
static int place_in(const char *list, const char *word) {
    struct str rest = str_c(list), one;
    for (int i = 0; str_cut(&rest, '|', &one); i++) {
        if (str_is(one, word)) {
            return i;
        }
    }
    return -1;
}

static bool settle_output(struct options *o, struct buf *why) {
    const char *output = o->value[OPTION_OUTPUT], *field = o->value[OPTION_FIELD];
    int place = output != NULL ? place_in(option_rows[OPTION_OUTPUT].value, output) : OUTPUT_TABLE;
    if (place < 0) {
        buf_addf(why, "--output must be one of %s, not \"%.60s\"", option_rows[OPTION_OUTPUT].value, output);
        return false;
    }
    if (field != NULL && (field[0] != '.' || field[1] == '\0')) {
        buf_addf(why, "--field must begin with a dot, as .state, not \"%.60s\"", field);
        return false;
    }
    o->output = (enum output)place;
    o->json = o->output == OUTPUT_JSON || o->output == OUTPUT_JSONL;
    o->field = field != NULL ? field + 1 : NULL;
    return true;
}

bool options_settle(struct options *o, struct buf *why) {
    const char *timeout = o->value[OPTION_TIMEOUT];
    o->headers = o->value[OPTION_NO_HEADERS] == NULL;
    o->quiet = o->value[OPTION_QUIET] != NULL;
    o->watch = o->value[OPTION_WATCH] != NULL;
    o->dry_run = o->value[OPTION_DRY_RUN] != NULL;
    o->timeout_ms = TIMEOUT_DEFAULT_MS;
    if (timeout != NULL &&
        (!text_duration(str_c(timeout), &o->timeout_ms) || o->timeout_ms < 1 || o->timeout_ms > TIMEOUT_MAX_MS)) {
        buf_addf(why, "--timeout must be a time like 500ms or 30s, at most 1h, not \"%.60s\"", timeout);
        return false;
    }
    return settle_output(o, why);
}

bool options_read(const struct command *c, int argc, char **argv, struct options *out, struct buf *why) {
    struct option names[OPTION_MAX + 1];
    char letters[LETTERS_BYTES];
    struct options o = {.command = c};
    int got;
    make_tables(c, names, letters);
    opterr = 0;
    optind = 0; /* glibc: from the start */
    while ((got = getopt_long(argc, argv, letters, names, NULL)) != -1) {
        if (got == '?' || got == ':') {
            refuse(c, got, argv[optind - 1], why);
            return false;
        }
        o.value[id_of(got)] = optarg != NULL ? optarg : "";
    }
    o.args = argv + optind;
    o.args_n = argc - optind;
    if (o.value[OPTION_HELP] == NULL && !check_count(c, o.args_n, why)) {
        return false;
    }
    *out = o;
    return true;
}

static void describe(struct buf *out, int id) {
    enum { COLUMN = 30 };
    size_t before = out->n;
    if (option_rows[id].letter != 0) {
        buf_addf(out, "  -%c, --%s", option_rows[id].letter, option_rows[id].name);
    } else {
        buf_addf(out, "      --%s", option_rows[id].name);
    }
    if (option_rows[id].value != NULL) {
        buf_addf(out, " %s", option_rows[id].value);
    }
    size_t width = out->n - before;
    buf_addf(out, "%*s%s\n", width < COLUMN ? (int)(COLUMN - width) : 1, "", option_rows[id].help);
}

void options_describe(const struct command *c, struct buf *out) {
    buf_add_c(out, "usage: penstock ");
    command_add_name(out, c);
    buf_addf(out, "%s%s%s\n\n%s\n", c->act != NULL ? " [options]" : "", c->arguments[0] != '\0' ? " " : "", c->arguments,
             c->help);
    if (c->act == NULL) {
        return;
    }
    buf_add_char(out, '\n');
    for (int id = 0; id < OPTION_MAX; id++) {
        if (option_is_taken(c, (enum option_id)id)) {
            describe(out, id);
        }
    }
}
