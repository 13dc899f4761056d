/* penstock job list|get|cancel|retry */
#include "cli.h"
#include "show.h"

static const struct column columns[] = {
    {"NAME", "id", COLUMN_TEXT, 0},
    {"TYPE", "type", COLUMN_TEXT, COLUMN_CUT},
    {"QUEUE", "queue", COLUMN_TEXT, COLUMN_CUT},
    {"STATE", "state", COLUMN_TEXT, 0},
    {"TENANT", "tenant", COLUMN_TEXT, COLUMN_WIDE},
    {"DUE", "due_at", COLUMN_TEXT, COLUMN_WIDE},
    {"FINISHED", "finished_at", COLUMN_TEXT, COLUMN_WIDE},
    {"STATUS", "status", COLUMN_TEXT, COLUMN_WIDE},
    {"TRACE", "trace_id", COLUMN_TEXT, COLUMN_WIDE},
    {"AGE", "id", COLUMN_AGE, 0},
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

int cli_job_list(const struct options *o) {
    const struct client_request r = {
        .method = "GET",
        .path = {"/v1/jobs"},
        .query = {{"state", o->value[OPTION_STATE]},
                  {"type", o->value[OPTION_TYPE]},
                  {"queue", o->value[OPTION_QUEUE]},
                  {"key", o->value[OPTION_KEY]},
                  {"tenant", o->value[OPTION_TENANT]},
                  {"error", o->value[OPTION_ERROR]},
                  {"age", o->value[OPTION_AGE]},
                  {"limit", o->value[OPTION_LIMIT]},
                  {"cursor", o->value[OPTION_CURSOR]}},
        .timeout_ms = o->timeout_ms,
    };
    return show_asked(o, &r, columns, COLUMNS);
}

/* What its attempts died of, the latest last. */
static const struct column log_columns[] = {
    {"NAME", "code", COLUMN_TEXT, 0},       {"CLASS", "class", COLUMN_TEXT, 0},
    {"ATTEMPT", "attempt", COLUMN_TEXT, 0}, {"DETAIL", "detail", COLUMN_TEXT, COLUMN_CUT},
    {"AGE", "at", COLUMN_AGE, 0},
};

int cli_job_logs(const struct options *o) {
    const struct client_request r = {.method = "GET", .path = {"/v1/jobs/", o->args[0], "/detail"}, .timeout_ms = o->timeout_ms};
    struct client_answer a;
    int code = client_call(o, &r, &a);
    if (code == EXIT_SUCCESS) {
        code = show_member(o, &a, "errors", log_columns, sizeof log_columns / sizeof log_columns[0]);
    }
    client_answer_free(&a);
    return code;
}

int cli_job_get(const struct options *o) {
    const struct client_request r = {.method = "GET", .path = {"/v1/jobs/", o->args[0]}, .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, columns, COLUMNS);
}

int cli_job_cancel(const struct options *o) {
    const struct client_request r = {.method = "DELETE", .path = {"/v1/jobs/", o->args[0]}, .timeout_ms = o->timeout_ms};
    return o->dry_run ? show_dry(o, &r, "job", o->args[0], "cancelled", "delayed waiting running parked")
                      : show_changed(o, &r, "job", o->args[0], NULL);
}

int cli_job_retry(const struct options *o) {
    const struct client_request r = {.method = "POST", .path = {"/v1/jobs/", o->args[0], "/retry"}, .timeout_ms = o->timeout_ms};
    return o->dry_run ? show_dry(o, &r, "job", o->args[0], "retried", "dead") : show_changed(o, &r, "job", o->args[0], "retried");
}
