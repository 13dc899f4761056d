/* penstock trigger EVENT: makes it happen, with demo data, by the requests of an ordinary producer. */
#include "cli.h"
#include "show.h"

#include <base/ids.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { ID_BYTES = 64, NAMES_BYTES = 512, AGAIN_MS = 250 };

struct step {
    const char *kind, *path; /* path NULL: none */
    const char *member, *rest;
    const char *body;
};

static const struct {
    const char *event;
    struct step first, second;
} triggers[] = {
#define STEP(kind, path, member, rest, body) \
    { kind, path, member, rest, body }
#define NO_STEP \
    { NULL, NULL, NULL, NULL, NULL }
#define TRIGGER(event, first, second) {event, first, second},
#include "trigger.def"
#undef TRIGGER
#undef NO_STEP
#undef STEP
};

static void print_done(const struct options *o, const struct step *s, const char *id, const struct client_answer *a) {
    const char *status = json_string_value(json_object_get(a->json, "status"));
    const char *state = json_string_value(json_object_get(a->json, "state"));
    (void)show_change(o, a, s->kind, id, status != NULL ? status : state != NULL ? state : "asked for");
}

static int send(const struct options *o, const struct step *s, const char *id, struct client_answer *out, struct buf *why) {
    char key[UUID_TEXT_BYTES];
    struct id_maker ids = {.clock = &clock_system};
    uuid_text(id_new(&ids), key);
    const struct client_request r = {.method = "POST",
                                     .path = {s->path, s->member != NULL ? id : NULL, s->rest},
                                     .body = str_c(s->body),
                                     .key = key,
                                     .timeout_ms = o->timeout_ms};
    buf_clear(why);
    return client_ask(o, &r, out, why);
}

/* What the step before has begun may have to come to its end first (a capture before its refund): until then it is 409. */
static int send_when_it_can_be(const struct options *o, const struct step *s, const char *id, struct client_answer *out,
                               struct buf *why) {
    struct mono began = clock_mono(&clock_system);
    int code = send(o, s, id, out, why);
    while (code == EXIT_FAILED && mono_ms_since(clock_mono(&clock_system), began) < o->timeout_ms) {
        client_answer_free(out);
        (void)poll(NULL, 0, AGAIN_MS);
        code = send(o, s, id, out, why);
    }
    return code;
}

/* before: what the step before has answered, or NULL. A refusal by the business (402) is what was asked for. */
static int do_step(const struct options *o, const struct step *s, const json_t *before, struct client_answer *out) {
    char id[ID_BYTES] = "";
    struct buf why;
    if (s->member != NULL && !str_copy_c(json_opt_str(before, s->member, STR("")), id, sizeof id)) {
        return cli_fail(o, EXIT_PROTOCOL, "the answer has no %s", s->member);
    }
    buf_init(&why, CLI_LINE_BYTES);
    int code = s->member != NULL ? send_when_it_can_be(o, s, id, out, &why) : send(o, s, id, out, &why);
    if (code == EXIT_SUCCESS) {
        static const char *const members[] = {"order_id", "id"};
        for (size_t i = 0; i < 2 && id[0] == '\0'; i++) {
            (void)str_copy_c(json_opt_str(out->json, members[i], STR("")), id, sizeof id);
        }
        print_done(o, s, id, out);
    } else if (out->status == 402) {
        (void)show_change(o, out, s->kind, json_opt_str(out->json, "order_id", STR("-")).p, "declined");
        code = EXIT_SUCCESS;
    } else {
        cli_complain(o, &why);
    }
    buf_free(&why);
    return code;
}

static int unknown(const struct options *o) {
    char names[NAMES_BYTES] = "";
    size_t at = 0;
    for (size_t i = 0; i < sizeof triggers / sizeof triggers[0]; i++) {
        int n = snprintf(names + at, sizeof names - at, "%s%s", i > 0 ? ", " : "", triggers[i].event);
        at += n > 0 && (size_t)n < sizeof names - at ? (size_t)n : 0;
    }
    return cli_fail(o, EXIT_USAGE, "no event \"%.60s\"; there are %s", o->args[0], names);
}

int cli_trigger(const struct options *o) {
    struct client_answer first = {0}, second = {0};
    size_t i = 0;
    while (i < sizeof triggers / sizeof triggers[0] && strcmp(triggers[i].event, o->args[0]) != 0) {
        i++;
    }
    if (i == sizeof triggers / sizeof triggers[0]) {
        return unknown(o);
    }
    if (!client_is_local(o->url) && o->value[OPTION_YES] == NULL) { /* orders are real ones, wherever it is */
        return cli_fail(o, EXIT_USAGE, "%.200s is not on this machine: --yes makes it happen there", o->url);
    }
    int code = do_step(o, &triggers[i].first, NULL, &first);
    if (code == EXIT_SUCCESS && triggers[i].second.path != NULL) {
        code = do_step(o, &triggers[i].second, first.json, &second);
    }
    client_answer_free(&first);
    client_answer_free(&second);
    return code;
}
