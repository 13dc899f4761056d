/* penstock worker list|get|quiet|resume|stop|dump */
#include "cli.h"
#include "show.h"

#include <stdlib.h>

static const struct column columns[] = {
    {"NAME", "process", COLUMN_TEXT, COLUMN_CUT},
    {"ROLE", "role", COLUMN_TEXT, 0},
    {"QUEUE", "queue", COLUMN_TEXT, COLUMN_CUT},
    {"SLOTS", "slots", COLUMN_TEXT, 0},
    {"BUSY", "busy", COLUMN_TEXT, 0},
    {"QUIET", "quiet", COLUMN_TEXT, 0},
    {"DRAINING", "draining", COLUMN_TEXT, 0},
    {"OPEN", "circuit_open", COLUMN_TEXT, COLUMN_CUT},
    {"HOST", "host", COLUMN_TEXT, COLUMN_WIDE},
    {"PID", "pid", COLUMN_TEXT, COLUMN_WIDE},
    {"VERSION", "version", COLUMN_TEXT, COLUMN_WIDE},
    {"AGE", "started_ms", COLUMN_AGE, 0},
    {"WHY", "circuit_why", COLUMN_TEXT, COLUMN_WIDE},
};
static const struct column jobs[] = {
    {"NAME", "id", COLUMN_TEXT, 0},
    {"TYPE", "type", COLUMN_TEXT, COLUMN_CUT},
    {"ATTEMPT", "attempt", COLUMN_TEXT, 0},
    {"WAITS-FOR", "waits_for", COLUMN_TEXT, COLUMN_CUT},
    {"SERVER", "server", COLUMN_TEXT, COLUMN_WIDE},
    {"STOPPING", "stopping", COLUMN_TEXT, COLUMN_WIDE},
    {"AGE", "started_at", COLUMN_AGE, 0},
};
enum { REASON_MAX_BYTES = 4096 };

int cli_worker_list(const struct options *o) {
    const struct client_request r = {.method = "GET", .path = {"/v1/workers"}, .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, columns, sizeof columns / sizeof columns[0]);
}

int cli_worker_get(const struct options *o) {
    const struct client_request r = {.method = "GET", .path = {"/v1/workers/", o->args[0]}, .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, columns, sizeof columns / sizeof columns[0]);
}

int cli_worker_dump(const struct options *o) {
    const struct client_request r = {.method = "GET", .path = {"/v1/workers/", o->args[0], "/jobs"}, .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, jobs, sizeof jobs / sizeof jobs[0]);
}

static int order(const struct options *o, const char *verb, const char *done) {
    const char *reason = o->value[OPTION_REASON];
    struct buf body;
    buf_init(&body, REASON_MAX_BYTES);
    buf_add_c(&body, "{");
    if (reason != NULL) {
        buf_add_c(&body, "\"reason\":");
        json_add_string(&body, str_c(reason));
    }
    buf_add_char(&body, '}');
    int code = EXIT_BAD_INPUT;
    if (err_is_set(buf_status(&body))) {
        code = cli_fail(o, code, "--reason is too long");
    } else {
        const struct client_request r = {
            .method = "POST", .path = {"/v1/workers/", o->args[0], verb}, .body = buf_str(&body), .timeout_ms = o->timeout_ms};
        code = show_changed(o, &r, "worker", o->args[0], done);
    }
    buf_free(&body);
    return code;
}

int cli_worker_quiet(const struct options *o) { return order(o, "/quiet", "quiet"); }
int cli_worker_resume(const struct options *o) { return order(o, "/resume", "resumed"); }
int cli_worker_stop(const struct options *o) { return order(o, "/stop", "told to stop"); }
