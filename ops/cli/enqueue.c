/* penstock enqueue TYPE: one job, with an idempotency key in any case, so that the same command may be given again when it is not
 * known whether the first one was taken. */
#include "enqueue.h"
#include "answer.h"
#include "cli.h"
#include "payload.h"
#include "show.h"
#include "text.h"

#include <base/limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_MS = 5000, AGAIN_MS = 250 };

/* ---- the request ---- */

static void add_member(struct buf *b, const char *name, const char *value) {
    if (value != NULL) {
        buf_addf(b, ",\"%s\":", name);
        json_add_string(b, str_c(value));
    }
}

static int make_body(const struct options *o, int64_t delay_ms, struct buf *out) {
    struct buf data;
    buf_init(&data, PAYLOAD_TEXT_BYTES_MAX);
    int code = payload_read(o, OPTION_DATA, &data);
    if (code == EXIT_SUCCESS) {
        buf_add_c(out, "{\"type\":");
        json_add_string(out, str_c(o->args[0]));
        buf_add_c(out, ",\"payload\":");
        buf_add(out, buf_str(&data));
        add_member(out, "queue", o->value[OPTION_QUEUE]);
        add_member(out, "due_at", o->value[OPTION_AT]);
        add_member(out, "callback_url", o->value[OPTION_CALLBACK]);
        if (delay_ms > 0) {
            buf_addf(out, ",\"delay_ms\":%lld", (long long)delay_ms);
        }
        buf_add_char(out, '}');
        code = err_is_set(buf_status(out)) ? cli_fail(o, EXIT_INTERNAL, "out of memory") : code;
    }
    buf_free(&data);
    return code;
}

/* ---- the wait ---- */

static bool may_mend(int code) { return code == EXIT_AGAIN || code == EXIT_UNAVAILABLE; }

/* One look, that lasts at most LOOK_MS while the job goes on. code: what it came to. True: there is no need for another. */
static bool look(const struct options *o, const char *id, int64_t left_ms, int *code, struct buf *why) {
    char wait[32];
    struct client_answer a;
    struct job_end end;
    int64_t look_ms = left_ms < LOOK_MS ? left_ms : LOOK_MS;
    (void)snprintf(wait, sizeof wait, "%lldms", (long long)look_ms);
    const struct client_request r = {
        .method = "GET", .path = {"/v1/jobs/", id}, .query = {{"wait", wait}}, .timeout_ms = o->timeout_ms + look_ms};
    buf_clear(why);
    *code = client_ask(o, &r, &a, why);
    bool over = *code != EXIT_SUCCESS ? !may_mend(*code) : answer_job_end(a.json, &end, why);
    if (*code == EXIT_SUCCESS && over) {
        struct str state = json_opt_str(a.json, "state", STR("ended"));
        (void)show_change(o, &a, "job", id, state.p);
        *code = end.code;
        if (!end.kept) {
            (void)fprintf(stderr, "penstock enqueue: how job %s ended is not known: jobs of its type keep no outcome\n", id);
        }
    }
    client_answer_free(&a);
    return over;
}

/* accepted: the answer of the POST, shown where no end can be. */
static int wait_for_end(const struct options *o, const struct client_answer *accepted, const char *id, int64_t wait_ms) {
    struct mono began = clock_mono(&clock_system);
    struct buf why;
    int code = EXIT_SUCCESS;
    bool over = false;
    buf_init(&why, CLI_LINE_BYTES);
    for (int64_t left_ms = wait_ms; !over && left_ms > 0; left_ms = wait_ms - mono_ms_since(clock_mono(&clock_system), began)) {
        over = look(o, id, left_ms, &code, &why);
        if (!over && code != EXIT_SUCCESS) {
            (void)poll(NULL, 0, AGAIN_MS); /* the API may be on its way back */
        }
    }
    if (!over || (code != EXIT_SUCCESS && code != EXIT_FAILED)) {
        (void)show_change(o, accepted, "job", id, "enqueued");
    }
    if (!over && code == EXIT_SUCCESS) {
        code = EXIT_WAIT;
        buf_addf(&why, "the job has not ended within %s", o->value[OPTION_WAIT]);
    }
    if (code != EXIT_SUCCESS) {
        buf_addf(&why, "; penstock job get %s", id);
        cli_complain(o, &why);
    }
    buf_free(&why);
    return code;
}

/* ---- the command ---- */

static void make_key(char out[UUID_TEXT_BYTES]) {
    struct id_maker ids = {.clock = &clock_system};
    uuid_text(id_new(&ids), out);
}

static int send_job(const struct options *o, struct str body, const char *key, struct client_answer *a) {
    struct buf why;
    const struct client_request r = {
        .method = "POST", .path = {"/v1/jobs"}, .body = body, .key = key, .timeout_ms = o->timeout_ms};
    buf_init(&why, CLI_LINE_BYTES);
    int code = client_ask(o, &r, a, &why);
    if (code == EXIT_SUCCESS && json_string_value(json_object_get(a->json, "id")) == NULL) {
        buf_add_c(&why, "the answer has no id; is PENSTOCK_URL right?");
        code = EXIT_PROTOCOL;
    }
    if (code != EXIT_SUCCESS) {
        /* Not where repeating cannot help. */
        buf_addf(&why, may_mend(code) || code == EXIT_PROTOCOL || code == EXIT_INTERNAL ? "; repeat it with --key %s" : "%.0s",
                 key);
        cli_complain(o, &why);
    }
    buf_free(&why);
    return code;
}

static int enqueue(const struct options *o, struct str body, int64_t wait_ms) {
    char fresh[UUID_TEXT_BYTES];
    struct client_answer a;
    if (o->dry_run) {
        const struct client_request r = {.method = "POST", .path = {"/v1/jobs"}, .body = body};
        return show_dry(o, &r, "type", o->args[0], "enqueued", NULL);
    }
    make_key(fresh);
    int code = send_job(o, body, o->value[OPTION_KEY] != NULL ? o->value[OPTION_KEY] : fresh, &a);
    if (code == EXIT_SUCCESS) {
        const char *id = json_string_value(json_object_get(a.json, "id"));
        code = wait_ms > 0 ? wait_for_end(o, &a, id, wait_ms) : show_change(o, &a, "job", id, "enqueued");
    }
    client_answer_free(&a);
    return code;
}

static bool read_time(const char *text, int64_t *out_ms) { return text == NULL || text_duration(str_c(text), out_ms); }

/* What --bulk does not go with: its lines say it. */
static bool is_plain_bulk(const struct options *o) {
    return o->args_n == 0 && o->value[OPTION_DATA] == NULL && o->value[OPTION_QUEUE] == NULL && o->value[OPTION_AT] == NULL &&
           o->value[OPTION_DELAY] == NULL && o->value[OPTION_KEY] == NULL && o->value[OPTION_CALLBACK] == NULL;
}

int cli_enqueue(const struct options *o) {
    int64_t delay_ms = 0, wait_ms = o->value[OPTION_BULK] != NULL ? ENQUEUE_PATIENCE_MS : 0;
    const char *key = o->value[OPTION_KEY];
    struct buf body;
    if (!read_time(o->value[OPTION_DELAY], &delay_ms) || !read_time(o->value[OPTION_WAIT], &wait_ms)) {
        return cli_fail(o, EXIT_USAGE, "--delay and --wait must be times like 500ms, 90s, 2h");
    }
    if (o->value[OPTION_BULK] != NULL) {
        return is_plain_bulk(o)
                   ? enqueue_bulk(o, wait_ms)
                   : cli_fail(o, EXIT_USAGE, "with --bulk the lines say type, payload, queue, due_at, delay_ms and key");
    }
    if (o->args_n == 0) {
        return cli_fail(o, EXIT_USAGE, "TYPE is missing; or --bulk FILE for many");
    }
    if (o->value[OPTION_AT] != NULL && o->value[OPTION_DELAY] != NULL) {
        return cli_fail(o, EXIT_USAGE, "--at and --delay exclude each other");
    }
    if (key != NULL && !text_is_plain(key, LIMIT_KEY_BYTES)) {
        return cli_fail(o, EXIT_BAD_INPUT, "--key must be 1 to %d printable ASCII characters without spaces", LIMIT_KEY_BYTES);
    }
    buf_init(&body, 2 * LIMIT_HTTP_BODY_BYTES);
    int code = make_body(o, delay_ms, &body);
    if (code == EXIT_SUCCESS) {
        code = enqueue(o, buf_str(&body), wait_ms);
    }
    buf_free(&body);
    return code;
}
