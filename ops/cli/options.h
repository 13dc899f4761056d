/* What an operator's command is given: options (options.def) and arguments. Pure. */
#ifndef OPS_CLI_OPTIONS_H
#define OPS_CLI_OPTIONS_H

#include <base/buf.h>

struct options;
struct settings;

/* A row of commands.def. */
struct command {
    const char *noun, *verb;           /* verb "": none */
    int (*run)(int argc, char **argv); /* reads what follows itself; NULL: act does the work */
    int (*act)(const struct options *o);
    const char *arguments; /* "ID [ID...]": [optional], the last may repeat */
    const char *options;   /* names beyond everybody's, with spaces between */
    const char *help;
};

enum option_id {
#define OPTION(id, letter, name, value, help) OPTION_##id,
#include "options.def"
#undef OPTION
    OPTION_MAX
};

enum output { OUTPUT_TABLE, OUTPUT_WIDE, OUTPUT_JSON, OUTPUT_JSONL, OUTPUT_NAME };

struct options {
    const struct command *command;
    const char *value[OPTION_MAX]; /* NULL: not given; "": given, and takes none */
    char **args;                   /* as many as the command wants */
    int args_n;
    /* Of options_settle. */
    enum output output;
    bool json; /* or jsonl */
    bool headers, quiet, watch, dry_run;
    const char *field; /* without its first dot; NULL: none */
    int64_t timeout_ms;
    /* Of settings_load. */
    const struct settings *settings;
    const char *url, *url_from; /* where the API is, and who says so */
    const char *key, *key_from; /* NULL: none */
};

/* argv[0] is anything, the words begin behind it and are reordered. False: why has one line, without a newline. With --help
 * nothing else is checked. */
bool options_read(const struct command *c, int argc, char **argv, struct options *out, struct buf *why);
/* Then, when o->value has what settings add to the command line: reads what everybody's options say. False as above. */
bool options_settle(struct options *o, struct buf *why);

/* Whether c takes the option; its row in options.def. */
bool option_is_taken(const struct command *c, enum option_id id);
struct option_row {
    int letter; /* 0: none */
    const char *name, *value, *help;
};
extern const struct option_row option_rows[OPTION_MAX];

/* "job list"; "doctor". */
void command_add_name(struct buf *out, const struct command *c);
/* The page of --help. */
void options_describe(const struct command *c, struct buf *out);

#endif
