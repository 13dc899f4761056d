/* penstock queue limit; penstock limit list|set|delete */
#include "cli.h"
#include "show.h"
#include "text.h"

#include <stdlib.h>

static const struct column columns[] = {
    {"NAME", "limit", COLUMN_TEXT, COLUMN_CUT},
    {"RATE", "rate_per_second", COLUMN_TEXT, 0},
    {"BURST", "burst", COLUMN_TEXT, 0},
    {"CONCURRENCY", "concurrency", COLUMN_TEXT, 0},
    {"AUTHOR", "author", COLUMN_TEXT, COLUMN_CUT},
    {"REASON", "reason", COLUMN_TEXT, COLUMN_CUT},
    {"AGE", "at", COLUMN_AGE, 0},
};
enum { COLUMNS = sizeof columns / sizeof columns[0], BODY_MAX_BYTES = 4096 };

/* ---- a body of options ---- */

static void add_name(struct buf *b, const char *name) { buf_addf(b, "%s\"%s\":", b->n > 1 ? "," : "", name); }

/* A number as it was written: the API says what it thinks of it. */
static bool add_number(struct buf *b, const struct options *o, enum option_id id, const char *name) {
    const char *text = o->value[id];
    if (text == NULL) {
        return true;
    }
    if (text[0] == '\0' || strspn(text, "0123456789.") != strlen(text)) {
        return false;
    }
    add_name(b, name);
    buf_add_c(b, text);
    return true;
}

static bool add_seconds(struct buf *b, const struct options *o, enum option_id id, const char *name) {
    int64_t ms;
    if (o->value[id] == NULL) {
        return true;
    }
    if (!text_duration(str_c(o->value[id]), &ms) || ms % 1000 != 0) {
        return false;
    }
    add_name(b, name);
    buf_addf(b, "%lld", (long long)(ms / 1000));
    return true;
}

static void end_body(struct buf *b, const struct options *o) {
    if (o->value[OPTION_REASON] != NULL) {
        add_name(b, "reason");
        json_add_string(b, str_c(o->value[OPTION_REASON]));
    }
    buf_add_char(b, '}');
}

static int send(const struct options *o, const char *method, const char *path, const struct buf *body, const char *kind,
                const char *done) {
    if (err_is_set(buf_status(body))) {
        return cli_fail(o, EXIT_BAD_INPUT, "--reason is too long");
    }
    const struct client_request r = {
        .method = method, .path = {path, o->args[0]}, .body = buf_str(body), .timeout_ms = o->timeout_ms};
    return show_changed(o, &r, kind, o->args[0], done);
}

/* ---- commands ---- */

int cli_queue_limit(const struct options *o) {
    struct buf body;
    buf_init(&body, BODY_MAX_BYTES);
    buf_add_char(&body, '{');
    bool fine = add_number(&body, o, OPTION_SLOTS, "slots") && add_number(&body, o, OPTION_MAX_DEPTH, "max_depth") &&
                add_number(&body, o, OPTION_MAX_OPEN, "max_open") &&
                add_seconds(&body, o, OPTION_MAX_DRAIN, "max_drain_seconds") &&
                add_number(&body, o, OPTION_MAX_FILL, "max_fill_percent");
    bool any = body.n > 1;
    end_body(&body, o);
    int code = !fine  ? cli_fail(o, EXIT_USAGE, "limits are numbers; --max-drain is whole seconds, like 300s")
               : !any ? cli_fail(o, EXIT_USAGE, "wants --slots, --max-depth, --max-open, --max-drain or --max-fill")
                      : send(o, "PATCH", "/v1/queues/", &body, "queue", "limited");
    buf_free(&body);
    return code;
}

int cli_limit_list(const struct options *o) {
    const struct client_request r = {.method = "GET", .path = {"/v1/limits"}, .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, columns, COLUMNS);
}

int cli_limit_set(const struct options *o) {
    struct buf body;
    buf_init(&body, BODY_MAX_BYTES);
    buf_add_char(&body, '{');
    bool fine = add_number(&body, o, OPTION_RATE, "rate_per_second") && add_number(&body, o, OPTION_BURST, "burst") &&
                add_number(&body, o, OPTION_CONCURRENCY, "concurrency");
    bool any = o->value[OPTION_RATE] != NULL || o->value[OPTION_CONCURRENCY] != NULL;
    end_body(&body, o);
    int code = !fine  ? cli_fail(o, EXIT_USAGE, "--rate, --burst and --concurrency are numbers")
               : !any ? cli_fail(o, EXIT_USAGE, "wants --rate or --concurrency")
                      : send(o, "PUT", "/v1/limits/", &body, "limit", "set");
    buf_free(&body);
    return code;
}

int cli_limit_delete(const struct options *o) {
    const struct client_request r = {.method = "DELETE", .path = {"/v1/limits/", o->args[0]}, .timeout_ms = o->timeout_ms};
    return show_changed(o, &r, "limit", o->args[0], "deleted");
}
