/* penstock scale QUEUE, QUEUE=N, QUEUE=auto */
#include "cli.h"
#include "show.h"

#include <base/limits.h>
#include <stdio.h>
#include <stdlib.h>

static const struct column columns[] = {
    {"NAME", "queue", COLUMN_TEXT, true},    {"WORKERS", "workers", COLUMN_TEXT, false}, {"PINNED", "pinned", COLUMN_TEXT, false},
    {"AUTHOR", "author", COLUMN_TEXT, true}, {"REASON", "reason", COLUMN_TEXT, true},    {"AGE", "at", COLUMN_AGE, false},
};
enum { WORKERS_MAX = 1024, BODY_MAX_BYTES = 4096 };

/* workers negative: auto. */
static void add_body(struct buf *b, int64_t workers, const char *reason) {
    if (workers < 0) {
        buf_add_c(b, "{\"workers\":\"auto\"");
    } else {
        buf_addf(b, "{\"workers\":%lld", (long long)workers);
    }
    if (reason != NULL) {
        buf_add_c(b, ",\"reason\":");
        json_add_string(b, str_c(reason));
    }
    buf_add_char(b, '}');
}

static int set(const struct options *o, const char *queue, int64_t workers) {
    struct buf body;
    char done[48] = "scaled to auto";
    int code;
    buf_init(&body, BODY_MAX_BYTES);
    add_body(&body, workers, o->value[OPTION_REASON]);
    if (workers >= 0) {
        (void)snprintf(done, sizeof done, "scaled to %lld", (long long)workers);
    }
    if (err_is_set(buf_status(&body))) {
        code = cli_fail(o, EXIT_BAD_INPUT, "--reason is too long");
    } else {
        const struct client_request r = {
            .method = "PUT", .path = {"/v1/scale/", queue}, .body = buf_str(&body), .timeout_ms = o->timeout_ms};
        code = show_changed(o, &r, "queue", queue, done);
    }
    buf_free(&body);
    return code;
}

int cli_scale(const struct options *o) {
    struct str wanted = str_c(o->args[0]);
    struct str name = STR("");
    char queue[LIMIT_NAME_BYTES + 1];
    int64_t workers = -1;
    bool sets = strchr(o->args[0], '=') != NULL;
    (void)str_cut(&wanted, '=', &name);
    if (!str_is_name(name, LIMIT_NAME_BYTES) || !str_copy_c(name, queue, sizeof queue)) {
        return cli_fail(o, EXIT_USAGE, "wants QUEUE=N, QUEUE=auto or QUEUE, not \"%.80s\"", o->args[0]);
    }
    if (!sets) {
        const struct client_request r = {.method = "GET", .path = {"/v1/scale/", queue}, .timeout_ms = o->timeout_ms};
        return show_asked(o, &r, columns, sizeof columns / sizeof columns[0]);
    }
    if (!str_is(wanted, "auto") && (!str_to_i64(wanted, &workers) || workers < 0 || workers > WORKERS_MAX)) {
        return cli_fail(o, EXIT_USAGE, "%s=%.*s: must be 0 to %d, or auto", queue, STR_ARG(wanted), WORKERS_MAX);
    }
    return set(o, queue, workers);
}
