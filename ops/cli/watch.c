/* Asking: once, or with --watch again and again. */
#include "cli.h"
#include "show.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { AGAIN_MS = 1000 };

static bool may_mend(int code) { return code == EXIT_AGAIN || code == EXIT_UNAVAILABLE; }

/* Told once for each time that the API is away. */
static void tell_away(const struct options *o, bool *away, const struct buf *why) {
    if (!*away) {
        cli_complain(o, why);
    }
    *away = true;
}

/* From the second answer on an API that is away for a while ends nothing. */
static int watch(const struct options *o, const struct client_request *r, const struct column *columns, size_t n) {
    struct shown_rows seen = {0};
    struct buf why;
    bool away = false;
    int code = EXIT_SUCCESS;
    buf_init(&why, CLI_LINE_BYTES);
    for (;;) {
        struct client_answer a;
        buf_clear(&why);
        code = client_ask(o, r, &a, &why);
        if (code == EXIT_SUCCESS) {
            away = false;
            code = show_news(o, &a, columns, n, &seen);
        } else if (!may_mend(code) || seen.texts == NULL) {
            cli_complain(o, &why);
        } else {
            tell_away(o, &away, &why);
            code = EXIT_SUCCESS;
        }
        client_answer_free(&a);
        if (code != EXIT_SUCCESS || fflush(stdout) != 0) {
            break;
        }
        (void)poll(NULL, 0, AGAIN_MS);
    }
    json_decref(seen.texts);
    buf_free(&why);
    return code;
}

int show_asked(const struct options *o, const struct client_request *r, const struct column *columns, size_t n) {
    struct client_answer a;
    if (o->watch) {
        return watch(o, r, columns, n);
    }
    int code = client_call(o, r, &a);
    if (code == EXIT_SUCCESS) {
        code = show_rows(o, &a, columns, n);
    }
    client_answer_free(&a);
    return code;
}
