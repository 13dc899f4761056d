#include "enqueue.h"

#include <base/ids.h>
#include <base/limits.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "answer.h"
#include "cli.h"
#include "progress.h"
#include "show.h"

/* A batch ends with the line that takes it past the half of what a request may have, and no line has more than the other. */
enum { LINES_MAX = 500, LINE_BYTES_MAX = LIMIT_HTTP_BODY_BYTES / 2 - 4096, AGAIN_MS = 1000 };

struct line {
    int64_t number; /* in the file */
    char *text;     /* with its key, without the line feed */
    size_t n;
    bool unsure; /* it was sent, and may have been taken */
};

struct sending {
    const struct options *o;
    FILE *in;
    const char *name; /* of in */
    struct id_maker ids;
    struct line lines[LINES_MAX]; /* that wait for their answer */
    size_t n, bytes;
    int64_t read, enqueued, replayed, refused; /* lines */
    int64_t wait_ms;                           /* before the next request */
    struct mono moved;                         /* when a line was taken last */
    struct buf why;                            /* of what has to be waited for */
    struct progress progress;
};

static bool may_mend(int code) { return code == EXIT_AGAIN || code == EXIT_UNAVAILABLE; }

/* ---- lines ---- */

static void refuse(struct sending *s, int64_t number, const char *detail, const json_t *problem) {
    struct buf why;
    buf_init(&why, CLI_LINE_BYTES);
    buf_addf(&why, "line %lld: ", (long long)number);
    if (!answer_add_problem(problem, &why)) {
        buf_add_c(&why, detail);
    }
    progress_hide(&s->progress);
    cli_complain(s->o, &why);
    s->refused++;
    buf_free(&why);
}

static int append(struct sending *s, struct str text) {
    char *copy = malloc(text.n);
    if (copy == NULL) {
        return cli_fail(s->o, EXIT_INTERNAL, "out of memory");
    }
    memcpy(copy, text.p, text.n);
    s->lines[s->n++] = (struct line){.number = s->read, .text = copy, .n = text.n};
    s->bytes += text.n + 1;
    return EXIT_SUCCESS;
}

/* One without a key gets one for this run, under which it can be sent again. */
static int add_keyed(struct sending *s, json_t *job) {
    char key[UUID_TEXT_BYTES];
    struct buf text;
    uuid_text(id_new(&s->ids), key);
    buf_init(&text, LIMIT_HTTP_BODY_BYTES);
    struct err err =
        json_object_set_new(job, "key", json_string(key)) == 0 ? json_write(job, &text) : err_make(ERR_NOMEM, "line");
    int code = err_is_set(err) ? cli_fail(s->o, EXIT_INTERNAL, "%s", err.detail) : append(s, buf_str(&text));
    buf_free(&text);
    return code;
}

static int take_line(struct sending *s, struct str text) {
    json_t *job = NULL;
    int code = EXIT_SUCCESS;
    s->read++;
    while (text.n > 0 && strchr(" \t\r\n", text.p[text.n - 1]) != NULL) {
        text.n--;
    }
    if (text.n == 0) {
        return EXIT_SUCCESS;
    }
    struct err err =
        text.n > LINE_BYTES_MAX ? err_make(ERR_TOO_LARGE, "more than %d bytes", LINE_BYTES_MAX) : json_read(text, &job);
    if (err_is_set(err) || !json_is_object(job)) {
        refuse(s, s->read, err_is_set(err) ? err.detail : "it is no JSON object", NULL);
    } else if (json_object_get(job, "key") == NULL) {
        code = add_keyed(s, job);
    } else {
        code = append(s, text); /* as it is: the key belongs to these bytes */
    }
    json_decref(job);
    return code;
}

/* Reads on until the batch is full or there is no more. EXIT_NO_INPUT: s->why says what is wrong. */
static int fill(struct sending *s) {
    char *line = NULL;
    size_t room = 0;
    ssize_t n = 0;
    int code = EXIT_SUCCESS;
    while (code == EXIT_SUCCESS && s->n < LINES_MAX && s->bytes < LIMIT_HTTP_BODY_BYTES / 2 &&
           (n = getline(&line, &room, s->in)) > 0) {
        code = take_line(s, str_of(line, (size_t)n));
    }
    free(line);
    if (code == EXIT_SUCCESS && ferror(s->in) != 0) {
        code = EXIT_NO_INPUT;
        buf_clear(&s->why);
        buf_addf(&s->why, "%.200s cannot be read: %s", s->name, strerror(errno));
    }
    return code;
}

/* ---- the answer ---- */

static void show_taken(struct sending *s, int64_t number, json_t *answer) {
    const struct options *o = s->o;
    s->enqueued++;
    s->replayed += json_opt_bool(answer, "replayed", false);
    s->moved = clock_mono(&clock_system);
    if (o->output == OUTPUT_JSONL) {
        struct buf text;
        buf_init(&text, CLI_LINE_BYTES);
        if (json_object_set_new(answer, "line", json_integer(number)) == 0 && !err_is_set(json_write(answer, &text))) {
            progress_hide(&s->progress);
            (void)printf("%.*s\n", STR_ARG(buf_str(&text)));
        }
        buf_free(&text);
    } else if (o->quiet || o->output == OUTPUT_NAME) {
        progress_hide(&s->progress);
        (void)printf("%s%s\n", o->quiet ? "" : "job/", json_string_value(json_object_get(answer, "id")));
    }
}

static void wait_for(struct sending *s, const json_t *problem) {
    int64_t ms = json_opt_i64(problem, "retry_after_seconds", 0) * 1000;
    s->wait_ms = ms > s->wait_ms ? ms : s->wait_ms;
    if (s->wait_ms < AGAIN_MS) {
        s->wait_ms = AGAIN_MS;
    }
    buf_clear(&s->why);
    (void)answer_add_problem(problem, &s->why);
}

/* NULL: there was no answer. */
static bool may_be_taken(const json_t *problem) {
    struct str code = json_opt_str(problem, "code", STR("unavailable"));
    return str_is(code, "unavailable") || str_is(code, "acceptance_undecided") || str_is(code, "internal");
}

/* True: it stays, to be sent again. */
static bool judge(struct sending *s, struct line *l, json_t *answer) {
    const json_t *problem = json_object_get(answer, "problem");
    if (problem == NULL) {
        show_taken(s, l->number, answer);
    } else if (json_opt_bool(problem, "retryable", false)) {
        l->unsure |= may_be_taken(problem);
        wait_for(s, problem);
        return true;
    } else {
        refuse(s, l->number, "it was refused", problem);
    }
    return false;
}

/* Those to be sent again are what is left. */
static void drop_taken(struct sending *s, const bool again[LINES_MAX]) {
    size_t n = 0;
    s->bytes = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (again[i]) {
            s->bytes += s->lines[i].n + 1;
            s->lines[n++] = s->lines[i];
        } else {
            free(s->lines[i].text);
        }
    }
    s->n = n;
}

/* A line for each of ours. False: it is no such answer; what it does not speak of is sent again, under the keys. */
static bool read_answer(struct sending *s, struct str body) {
    bool again[LINES_MAX], answered[LINES_MAX] = {false};
    struct str text;
    size_t n = 0;
    memset(again, true, sizeof again);
    while (str_cut(&body, '\n', &text)) {
        json_t *answer = NULL;
        int64_t at = err_is_set(json_read(text, &answer)) ? 0 : json_opt_i64(answer, "line", 0);
        bool known = json_is_string(json_object_get(answer, "id")) || json_is_object(json_object_get(answer, "problem"));
        if (known && at >= 1 && (size_t)at <= s->n && !answered[at - 1]) {
            answered[at - 1] = true;
            again[at - 1] = judge(s, &s->lines[at - 1], answer);
            n++;
        }
        json_decref(answer);
    }
    bool whole = n == s->n;
    drop_taken(s, again);
    return whole;
}

/* ---- requests ---- */

static int send_lines(struct sending *s) {
    struct buf body;
    struct client_answer a;
    buf_init(&body, 2 * LIMIT_HTTP_BODY_BYTES);
    for (size_t i = 0; i < s->n; i++) {
        buf_add(&body, str_of(s->lines[i].text, s->lines[i].n));
        buf_add_char(&body, '\n');
    }
    if (err_is_set(buf_status(&body))) {
        buf_free(&body);
        return cli_fail(s->o, EXIT_INTERNAL, "out of memory");
    }
    const struct client_request r = {
        .method = "POST", .path = {"/v1/jobs:batch"}, .body = buf_str(&body), .timeout_ms = s->o->timeout_ms, .lines = true};
    s->wait_ms = 0;
    buf_clear(&s->why);
    int code = client_ask(s->o, &r, &a, &s->why);
    if (code == EXIT_SUCCESS && !read_answer(s, buf_str(&a.body))) {
        buf_add_c(&s->why, "the answer is not that of a Penstock API; is PENSTOCK_URL right?");
        code = EXIT_PROTOCOL;
    } else if (may_mend(code)) {
        int64_t ms = json_opt_i64(a.json, "retry_after_seconds", 0) * 1000;
        s->wait_ms = ms > AGAIN_MS ? ms : AGAIN_MS;
    }
    if (code == EXIT_PROTOCOL || (code == EXIT_AGAIN && may_be_taken(a.json))) {
        for (size_t i = 0; i < s->n; i++) {
            s->lines[i].unsure = true;
        }
    }
    client_answer_free(&a);
    buf_free(&body);
    return code;
}

/* False: it has taken too long already. */
static bool wait_again(struct sending *s, int64_t patience_ms) {
    int64_t left = patience_ms - mono_ms_since(clock_mono(&clock_system), s->moved);
    if (left <= 0) {
        return false;
    }
    (void)poll(NULL, 0, (int)(s->wait_ms < left ? s->wait_ms : left));
    return true;
}

/* Why it went no further, and what that leaves. */
static void tell_left(struct sending *s) {
    size_t unsure = 0;
    for (size_t i = 0; i < s->n; i++) {
        unsure += s->lines[i].unsure;
    }
    if (s->n > 0) {
        buf_addf(&s->why, "%sline %lld and what is behind it were not taken", s->why.n > 0 ? "; " : "",
                 (long long)s->lines[0].number);
    }
    if (unsure > 0) {
        buf_addf(&s->why, ", but for %zu lines that may have been: what has no key would be enqueued twice", unsure);
    }
    if (s->why.n > 0) {
        cli_complain(s->o, &s->why);
    }
}

static int send_all(struct sending *s, int64_t patience_ms) {
    int code = fill(s);
    while (code == EXIT_SUCCESS && s->n > 0) {
        int got = send_lines(s);
        bool first = s->enqueued + s->refused == 0;
        progress_show(&s->progress, s->enqueued + s->refused);
        if (got != EXIT_SUCCESS && (!may_mend(got) || (first && got == EXIT_UNAVAILABLE))) {
            code = got; /* at first it has to be there */
        } else if (s->wait_ms > 0 && !wait_again(s, patience_ms)) {
            code = got == EXIT_SUCCESS ? EXIT_AGAIN : got;
        } else {
            code = fill(s);
        }
    }
    return code;
}

/* Of a file that can be read twice; 0: not known. */
static int64_t count_lines(FILE *f) {
    int64_t n = 0;
    if (fseek(f, 0, SEEK_SET) != 0) {
        return 0;
    }
    for (int c = getc(f); c != EOF; c = getc(f)) {
        n += c == '\n';
    }
    return fseek(f, 0, SEEK_SET) == 0 ? n : 0;
}

static void forget_lines(struct sending *s) {
    while (s->n > 0) {
        free(s->lines[--s->n].text);
    }
    s->bytes = 0;
}

/* What would be sent is counted as enqueued. */
static int only_look(struct sending *s) {
    int code = fill(s);
    while (code == EXIT_SUCCESS && s->n > 0) {
        s->enqueued += (int64_t)s->n;
        forget_lines(s);
        code = fill(s);
    }
    return code == EXIT_SUCCESS && s->enqueued > 0 ? EXIT_WORK : code;
}

int enqueue_lines(const struct options *o, FILE *in, const char *name, int64_t wait_ms, struct enqueue_sum *out) {
    struct sending *s = calloc(1, sizeof *s);
    if (s == NULL) {
        return cli_fail(o, EXIT_INTERNAL, "out of memory");
    }
    *s = (struct sending){.o = o, .in = in, .name = name, .ids = {.clock = &clock_system}, .moved = clock_mono(&clock_system)};
    buf_init(&s->why, CLI_LINE_BYTES);
    progress_begin(&s->progress, o, "enqueued", in == stdin ? 0 : count_lines(in));
    int code = o->dry_run ? only_look(s) : send_all(s, wait_ms);
    progress_hide(&s->progress);
    if (code != EXIT_SUCCESS && code != EXIT_WORK) {
        tell_left(s);
    }
    *out = (struct enqueue_sum){s->enqueued, s->replayed, s->refused};
    forget_lines(s);
    buf_free(&s->why);
    free(s);
    return (code == EXIT_SUCCESS || code == EXIT_WORK) && out->refused > 0 ? EXIT_BAD_INPUT : code;
}

/* ---- the command ---- */

static void show_sum(const struct options *o, const struct enqueue_sum *sum) {
    if (o->output == OUTPUT_JSON) {
        (void)printf("{\"enqueued\":%lld,\"replayed\":%lld,\"refused\":%lld}\n", (long long)sum->enqueued,
                     (long long)sum->replayed, (long long)sum->refused);
    } else if (!o->quiet && (o->output == OUTPUT_TABLE || o->output == OUTPUT_WIDE)) {
        (void)printf("%lld jobs enqueued, %lld of them before; %lld lines refused%s\n", (long long)sum->enqueued,
                     (long long)sum->replayed, (long long)sum->refused, o->dry_run ? " (dry run)" : "");
    }
}

int enqueue_bulk(const struct options *o, int64_t wait_ms) {
    const char *name = o->value[OPTION_BULK];
    bool is_stdin = strcmp(name, "-") == 0;
    FILE *in = is_stdin ? stdin : fopen(name, "re");
    struct enqueue_sum sum = {0};
    if (in == NULL) {
        return cli_fail(o, EXIT_NO_INPUT, "%.200s cannot be read: %s", name, strerror(errno));
    }
    int code = enqueue_lines(o, in, name, wait_ms, &sum);
    show_sum(o, &sum);
    if (!is_stdin) {
        (void)fclose(in);
    }
    return code;
}
