/* penstock job watch: a job's events until its end, over lost connections and restarts of the API. */
#include "answer.h"
#include "cli.h"
#include "show.h"
#include "sse.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

static const struct column columns[] = {
    {"NAME", "id", COLUMN_TEXT, 0},
    {"TYPE", "type", COLUMN_TEXT, COLUMN_CUT},
    {"STATE", "state", COLUMN_TEXT, 0},
    {"PROGRESS", "progress.percent", COLUMN_TEXT, 0},
    {"SAYS", "progress.message", COLUMN_TEXT, COLUMN_CUT},
    {"AGE", "id", COLUMN_AGE, 0},
};
enum { COLUMNS = sizeof columns / sizeof columns[0], AGAIN_MS = 1000 };

struct watch {
    const struct options *o;
    struct sse events;
    struct shown_rows seen;
    struct job_end end;
    struct buf why; /* of the end */
    bool ended;
    int code; /* of showing */
};

static bool on_event(void *arg, struct str name, struct str data) {
    struct watch *w = arg;
    struct client_answer a = {0};
    (void)name;
    if (err_is_set(json_read(data, &a.json))) {
        w->code = cli_fail(w->o, EXIT_PROTOCOL, "an event is not JSON");
        return false;
    }
    w->code = show_news(w->o, &a, columns, COLUMNS, &w->seen);
    w->ended = answer_job_end(a.json, &w->end, &w->why);
    json_decref(a.json);
    return w->code == EXIT_SUCCESS && !w->ended && fflush(stdout) == 0;
}

static bool on_part(void *arg, struct str part) {
    struct watch *w = arg;
    return sse_feed(&w->events, part);
}

/* One connection. True: there is no need for another. code: what it came to. */
static bool follow(struct watch *w, int *code, struct buf *why) {
    const struct client_request r = {.method = "GET",
                                     .path = {"/v1/jobs/", w->o->args[0], "/events"},
                                     .timeout_ms = w->o->timeout_ms,
                                     .last_event = w->events.id[0] != '\0' ? w->events.id : NULL,
                                     .on_part = on_part,
                                     .arg = w};
    struct client_answer a;
    buf_clear(why);
    sse_begin(&w->events);
    *code = client_ask(w->o, &r, &a, why);
    bool nothing_new = a.status == 204;
    client_answer_free(&a);
    if (w->ended || w->code != EXIT_SUCCESS || ferror(stdout) != 0 || nothing_new) {
        *code = w->code;
        return true;
    }
    return *code != EXIT_SUCCESS && *code != EXIT_AGAIN && *code != EXIT_UNAVAILABLE;
}

static int conclude(struct watch *w) {
    if (w->end.code != EXIT_SUCCESS) {
        cli_complain(w->o, &w->why);
    }
    return w->end.code;
}

int cli_job_watch(const struct options *o) {
    struct watch w = {.o = o, .code = EXIT_SUCCESS};
    struct buf why;
    int code = EXIT_SUCCESS;
    bool away = false;
    sse_init(&w.events, on_event, &w);
    buf_init(&w.why, CLI_LINE_BYTES);
    buf_init(&why, CLI_LINE_BYTES);
    while (!follow(&w, &code, &why)) {
        if (code != EXIT_SUCCESS && !away) {
            cli_complain(o, &why); /* once: it may be away for long */
        }
        away = code != EXIT_SUCCESS;
        if (away && w.seen.texts == NULL) {
            break; /* at first it has to be there */
        }
        (void)poll(NULL, 0, AGAIN_MS);
    }
    if (code != EXIT_SUCCESS && !away && why.n > 0) {
        cli_complain(o, &why);
    }
    code = code == EXIT_SUCCESS && w.ended ? conclude(&w) : code;
    json_decref(w.seen.texts);
    sse_free(&w.events);
    buf_free(&w.why);
    buf_free(&why);
    return code;
}
