/* penstock health */
#include "cli.h"
#include "show.h"

#include <stdlib.h>

static const struct column columns[] = {
    {"NAME", "process", COLUMN_TEXT, COLUMN_CUT},      {"STATUS", "status", COLUMN_TEXT, 0},
    {"JOURNAL", "accepts.journal", COLUMN_TEXT, 0},    {"STREAM", "accepts.stream", COLUMN_TEXT, 0},
    {"DEGRADED", "degraded", COLUMN_TEXT, COLUMN_CUT}, {"VERSION", "version", COLUMN_TEXT, 0},
    {"AGE", "uptime_seconds", COLUMN_SECONDS, 0},
};

/* An answer of "not_ready" is a 503 to probes, and the same here. */
int cli_health(const struct options *o) {
    const struct client_request r = {.method = "GET", .path = {"/v1/health"}, .timeout_ms = o->timeout_ms};
    struct client_answer a;
    int code = client_call(o, &r, &a);
    if (code == EXIT_SUCCESS) {
        code = show_rows(o, &a, columns, sizeof columns / sizeof columns[0]);
    }
    if (code == EXIT_SUCCESS && str_is(json_opt_str(a.json, "status", STR("")), "not_ready")) {
        code = cli_fail(o, EXIT_AGAIN, "the API is up but takes no work; penstock doctor says why");
    }
    client_answer_free(&a);
    return code;
}
