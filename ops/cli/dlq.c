/* penstock dlq list|groups|show|get */
#include "cli.h"
#include "show.h"

#include <base/limits.h>
#include <stdio.h>
#include <stdlib.h>

#define COLUMN_NAME \
    { "NAME", "id", COLUMN_TEXT, 0 }
#define COLUMN_QUEUE \
    { "QUEUE", "queue", COLUMN_TEXT, COLUMN_CUT }
#define COLUMN_TYPE \
    { "TYPE", "type", COLUMN_TEXT, COLUMN_CUT }
#define COLUMN_TRIES \
    { "TRIES", "attempts", COLUMN_TEXT, 0 }
#define COLUMN_WIDER                                                                                  \
    {"RELEASE", "release", COLUMN_TEXT, COLUMN_WIDE}, {"TENANT", "tenant", COLUMN_TEXT, COLUMN_WIDE}, \
        {"FINGERPRINT", "fingerprint", COLUMN_TEXT, COLUMN_WIDE}, {                                   \
        "TRACE", "trace_id", COLUMN_TEXT, COLUMN_WIDE                                                 \
    }
#define COLUMN_DIED \
    { "AGE", "died_at", COLUMN_AGE, 0 }

static const struct column list_columns[] = {COLUMN_NAME, COLUMN_QUEUE, COLUMN_TYPE, COLUMN_TRIES, COLUMN_WIDER, COLUMN_DIED};
static const struct column get_columns[] = {
    COLUMN_NAME, COLUMN_TYPE, COLUMN_TRIES, {"ERROR", "errors.last.code", COLUMN_TEXT, COLUMN_CUT}, COLUMN_WIDER, COLUMN_DIED};

enum { JOB_MAX_BYTES = 1 << 20 };
#define PAGE "500"

int cli_dlq_list(const struct options *o) {
    const struct client_request r = {
        .method = "GET",
        .path = {"/v1/dlq"},
        .query = {{"queue", o->value[OPTION_QUEUE]},
                  {"fingerprint", o->value[OPTION_FINGERPRINT]},
                  {"limit", o->value[OPTION_LIMIT]},
                  {"cursor", o->value[OPTION_CURSOR]}},
        .timeout_ms = o->timeout_ms,
    };
    return show_asked(o, &r, list_columns, sizeof list_columns / sizeof list_columns[0]);
}

/* ---- groups ---- */

/* Named by what they died of. TREND: how many of them in the last five minutes. */
static const struct column group_columns[] = {
    {"NAME", "fingerprint", COLUMN_TEXT, COLUMN_CUT},
    {"QUEUE", "queue", COLUMN_TEXT, COLUMN_CUT},
    {"TYPE", "type", COLUMN_TEXT, COLUMN_CUT},
    {"COUNT", "count", COLUMN_TEXT, 0},
    {"TREND", "trend.last", COLUMN_TEXT, 0},
    {"SINCE", "first_release", COLUMN_TEXT, COLUMN_CUT}, /* a release */
    {"RELEASE", "last_release", COLUMN_TEXT, COLUMN_WIDE},
    {"ERROR", "message", COLUMN_TEXT, COLUMN_WIDE},
    {"FIRST", "first_at", COLUMN_AGE, COLUMN_WIDE},
    {"SAMPLE", "sample_ids.0", COLUMN_TEXT, COLUMN_WIDE},
    {"AGE", "last_at", COLUMN_AGE, 0}, /* of the latest */
};

int cli_dlq_groups(const struct options *o) {
    const struct client_request r = {.method = "GET",
                                     .path = {"/v1/dlq/groups"},
                                     .query = {{"queue", o->value[OPTION_QUEUE]}, {"limit", o->value[OPTION_LIMIT]}},
                                     .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, group_columns, sizeof group_columns / sizeof group_columns[0]);
}

int cli_dlq_show(const struct options *o) {
    const struct client_request r = {.method = "GET",
                                     .path = {"/v1/dlq"},
                                     .query = {{"fingerprint", o->args[0]},
                                               {"queue", o->value[OPTION_QUEUE]},
                                               {"limit", o->value[OPTION_LIMIT]},
                                               {"cursor", o->value[OPTION_CURSOR]}},
                                     .timeout_ms = o->timeout_ms};
    return show_asked(o, &r, get_columns, sizeof get_columns / sizeof get_columns[0]);
}

/* ---- get ---- */

/* The same id, in whichever case it was given. */
static json_t *find(const json_t *items, struct uuid id) {
    json_t *item;
    size_t i;
    json_array_foreach(items, i, item) {
        struct uuid found;
        if (uuid_parse(json_opt_str(item, "id", STR("")), &found) && uuid_eq(found, id)) {
            return item;
        }
    }
    return NULL;
}

static int show_one(const struct options *o, json_t *item) {
    struct client_answer a = {.json = item};
    buf_init(&a.body, JOB_MAX_BYTES);
    struct err e = json_write(item, &a.body);
    int code = err_is_set(e) ? cli_fail(o, EXIT_INTERNAL, "%s", e.detail)
                             : show_rows(o, &a, get_columns, sizeof get_columns / sizeof get_columns[0]);
    buf_free(&a.body);
    return code;
}

/* The API shows dead jobs in pages. True: goes on behind cursor. */
static bool look(const struct options *o, struct uuid id, char cursor[UUID_TEXT_BYTES], int *code) {
    struct client_answer a;
    const struct client_request r = {.method = "GET",
                                     .path = {"/v1/dlq"},
                                     .query = {{"limit", PAGE}, {"cursor", cursor[0] != '\0' ? cursor : NULL}},
                                     .timeout_ms = o->timeout_ms};
    bool more = false;
    *code = client_call(o, &r, &a);
    if (*code == EXIT_SUCCESS) {
        json_t *item = find(json_object_get(a.json, "items"), id);
        more = item == NULL && str_copy_c(json_opt_str(a.json, "next", STR("")), cursor, UUID_TEXT_BYTES) && cursor[0] != '\0';
        if (item != NULL) {
            *code = show_one(o, item);
        } else if (!more) {
            *code = cli_fail(o, EXIT_NO_INPUT, "there is no dead job %s; penstock job get %s", o->args[0], o->args[0]);
        }
    }
    client_answer_free(&a);
    return more;
}

int cli_dlq_get(const struct options *o) {
    struct uuid id;
    char cursor[UUID_TEXT_BYTES] = "";
    int code = EXIT_SUCCESS;
    if (!uuid_parse(str_c(o->args[0]), &id)) {
        return cli_fail(o, EXIT_NO_INPUT, "there is no dead job %.80s: that is no id", o->args[0]);
    }
    while (look(o, id, cursor, &code)) {
    }
    return code;
}
