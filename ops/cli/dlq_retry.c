/* penstock dlq retry: some by their ids, or a queue's, batch after batch. */
#include "cli.h"
#include "progress.h"
#include "show.h"

#include <base/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { BODY_MAX_BYTES = 4096, ASKED_FROM = 100 };

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

/* ---- a queue's ---- */

struct bulk {
    const struct options *o;
    const char *queue;
    int64_t wanted; /* at most so many more; 0 at the end */
    int64_t done;
    struct progress progress;
};

static void show_retried(const struct bulk *b, const struct client_answer *a) {
    const json_t *id;
    size_t i;
    progress_hide(&b->progress);
    if (b->o->json) {
        (void)printf("%.*s\n", (int)a->body.n, a->body.p);
        return;
    }
    json_array_foreach(json_object_get(a->json, "retried"), i, id) {
        const char *name = json_is_string(id) ? json_string_value(id) : "?";
        (void)printf(b->o->quiet ? "%s\n" : b->o->output == OUTPUT_NAME ? "job/%s\n" : "job/%s retried\n", name);
    }
}

static bool add_body(struct buf *out, const struct bulk *b) {
    const char *reason = b->o->value[OPTION_REASON];
    buf_addf(out, "{\"all\":true,\"limit\":%lld", (long long)(b->wanted < LIMIT_BATCH ? b->wanted : LIMIT_BATCH));
    if (reason != NULL) {
        buf_add_c(out, ",\"reason\":");
        json_add_string(out, str_c(reason));
    }
    buf_add_char(out, '}');
    return !err_is_set(buf_status(out));
}

/* One call of the API. The first says how many there are: what dies again meanwhile is not run a second time. */
static int retry_some(struct bulk *b) {
    struct client_answer a = {0};
    struct buf body;
    int code;
    buf_init(&body, BODY_MAX_BYTES);
    if (!add_body(&body, b)) {
        code = cli_fail(b->o, EXIT_BAD_INPUT, "--reason is too long");
    } else {
        const struct client_request r = {
            .method = "POST", .path = {"/v1/dlq/", b->queue, "/retry"}, .body = buf_str(&body), .timeout_ms = b->o->timeout_ms};
        code = client_call(b->o, &r, &a);
    }
    if (code == EXIT_SUCCESS) {
        int64_t retried = (int64_t)json_array_size(json_object_get(a.json, "retried"));
        int64_t left = json_opt_i64(a.json, "left", 0);
        bool first = b->done == 0;
        show_retried(b, &a);
        b->done += retried;
        b->wanted = first && b->wanted - retried > left ? left : b->wanted - retried;
        b->progress.total = b->done + (b->wanted < left ? b->wanted : left);
        b->wanted = retried > 0 && left > 0 ? b->wanted : 0;
    }
    client_answer_free(&a);
    buf_free(&body);
    return code;
}

/* How many dead jobs the queue has. */
static int count(const struct options *o, const char *queue, int64_t *out) {
    const struct client_request r = {.method = "GET", .path = {"/v1/queues/", queue}, .timeout_ms = o->timeout_ms};
    struct client_answer a;
    int code = client_call(o, &r, &a);
    *out = json_opt_i64(json_object_get(a.json, "depth"), "dead", 0);
    client_answer_free(&a);
    return code;
}

/* Whoever sits at a terminal types the number; a script says --yes. */
static bool is_confirmed(const struct options *o, const char *queue, int64_t n) {
    char line[32], wanted[32];
    if (n <= ASKED_FROM || o->value[OPTION_YES] != NULL) {
        return true;
    }
    if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1) {
        return false;
    }
    (void)fprintf(stderr, "%lld dead jobs of %s would run again; type the number to go on: ", (long long)n, queue);
    (void)snprintf(wanted, sizeof wanted, "%lld\n", (long long)n);
    return fgets(line, sizeof line, stdin) != NULL && strcmp(line, wanted) == 0;
}

static int say_dry(const struct options *o, const char *queue, int64_t n) {
    if (o->json) {
        (void)printf("{\"dry_run\":true,\"queue\":\"%s\",\"dead\":%lld}\n", queue, (long long)n);
    } else {
        (void)printf("queue/%s: %lld dead jobs retried (dry run)\n", queue, (long long)n);
    }
    return n > 0 ? EXIT_WORK : EXIT_SUCCESS;
}

static int retry_queue(const struct options *o, const char *queue, int64_t wanted) {
    struct bulk b = {.o = o, .queue = queue, .wanted = wanted};
    int64_t dead;
    int code = count(o, queue, &dead);
    if (code != EXIT_SUCCESS) {
        return code;
    }
    int64_t n = dead < wanted ? dead : wanted;
    if (o->dry_run) {
        return say_dry(o, queue, n);
    }
    if (!is_confirmed(o, queue, n)) {
        return cli_fail(o, EXIT_USAGE, "%lld dead jobs of %s: --yes runs them again, --limit some of them", (long long)n, queue);
    }
    progress_begin(&b.progress, o, "retried", n);
    while (b.wanted > 0 && code == EXIT_SUCCESS) {
        code = retry_some(&b);
        progress_show(&b.progress, b.done);
    }
    progress_hide(&b.progress);
    return code;
}

int cli_dlq_retry(const struct options *o) {
    const char *limit = o->value[OPTION_LIMIT], *queue = o->value[OPTION_QUEUE];
    bool all = o->value[OPTION_ALL] != NULL;
    int64_t wanted = INT64_MAX;
    if (queue == NULL) {
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
    return retry_queue(o, queue, wanted);
}
