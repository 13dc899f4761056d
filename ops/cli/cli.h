/* The parts of the command line. Exit codes are those of sysexits.h where it has one. */
#ifndef OPS_CLI_H
#define OPS_CLI_H

#include <jobs/type.h>

enum { EXIT_USAGE = 64, EXIT_BAD_INPUT = 65, EXIT_UNAVAILABLE = 69, EXIT_AGAIN = 75, EXIT_DENIED = 77, EXIT_CONFIG = 78, EXIT_WAIT = 124 };

struct command {
    const char *noun, *verb;
    int (*run)(int argc, char **argv); /* what follows the verb */
    const char *arguments, *help;
};

#define COMMAND(noun, verb, handler, arguments, help) int handler(int argc, char **argv);
#include "commands.def"
#undef COMMAND

/* One line on standard error; EXIT_USAGE. */
int cli_usage(const char *why);

/* Settings for a role or an administrative command. False: printed why; exit with EXIT_CONFIG. */
bool cli_conf(struct conf *out);

/* Every module of this binary. */
extern const struct registry cli_registry;

#endif
