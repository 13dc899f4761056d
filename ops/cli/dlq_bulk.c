/* penstock dlq retry|discard|restore: some by their ids, or those of a queue or a group, batch after batch. */
#include "cli.h"
#include "progress.h"
#include "show.h"

#include <base/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BODY_MAX_BYTES = 16 * 1024, ASKED_FROM = 100, MOVE_BATCH = 1000 };

/* What is done to dead jobs; the API answers with {"<done>": ids or their number, "left": …}. */
struct deed {
    const char *path, *done, *question;
    int64_t batch;
};
static const struct deed retrying = {"/retry", "retried", "run again", LIMIT_BATCH};
static const struct deed discarding = {"/discard", "discarded", "be put away", MOVE_BATCH};
static const struct deed restoring = {"/restore", "restored", "come back", MOVE_BATCH};

struct bulk {
    const struct options *o;
    const struct deed *deed;
    int64_t wanted, done; /* so many more; so many so far */
    struct progress progress;
};

/* ---- requests ---- */

static void add_which(struct buf *out, const struct options *o) {
    const char *fingerprint = o->value[OPTION_FINGERPRINT];
    if (o->args_n > 0) {
        buf_add_c(out, "{\"ids\":[");
        for (int i = 0; i < o->args_n; i++) {
            buf_add_c(out, i > 0 ? "," : "");
            json_add_string(out, str_c(o->args[i]));
        }
        buf_add_char(out, ']');
    } else if (fingerprint != NULL) {
        buf_add_c(out, "{\"fingerprint\":");
        json_add_string(out, str_c(fingerprint));
    } else {
        buf_add_c(out, "{\"all\":true");
    }
}

/* limit 0: only looks. */
static int ask(const struct bulk *b, int64_t limit, struct client_answer *out) {
    const char *reason = b->o->value[OPTION_REASON];
    struct buf body;
    int code = EXIT_BAD_INPUT;
    *out = (struct client_answer){0};
    buf_init(&body, BODY_MAX_BYTES);
    add_which(&body, b->o);
    if (limit > 0) {
        buf_addf(&body, ",\"limit\":%lld", (long long)limit);
    } else {
        buf_add_c(&body, ",\"dry_run\":true");
    }
    if (reason != NULL) {
        buf_add_c(&body, ",\"reason\":");
        json_add_string(&body, str_c(reason));
    }
    buf_add_char(&body, '}');
    if (err_is_set(buf_status(&body))) {
        (void)cli_fail(b->o, code, "--reason is too long, or there are too many ids");
    } else {
        const struct client_request r = {.method = "POST",
                                         .path = {"/v1/dlq/", b->o->value[OPTION_QUEUE], b->deed->path},
                                         .body = buf_str(&body),
                                         .timeout_ms = b->o->timeout_ms};
        code = client_call(b->o, &r, out);
    }
    buf_free(&body);
    return code;
}

/* ---- batches ---- */

static void show_done(const struct bulk *b, const struct client_answer *a) {
    const json_t *done = json_object_get(a->json, b->deed->done);
    const json_t *id;
    size_t i;
    progress_hide(&b->progress);
    if (b->o->json) {
        (void)printf("%.*s\n", (int)a->body.n, a->body.p);
    } else if (json_is_integer(done) && !b->o->quiet) {
        (void)printf("queue/%s: %lld dead jobs %s\n", b->o->value[OPTION_QUEUE], (long long)json_integer_value(done),
                     b->deed->done);
    }
    json_array_foreach(b->o->json ? NULL : done, i, id) {
        const char *name = json_is_string(id) ? json_string_value(id) : "?";
        (void)printf("%s%s%s%s\n", b->o->quiet ? "" : "job/", name, b->o->quiet || b->o->output == OUTPUT_NAME ? "" : " ",
                     b->o->quiet || b->o->output == OUTPUT_NAME ? "" : b->deed->done);
    }
}

/* One call of the API, of at most a batch. */
static int do_some(struct bulk *b) {
    struct client_answer a;
    int code = ask(b, b->wanted < b->deed->batch ? b->wanted : b->deed->batch, &a);
    if (code == EXIT_SUCCESS) {
        const json_t *done = json_object_get(a.json, b->deed->done);
        int64_t n = json_is_array(done) ? (int64_t)json_array_size(done) : json_integer_value(done);
        show_done(b, &a);
        b->done += n;
        b->wanted = n > 0 && json_opt_i64(a.json, "left", 0) > 0 ? b->wanted - n : 0;
    }
    client_answer_free(&a);
    return code;
}

/* Whoever sits at a terminal types the number; a script says --yes. */
static bool is_confirmed(const struct bulk *b, int64_t n) {
    char line[32], wanted[32];
    if (n <= ASKED_FROM || b->o->value[OPTION_YES] != NULL) {
        return true;
    }
    if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1) {
        return false;
    }
    (void)fprintf(stderr, "%lld dead jobs of %s would %s; type the number to go on: ", (long long)n, b->o->value[OPTION_QUEUE],
                  b->deed->question);
    (void)snprintf(wanted, sizeof wanted, "%lld\n", (long long)n);
    return fgets(line, sizeof line, stdin) != NULL && strcmp(line, wanted) == 0;
}

static int do_all(struct bulk *b, int64_t n) {
    int code = EXIT_SUCCESS;
    if (!is_confirmed(b, n)) {
        return cli_fail(b->o, EXIT_USAGE, "%lld dead jobs of %s would %s: --yes lets them, --limit some of them", (long long)n,
                        b->o->value[OPTION_QUEUE], b->deed->question);
    }
    b->wanted = n; /* what dies again meanwhile is not meant */
    progress_begin(&b->progress, b->o, b->deed->done, n);
    while (b->wanted > 0 && code == EXIT_SUCCESS) {
        code = do_some(b);
        progress_show(&b->progress, b->done);
    }
    progress_hide(&b->progress);
    return code;
}

static int bulk(const struct options *o, const struct deed *deed, int64_t most) {
    struct bulk b = {.o = o, .deed = deed};
    struct client_answer a;
    int code = ask(&b, 0, &a);
    int64_t matched = json_opt_i64(a.json, "matched", 0);
    int64_t n = matched < most ? matched : most;
    if (code == EXIT_SUCCESS && o->dry_run) {
        if (o->json) {
            (void)printf("%.*s\n", (int)a.body.n, a.body.p);
        } else {
            (void)printf("queue/%s: %lld dead jobs %s (dry run)\n", o->value[OPTION_QUEUE], (long long)n, deed->done);
        }
        code = n > 0 ? EXIT_WORK : EXIT_SUCCESS;
    } else if (code == EXIT_SUCCESS) {
        code = do_all(&b, n);
    }
    client_answer_free(&a);
    return code;
}

/* ---- which ---- */

/* Ids, a group, some or all; of a queue. */
static int check_and_do(const struct options *o, const struct deed *deed) {
    const char *limit = o->value[OPTION_LIMIT];
    bool all = o->value[OPTION_ALL] != NULL, group = o->value[OPTION_FINGERPRINT] != NULL, ids = o->args_n > 0;
    int64_t most = INT64_MAX;
    if (o->value[OPTION_QUEUE] == NULL || all + ids + (group || limit != NULL) != 1) {
        return cli_fail(o, EXIT_USAGE, "wants --queue with either ids, --all, --limit, or --fingerprint of a group");
    }
    if (limit != NULL && (!str_to_i64(str_c(limit), &most) || most < 1)) {
        return cli_fail(o, EXIT_USAGE, "--limit must be a number, 1 or more");
    }
    return bulk(o, deed, most);
}

/* Without a queue, one after the other. */
static int retry_ids(const struct options *o) {
    int code = EXIT_SUCCESS;
    for (int i = 0; i < o->args_n; i++) {
        const struct client_request r = {
            .method = "POST", .path = {"/v1/jobs/", o->args[i], "/retry"}, .timeout_ms = o->timeout_ms};
        int one = o->dry_run ? show_dry(o, &r, "job", o->args[i], "retried", "dead")
                             : show_changed(o, &r, "job", o->args[i], "retried");
        code = one != EXIT_SUCCESS ? one : code;
        if (one == EXIT_UNAVAILABLE || one == EXIT_DENIED || one == EXIT_CONFIG) {
            break; /* the others would fare no better */
        }
    }
    return code;
}

int cli_dlq_retry(const struct options *o) {
    bool alone = o->value[OPTION_QUEUE] == NULL && o->args_n > 0 && o->value[OPTION_ALL] == NULL &&
                 o->value[OPTION_LIMIT] == NULL && o->value[OPTION_FINGERPRINT] == NULL && o->value[OPTION_REASON] == NULL;
    return alone ? retry_ids(o) : check_and_do(o, &retrying);
}

int cli_dlq_discard(const struct options *o) { return check_and_do(o, &discarding); }
int cli_dlq_restore(const struct options *o) { return check_and_do(o, &restoring); }
