/* penstock schedule list|get|create|delete|pause|resume|run */
#include "cli.h"
#include "payload.h"
#include "show.h"
#include "text.h"

#include <base/ids.h>
#include <stdlib.h>

static const struct column columns[] = {
    {"NAME", "name", COLUMN_TEXT, COLUMN_CUT}, {"TYPE", "type", COLUMN_TEXT, COLUMN_CUT},
    {"CRON", "cron", COLUMN_TEXT, COLUMN_CUT}, {"TIMEZONE", "timezone", COLUMN_TEXT, COLUMN_CUT},
    {"PAUSED", "paused", COLUMN_TEXT, 0},      {"NEXT", "next_at", COLUMN_TEXT, 0},
    {"AGE", "last_at", COLUMN_AGE, 0}, /* of the latest tick */
};
enum { COLUMNS = sizeof columns / sizeof columns[0] };

int cli_schedule_list(const struct options *o) {
    const struct client_request r = {
        .method = "GET",
        .path = {"/v1/schedules"},
        .query = {{"limit", o->value[OPTION_LIMIT]}, {"cursor", o->value[OPTION_CURSOR]}},
        .timeout_ms = o->timeout_ms,
    };
    return show_asked(o, &r, columns, COLUMNS);
}

int cli_schedule_get(const struct options *o) {
    const struct client_request r = {.method = "GET", .path = {"/v1/schedules/", o->args[0]}, .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, columns, COLUMNS);
}

int cli_schedule_delete(const struct options *o) {
    const struct client_request r = {.method = "DELETE", .path = {"/v1/schedules/", o->args[0]}, .timeout_ms = o->timeout_ms};
    return show_changed(o, &r, "schedule", o->args[0], "deleted");
}

static void add_member(struct buf *b, const char *name, const char *value) {
    if (value != NULL) {
        buf_addf(b, ",\"%s\":", name);
        json_add_string(b, str_c(value));
    }
}

/* ---- create ---- */

static int make_body(const struct options *o, struct buf *out) {
    struct buf data;
    buf_init(&data, PAYLOAD_TEXT_BYTES_MAX);
    int code = payload_read(o, OPTION_DATA, &data);
    if (code == EXIT_SUCCESS) {
        buf_add_c(out, "{\"payload\":");
        buf_add(out, buf_str(&data));
        add_member(out, "name", o->args[0]);
        add_member(out, "type", o->args[1]);
        add_member(out, "cron", o->value[OPTION_CRON]);
        add_member(out, "timezone", o->value[OPTION_TIMEZONE]);
        add_member(out, "missed", o->value[OPTION_MISSED]);
        add_member(out, "queue", o->value[OPTION_QUEUE]);
        buf_add_char(out, '}');
        code = err_is_set(buf_status(out)) ? cli_fail(o, EXIT_INTERNAL, "out of memory") : code;
    }
    buf_free(&data);
    return code;
}

int cli_schedule_create(const struct options *o) {
    struct buf body;
    if (o->value[OPTION_CRON] == NULL) {
        return cli_fail(o, EXIT_USAGE, "wants --cron, like \"30 2 * * *\" or @daily");
    }
    buf_init(&body, 2 * PAYLOAD_TEXT_BYTES_MAX);
    int code = make_body(o, &body);
    if (code == EXIT_SUCCESS) {
        const struct client_request r = {
            .method = "POST", .path = {"/v1/schedules"}, .body = buf_str(&body), .timeout_ms = o->timeout_ms};
        code = show_changed(o, &r, "schedule", o->args[0], "created");
    }
    buf_free(&body);
    return code;
}

/* ---- pause, resume, run ---- */

int cli_schedule_pause(const struct options *o) { return show_told(o, "/v1/schedules/", "/pause", "schedule", "paused"); }
int cli_schedule_resume(const struct options *o) { return show_told(o, "/v1/schedules/", "/resume", "schedule", "resumed"); }

int cli_schedule_run(const struct options *o) {
    char fresh[UUID_TEXT_BYTES];
    struct id_maker ids = {.clock = &clock_system};
    const char *key = o->value[OPTION_KEY];
    struct client_answer a;
    if (key != NULL && !text_is_plain(key, LIMIT_KEY_BYTES)) {
        return cli_fail(o, EXIT_BAD_INPUT, "--key must be 1 to %d printable ASCII characters without spaces", LIMIT_KEY_BYTES);
    }
    uuid_text(id_new(&ids), fresh);
    const struct client_request r = {.method = "POST",
                                     .path = {"/v1/schedules/", o->args[0], "/run"},
                                     .key = key != NULL ? key : fresh,
                                     .timeout_ms = o->timeout_ms};
    if (o->dry_run) {
        return show_dry(o, &r, "schedule", o->args[0], "run", NULL);
    }
    int code = client_call(o, &r, &a);
    if (code == EXIT_SUCCESS) {
        code = show_change(o, &a, "job", json_opt_str(a.json, "id", STR("?")).p, "enqueued");
    }
    client_answer_free(&a);
    return code;
}
