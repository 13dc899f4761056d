/* penstock bulk retry|edit|discard|cancel|pause|resume */
#include "cli.h"
#include "payload.h"
#include "show.h"

#include <base/ids.h>
#include <stdlib.h>

static const struct column counted[] = {{"MATCHED", "matched", COLUMN_TEXT, false},
                                        {"SAMPLE", "sample", COLUMN_TEXT, COLUMN_CUT}};
static const struct column tried[] = {{"MATCHED", "matched", COLUMN_TEXT, 0},
                                      {"SAMPLE", "sample", COLUMN_TEXT, COLUMN_CUT},
                                      {"REFUSED", "refused.0.detail", COLUMN_TEXT, COLUMN_CUT}};
static const struct column made[] = {{"NAME", "id", COLUMN_TEXT, false}, {"STATE", "state", COLUMN_TEXT, false}};
enum { BODY_MAX_BYTES = 8192 };

static void add_text(struct buf *b, const char *name, const char *value) {
    if (value != NULL) {
        buf_addf(b, "%s\"%s\":", b->p[b->n - 1] == '{' ? "" : ",", name);
        json_add_string(b, str_c(value));
    }
}

static bool add_number(struct buf *b, const char *name, const char *value) {
    int64_t n;
    if (value != NULL && str_to_i64(str_c(value), &n)) {
        buf_addf(b, ",\"%s\":%lld", name, (long long)n);
        return true;
    }
    return value == NULL;
}

/* The request's body without its end; fine: --expect and --rate are numbers. */
static bool begin_body(const struct options *o, const char *op, struct buf *body) {
    buf_addf(body, "{\"op\":\"%s\",\"filter\":{", op);
    add_text(body, "queue", o->value[OPTION_QUEUE]);
    add_text(body, "type", o->value[OPTION_TYPE]);
    add_text(body, "fingerprint", o->value[OPTION_FINGERPRINT]);
    buf_add_char(body, '}');
    bool fine = add_number(body, "expect", o->value[OPTION_EXPECT]) && add_number(body, "rate_per_second", o->value[OPTION_RATE]);
    add_text(body, "reason", o->value[OPTION_REASON]);
    return fine;
}

static int send_body(const struct options *o, struct str body, const struct column *dry, size_t dry_n) {
    const char *expect = o->value[OPTION_EXPECT], *key = o->value[OPTION_KEY];
    char own_key[UUID_TEXT_BYTES];
    struct id_maker ids = {.clock = &clock_system};
    uuid_text(id_new(&ids), own_key);
    const struct client_request r = {.method = "POST",
                                     .path = {"/v1/bulk"},
                                     .body = body,
                                     .timeout_ms = o->timeout_ms,
                                     .key = expect == NULL ? NULL
                                            : key != NULL  ? key
                                                           : own_key};
    return expect == NULL ? show_asked(o, &r, dry, dry_n) : show_asked(o, &r, made, sizeof made / sizeof made[0]);
}

static int act(const struct options *o, const char *op, const char *patch) {
    struct buf body;
    buf_init(&body, BODY_MAX_BYTES + PAYLOAD_TEXT_BYTES_MAX);
    bool fine = begin_body(o, op, &body);
    buf_add_c(&body, patch != NULL ? ",\"patch\":" : "");
    buf_add_c(&body, patch != NULL ? patch : "");
    buf_add_char(&body, '}');
    int code = !fine                           ? cli_fail(o, EXIT_USAGE, "--expect and --rate are whole numbers")
               : err_is_set(buf_status(&body)) ? cli_fail(o, EXIT_BAD_INPUT, "--reason is too long")
               : patch != NULL                 ? send_body(o, buf_str(&body), tried, sizeof tried / sizeof tried[0])
                                               : send_body(o, buf_str(&body), counted, sizeof counted / sizeof counted[0]);
    buf_free(&body);
    return code;
}

int cli_bulk_edit(const struct options *o) {
    struct buf patch;
    if (o->value[OPTION_PATCH] == NULL) {
        return cli_fail(o, EXIT_USAGE, "--patch says what to change");
    }
    buf_init(&patch, PAYLOAD_TEXT_BYTES_MAX);
    int code = payload_read(o, OPTION_PATCH, &patch);
    buf_add_char(&patch, '\0');
    if (code == EXIT_SUCCESS) {
        code = err_is_set(buf_status(&patch)) ? cli_fail(o, EXIT_INTERNAL, "out of memory") : act(o, "edit", patch.p);
    }
    buf_free(&patch);
    return code;
}

int cli_bulk_retry(const struct options *o) { return act(o, "retry", NULL); }
int cli_bulk_discard(const struct options *o) { return act(o, "discard", NULL); }
int cli_bulk_cancel(const struct options *o) { return act(o, "cancel", NULL); }

static int set_paused(const struct options *o, const char *verb, const char *done) {
    struct buf body;
    buf_init(&body, BODY_MAX_BYTES);
    buf_add_char(&body, '{');
    add_text(&body, "reason", o->value[OPTION_REASON]);
    buf_add_char(&body, '}');
    const struct client_request r = {
        .method = "POST", .path = {"/v1/bulk/", o->args[0], verb}, .body = buf_str(&body), .timeout_ms = o->timeout_ms};
    int code = err_is_set(buf_status(&body)) ? cli_fail(o, EXIT_BAD_INPUT, "--reason is too long")
                                             : show_changed(o, &r, "bulk", o->args[0], done);
    buf_free(&body);
    return code;
}

int cli_bulk_pause(const struct options *o) { return set_paused(o, "/pause", "paused"); }
int cli_bulk_resume(const struct options *o) { return set_paused(o, "/resume", "resumed"); }
