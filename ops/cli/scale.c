/* penstock scale QUEUE, QUEUE=N, QUEUE=auto */
#include "cli.h"
#include "show.h"
#include "text.h"

#include <base/limits.h>
#include <stdio.h>
#include <stdlib.h>

static const struct column columns[] = {
    {"NAME", "queue", COLUMN_TEXT, true},       {"WORKERS", "workers", COLUMN_TEXT, false},
    {"PINNED", "pinned", COLUMN_TEXT, false},   {"AUTHOR", "author", COLUMN_TEXT, true},
    {"REASON", "reason", COLUMN_TEXT, true},    {"MIN", "min_workers", COLUMN_TEXT, false},
    {"MAX", "max_workers", COLUMN_TEXT, false}, {"AGE", "at", COLUMN_AGE, false},
};
enum { WORKERS_MAX = 1024, BODY_MAX_BYTES = 4096 };

/* ,"name":N for an option that is given, if it is a number of workers. */
static bool add_bound(struct buf *b, const struct options *o, enum option_id id, const char *name) {
    const char *text = o->value[id];
    int64_t n;
    if (text == NULL) {
        return true;
    }
    if (id == OPTION_MAX_WORKERS && str_is(str_c(text), "cores")) {
        buf_addf(b, ",\"%s\":null", name);
        return true;
    }
    if (!str_to_i64(str_c(text), &n) || n < 0 || n > WORKERS_MAX) {
        return false;
    }
    buf_addf(b, ",\"%s\":%lld", name, (long long)n);
    return true;
}

static bool add_target(struct buf *b, const struct options *o) {
    const char *text = o->value[OPTION_TARGET_AGE];
    int64_t ms;
    if (text == NULL) {
        return true;
    }
    if (!text_duration(str_c(text), &ms) || ms < 1000 || ms % 1000 != 0) {
        return false;
    }
    buf_addf(b, ",\"target_age_seconds\":%lld", (long long)(ms / 1000));
    return true;
}

/* workers negative: auto. */
static int add_body(const struct options *o, struct buf *b, int64_t workers) {
    const char *reason = o->value[OPTION_REASON];
    if (workers < 0) {
        buf_add_c(b, "{\"workers\":\"auto\"");
    } else {
        buf_addf(b, "{\"workers\":%lld", (long long)workers);
    }
    if (!add_bound(b, o, OPTION_MIN_WORKERS, "min_workers") || !add_bound(b, o, OPTION_MAX_WORKERS, "max_workers")) {
        return cli_fail(o, EXIT_USAGE, "--min and --max must be 0 to %d; --max may be cores", WORKERS_MAX);
    }
    if (!add_target(b, o)) {
        return cli_fail(o, EXIT_USAGE, "--target-age must be whole seconds like 5s, at least one, not \"%.60s\"",
                        o->value[OPTION_TARGET_AGE]);
    }
    if (reason != NULL) {
        buf_add_c(b, ",\"reason\":");
        json_add_string(b, str_c(reason));
    }
    buf_add_char(b, '}');
    return err_is_set(buf_status(b)) ? cli_fail(o, EXIT_BAD_INPUT, "--reason is too long") : EXIT_SUCCESS;
}

static int set(const struct options *o, const char *queue, int64_t workers) {
    struct buf body;
    char done[48] = "scaled to auto";
    buf_init(&body, BODY_MAX_BYTES);
    int code = add_body(o, &body, workers);
    if (workers >= 0) {
        (void)snprintf(done, sizeof done, "scaled to %lld", (long long)workers);
    }
    if (code == EXIT_SUCCESS) {
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
    if (workers >= 0 &&
        (o->value[OPTION_MIN_WORKERS] != NULL || o->value[OPTION_MAX_WORKERS] != NULL || o->value[OPTION_TARGET_AGE] != NULL)) {
        return cli_fail(o, EXIT_USAGE, "--min, --max and --target-age go with %s=auto", queue);
    }
    return set(o, queue, workers);
}
