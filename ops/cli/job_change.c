/* penstock job edit: a dead job with another payload, the whole of it or what is to change. penstock job snooze: a delayed one at another time. */
#include "cli.h"
#include "payload.h"
#include "show.h"
#include "text.h"

enum { BODY_MAX_BYTES = 4096 };

static void add_reason(const struct options *o, struct buf *out) {
    if (o->value[OPTION_REASON] != NULL) {
        buf_add_c(out, ",\"reason\":");
        json_add_string(out, str_c(o->value[OPTION_REASON]));
    }
}

/* ---- edit ---- */

static int make_body(const struct options *o, enum option_id which, struct buf *out) {
    struct buf data;
    buf_init(&data, PAYLOAD_TEXT_BYTES_MAX);
    int code = payload_read(o, which, &data);
    buf_addf(out, "{\"%s\":", which == OPTION_PATCH ? "patch" : "payload");
    buf_add(out, buf_str(&data));
    add_reason(o, out);
    buf_add_char(out, '}');
    buf_free(&data);
    return code == EXIT_SUCCESS && err_is_set(buf_status(out)) ? cli_fail(o, EXIT_BAD_INPUT, "--reason is too long") : code;
}

/* The new job's name is what is shown. */
static int edit(const struct options *o, struct str body) {
    const struct client_request r = {
        .method = "POST", .path = {"/v1/jobs/", o->args[0], "/replay"}, .body = body, .timeout_ms = o->timeout_ms};
    struct client_answer a;
    if (o->dry_run) {
        return show_dry(o, &r, "job", o->args[0], "edited", "dead");
    }
    int code = client_call(o, &r, &a);
    const char *id = code == EXIT_SUCCESS ? json_string_value(json_object_get(a.json, "id")) : NULL;
    if (code == EXIT_SUCCESS) {
        code = id != NULL ? show_change(o, &a, "job", id, "enqueued")
                          : cli_fail(o, EXIT_PROTOCOL, "the answer has no id; is PENSTOCK_URL right?");
    }
    client_answer_free(&a);
    return code;
}

int cli_job_edit(const struct options *o) {
    struct buf body;
    if ((o->value[OPTION_DATA] == NULL) == (o->value[OPTION_PATCH] == NULL)) {
        return cli_fail(o, EXIT_USAGE, "give the new payload by --data, or what to change of it by --patch");
    }
    buf_init(&body, 2 * LIMIT_HTTP_BODY_BYTES);
    int code = make_body(o, o->value[OPTION_PATCH] != NULL ? OPTION_PATCH : OPTION_DATA, &body);
    if (code == EXIT_SUCCESS) {
        code = edit(o, buf_str(&body));
    }
    buf_free(&body);
    return code;
}

/* ---- snooze ---- */

int cli_job_snooze(const struct options *o) {
    const char *until = o->value[OPTION_UNTIL], *wait = o->value[OPTION_FOR];
    int64_t ms = 0;
    struct buf body;
    if ((until == NULL) == (wait == NULL) || (wait != NULL && !text_duration(str_c(wait), &ms))) {
        return cli_fail(o, EXIT_USAGE, "say until when: --until 2026-11-28T21:13:34Z, or --for 2h");
    }
    buf_init(&body, BODY_MAX_BYTES);
    if (until != NULL) {
        buf_add_c(&body, "{\"due_at\":");
        json_add_string(&body, str_c(until));
    } else {
        buf_addf(&body, "{\"delay_ms\":%lld", (long long)ms);
    }
    add_reason(o, &body);
    buf_add_char(&body, '}');
    const struct client_request r = {
        .method = "POST", .path = {"/v1/jobs/", o->args[0], "/snooze"}, .body = buf_str(&body), .timeout_ms = o->timeout_ms};
    int code = err_is_set(buf_status(&body)) ? cli_fail(o, EXIT_BAD_INPUT, "--reason is too long")
               : o->dry_run                  ? show_dry(o, &r, "job", o->args[0], "snoozed", "delayed")
                                             : show_changed(o, &r, "job", o->args[0], "snoozed");
    buf_free(&body);
    return code;
}
