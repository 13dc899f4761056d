/* penstock worker list */
#include "cli.h"
#include "show.h"

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

int cli_worker_list(const struct options *o) {
    const struct client_request r = {.method = "GET", .path = {"/v1/workers"}, .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, columns, sizeof columns / sizeof columns[0]);
}
