/* penstock job list|get|cancel|retry */
#include "cli.h"
#include "show.h"

static const struct column columns[] = {
    {"NAME", "id", COLUMN_TEXT, false},     {"TYPE", "type", COLUMN_TEXT, true}, {"QUEUE", "queue", COLUMN_TEXT, true},
    {"STATE", "state", COLUMN_TEXT, false}, {"AGE", "id", COLUMN_AGE, false},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

int cli_job_list(const struct options *o) {
    const struct client_request r = {
        .method = "GET",
        .path = {"/v1/jobs"},
        .query = {{"state", o->value[OPTION_STATE]},
                  {"type", o->value[OPTION_TYPE]},
                  {"queue", o->value[OPTION_QUEUE]},
                  {"limit", o->value[OPTION_LIMIT]},
                  {"cursor", o->value[OPTION_CURSOR]}},
        .timeout_ms = o->timeout_ms,
    };
    return show_asked(o, &r, columns, COLUMNS);
}

int cli_job_get(const struct options *o) {
    const struct client_request r = {.method = "GET", .path = {"/v1/jobs/", o->args[0]}, .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, columns, COLUMNS);
}

int cli_job_cancel(const struct options *o) {
    const struct client_request r = {.method = "DELETE", .path = {"/v1/jobs/", o->args[0]}, .timeout_ms = o->timeout_ms};
    return show_changed(o, &r, "job", o->args[0], NULL);
}

int cli_job_retry(const struct options *o) {
    const struct client_request r = {.method = "POST", .path = {"/v1/jobs/", o->args[0], "/retry"}, .timeout_ms = o->timeout_ms};
    return show_changed(o, &r, "job", o->args[0], "retried");
}
