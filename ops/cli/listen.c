/* penstock listen: what becomes of journal jobs, as it happens: on the terminal, and to an endpoint of one's own, signed as webhooks
 * are. The API has no stream of all jobs, so the page of the latest ones is read again and again and compared: of what changes faster
 * only the last state shows, and a job is lost sight of when a page of others has come behind it. */
#include "cli.h"
#include "client.h"
#include "show.h"

#include <base/crypto.h>
#include <fnmatch.h>
#include <jobs/signature.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#define PAGE "500"
enum { EVERY_MS = 1000, FORWARD_MS = 10000, SECRET_BYTES = 24, TEXT_BYTES = 128, BODY_MAX_BYTES = 1 << 20 };

static const struct column columns[] = {
    {"NAME", "id", COLUMN_TEXT, 0},
    {"EVENT", "event", COLUMN_TEXT, 0},
    {"TYPE", "type", COLUMN_TEXT, COLUMN_CUT},
    {"QUEUE", "queue", COLUMN_TEXT, COLUMN_CUT},
    {"AGE", "id", COLUMN_AGE, 0},
};

struct listen {
    const struct options *o;
    json_t *states;           /* id → event that was told; NULL: nothing was read yet */
    struct buf secret;        /* of what is forwarded */
    struct shown_rows header; /* only for the titles of the table */
};

/* ---- forwarding ---- */

/* Standard Webhooks: {"type":"job.done","timestamp":"…","data":{the job}}. */
static struct err make_body(const char *event, const json_t *job, struct wall now, struct buf *out) {
    char at[WALL_TEXT_BYTES];
    wall_text(now, at);
    buf_addf(out, "{\"type\":\"%s\",\"timestamp\":\"%s\",\"data\":", event, at);
    TRY(json_write(job, out));
    buf_add_char(out, '}');
    return buf_status(out);
}

static void send(const struct listen *l, const char *event, const char *id, struct str body, struct wall now) {
    char seconds[TEXT_BYTES];
    struct buf signature, why;
    struct client_answer a = {0};
    const struct options there = {.command = l->o->command, .url = l->o->value[OPTION_FORWARD_TO], .url_from = "--forward-to"};
    (void)snprintf(seconds, sizeof seconds, "%lld", (long long)(now.ms / 1000));
    buf_init(&signature, TEXT_BYTES);
    buf_init(&why, CLI_LINE_BYTES);
    struct err e = signature_add(&signature, buf_str(&l->secret), str_c(id), str_c(seconds), body);
    buf_add_char(&signature, '\0');
    if (err_is_set(e) || err_is_set(buf_status(&signature))) {
        (void)cli_fail(l->o, EXIT_INTERNAL, "%s could not be signed", event);
    } else {
        const struct client_request r = {
            .method = "POST",
            .path = {""},
            .body = body,
            .headers = {{"webhook-id", id}, {"webhook-timestamp", seconds}, {"webhook-signature", signature.p}},
            .timeout_ms = FORWARD_MS,
            .anonymous = true};
        (void)client_ask(&there, &r, &a, &why); /* an endpoint's answer need not be JSON: its status is all */
        if (a.status == 0) {
            cli_complain(l->o, &why);
        } else if (a.status >= 300) {
            (void)cli_fail(l->o, EXIT_FAILED, "%s answers %s with %d", there.url, event, a.status);
        }
    }
    client_answer_free(&a);
    buf_free(&signature);
    buf_free(&why);
}

static void forward(const struct listen *l, const char *event, const json_t *job) {
    char id[TEXT_BYTES];
    struct wall now = clock_wall(&clock_system);
    struct buf body;
    buf_init(&body, BODY_MAX_BYTES);
    /* The same event has the same id, whoever forwards it. */
    (void)snprintf(id, sizeof id, "%.60s.%.60s", json_opt_str(job, "id", STR("?")).p, event);
    if (err_is_set(make_body(event, job, now, &body))) {
        (void)cli_fail(l->o, EXIT_INTERNAL, "%s is too large to be forwarded", event);
    } else {
        send(l, event, id, buf_str(&body), now);
    }
    buf_free(&body);
}

/* ---- events ---- */

static bool is_wanted(const struct options *o, const char *event) {
    struct str rest = str_c(o->value[OPTION_EVENTS] != NULL ? o->value[OPTION_EVENTS] : "*"), one;
    char pattern[TEXT_BYTES];
    while (str_cut(&rest, ',', &one)) {
        if (str_copy_c(one, pattern, sizeof pattern) && fnmatch(pattern, event, 0) == 0) {
            return true;
        }
    }
    return false;
}

static int tell(struct listen *l, const char *event, json_t *job) {
    struct client_answer a = {.json = job};
    if (!is_wanted(l->o, event)) {
        return EXIT_SUCCESS;
    }
    if (l->o->value[OPTION_FORWARD_TO] != NULL) {
        forward(l, event, job);
    }
    if (json_object_set_new(job, "event", json_string(event)) != 0) {
        return cli_fail(l->o, EXIT_INTERNAL, "out of memory");
    }
    return show_news(l->o, &a, columns, sizeof columns / sizeof columns[0], &l->header);
}

static int look_at(struct listen *l, json_t *job, json_t *now) {
    char event[TEXT_BYTES];
    const char *id = json_opt_str(job, "id", STR("?")).p;
    const char *before = json_string_value(json_object_get(l->states, id));
    (void)snprintf(event, sizeof event, "job.%s", json_opt_str(job, "state", STR("waiting")).p);
    (void)json_object_set_new(now, id, json_string(event));
    return l->states == NULL || (before != NULL && strcmp(before, event) == 0) ? EXIT_SUCCESS : tell(l, event, job);
}

/* What was on the page before is on this one, unless more jobs came than a page has. */
static void check_overlap(const struct listen *l, const json_t *now) {
    const char *id;
    json_t *state;
    bool overlaps = json_object_size(l->states) == 0;
    json_object_foreach(l->states, id, state) { overlaps = overlaps || json_object_get(now, id) != NULL; }
    if (!overlaps) {
        (void)fprintf(stderr, "penstock listen: more than " PAGE " jobs came at once; some of them were not seen\n");
    }
}

/* The oldest first. */
static int look_at_all(struct listen *l, json_t *items) {
    json_t *now = json_object();
    int code = now != NULL ? EXIT_SUCCESS : cli_fail(l->o, EXIT_INTERNAL, "out of memory");
    for (size_t i = json_array_size(items); i > 0 && code == EXIT_SUCCESS; i--) {
        code = look_at(l, json_array_get(items, i - 1), now);
    }
    if (code == EXIT_SUCCESS) {
        check_overlap(l, now);
        json_decref(l->states);
        l->states = now;
    } else {
        json_decref(now);
    }
    return code;
}

/* One look. An API that is away after the first is told of once. */
static int look(struct listen *l, bool *away) {
    const struct client_request r = {
        .method = "GET",
        .path = {"/v1/jobs"},
        .query = {{"limit", PAGE}, {"queue", l->o->value[OPTION_QUEUE]}, {"type", l->o->value[OPTION_TYPE]}},
        .timeout_ms = l->o->timeout_ms};
    struct client_answer a;
    struct buf why;
    buf_init(&why, CLI_LINE_BYTES);
    int code = client_ask(l->o, &r, &a, &why);
    bool mends = l->states != NULL && (code == EXIT_AGAIN || code == EXIT_UNAVAILABLE);
    if (code != EXIT_SUCCESS && !(mends && *away)) {
        cli_complain(l->o, &why);
    }
    *away = code != EXIT_SUCCESS;
    code = mends ? EXIT_SUCCESS : code == EXIT_SUCCESS ? look_at_all(l, json_object_get(a.json, "items")) : code;
    client_answer_free(&a);
    buf_free(&why);
    return code;
}

static bool make_secret(struct buf *out) {
    uint8_t random[SECRET_BYTES];
    crypto_random(random, sizeof random);
    buf_add_c(out, "whsec_");
    base64_add(out, str_of(random, sizeof random));
    return !err_is_set(buf_status(out));
}

int cli_listen(const struct options *o) {
    struct listen l = {.o = o};
    bool away = false;
    int code = EXIT_SUCCESS;
    const char *to = o->value[OPTION_FORWARD_TO];
    if (to != NULL && !client_is_url(to)) {
        return cli_fail(o, EXIT_USAGE, "--forward-to must be an http:// or https:// address, not \"%.200s\"", to);
    }
    buf_init(&l.secret, TEXT_BYTES);
    if (to != NULL && make_secret(&l.secret)) {
        (void)fprintf(stderr, "What is forwarded is signed with %.*s\n", STR_ARG(buf_str(&l.secret)));
    }
    while (code == EXIT_SUCCESS && fflush(stdout) == 0) {
        code = look(&l, &away);
        (void)poll(NULL, 0, code == EXIT_SUCCESS ? EVERY_MS : 0);
    }
    json_decref(l.states);
    json_decref(l.header.texts);
    buf_free(&l.secret);
    return code;
}
