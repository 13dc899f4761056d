/* penstock queue list|get|pause|resume */
#include "cli.h"
#include "show.h"

#include <stdlib.h>

static const struct column listed[] = {
    {"NAME", "name", COLUMN_TEXT, COLUMN_CUT},
    {"PAUSED", "paused", COLUMN_TEXT, 0},
    {"WAITING", "depth.waiting", COLUMN_TEXT, 0},
    {"RUNNING", "depth.running", COLUMN_TEXT, 0},
    {"DELAYED", "depth.delayed", COLUMN_TEXT, 0},
    {"PARKED", "depth.parked", COLUMN_TEXT, 0},
    {"DEAD", "depth.dead", COLUMN_TEXT, 0},
    {"WORKERS", "workers.desired", COLUMN_TEXT, 0},
    {"SLOTS", "slots", COLUMN_TEXT, COLUMN_WIDE},
    {"DONE/S", "done_per_second", COLUMN_TEXT, COLUMN_WIDE},
    {"DRAIN", "drain_seconds", COLUMN_SECONDS, COLUMN_WIDE},
    {"ADMISSION", "admission.state", COLUMN_TEXT, COLUMN_WIDE},
    {"AGE", "oldest_age_seconds", COLUMN_SECONDS, 0}, /* of the oldest waiting job */
};
static const struct column shown[] = {
    {"NAME", "name", COLUMN_TEXT, COLUMN_CUT},        {"PAUSED", "paused", COLUMN_TEXT, 0},
    {"WAITING", "depth.waiting", COLUMN_TEXT, 0},     {"RUNNING", "depth.running", COLUMN_TEXT, 0},
    {"WORKERS", "workers.desired", COLUMN_TEXT, 0},   {"AGE", "oldest_age_seconds", COLUMN_SECONDS, 0},
    {"DRAIN", "drain_seconds", COLUMN_SECONDS, 0}, /* until a job that comes now would start */
    {"ADMISSION", "admission.state", COLUMN_TEXT, 0}, {"WHY", "admission.reason", COLUMN_TEXT, 0},
};

int cli_queue_list(const struct options *o) {
    const struct client_request r = {.method = "GET", .path = {"/v1/queues"}, .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, listed, sizeof listed / sizeof listed[0]);
}

int cli_queue_get(const struct options *o) {
    const struct client_request r = {.method = "GET", .path = {"/v1/queues/", o->args[0]}, .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, shown, sizeof shown / sizeof shown[0]);
}

int cli_queue_pause(const struct options *o) { return show_told(o, "/v1/queues/", "/pause", "queue", "paused"); }
int cli_queue_resume(const struct options *o) { return show_told(o, "/v1/queues/", "/resume", "queue", "resumed"); }
