/* penstock dlq import: the lines of an export. What was put away since is dead again; what is dead, was run again or has ended stays as it is;
 * what is not kept any more can be enqueued anew, by a key of its tenant. The same file twice does nothing more. */
#include "cli.h"
#include "enqueue.h"
#include "show.h"
#include "text.h"

#include <base/ids.h>
#include <base/limits.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { IDS_MAX = 64, BODY_MAX_BYTES = 16 * 1024, LINE_MAX_BYTES = 1 << 20 };
#define STARS "***" /* what an export has of a value that is not shown */

/* Lines of one queue, one behind the other. */
struct import {
    const struct options *o;
    FILE *in, *rest; /* rest: a line for each of in, empty for what is not to be enqueued */
    json_t *who;     /* asks; NULL: it was not needed so far */
    json_t *jobs[IDS_MAX];
    int64_t numbers[IDS_MAX]; /* of their lines */
    size_t n;
    int64_t read, restored, kept, lost, refused; /* lines */
    int64_t written;                             /* to rest */
};

static const char *member(const json_t *job, const char *name) { return json_string_value(json_object_get(job, name)); }

static void refuse(struct import *m, int64_t number, const char *why) {
    (void)cli_fail(m->o, EXIT_BAD_INPUT, "line %lld: %s", (long long)number, why);
    m->refused++;
}

/* ---- what is not kept any more ---- */

static bool has_stars(const json_t *v) {
    const char *name;
    const json_t *inner;
    size_t i;
    bool found = json_is_string(v) && strcmp(json_string_value(v), STARS) == 0;
    json_object_foreach((json_t *)(uintptr_t)v, name, inner) { found = found || has_stars(inner); }
    json_array_foreach(v, i, inner) { found = found || has_stars(inner); }
    return found;
}

static bool write_line(struct import *m, int64_t number, const json_t *line) {
    struct buf text;
    buf_init(&text, LINE_MAX_BYTES);
    bool fine = !err_is_set(json_write(line, &text));
    while (fine && ++m->written < number) {
        fine = putc('\n', m->rest) != EOF;
    }
    fine = fine && fprintf(m->rest, "%.*s\n", STR_ARG(buf_str(&text))) > 0;
    buf_free(&text);
    return fine;
}

/* What is enqueued is the key's tenant's, who would see what is another's. */
static bool is_ours(const struct import *m, const json_t *job) {
    const char *tenant = member(job, "tenant"), *ours = member(m->who, "tenant");
    return tenant != NULL && ours != NULL && strcmp(tenant, ours) == 0;
}

static int ask_who(struct import *m) {
    const struct client_request r = {.method = "GET", .path = {"/v1/session"}, .timeout_ms = m->o->timeout_ms};
    struct client_answer a;
    int code = m->who == NULL ? client_call(m->o, &r, &a) : EXIT_SUCCESS;
    if (m->who == NULL) {
        m->who = json_incref(a.json);
        client_answer_free(&a);
    }
    return code;
}

static int keep_line(struct import *m, int64_t number, const json_t *job) {
    json_t *payload = json_object_get(job, "payload");
    char key[UUID_TEXT_BYTES + 8];
    int code = ask_who(m);
    if (code != EXIT_SUCCESS) {
        return code;
    }
    if (!is_ours(m, job) || !json_is_object(payload) || has_stars(payload)) {
        refuse(m, number,
               !is_ours(m, job)     ? "it is another tenant's than the key: one of its own can enqueue it"
               : has_stars(payload) ? "its payload has values that are not shown"
                                    : "it has no payload");
        return EXIT_SUCCESS;
    }
    (void)snprintf(key, sizeof key, "dlq:%s", member(job, "id"));
    json_t *line = json_pack("{s:s, s:s, s:O, s:s}", "type", member(job, "type"), "queue", member(job, "queue"), "payload",
                             payload, "key", key);
    bool fine = line != NULL && write_line(m, number, line);
    json_decref(line);
    m->lost++;
    return fine ? EXIT_SUCCESS : cli_fail(m->o, EXIT_INTERNAL, "out of memory, or of room for a temporary file");
}

/* Those of which the API knows nothing. */
static int find_lost(struct import *m) {
    struct buf why;
    int code = EXIT_SUCCESS;
    buf_init(&why, CLI_LINE_BYTES);
    for (size_t i = 0; i < m->n && code == EXIT_SUCCESS; i++) {
        const struct client_request r = {
            .method = "GET", .path = {"/v1/jobs/", member(m->jobs[i], "id"), "/detail"}, .timeout_ms = m->o->timeout_ms};
        struct client_answer a;
        buf_clear(&why);
        code = client_ask(m->o, &r, &a, &why);
        client_answer_free(&a);
        if (code == EXIT_NO_INPUT) {
            code = keep_line(m, m->numbers[i], m->jobs[i]);
        } else if (code != EXIT_SUCCESS) {
            cli_complain(m->o, &why);
        }
    }
    buf_free(&why);
    return code;
}

/* ---- what is kept ---- */

static void make_body(const struct import *m, struct buf *out) {
    const char *reason = m->o->value[OPTION_REASON];
    buf_add_c(out, "{\"ids\":[");
    for (size_t i = 0; i < m->n; i++) {
        buf_add_c(out, i > 0 ? "," : "");
        json_add_string(out, str_c(member(m->jobs[i], "id")));
    }
    buf_add_c(out, m->o->dry_run ? "],\"dry_run\":true" : "]");
    if (reason != NULL) {
        buf_add_c(out, ",\"reason\":");
        json_add_string(out, str_c(reason));
    }
    buf_add_char(out, '}');
}

static int restore(struct import *m) {
    struct buf body;
    struct client_answer a;
    buf_init(&body, BODY_MAX_BYTES);
    make_body(m, &body);
    if (err_is_set(buf_status(&body))) {
        buf_free(&body);
        return cli_fail(m->o, EXIT_BAD_INPUT, "--reason is too long");
    }
    const struct client_request r = {.method = "POST",
                                     .path = {"/v1/dlq/", member(m->jobs[0], "queue"), "/restore"},
                                     .body = buf_str(&body),
                                     .timeout_ms = m->o->timeout_ms};
    int code = client_call(m->o, &r, &a);
    int64_t restored = json_opt_i64(a.json, m->o->dry_run ? "matched" : "restored", 0), lost = m->lost, refused = m->refused;
    client_answer_free(&a);
    buf_free(&body);
    if (code == EXIT_SUCCESS && m->rest != NULL && restored < (int64_t)m->n) {
        code = find_lost(m);
    }
    m->restored += restored;
    m->kept += (int64_t)m->n - restored - (m->lost - lost) - (m->refused - refused);
    return code;
}

static int flush_jobs(struct import *m) {
    int code = m->n > 0 ? restore(m) : EXIT_SUCCESS;
    while (m->n > 0) {
        json_decref(m->jobs[--m->n]);
    }
    return code;
}

/* ---- lines ---- */

static bool is_job(const json_t *job) {
    struct uuid id;
    const char *queue = member(job, "queue");
    return uuid_parse(json_opt_str(job, "id", STR("")), &id) && queue != NULL && queue[0] != '\0' && member(job, "type") != NULL;
}

static int take_line(struct import *m, struct str text) {
    json_t *job = NULL;
    int code = EXIT_SUCCESS;
    m->read++;
    if (text.n <= 1) {
        return EXIT_SUCCESS;
    }
    if (text.n > LINE_MAX_BYTES || err_is_set(json_read(text, &job)) || !is_job(job)) {
        refuse(m, m->read, "it is no line of an export");
        json_decref(job);
        return EXIT_SUCCESS;
    }
    if (m->n == IDS_MAX || (m->n > 0 && strcmp(member(job, "queue"), member(m->jobs[0], "queue")) != 0)) {
        code = flush_jobs(m);
    }
    m->numbers[m->n] = m->read;
    m->jobs[m->n++] = job;
    return code;
}

static int read_all(struct import *m) {
    char *line = NULL;
    size_t room = 0;
    ssize_t n = 0;
    int code = EXIT_SUCCESS;
    while (code == EXIT_SUCCESS && (n = getline(&line, &room, m->in)) > 0) {
        code = take_line(m, str_of(line, (size_t)n));
    }
    free(line);
    if (code == EXIT_SUCCESS && ferror(m->in) != 0) {
        code = cli_fail(m->o, EXIT_NO_INPUT, "%.200s cannot be read: %s", m->o->args[0], strerror(errno));
    }
    int last = flush_jobs(m);
    return code != EXIT_SUCCESS ? code : last;
}

/* ---- the command ---- */

static void show_sum(const struct import *m, const struct enqueue_sum *sum) {
    const struct options *o = m->o;
    if (o->json) {
        (void)printf("{\"restored\":%lld,\"left\":%lld,\"enqueued\":%lld,\"replayed\":%lld,\"refused\":%lld}\n",
                     (long long)m->restored, (long long)m->kept, (long long)sum->enqueued, (long long)sum->replayed,
                     (long long)m->refused);
    } else if (!o->quiet) {
        (void)printf("%lld dead jobs restored, %lld left as they were, %lld enqueued anew%s\n", (long long)m->restored,
                     (long long)m->kept, (long long)(sum->enqueued - sum->replayed), o->dry_run ? " (dry run)" : "");
    }
}

static int import(struct import *m, int64_t wait_ms) {
    struct enqueue_sum sum = {0};
    int code = read_all(m);
    if (code == EXIT_SUCCESS && m->rest != NULL && m->lost > 0) {
        code = enqueue_lines(m->o, m->rest, "the temporary file", wait_ms, &sum);
        m->refused += sum.refused;
    }
    show_sum(m, &sum);
    if ((code == EXIT_SUCCESS || code == EXIT_WORK) && m->refused > 0) {
        return EXIT_BAD_INPUT;
    }
    return code == EXIT_SUCCESS && m->o->dry_run && m->restored > 0 ? EXIT_WORK : code;
}

int cli_dlq_import(const struct options *o) {
    bool is_stdin = strcmp(o->args[0], "-") == 0, anew = o->value[OPTION_ENQUEUE] != NULL;
    int64_t wait_ms = ENQUEUE_PATIENCE_MS;
    struct import m = {.o = o};
    if (o->value[OPTION_WAIT] != NULL && !text_duration(str_c(o->value[OPTION_WAIT]), &wait_ms)) {
        return cli_fail(o, EXIT_USAGE, "--wait must be a time like 500ms, 90s, 2h");
    }
    m.in = is_stdin ? stdin : fopen(o->args[0], "re");
    if (m.in == NULL) {
        return cli_fail(o, EXIT_NO_INPUT, "%.200s cannot be read: %s", o->args[0], strerror(errno));
    }
    m.rest = anew ? tmpfile() : NULL;
    int code =
        anew && m.rest == NULL ? cli_fail(o, EXIT_INTERNAL, "no temporary file: %s", strerror(errno)) : import(&m, wait_ms);
    json_decref(m.who);
    if (m.rest != NULL) {
        (void)fclose(m.rest);
    }
    if (!is_stdin) {
        (void)fclose(m.in);
    }
    return code;
}
