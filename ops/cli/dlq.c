/* penstock dlq list|get|retry */
#include "cli.h"
#include "show.h"

#include <base/limits.h>
#include <stdio.h>
#include <stdlib.h>

#define COLUMN_NAME \
    { "NAME", "id", COLUMN_TEXT, false }
#define COLUMN_QUEUE \
    { "QUEUE", "queue", COLUMN_TEXT, true }
#define COLUMN_TYPE \
    { "TYPE", "type", COLUMN_TEXT, true }
#define COLUMN_TRIES \
    { "TRIES", "attempts", COLUMN_TEXT, false }
#define COLUMN_DIED \
    { "AGE", "died_at", COLUMN_AGE, false }

static const struct column list_columns[] = {COLUMN_NAME, COLUMN_QUEUE, COLUMN_TYPE, COLUMN_TRIES, COLUMN_DIED};
static const struct column get_columns[] = {
    COLUMN_NAME, COLUMN_TYPE, COLUMN_TRIES, {"ERROR", "errors.last.code", COLUMN_TEXT, true}, COLUMN_DIED};

enum { BODY_MAX_BYTES = 4096, JOB_MAX_BYTES = 1 << 20 };
#define PAGE "500"

int cli_dlq_list(const struct options *o) {
    const struct client_request r = {
        .method = "GET",
        .path = {"/v1/dlq"},
        .query = {{"queue", o->value[OPTION_QUEUE]}, {"limit", o->value[OPTION_LIMIT]}, {"cursor", o->value[OPTION_CURSOR]}},
        .timeout_ms = o->timeout_ms,
    };
    return show_asked(o, &r, list_columns, sizeof list_columns / sizeof list_columns[0]);
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

/* ---- retry ---- */

static int retry_ids(const struct options *o) {
    int code = EXIT_SUCCESS;
    for (int i = 0; i < o->args_n; i++) {
        const struct client_request r = {
            .method = "POST", .path = {"/v1/jobs/", o->args[i], "/retry"}, .timeout_ms = o->timeout_ms};
        int one = show_changed(o, &r, "job", o->args[i], "retried");
        code = one != EXIT_SUCCESS ? one : code;
        if (one == EXIT_UNAVAILABLE || one == EXIT_DENIED || one == EXIT_CONFIG) {
            break; /* the others would fare no better */
        }
    }
    return code;
}

static void show_retried(const struct options *o, const struct client_answer *a) {
    const json_t *id;
    size_t i;
    if (o->json) {
        (void)printf("%.*s\n", (int)a->body.n, a->body.p);
        return;
    }
    json_array_foreach(json_object_get(a->json, "retried"), i, id) {
        (void)printf(o->quiet ? "%s\n" : "job/%s retried\n", json_is_string(id) ? json_string_value(id) : "?");
    }
}

/* One call of the API. wanted: at most so many; becomes what is still wanted, 0 at the end. first: the first call says how many
 * there are: what dies again meanwhile is not run a second time. */
static int retry_some(const struct options *o, int64_t *wanted, bool first) {
    const char *reason = o->value[OPTION_REASON];
    struct client_answer a = {0};
    struct buf body;
    int code;
    buf_init(&body, BODY_MAX_BYTES);
    buf_addf(&body, "{\"all\":true,\"limit\":%lld", (long long)(*wanted < LIMIT_BATCH ? *wanted : LIMIT_BATCH));
    if (reason != NULL) {
        buf_add_c(&body, ",\"reason\":");
        json_add_string(&body, str_c(reason));
    }
    buf_add_char(&body, '}');
    if (err_is_set(buf_status(&body))) {
        code = cli_fail(o, EXIT_BAD_INPUT, "--reason is too long");
    } else {
        const struct client_request r = {.method = "POST",
                                         .path = {"/v1/dlq/", o->value[OPTION_QUEUE], "/retry"},
                                         .body = buf_str(&body),
                                         .timeout_ms = o->timeout_ms};
        code = client_call(o, &r, &a);
    }
    if (code == EXIT_SUCCESS) {
        int64_t retried = (int64_t)json_array_size(json_object_get(a.json, "retried"));
        int64_t left = json_opt_i64(a.json, "left", 0);
        show_retried(o, &a);
        *wanted = first && *wanted - retried > left ? left : *wanted - retried;
        *wanted = retried > 0 && left > 0 ? *wanted : 0;
    }
    client_answer_free(&a);
    buf_free(&body);
    return code;
}

static int retry_queue(const struct options *o, int64_t wanted) {
    int code = EXIT_SUCCESS;
    for (bool first = true; wanted > 0 && code == EXIT_SUCCESS; first = false) {
        code = retry_some(o, &wanted, first);
    }
    return code;
}

int cli_dlq_retry(const struct options *o) {
    const char *limit = o->value[OPTION_LIMIT];
    bool all = o->value[OPTION_ALL] != NULL;
    int64_t wanted = INT64_MAX;
    if (o->value[OPTION_QUEUE] == NULL) {
        return o->args_n > 0 && !all && limit == NULL && o->value[OPTION_REASON] == NULL
                   ? retry_ids(o)
                   : cli_fail(o, EXIT_USAGE, "wants ids, or --queue with --all or --limit");
    }
    if (o->args_n > 0 || all == (limit != NULL)) {
        return cli_fail(o, EXIT_USAGE, "--queue wants --all or --limit, and no ids");
    }
    if (limit != NULL && (!str_to_i64(str_c(limit), &wanted) || wanted < 1)) {
        return cli_fail(o, EXIT_USAGE, "--limit must be a number, 1 or more");
    }
    return retry_queue(o, wanted);
}
