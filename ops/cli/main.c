/* The one main() of penstock: roles and operators' commands, from one table (commands.def). */
#include "cli.h"

#include <base/fault.h>
#include <base/log.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct command commands[] = {
#define COMMAND(noun, verb, handler, arguments, help) {noun, verb, handler, arguments, help},
#include "commands.def"
#undef COMMAND
};
enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_usage(FILE *to) {
    (void)fprintf(to, "usage: penstock COMMAND [arguments]\n\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        char left[64];
        (void)snprintf(left, sizeof left, "%s%s%s %s", commands[i].noun, commands[i].verb[0] != '\0' ? " " : "", commands[i].verb,
                       commands[i].arguments);
        (void)fprintf(to, "  %-46s %s\n", left, commands[i].help);
    }
    (void)fprintf(to, "\nSettings: PENSTOCK_CONFIG names the file, PENSTOCK_<GROUP>_<NAME> wins over it; penstock config prints them all.\n"
                      "The API is found by PENSTOCK_URL (default http://127.0.0.1:8080), the key in PENSTOCK_KEY.\n");
}

int cli_usage(const char *why) {
    (void)fprintf(stderr, "penstock: %s; penstock help lists the commands\n", why);
    return EXIT_USAGE;
}

static const struct command *find(int argc, char **argv, int *out_used) {
    for (size_t i = 0; i < COMMANDS; i++) {
        bool noun = strcmp(commands[i].noun, argv[1]) == 0;
        if (noun && commands[i].verb[0] == '\0') {
            *out_used = 2;
            return &commands[i];
        }
        if (noun && argc > 2 && strcmp(commands[i].verb, argv[2]) == 0) {
            *out_used = 3;
            return &commands[i];
        }
    }
    return NULL;
}

int cli_help(int argc, char **argv) {
    (void)argc;
    (void)argv;
    print_usage(stdout);
    return EXIT_SUCCESS;
}

int cli_version(int argc, char **argv) {
    (void)argc;
    (void)argv;
    (void)printf("penstock %s\n", PENSTOCK_VERSION);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
    int used;
    (void)signal(SIGPIPE, SIG_IGN);
    fault_setup();
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        print_usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : EXIT_SUCCESS;
    }
    if (strcmp(argv[1], "--version") == 0) {
        return cli_version(argc, argv);
    }
    const struct command *c = find(argc, argv, &used);
    if (c == NULL) {
        char why[160];
        (void)snprintf(why, sizeof why, "unknown command \"%.60s%s%.60s\"", argv[1], argc > 2 ? " " : "", argc > 2 ? argv[2] : "");
        return cli_usage(why);
    }
    return c->run(argc - used, argv + used);
}
