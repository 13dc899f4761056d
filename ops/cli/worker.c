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

int cli_worker_quiet(const struct options *o) { return show_told(o, "/v1/workers/", "/quiet", "worker", "quiet"); }
int cli_worker_resume(const struct options *o) { return show_told(o, "/v1/workers/", "/resume", "worker", "resumed"); }
int cli_worker_stop(const struct options *o) { return show_told(o, "/v1/workers/", "/stop", "worker", "told to stop"); }
