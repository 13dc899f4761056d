/* What an operator's command is given: options (options.def) and arguments. Pure. */
#ifndef OPS_CLI_OPTIONS_H
#define OPS_CLI_OPTIONS_H

#include <base/buf.h>

struct options;

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

struct options {
    const struct command *command;
    const char *value[OPTION_MAX]; /* NULL: not given; "": given, and takes none */
    char **args;                   /* as many as the command wants */
    int args_n;
    bool json, headers, quiet;
    int64_t timeout_ms;
};

/* argv[0] is anything, the words begin behind it and are reordered. False: why has one line, without a newline. With --help
 * nothing else is checked. */
bool options_read(const struct command *c, int argc, char **argv, struct options *out, struct buf *why);

/* "job list"; "doctor". */
void command_add_name(struct buf *out, const struct command *c);
/* The page of --help. */
void options_describe(const struct command *c, struct buf *out);

#endif
