/* The one main() of penstock: roles and operators' commands, from one table (commands.def). */
#include "cli.h"
#include "settings.h"

#include <base/fault.h>
#include <base/log.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct command cli_commands[] = {
#define COMMAND(noun, verb, handler, arguments, help) {noun, verb, handler, NULL, arguments, "", help},
#define OPERATOR(noun, verb, handler, arguments, more, help) {noun, verb, NULL, handler, arguments, more, help},
#include "commands.def"
#undef COMMAND
#undef OPERATOR
};
enum { COMMANDS = sizeof cli_commands / sizeof cli_commands[0], PAGE_MAX_BYTES = 64 * 1024 };
const size_t cli_commands_n = COMMANDS;

static void print(FILE *to, struct buf *page) {
    (void)fwrite(page->p, 1, page->n, to);
    buf_free(page);
}

/* noun NULL: every command. */
static void add_commands(struct buf *page, const char *noun) {
    for (size_t i = 0; i < COMMANDS; i++) {
        const struct command *c = &cli_commands[i];
        if (noun == NULL || strcmp(c->noun, noun) == 0) {
            size_t before = page->n;
            buf_add_c(page, "  ");
            command_add_name(page, c);
            buf_addf(page, " %s", c->arguments);
            size_t width = page->n - before;
            buf_addf(page, "%*s%s\n", width < 36 ? (int)(36 - width) : 1, "", c->help);
        }
    }
}

static void print_usage(FILE *to) {
    struct buf page;
    buf_init(&page, PAGE_MAX_BYTES);
    buf_add_c(&page, "usage: penstock COMMAND [options] [arguments]; penstock COMMAND --help tells more\n\n");
    add_commands(&page, NULL);
    buf_add_c(&page, "\nexit codes:\n    0  done\n");
    exits_describe(&page);
    buf_add_c(
        &page,
        "\nSettings: PENSTOCK_CONFIG names the file, PENSTOCK_<GROUP>_<NAME> wins over it; penstock config prints them all.\n"
        "The API is found by PENSTOCK_URL (default http://127.0.0.1:8080), the key in PENSTOCK_KEY; penstock config set keeps\n"
        "both, and more, in profiles.\n");
    print(to, &page);
}

int cli_usage(const char *why) {
    (void)fprintf(stderr, "penstock: %s\n", why);
    return EXIT_USAGE;
}

void cli_complain(const struct options *o, const struct buf *why) {
    struct buf line;
    buf_init(&line, 2 * CLI_LINE_BYTES);
    buf_add_c(&line, "penstock ");
    command_add_name(&line, o->command);
    buf_add_c(&line, ": ");
    buf_add(&line, why->n > 0 ? buf_str(why) : STR("out of memory"));
    buf_add_char(&line, '\n');
    print(stderr, &line);
}

int cli_fail(const struct options *o, int code, const char *fmt, ...) {
    struct buf why;
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    buf_init(&why, CLI_LINE_BYTES);
    buf_add_c(&why, text);
    cli_complain(o, &why);
    buf_free(&why);
    return code;
}

/* "worker list" before "worker". */
static const struct command *find(int argc, char **argv, int *out_used) {
    for (int words = argc > 2 ? 2 : 1; words > 0; words--) {
        for (size_t i = 0; i < COMMANDS; i++) {
            if (strcmp(cli_commands[i].noun, argv[1]) == 0 && strcmp(cli_commands[i].verb, words == 2 ? argv[2] : "") == 0) {
                *out_used = words;
                return &cli_commands[i];
            }
        }
    }
    return NULL;
}

/* There is no such command: its noun may be one, and asked for help. */
static int explain(int argc, char **argv) {
    char why[160];
    struct buf page;
    buf_init(&page, PAGE_MAX_BYTES);
    add_commands(&page, argv[1]);
    bool helps = page.n > 0 && argc > 2 && strcmp(argv[2], "--help") == 0;
    if (helps) {
        (void)printf("usage:\n");
        print(stdout, &page);
        return EXIT_SUCCESS;
    }
    bool noun = page.n > 0;
    buf_free(&page);
    if (noun && argc > 2) {
        (void)snprintf(why, sizeof why, "%s does not go with \"%.60s\"; penstock %s --help shows what does", argv[1], argv[2],
                       argv[1]);
    } else if (noun) {
        (void)snprintf(why, sizeof why, "%s wants another word; penstock %s --help shows which", argv[1], argv[1]);
    } else {
        (void)snprintf(why, sizeof why, "unknown command \"%.60s\"; penstock help lists them", argv[1]);
    }
    return cli_usage(why);
}

static int help(const struct command *c) {
    struct buf page;
    buf_init(&page, PAGE_MAX_BYTES);
    options_describe(c, &page);
    print(stdout, &page);
    return EXIT_SUCCESS;
}

static int act_settled(struct options *o, struct buf *why) {
    struct settings settings;
    int code = settings_load(o, &settings, why);
    if (code == EXIT_SUCCESS) {
        code = options_settle(o, why) ? EXIT_SUCCESS : EXIT_USAGE;
    }
    if (code != EXIT_SUCCESS) {
        cli_complain(o, why);
    } else {
        o->settings = &settings;
        code = o->command->act(o);
    }
    settings_free(&settings);
    return code;
}

static int act(const struct command *c, int argc, char **argv) {
    struct options o = {.command = c};
    struct buf why;
    int code = EXIT_USAGE;
    buf_init(&why, CLI_LINE_BYTES);
    if (!options_read(c, argc, argv, &o, &why)) {
        buf_add_c(&why, "; --help shows how");
        cli_complain(&o, &why);
    } else {
        code = o.value[OPTION_HELP] != NULL ? help(c) : act_settled(&o, &why);
    }
    buf_free(&why);
    return code;
}

static int run(int argc, char **argv) {
    int used;
    if (argc < 2 || strcmp(argv[1], "--help") == 0) {
        print_usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? EXIT_USAGE : EXIT_SUCCESS;
    }
    if (strcmp(argv[1], "--version") == 0) {
        (void)printf("penstock %s\n", PENSTOCK_VERSION);
        return EXIT_SUCCESS;
    }
    const struct command *c = find(argc, argv, &used);
    if (c == NULL) {
        return explain(argc, argv);
    }
    if (c->act != NULL) {
        return act(c, argc - used, argv + used);
    }
    if (argc == used + 2 && strcmp(argv[used + 1], "--help") == 0) {
        return help(c);
    }
    return c->run(argc - used - 1, argv + used + 1);
}

int cli_help(int argc, char **argv) {
    (void)argc;
    (void)argv;
    print_usage(stdout);
    return EXIT_SUCCESS;
}

int cli_version(const struct options *o) {
    bool bare = o->quiet || o->output == OUTPUT_NAME;
    (void)printf(o->json ? "{\"version\":\"%s\"}\n" : bare ? "%s\n" : "penstock %s\n", PENSTOCK_VERSION);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv) {
    (void)signal(SIGPIPE, SIG_IGN);
    fault_setup();
    int code = run(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        (void)fprintf(stderr, "penstock: standard output cannot be written\n");
        return code != EXIT_SUCCESS ? code : EXIT_IO;
    }
    return code;
}
