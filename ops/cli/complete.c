#include "complete.h"

static bool is_option(const char *word) { return word[0] == '-' && word[1] != '\0'; }

static void add(struct buf *out, struct str prefix, struct str begun, struct str candidate, const char *meaning) {
    if (str_starts(candidate, begun)) {
        buf_addf(out, "%.*s%.*s%s%s\n", STR_ARG(prefix), STR_ARG(candidate), meaning[0] != '\0' ? "\t" : "", meaning);
    }
}

/* ---- commands ---- */

static bool seen_before(const struct command *table, size_t i) {
    for (size_t k = 0; k < i; k++) {
        if (strcmp(table[k].noun, table[i].noun) == 0) {
            return true;
        }
    }
    return false;
}

static void add_nouns(const struct complete *c, struct str begun, struct buf *out) {
    for (size_t i = 0; i < c->table_n; i++) {
        if (!seen_before(c->table, i)) {
            add(out, STR(""), begun, str_c(c->table[i].noun), c->table[i].verb[0] == '\0' ? c->table[i].help : "");
        }
    }
}

static void add_verbs(const struct complete *c, struct str begun, struct buf *out) {
    for (size_t i = 0; i < c->table_n; i++) {
        if (strcmp(c->table[i].noun, c->words[0]) == 0 && c->table[i].verb[0] != '\0') {
            add(out, STR(""), begun, str_c(c->table[i].verb), c->table[i].help);
        }
    }
}

/* As main() finds it. NULL: none, or not yet. */
static const struct command *find(const struct complete *c, size_t *out_used) {
    for (size_t used = c->words_n > 2 ? 2 : 1; used > 0; used--) {
        for (size_t i = 0; i < c->table_n; i++) {
            const char *verb = used == 2 ? c->words[1] : "";
            if (strcmp(c->table[i].noun, c->words[0]) == 0 && strcmp(c->table[i].verb, verb) == 0) {
                *out_used = used;
                return &c->table[i];
            }
        }
    }
    return NULL;
}

/* ---- options and arguments ---- */

/* A form of an option or argument, "table|wide" or "QUEUE[=N|auto]": its words in small letters are candidates as they are. True:
 * it takes the name of a queue. */
static bool add_values(const char *form, struct str prefix, struct str begun, struct buf *out) {
    struct str rest = str_c(form), one;
    while (str_cut(&rest, '|', &one)) {
        bool literal = one.n > 1;
        for (size_t i = 0; i < one.n; i++) {
            literal = literal && one.p[i] >= 'a' && one.p[i] <= 'z';
        }
        if (literal) {
            add(out, prefix, begun, one, "");
        }
    }
    return str_starts(str_c(form), STR("QUEUE"));
}

static void add_options(const struct command *command, struct str begun, struct buf *out) {
    for (int id = 0; id < OPTION_MAX; id++) {
        if (option_is_taken(command, (enum option_id)id) && str_starts(begun, STR("-"))) {
            char name[64] = "--";
            if (str_copy_c(str_c(option_rows[id].name), name + 2, sizeof name - 2)) {
                add(out, STR(""), begun, str_c(name), option_rows[id].help);
            }
        }
    }
}

/* The option that word names and takes a value, "--output", "-o"; OPTION_MAX: none. */
static int valued(const struct command *command, struct str word) {
    for (int id = 0; id < OPTION_MAX; id++) {
        const struct option_row *row = &option_rows[id];
        bool is_long = str_starts(word, STR("--")) && str_is(str_of(word.p + 2, word.n - 2), row->name);
        bool is_short = word.n == 2 && word.p[0] == '-' && row->letter != 0 && word.p[1] == row->letter;
        if ((is_long || is_short) && row->value != NULL && option_is_taken(command, (enum option_id)id)) {
            return id;
        }
    }
    return OPTION_MAX;
}

/* How many arguments stand before the last word. */
static size_t arguments_before(const struct complete *c, const struct command *command, size_t used) {
    size_t n = 0;
    for (size_t i = used; i + 1 < c->words_n; i++) {
        if (is_option(c->words[i])) {
            i += valued(command, str_c(c->words[i])) != OPTION_MAX;
            i += i + 1 < c->words_n && strcmp(c->words[i], "=") == 0;
        } else {
            n++;
        }
    }
    return n;
}

static bool add_argument(const struct command *command, size_t place, struct str begun, struct buf *out) {
    struct str rest = str_c(command->arguments), one;
    char form[64];
    for (size_t i = 0; str_cut(&rest, ' ', &one); i++) {
        if (i == place) {
            one = str_starts(one, STR("[")) ? str_of(one.p + 1, one.n - 1) : one;
            return str_copy_c(one, form, sizeof form) && add_values(form, STR(""), begun, out);
        }
    }
    return false;
}

/* ---- the last word ---- */

static struct str last_word(const struct complete *c) {
    struct str word = str_c(c->words[c->words_n - 1]);
    return str_is(word, "=") ? STR("") : word; /* "--output=" */
}

/* The option whose value the last word is; OPTION_MAX: it is none. */
static int option_before(const struct complete *c, const struct command *command, size_t used) {
    size_t i = c->words_n - 1;
    i -= i > used && strcmp(c->words[i - 1], "=") == 0;
    return i > used ? valued(command, str_c(c->words[i - 1])) : OPTION_MAX;
}

static bool add_behind(const struct complete *c, const struct command *command, size_t used, struct buf *out) {
    struct str begun = last_word(c), value = begun, name;
    int id = option_before(c, command, used);
    if (id != OPTION_MAX) {
        return add_values(option_rows[id].value, STR(""), begun, out);
    }
    if (str_starts(begun, STR("--")) && memchr(begun.p, '=', begun.n) != NULL && str_cut(&value, '=', &name)) {
        id = valued(command, name);
        return id != OPTION_MAX && add_values(option_rows[id].value, str_of(begun.p, name.n + 1), value, out);
    }
    if (str_starts(begun, STR("-"))) {
        add_options(command, begun, out);
        return false;
    }
    return add_argument(command, arguments_before(c, command, used), begun, out);
}

bool complete_add(const struct complete *c, struct buf *out) {
    size_t used;
    if (c->words_n < 2) {
        add_nouns(c, c->words_n > 0 ? last_word(c) : STR(""), out);
        return false;
    }
    if (c->words_n == 2) {
        add_verbs(c, last_word(c), out);
    }
    const struct command *command = find(c, &used);
    return command != NULL && command->act != NULL && add_behind(c, command, used, out);
}

void complete_add_queue(const struct complete *c, const char *queue, struct buf *out) {
    struct str begun = c->words_n > 0 ? last_word(c) : STR(""), value = begun, name;
    bool inside = str_starts(begun, STR("--")) && str_cut(&value, '=', &name) && name.n < begun.n;
    add(out, inside ? str_of(begun.p, name.n + 1) : STR(""), inside ? value : begun, str_c(queue), "");
}
