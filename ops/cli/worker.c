/* penstock worker list */
#include "cli.h"
#include "show.h"

static const struct column columns[] = {
    {"NAME", "process", COLUMN_TEXT, true},       {"ROLE", "role", COLUMN_TEXT, false},
    {"QUEUE", "queue", COLUMN_TEXT, true},        {"SLOTS", "slots", COLUMN_TEXT, false},
    {"BUSY", "busy", COLUMN_TEXT, false},         {"QUIET", "quiet", COLUMN_TEXT, false},
    {"DRAINING", "draining", COLUMN_TEXT, false}, {"OPEN", "circuit_open", COLUMN_TEXT, true},
    {"AGE", "started_ms", COLUMN_AGE, false},
};

int cli_worker_list(const struct options *o) {
    const struct client_request r = {.method = "GET", .path = {"/v1/workers"}, .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, columns, sizeof columns / sizeof columns[0]);
}
