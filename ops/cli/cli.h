/* The parts of the command line. Commands are one table (commands.def), their options another (options.def), exit codes a third
 * (exits.def). */
#ifndef OPS_CLI_CLI_H
#define OPS_CLI_CLI_H

#include <jobs/type.h>

#include "exits.h"
#include "options.h"

#define COMMAND(noun, verb, handler, arguments, help) int handler(int argc, char **argv); /* what follows the verb */
#define OPERATOR(noun, verb, handler, arguments, more, help) int handler(const struct options *o);
#include "commands.def"
#undef COMMAND
#undef OPERATOR

extern const struct command cli_commands[]; /* commands.def */
extern const size_t cli_commands_n;

/* One line on standard error; EXIT_USAGE. */
int cli_usage(const char *why);

enum { CLI_LINE_BYTES = 16 * 1024 };
/* One line on standard error, "penstock job get: why". */
void cli_complain(const struct options *o, const struct buf *why);
/* The same; returns code. */
int cli_fail(const struct options *o, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Settings for a role or an administrative command. False: printed why; exit with EXIT_CONFIG. */
bool cli_conf(struct conf *out);

/* Every module of this binary; in the roles that check or run jobs also what handler.types declares. */
extern struct registry cli_registry;

#endif
