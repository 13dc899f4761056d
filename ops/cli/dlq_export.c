/* penstock dlq export: every dead job as a line of JSON, page after page. */
#include "cli.h"
#include "progress.h"
#include "show.h"

#include <base/ids.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE "64"

struct export {
    const struct options *o;
    char cursor[UUID_TEXT_BYTES]; /* "": the first page */
    int64_t done;
    struct progress progress;
};

static int print_items(struct export *x, const json_t *items) {
    const json_t *item;
    size_t i;
    struct buf line;
    struct err e = OK;
    buf_init(&line, 1 << 20);
    progress_hide(&x->progress);
    json_array_foreach(items, i, item) {
        buf_clear(&line);
        e = json_write(item, &line);
        if (err_is_set(e)) {
            break;
        }
        (void)printf("%.*s\n", STR_ARG(buf_str(&line)));
        x->done++;
    }
    buf_free(&line);
    return err_is_set(e) ? cli_fail(x->o, EXIT_INTERNAL, "%s", e.detail) : EXIT_SUCCESS;
}

/* True: there is another page. */
static bool export_page(struct export *x, int *code) {
    const struct client_request r = {.method = "GET",
                                     .path = {"/v1/dlq"},
                                     .query = {{"queue", x->o->value[OPTION_QUEUE]},
                                               {"fingerprint", x->o->value[OPTION_FINGERPRINT]},
                                               {"payload", "true"},
                                               {"limit", PAGE},
                                               {"cursor", x->cursor[0] != '\0' ? x->cursor : NULL}},
                                     .timeout_ms = x->o->timeout_ms};
    struct client_answer a;
    *code = client_call(x->o, &r, &a);
    if (*code == EXIT_SUCCESS) {
        *code = print_items(x, json_object_get(a.json, "items"));
    }
    bool more = *code == EXIT_SUCCESS && fflush(stdout) == 0 &&
                str_copy_c(json_opt_str(a.json, "next", STR("")), x->cursor, sizeof x->cursor) && x->cursor[0] != '\0';
    client_answer_free(&a);
    return more;
}

int cli_dlq_export(const struct options *o) {
    struct export x = {.o = o};
    int code;
    progress_begin(&x.progress, o, "exported", 0);
    while (export_page(&x, &code)) {
        progress_show(&x.progress, x.done);
    }
    progress_hide(&x.progress);
    return code;
}
