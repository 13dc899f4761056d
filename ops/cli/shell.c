/* penstock completion, man, complete: what shells and man(1) want to know of the command table. The scripts know nothing
 * themselves: they ask the program for candidates, so that they never speak of another version of it. */
#include "cli.h"
#include "client.h"
#include "complete.h"
#include "man.h"
#include "settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_MAX_BYTES = 1 << 20, ASK_MS = 1000 };

static const char bash_script[] = "# eval \"$(penstock completion bash)\"\n"
                                  "_penstock() {\n"
                                  "    local candidate rest\n"
                                  "    COMPREPLY=()\n"
                                  "    while IFS=$'\\t' read -r candidate rest; do\n"
                                  "        COMPREPLY+=(\"$candidate\")\n"
                                  "    done < <(\"$1\" complete \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\n"
                                  "}\n"
                                  "complete -o default -F _penstock penstock\n";

static const char zsh_script[] =
    "#compdef penstock\n"
    "# source <(penstock completion zsh), or as _penstock in a folder of $fpath\n"
    "_penstock() {\n"
    "    local line\n"
    "    local -a candidates\n"
    "    for line in \"${(@f)$(\"$words[1]\" complete \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\"; do\n"
    "        [[ -n $line ]] && candidates+=(\"${${line%%$'\\t'*}//:/\\\\:}:${${line#*$'\\t'}:#$line}\")\n"
    "    done\n"
    "    (( $#candidates )) && _describe -t penstock penstock candidates || _default\n"
    "}\n"
    "if [[ $funcstack[1] == _penstock ]]; then _penstock \"$@\"; else compdef _penstock penstock; fi\n";

static const char fish_script[] = "# penstock completion fish | source\n"
                                  "function __penstock_complete\n"
                                  "    set -l words (commandline -opc) (commandline -ct)\n"
                                  "    $words[1] complete $words[2..-1] 2>/dev/null\n"
                                  "end\n"
                                  "complete -c penstock -f -a '(__penstock_complete)'\n";

int cli_completion(const struct options *o) {
    static const struct {
        const char *shell, *script;
    } rows[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].shell, o->args[0]) == 0) {
            (void)fputs(rows[i].script, stdout);
            return EXIT_SUCCESS;
        }
    }
    return cli_fail(o, EXIT_USAGE, "there is none for \"%.60s\"; there are bash, zsh, fish", o->args[0]);
}

static int print(struct buf *page) {
    bool ok = !err_is_set(buf_status(page));
    if (ok && page->n > 0) {
        (void)fwrite(page->p, 1, page->n, stdout);
    }
    buf_free(page);
    return ok ? EXIT_SUCCESS : EXIT_INTERNAL;
}

int cli_man(const struct options *o) {
    struct buf page;
    (void)o;
    buf_init(&page, PAGE_MAX_BYTES);
    man_write(cli_commands, cli_commands_n, &page);
    return print(&page);
}

/* ---- candidates ---- */

/* Whoever presses Tab wants no error: without an answer there are no names. */
static void add_queues(const struct complete *c, const struct options *o, struct buf *out) {
    const struct client_request r = {.method = "GET", .path = {"/v1/queues"}, .timeout_ms = ASK_MS};
    struct client_answer a;
    struct buf why;
    size_t i;
    const json_t *item;
    buf_init(&why, CLI_LINE_BYTES);
    if (client_ask(o, &r, &a, &why) == EXIT_SUCCESS) {
        json_array_foreach(json_object_get(a.json, "items"), i, item) {
            const char *name = json_string_value(json_object_get(item, "name"));
            if (name != NULL) {
                complete_add_queue(c, name, out);
            }
        }
    }
    client_answer_free(&a);
    buf_free(&why);
}

int cli_complete(int argc, char **argv) {
    static const struct command self = {.noun = "complete", .verb = ""};
    const struct complete c = {.table = cli_commands, .table_n = cli_commands_n, .words = argv, .words_n = (size_t)argc};
    struct options o = {.command = &self};
    struct settings settings;
    struct buf out, why;
    buf_init(&out, PAGE_MAX_BYTES);
    buf_init(&why, CLI_LINE_BYTES);
    if (complete_add(&c, &out)) {
        if (settings_load(&o, &settings, &why) == EXIT_SUCCESS) {
            add_queues(&c, &o, &out);
        }
        settings_free(&settings);
    }
    buf_free(&why);
    return print(&out);
}
